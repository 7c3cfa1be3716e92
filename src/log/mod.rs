//! [`Log`]: the handle that everything is done through.
//!
//! Invariant: one `Log` and its clones are the only writers of their directory while any of them
//! lives and none was closed; the lock says so to everyone else.

mod app_state;
mod archive;
mod asynchronous;
mod close;
mod cut;
mod follow;
mod histories;
mod hold;
mod image;
mod info;
#[cfg(test)]
mod interpreted;
mod maintenance;
mod making;
mod on_seal;
mod open;
mod preview;
mod reader;
mod restore;
mod salvage;
mod stats;
#[cfg(test)]
mod tests;
mod truncate;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::append::appender::Appender;
use crate::error::{Error, Op, Result};
use crate::lsn::Lsn;
use crate::options::{Options, RecoveryPolicy};
use crate::protocol::{State, Stopped};
use crate::read::{ReadOptions, Snapshot};
use crate::recover::Recovery;
use crate::segment::set::SegmentSet;

pub use archive::{ArchiveReport, Progress};
pub use asynchronous::DurableAt;
pub use follow::{FollowOptions, Follower};
pub use hold::{Hold, HoldInfo};
pub use image::{verify_segment, verify_segment_with};
pub use info::{SegmentInfo, SegmentSeal, SegmentState};
pub use reader::{LogReader, ReaderFollower};
pub use restore::{RestoreReport, restore, restore_with};
pub use salvage::{SalvageReport, salvage, salvage_with};
pub use stats::Stats;

/// What all handles and the maintenance thread share.
#[derive(Debug)]
struct Shared {
    appender: Appender,
    recovery: Recovery,
    policy: RecoveryPolicy,
}

impl Shared {
    /// Up to where committed bytes can be read now, in which segments, and why no further, where
    /// there is more.
    fn readable(&self) -> (u64, Arc<SegmentSet>, Option<Error>) {
        let Appender { protocol, disk, .. } = &self.appender;
        // In this order: every segment with committed bytes was attached before they were.
        let end = protocol.committed();
        let set = disk.segments.load();
        // The head may have moved on in between, over what was committed by then.
        let end = end.max(set.head);
        let cause = &disk.cause;
        let poisoned = protocol.state() == Some(State::Poisoned);
        // After a failed write what was committed is in the page cache as it was. After a failed
        // sync the cache may fall back to what the disk holds.
        let trusted = cause.op() == Some(Op::Write) && !cause.has_failed_sync();
        let refused = (poisoned && !trusted).then(|| cause.poisoned());
        let end = if refused.is_some() { end.min(protocol.durable()) } else { end };
        (end, set, refused)
    }

    /// How the log is read where nobody says.
    fn read_options(&self) -> ReadOptions {
        ReadOptions::new().skip_damage(self.policy == RecoveryPolicy::SkipCorrupt)
    }

    fn snapshot(&self) -> Snapshot {
        self.snapshot_with(self.read_options())
    }

    fn snapshot_with(&self, options: ReadOptions) -> Snapshot {
        let (end, set, refused) = self.readable();
        let storage = Arc::clone(&self.appender.disk.storage);
        Snapshot::new(storage, set, end, refused, options)
    }
}

/// A write-ahead log, open for appending. A cheap handle: clone it for each thread.
///
/// Every record goes through three states, and each call says which of them it waits for:
///
/// | a record is | once this returned | survives a process crash | survives power loss | is seen by readers |
/// |---|---|---|---|---|
/// | buffered | [`append_buffered`](Self::append_buffered) | no | no | no |
/// | committed | [`append`](Self::append), [`append_batch`](Self::append_batch), [`commit`](Self::commit) | yes | not promised | yes |
/// | durable | [`append_durable`](Self::append_durable), [`sync`](Self::sync), [`sync_to`](Self::sync_to) | yes | yes | yes |
///
/// Who must not block waits for durability with [`durable_at`](Self::durable_at), a future, or
/// [`on_durable`](Self::on_durable), a callback.
///
/// A record is committed, or durable, only when everything before it is. After any crash the log is
/// a prefix of the order of appending that holds at least every durable record; a batch is wholly
/// there or not at all.
///
/// An append that fails with [`Io`](crate::Error::Io) or [`Poisoned`](crate::Error::Poisoned) is
/// *indeterminate*: its record may be there after reopening, or not. All other errors mean that
/// nothing was appended.
///
/// Dropping the last handle without [`close`](Self::close) does the same as `close`, but swallows the
/// error.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("wal");
/// let log = stratalog::Log::open(&dir)?;
/// let lsn = log.append_durable(b"first")?;
/// log.append_batch(&["second", "third"])?;
///
/// let snapshot = log.snapshot();
/// assert_eq!(snapshot.get(lsn)?.payload(), b"first");
/// for record in &snapshot {
///     let record = record?;
///     println!("{}: {:?}", record.lsn(), record.payload());
/// }
/// log.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Log {
    handle: Arc<close::Handle>,
}

