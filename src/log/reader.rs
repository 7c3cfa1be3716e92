//! [`LogReader`]: a log that is read by a process that does not write it.
//!
//! Invariant: nothing in the directory changes through it, and no byte that it hands out changes.
//!
//! [`shown`] brings what a look found into the form that snapshots read; [`follower`] reads on as the log
//! grows; [`archive`] copies sealed segments.

mod archive;
mod follower;
mod shown;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::info::{SegmentInfo, SegmentSeal, SegmentState};
use crate::error::{Error, NotALog, Op, Result};
use crate::format::segment_name;
use crate::lsn::Lsn;
use crate::options::{Options, RecoveryPolicy};
use crate::read::{ReadOptions, Snapshot};
use crate::recover::{Contents, Recovery, contents};
use crate::segment::read_only::ReadOnly;
use crate::storage::{FileStorage, Storage};
use crate::sync::{Mutex, RwLock};

pub use follower::ReaderFollower;
use shown::{Current, Looking};

impl Options {
    /// Opens the log in the directory `dir` for reading only: beside the process that writes it, on a
    /// read-only disk, where nobody writes it, or in an archive's directory. See [`LogReader`].
    ///
    /// Of the options only [`recovery`](Self::recovery) matters: whatever it is, damage is
    /// [reported](LogReader::report), and with [`SkipCorrupt`](RecoveryPolicy::SkipCorrupt)
    /// reading skips it.
    ///
    /// # Errors
    ///
    /// [`NotALog`](Error::NotALog) if there is none. [`Corrupt`](Error::Corrupt) if a segment is
    /// another log's, [`UnsupportedFormat`](Error::UnsupportedFormat), [`Io`](Error::Io).
    pub fn open_read_only(&self, dir: impl AsRef<Path>) -> Result<LogReader> {
        LogReader::open_storage(Arc::new(FileStorage::new(dir.as_ref())), self.recovery)
    }

    /// Opens a log in a storage of your own for reading only. See
    /// [`open_read_only`](Self::open_read_only).
    ///
    /// ```
    /// use stratalog::{Options, storage::MemoryStorage};
    /// let disk = MemoryStorage::new();
    /// let log = Options::new().open_with(disk.clone())?;
    /// let reader = Options::new().open_read_only_with(disk)?;
    /// log.append(b"seen")?;
    /// assert!(reader.refresh()?);
    /// assert_eq!(reader.snapshot().iter().count(), 1);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open_read_only`](Self::open_read_only).
    pub fn open_read_only_with(&self, storage: impl Storage) -> Result<LogReader> {
        LogReader::open_storage(Arc::new(storage), self.recovery)
    }
}

#[derive(Debug)]
struct Shared {
    storage: ReadOnly,
    policy: RecoveryPolicy,
    /// Held while somebody looks.
    looking: Mutex<Looking>,
    current: RwLock<Arc<Current>>,
}

