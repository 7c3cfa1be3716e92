//! [`Options::preview`]: what opening would find and do.
//!
//! Invariant: nothing in the directory changes.

use std::path::Path;
use std::sync::Arc;

use super::reader::find_log;
use crate::error::Result;
use crate::options::Options;
use crate::recover::Preview;
use crate::segment::read_only::ReadOnly;
use crate::storage::{FileStorage, Storage};

impl Options {
    /// Finds out what [`open`](Self::open) with these options would find in `dir` and do there, and
    /// does nothing: no byte is written, and no lock is taken.
    ///
    /// Beside the process that writes the log it says what opening would do if that process ended now,
    /// without closing the log.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let dir = folder.path().join("wal");
    /// use stratalog::{Log, Options};
    /// let log = Log::open(&dir)?;
    /// let lsn = log.append(b"kept")?;
    ///
    /// let preview = Options::new().preview(&dir)?;
    /// assert!(preview.refusal.is_none() && !preview.recovery.clean);
    /// assert!(preview.recovery.end > lsn);
    ///
    /// log.close()?;
    /// assert!(Options::new().preview(&dir)?.recovery.clean);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotALog`](crate::Error::NotALog) if there is none, though opening might make one;
    /// [`Io`](crate::Error::Io) where something can't be read. Where opening would be refused for what
    /// the log holds, the preview says so.
    pub fn preview(&self, dir: impl AsRef<Path>) -> Result<Preview> {
        self.preview_storage(Arc::new(FileStorage::new(dir.as_ref())))
    }

    /// The same for a log in a storage of your own. See [`preview`](Self::preview).
    ///
    /// # Errors
    ///
    /// As [`preview`](Self::preview).
    pub fn preview_with(&self, storage: impl Storage) -> Result<Preview> {
        self.preview_storage(Arc::new(storage))
    }

    fn preview_storage(&self, storage: Arc<dyn Storage>) -> Result<Preview> {
        self.validate()?;
        let storage = ReadOnly::without_archived(storage);
        find_log(&storage)?;
        Preview::look(&storage, self)
    }
}
