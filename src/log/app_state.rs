//! The application's own bytes in the control file.
//!
//! Invariant: what was set last is there after any crash; a crash while it is being set leaves it or
//! what was there before.

use super::Log;
use crate::error::{Error, Result};
use crate::format::APP_STATE_MAX;

impl Log {
    /// Keeps up to 1024 bytes of the application's own beside the log, in its control file: a vote, a
    /// flushed position. They replace those that were kept before.
    ///
    /// They stay through reopening, truncation and recovery. Meant to change now and then: each call
    /// costs a small write and a sync of its own, beside appends, which it does not hold up.
    ///
    /// # Durability
    ///
    /// On return they survive power loss. They say nothing about records: sync first what they refer
    /// to.
    ///
    /// # Errors
    ///
    /// [`RecordTooLarge`](Error::RecordTooLarge) and [`Closed`](Error::Closed): nothing was changed.
    /// [`Io`](Error::Io) and [`Poisoned`](Error::Poisoned): after reopening there are the new bytes or
    /// the old ones.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let dir = folder.path().join("wal");
    /// use stratalog::Log;
    /// let log = Log::open(&dir)?;
    /// assert!(log.app_state().is_empty());
    /// log.set_app_state(b"term 7, voted for ann")?;
    /// drop(log);
    /// assert_eq!(Log::open(&dir)?.app_state(), b"term 7, voted for ann");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_app_state(&self, state: &[u8]) -> Result<()> {
        let appender = self.appender();
        appender.check_open()?;
        if state.len() > APP_STATE_MAX {
            let (len, max) = (state.len() as u64, APP_STATE_MAX as u64);
            return Err(Error::RecordTooLarge { len, max });
        }
        let disk = &appender.disk;
        let set = disk.control.update(|control| control.app_state = state.to_vec());
        set.inspect_err(|error| match error {
            Error::Closed => {}
            failure => disk.poison(&appender.protocol, failure),
        })
    }

    /// The bytes that [`set_app_state`](Self::set_app_state) kept last; empty if there were none.
    pub fn app_state(&self) -> Vec<u8> {
        self.appender().disk.control.state().app_state
    }
}