/// A log, open for reading only. A cheap handle: clone it for each thread.
///
/// It shows a prefix of what was appended, as it was at the last look: at opening, or at the last
/// [`refresh`](Self::refresh). A look sees what is committed, not only what is durable: what it shows
/// survives the end of the writer, and may be lost with the power.
///
/// Nothing is written, not even a lock's file, and no lock is taken that stops a writer. It may open,
/// append, roll, truncate, cut and close the log meanwhile; it can be killed.
///
/// # Why no byte that is handed out changes
///
/// - A writer never writes a byte of a segment twice once it holds a whole frame, also not after a crash
///   or a cut. What is shown ends where valid frames and whole batches end, so it lies below whatever
///   is still to be written.
/// - What nothing proves to be durable yet is read into memory of this process, checked there, and
///   served from there: up to the active segment and the few behind it. If the disk fails to take these
///   bytes, the system may go back to the ones that the disk holds; a copy does not.
/// - Everything else is mapped, when it is first read. While anything is, the file `READERS` is locked for
///   sharing: a writer puts a dropped segment's file to new use only if it can have that lock alone.
///   It may remove the file, which leaves maps as they are. Where the lock can't be had, as on a
///   read-only disk where no writer has made the file, segments are not mapped but read into memory
///   while a snapshot that reads them lives.
///
/// This rests on a local file system, and on nobody but the log's writer writing its files; reading
/// over a network file system is not supported.
///
/// # Truncation meanwhile
///
/// A snapshot goes on reading the segments that it has read from before. One that the writer dropped
/// before the snapshot came to it is [`Truncated`](Error::Truncated), or [`Cut`](Error::Cut): no
/// descriptors are held that would keep it.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path().join("wal");
/// use stratalog::{Log, Options};
/// let log = Log::open(&dir)?;
/// log.append(b"one")?;
///
/// // In another process:
/// let reader = Options::new().open_read_only(&dir)?;
/// let mut follower = reader.follow(reader.head())?;
/// assert_eq!(follower.try_next()?.expect("a record").payload(), b"one");
/// assert!(follower.try_next()?.is_none());
///
/// log.append(b"two")?;
/// assert_eq!(follower.try_next()?.expect("a record").payload(), b"two");
/// assert_eq!(reader.snapshot().iter().count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl LogReader {
    fn open_storage(storage: Arc<dyn Storage>, policy: RecoveryPolicy) -> Result<Self> {
        let storage = ReadOnly::new(storage);
        find_log(&storage)?;
        let (looking, current) = Looking::begin(&storage)?;
        let looking = Mutex::new(looking);
        let current = RwLock::new(Arc::new(current));
        Ok(Self { shared: Arc::new(Shared { storage, policy, looking, current }) })
    }

    /// Looks for what was committed since the last look. True if anything changed: there are more
    /// records, or the log was truncated or cut.
    ///
    /// It takes time in proportion to what is new; if there is nothing, a few system calls. Where
    /// segments are gone or the log was cut, and where the writer died and another one took over, all
    /// segments are looked at as at opening.
    ///
    /// # Errors
    ///
    /// As [`Options::open_read_only`]; then everything is as it was at the last look.
    pub fn refresh(&self) -> Result<bool> {
        let mut looking = self.shared.looking.lock();
        let before = self.current();
        let Some(current) = looking.refresh(&self.shared.storage, &before)? else {
            return Ok(false);
        };
        *self.shared.current.write() = Arc::new(current);
        Ok(true)
    }

    /// The first record that is kept, or the place where it will be.
    pub fn head(&self) -> Lsn {
        Lsn::new(self.current().set.head)
    }

    /// The end of what was seen at the last look.
    pub fn end(&self) -> Lsn {
        Lsn::new(self.current().end)
    }

    /// What the last look found. `head`, `end`, `segments` and `damage` are as of now; nothing is ever
    /// cut, set aside or removed.
    ///
    /// Damage is named here whatever the policy. Beside a writer it is only what two looks in a row
    /// have found.
    pub fn report(&self) -> Recovery {
        self.current().report.clone()
    }

    /// What the application keeps in the control file, as of the last look; empty where there is
    /// none.
    pub fn app_state(&self) -> Vec<u8> {
        self.current().app_state.clone()
    }

    /// What was seen at the last look, for reading. Cheap: nothing is read or mapped yet.
    ///
    /// Damage is an error when it is read, or passed where the reader was opened with
    /// [`SkipCorrupt`](RecoveryPolicy::SkipCorrupt).
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_with(self.options())
    }

    /// What was seen at the last look, for reading with these options, whatever the policy.
    ///
    /// Unless damage is to be skipped, reading ends with an error where a segment is missing or can't
    /// be read at all. What lies behind that is shown to who skips it.
    pub fn snapshot_with(&self, options: ReadOptions) -> Snapshot {
        self.current().snapshot(&self.shared.storage, options)
    }

    /// Follows the log from the first record at or after `lsn`, a place to resume from as for
    /// [`iter_from`](Snapshot::iter_from), by looking again and again.
    ///
    /// # Errors
    ///
    /// As [`iter_from`](Snapshot::iter_from).
    pub fn follow(&self, lsn: Lsn) -> Result<ReaderFollower> {
        ReaderFollower::new(self.clone(), lsn)
    }

    /// All segment files that were read from at the last look, ascending by address.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let current = self.current();
        let storage = &self.shared.storage;
        let info = |segment: &Arc<crate::segment::segment::Segment>| {
            let active = current.is_active(segment);
            let summary = (!active).then(|| segment.summary(storage)).flatten();
            SegmentInfo {
                path: storage.path(&segment_name(segment.base)),
                state: if active { SegmentState::Active } else { SegmentState::Sealed },
                base: segment.base,
                bytes: segment.bytes,
                start: Lsn::new(segment.start()),
                end: Lsn::new(segment.end.min(current.end)),
                id: segment.id,
                seal: summary.map(|(trailer, checksum)| SegmentSeal::new(&trailer, checksum)),
            }
        };
        current.set.segments.iter().map(info).collect()
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.shared.current.read())
    }

    /// How it is read where nothing else is said.
    fn options(&self) -> ReadOptions {
        ReadOptions::new().skip_damage(self.shared.policy == RecoveryPolicy::SkipCorrupt)
    }
}

/// Refuses what is no log at all.
pub(super) fn find_log(storage: &ReadOnly) -> Result<()> {
    let path = || storage.path("");
    let not_a_log = |found| Err(Error::NotALog { path: path(), found });
    let names = match storage.names() {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotADirectory => return not_a_log(NotALog::File),
        Err(error) if error.kind() == ErrorKind::NotFound => return not_a_log(NotALog::Nothing),
        Err(error) => return Err(Error::io(Op::OpenDirectory, path(), error)),
    };
    match contents(storage, &names)? {
        Contents::Log => Ok(()),
        Contents::Nothing => not_a_log(NotALog::Nothing),
        Contents::OtherFiles => not_a_log(NotALog::OtherFiles),
    }
}
