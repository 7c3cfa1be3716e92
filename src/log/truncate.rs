//! Truncation: dropping the beginning of a log that is not needed any more.
//!
//! Invariant: everything below the new head was durable before it became the head, and the head is
//! never above a hold. See [`Disk::raise_head`](crate::append::disk::Disk::raise_head) for what
//! becomes of the files.

use super::{Log, Shared};
use crate::error::{Error, Result};
use crate::lsn::Lsn;

impl Log {
    /// Drops everything before `lsn`, as far as no [`hold`](Self::hold) keeps it, and returns the new
    /// head: `lsn`, or the lowest hold below it. Reads begin exactly there from now on, also after
    /// reopening. Space is given back by whole segments, when the head has passed them.
    ///
    /// `lsn` is a place to resume from, as [`Snapshot::iter_from`](crate::Snapshot::iter_from) takes
    /// it: a record's address, the end of a batch, a watermark, the tail. Of the segments that go
    /// nothing is read, so it does not matter whether they are damaged.
    ///
    /// Appends, reads and other truncations go on meanwhile. A snapshot that was taken before reads on
    /// what it pins; such a segment's file goes when nobody reads it any more. A few of the others
    /// become new segments, the rest is removed by a thread of its own
    /// ([`Stats::unremoved`](crate::Stats::unremoved)): until they are gone a limit of the log counts
    /// them, and who needs their space waits for it. Where the log has
    /// [no threads](crate::Options::background) all are gone on return. It needs no space.
    ///
    /// # Durability
    ///
    /// On return everything before the new head is durable, as is the head itself: what was dropped
    /// does not come back.
    ///
    /// # Errors
    ///
    /// [`Truncated`](Error::Truncated) below the head, [`NotYet`](Error::NotYet) above the tail,
    /// [`Cut`](Error::Cut) and [`NotARecord`](Error::NotARecord) for an address where nothing can be
    /// resumed, [`Corrupt`](Error::Corrupt) where damage in its segment leaves that open,
    /// [`Closed`](Error::Closed), [`Poisoned`](Error::Poisoned): nothing was dropped.
    ///
    /// [`Io`](Error::Io): if it names the control file or a sync, the log is poisoned, and the head may
    /// have moved or not. If it names a segment that could not be renamed, or, without threads,
    /// removed, the head has moved, and that file alone is left: opening removes it.
    ///
    /// # Examples
    ///
    /// ```
    /// # let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// log.append(b"old")?;
    /// let kept = log.append(b"kept")?;
    /// assert_eq!(log.truncate_before(kept)?, kept);
    /// assert_eq!(log.head(), kept);
    /// assert_eq!(log.snapshot().iter().count(), 1);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    pub fn truncate_before(&self, lsn: Lsn) -> Result<Lsn> {
        let shared = self.shared();
        let (appender, disk) = (&shared.appender, &shared.appender.disk);
        shared.check_range(lsn)?;
        // Both lead syncs, which run callbacks, so no lock is held.
        appender.sync_until(lsn.get())?;
        shared.check_boundary(lsn)?;
        let sealed = disk.seal_ended(&appender.protocol);
        sealed.inspect_err(|error| disk.poison(&appender.protocol, error))?;

        let shortened = self.shorten(lsn);
        if appender.check_poison().is_err() {
            // Whoever waits hears of it now that no lock is held.
            appender.protocol.poison();
        }
        // There may be room for a spare now.
        disk.bell.ring();
        shortened
    }

    /// Moves the head to `lsn`, which is durable, as far as no hold keeps it.
    fn shorten(&self, lsn: Lsn) -> Result<Lsn> {
        let shared = self.shared();
        let (appender, disk) = (&shared.appender, &shared.appender.disk);
        let _shorter = disk.truncation.lock();
        // Again: the head may have moved, or the end may have been cut away. What was walked over is
        // known by now.
        shared.check_boundary(lsn)?;
        let held = disk.holds.lowest().filter(|held| *held < lsn.get());
        // A hold whose place was cut away keeps what lies before the cut.
        let to =
            disk.segments.with(|set| held.map_or(lsn.get(), |held| set.floor(held)).max(set.head));
        let dropped = disk.raise_head(&appender.protocol, to)?;
        disk.let_go(dropped)?;
        Ok(Lsn::new(to))
    }
}

impl Shared {
    /// Checks that the log is open, and that `lsn` lies in it, committed or not.
    pub(super) fn check_range(&self, lsn: Lsn) -> Result<()> {
        self.appender.check_open()?;
        let head = Lsn::new(self.appender.disk.segments.head());
        let end = Lsn::new(self.appender.protocol.tail());
        if lsn < head {
            return Err(Error::Truncated { lsn, head });
        }
        if lsn > end { Err(Error::NotYet { lsn, end }) } else { Ok(()) }
    }

    /// Checks that the log is open, and that `lsn`, which is committed, is a place to resume from.
    pub(super) fn check_boundary(&self, lsn: Lsn) -> Result<()> {
        self.appender.check_open()?;
        self.snapshot().check_boundary(lsn)
    }
}