impl Log {
    /// Opens the log in the directory `dir` with default [`Options`], and makes it if there is none.
    ///
    /// This is a safe function although it maps files into memory. That rests on: the exclusive lock
    /// that it takes, a local file system, nobody else writing or truncating the files, and a device
    /// that returns what it has acknowledged.
    ///
    /// # Durability
    ///
    /// Everything that the opened log holds is durable: what recovery can't prove to be so, it
    /// writes again and syncs.
    ///
    /// # Errors
    ///
    /// [`Locked`](crate::Error::Locked) if it is open elsewhere, [`NotALog`](crate::Error::NotALog)
    /// if there is something else, [`Corrupt`](crate::Error::Corrupt) or
    /// [`MissingSegment`](crate::Error::MissingSegment) if durable bytes are damaged or gone,
    /// [`UnsupportedFormat`](crate::Error::UnsupportedFormat), [`Io`](crate::Error::Io).
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Options::new().open(dir)
    }

    /// Appends one record and returns its address; it is committed.
    ///
    /// # Durability
    ///
    /// On return the record and everything before it are in the operating system's hands: they
    /// survive the end of this process. Power loss may still take them until a sync.
    ///
    /// # Errors
    ///
    /// [`RecordTooLarge`](crate::Error::RecordTooLarge), [`NoSpace`](crate::Error::NoSpace) and
    /// [`Closed`](crate::Error::Closed): nothing was appended. [`Io`](crate::Error::Io) and
    /// [`Poisoned`](crate::Error::Poisoned): the record is indeterminate.
    #[inline]
    pub fn append(&self, payload: &[u8]) -> Result<Lsn> {
        self.appender().append(payload).map(Lsn::new)
    }

    /// Appends one record and returns its address; it is durable. Threads that do this at the same
    /// time share syncs.
    ///
    /// # Durability
    ///
    /// On return the record and everything before it survive power loss.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); [`Cut`](crate::Error::Cut) if another thread
    /// [cut](Self::truncate_after) the record away before it was durable.
    pub fn append_durable(&self, payload: &[u8]) -> Result<Lsn> {
        self.appender().append_durable(payload).map(Lsn::new)
    }

    /// Appends one record and returns its address; it is in this process's memory until anyone
    /// commits or syncs, or half of the write buffer is full.
    ///
    /// # Durability
    ///
    /// None yet, and no reader sees it: the end of the process may take the record.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    #[inline]
    pub fn append_buffered(&self, payload: &[u8]) -> Result<Lsn> {
        self.appender().append_buffered(payload).map(Lsn::new)
    }

    /// Appends one record of `len` bytes that `fill` writes, and returns its address; it is
    /// committed. The bytes are zero when `fill` gets them.
    ///
    /// `fill` runs before anything is reserved: if it panics, the log is untouched.
    ///
    /// # Durability
    ///
    /// As [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); a `len` that is too large is refused before `fill` runs.
    pub fn append_with(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Lsn> {
        self.appender().append_with(len, fill).map(Lsn::new)
    }

    /// Appends all records of a batch, side by side, or none; they are committed. Returns the range
    /// of addresses from the first record to the end of the last: the end is a place to resume from.
    /// An empty batch appends nothing.
    ///
    /// A batch takes part of one segment, so all its frames together (16 bytes and the payload
    /// rounded up to 8, for each record) must fit there.
    ///
    /// # Durability
    ///
    /// As [`append`](Self::append); after any crash the batch is wholly there or not at all.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_batch(&self, payloads: &[impl AsRef<[u8]>]) -> Result<Range<Lsn>> {
        let range = self.appender().append_batch(payloads)?;
        Ok(Lsn::new(range.start)..Lsn::new(range.end))
    }

    /// Commits everything appended before the call; returns the committed watermark.
    ///
    /// # Durability
    ///
    /// As [`append`](Self::append), for everything below the returned address.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::Error::Io), [`Poisoned`](crate::Error::Poisoned),
    /// [`Closed`](crate::Error::Closed).
    pub fn commit(&self) -> Result<Lsn> {
        let appender = self.appender();
        appender.check_open()?;
        appender.commit_until(appender.protocol.tail()).map(Lsn::new)
    }

    /// Makes everything appended before the call durable; returns the durable watermark.
    ///
    /// # Durability
    ///
    /// Everything below the returned address survives power loss.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::Error::Io), [`Poisoned`](crate::Error::Poisoned),
    /// [`Closed`](crate::Error::Closed); [`Cut`](crate::Error::Cut) if the last of it was cut away
    /// by another thread meanwhile. A failed sync is never tried again: the operating system
    /// may have dropped what it could not write.
    pub fn sync(&self) -> Result<Lsn> {
        let appender = self.appender();
        appender.check_open()?;
        appender.sync_until(appender.protocol.tail()).map(Lsn::new)
    }

    /// Makes everything up to and including the record at `lsn` durable, but not more than what was
    /// appended before the call; returns the durable watermark.
    ///
    /// # Durability
    ///
    /// Everything below the returned address survives power loss.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync), also if the record was cut away before the call.
    pub fn sync_to(&self, lsn: Lsn) -> Result<Lsn> {
        let appender = self.appender();
        appender.check_open()?;
        let target = self.target(lsn).map_err(|stopped| appender.disk.stopped(stopped))?;
        appender.sync_until(target).map(Lsn::new)
    }

    /// The first record that is kept, or the place where it will be.
    pub fn head(&self) -> Lsn {
        Lsn::new(self.appender().disk.segments.head())
    }

    /// The end of what survives power loss.
    pub fn durable(&self) -> Lsn {
        Lsn::new(self.appender().protocol.durable())
    }

    /// The end of what readers see and what survives the end of the process.
    pub fn committed(&self) -> Lsn {
        Lsn::new(self.appender().protocol.committed())
    }

    /// The end of what was appended.
    pub fn tail(&self) -> Lsn {
        Lsn::new(self.appender().protocol.tail())
    }

    /// Pins what is committed now, for reading. Cheap: nothing is read or mapped yet.
    ///
    /// After a failed sync what was committed and not durable can't be trusted any more: a new
    /// snapshot's reads from the durable watermark on are [`Poisoned`](crate::Error::Poisoned).
    ///
    /// Damage is an error when it is read, or passed where the log was opened with
    /// [`SkipCorrupt`](crate::RecoveryPolicy::SkipCorrupt).
    pub fn snapshot(&self) -> Snapshot {
        self.shared().snapshot()
    }

    /// Pins what is committed now, for reading with these options, whatever the recovery policy.
    pub fn snapshot_with(&self, options: ReadOptions) -> Snapshot {
        self.shared().snapshot_with(options)
    }

    /// Seals the active segment and goes on in the next, if the active one holds a record.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn roll(&self) -> Result<()> {
        self.appender().roll()
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.shared().recovery
    }

    /// The largest payload that fits in one record, in bytes.
    pub fn max_record_bytes(&self) -> u64 {
        self.appender().max_record_bytes
    }

    /// Syncs everything, marks the log as cleanly closed, and gives up the lock, also while other
    /// handles live: whatever appends, commits or syncs through them then fails with
    /// [`Closed`](crate::Error::Closed). Appends that are under way in other threads end first.
    ///
    /// # Durability
    ///
    /// On success everything appended survives power loss, and the next opening need not look for
    /// the end.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Error::Closed) if it was closed before; [`Io`](crate::Error::Io) and
    /// [`Poisoned`](crate::Error::Poisoned) if not everything could be made durable. The lock is
    /// given up in any case.
    pub fn close(self) -> Result<()> {
        self.handle.close()
    }

    /// What the durable watermark has to reach to cover the record at `lsn`, but at most the tail. An
    /// error if the record was cut away.
    fn target(&self, lsn: Lsn) -> std::result::Result<u64, Stopped> {
        let protocol = &self.appender().protocol;
        // Watermarks never lie inside a frame, so one above its address covers it.
        let target = lsn.get().saturating_add(1);
        if target <= protocol.durable()
            && self.appender().disk.segments.with(|set| set.is_cut(lsn.get()))
        {
            return Err(Stopped::Cut(target));
        }
        Ok(target.min(protocol.tail()))
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }

    #[inline]
    fn appender(&self) -> &Appender {
        &self.shared().appender
    }
}
