//! [`Hold`]: keeps the log from being truncated beyond an address.
//!
//! Invariant: a hold is decided against truncations under one lock: either it is there before the
//! head is chosen, or it sees the head that was.

use std::fmt;
use std::sync::Arc;

use super::{Log, Shared};
use crate::error::Result;
use crate::lsn::Lsn;
use crate::segment::holds::Held;

/// One hold, as [`Stats::holds`](crate::Stats::holds) lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldInfo {
    /// Nothing from here on is dropped.
    pub lsn: Lsn,
    /// What its owner calls it.
    pub label: Option<String>,
}

impl From<Held> for HoldInfo {
    fn from(Held { lsn, label }: Held) -> Self {
        Self { lsn: Lsn::new(lsn), label }
    }
}

/// While it lives, nothing from its address on is dropped by
/// [`truncate_before`](Log::truncate_before). Made by [`Log::hold`].
///
/// It lives in memory only: it is gone with the process, and does not keep the log open.
pub struct Hold {
    shared: Arc<Shared>,
    number: u64,
}

impl Hold {
    /// The address from which on nothing is dropped.
    pub fn lsn(&self) -> Lsn {
        let held = self.shared.appender.disk.holds.lsn(self.number);
        Lsn::new(held.unwrap_or_default())
    }

    /// Moves the hold up to `lsn`: what lies below may be dropped from now on. At or below its own
    /// address it changes nothing. Beside truncations and appends.
    ///
    /// # Errors
    ///
    /// As [`Log::hold`]; the hold is where it was then. [`Truncated`](crate::Error::Truncated) comes up where
    /// [`AtLimit::DropOldest`](crate::AtLimit::DropOldest) has overtaken it.
    pub fn advance(&self, lsn: Lsn) -> Result<()> {
        if lsn <= self.lsn() {
            return Ok(());
        }
        self.shared.check_place(lsn)?;
        self.shared.appender.disk.holds.advance(self.number, lsn.get());
        Ok(())
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("lsn", &self.lsn()).finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.appender.disk.holds.remove(self.number);
    }
}

impl Log {
    /// Keeps everything from `lsn` on from being dropped, as long as the value lives: for a reader that
    /// goes on there later, a copy that is being made, a replica that is behind.
    ///
    /// `lsn` is a place to resume from, as [`Snapshot::iter_from`](crate::Snapshot::iter_from) takes
    /// it. Records that are not committed yet are committed first. In memory only, beside everything
    /// else. A forgotten hold keeps the log from ever getting shorter:
    /// [`Stats::holds`](crate::Stats::holds) lists them, and
    /// [`Options::max_log_bytes`](crate::Options::max_log_bytes) bounds what they can cost.
    ///
    /// # Errors
    ///
    /// [`Truncated`](crate::Error::Truncated) below the head, [`NotYet`](crate::Error::NotYet) above the tail,
    /// [`Cut`](crate::Error::Cut) and [`NotARecord`](crate::Error::NotARecord) where nothing can be resumed;
    /// [`Corrupt`](crate::Error::Corrupt) where damage leaves that open; [`Io`](crate::Error::Io),
    /// [`Poisoned`](crate::Error::Poisoned), [`Closed`](crate::Error::Closed).
    ///
    /// # Examples
    ///
    /// ```
    /// # let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let first = log.append(b"first")?;
    /// let second = log.append(b"second")?;
    /// let hold = log.hold(first)?;
    /// assert_eq!(log.truncate_before(second)?, first);
    /// hold.advance(second)?;
    /// assert_eq!(log.truncate_before(second)?, second);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    pub fn hold(&self, lsn: Lsn) -> Result<Hold> {
        self.add_hold(lsn, None)
    }

    /// As [`hold`](Self::hold), with a name for [`Stats::holds`](crate::Stats::holds) to list.
    ///
    /// # Errors
    ///
    /// As [`hold`](Self::hold).
    pub fn hold_named(&self, lsn: Lsn, label: impl Into<String>) -> Result<Hold> {
        self.add_hold(lsn, Some(label.into()))
    }

    fn add_hold(&self, lsn: Lsn, label: Option<String>) -> Result<Hold> {
        let shared = self.shared();
        shared.check_place(lsn)?;
        let disk = &shared.appender.disk;
        let _shorter = disk.truncation.lock();
        // Again: the head may have moved, or the end may have been cut away.
        shared.check_boundary(lsn)?;
        let number = disk.holds.add(Held { lsn: lsn.get(), label });
        Ok(Hold { shared: Arc::clone(shared), number })
    }
}

impl Shared {
    /// Checks that `lsn` is a place to resume from, and commits up to there first.
    fn check_place(&self, lsn: Lsn) -> Result<()> {
        self.check_range(lsn)?;
        self.appender.commit_until(lsn.get())?;
        self.check_boundary(lsn)
    }
}
