//! [`Options`]: how a log is opened, and [`RecoveryPolicy`]: what opening does about damage.
//!
//! Invariant: `validate` is called before anything is read or made, so that no option out of its
//! range reaches a disk.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Result};

/// What opening does when the log did not end as a clean close leaves it.
///
/// A *torn tail*, the expected leftover of a crash, and *corruption*, damage where bytes were
/// durable, are told apart by proof: frames, trailers and the control file say how far the log was
/// durable when they were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecoveryPolicy {
    /// Cuts a torn tail; refuses to open a log whose durable bytes are damaged.
    #[default]
    CutTornTail,
    /// Refuses both, changing no byte.
    Strict,
    /// Cuts a torn tail; opens a damaged log with what is provable of it, and reports the rest in
    /// [`Recovery::damage`](crate::Recovery::damage). Reading skips to the next provable record.
    SkipCorrupt,
}

/// What happens when a log has come to [`Options::max_log_bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AtLimit {
    /// Appends are refused with [`NoSpace`](crate::Error::NoSpace), until `truncate_before` has made
    /// room.
    #[default]
    Refuse,
    /// The oldest whole segments are dropped, also those that a hold is to keep: the head moves up to
    /// the first record of the next segment. Only what is durable is dropped.
    DropOldest,
}

/// What is told of a segment that was sealed.
#[derive(Debug)]
pub(crate) struct SealedFile {
    pub(crate) path: PathBuf,
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    pub(crate) end: u64,
    /// The log that wrote it.
    pub(crate) id: [u8; 16],
    /// What its trailer says, if that can be read.
    pub(crate) summary: Option<SealedSummary>,
}

/// What the trailer says of a segment that was sealed.
#[derive(Debug)]
pub(crate) struct SealedSummary {
    pub(crate) records: u64,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    pub(crate) frames_crc: u32,
    pub(crate) previous_checksum: u32,
    pub(crate) checksum: u32,
}

/// Code of the caller's that is told of each segment that was sealed.
#[derive(Clone)]
pub(crate) struct SealHook(pub(crate) Arc<dyn Fn(SealedFile) + Send + Sync>);

impl fmt::Debug for SealHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealHook")
    }
}

/// How a log is opened. Made with defaults, changed by setters, used by an `open` method.
///
/// ```no_run
/// let log = stratalog::Options::new().segment_bytes(16 << 20).open("data/wal")?;
/// # Ok::<(), stratalog::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) segment_bytes: u64,
    pub(crate) write_buffer_bytes: usize,
    pub(crate) commit_delay: Option<Duration>,
    pub(crate) background: bool,
    pub(crate) recovery: RecoveryPolicy,
    pub(crate) create: bool,
    /// 0 is no limit.
    pub(crate) max_log_bytes: u64,
    pub(crate) at_limit: AtLimit,
    pub(crate) on_seal: Option<SealHook>,
}

/// The smallest segment file, in bytes.
pub const MIN_SEGMENT_BYTES: u64 = 16 << 10;
/// The largest segment file, in bytes.
pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;
const MIN_WRITE_BUFFER_BYTES: usize = 4 << 10;
const MAX_WRITE_BUFFER_BYTES: usize = 256 << 20;
const MAX_COMMIT_DELAY: Duration = Duration::from_secs(1);

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults: segments of 64 MiB, a write buffer of 1 MiB, a maintenance thread, a torn tail
    /// is cut, a missing log is created, no limit.
    pub const fn new() -> Self {
        Self {
            segment_bytes: 64 << 20,
            write_buffer_bytes: 1 << 20,
            commit_delay: None,
            background: true,
            recovery: RecoveryPolicy::CutTornTail,
            create: true,
            max_log_bytes: 0,
            at_limit: AtLimit::Refuse,
            on_seal: None,
        }
    }

    /// The size of new segment files, in bytes: a multiple of 4096 from 16 KiB to 1 GiB.
    /// Default 64 MiB.
    ///
    /// It bounds the largest record and batch. It may differ from open to open; segments that are
    /// there keep their size.
    pub fn segment_bytes(&mut self, bytes: u64) -> &mut Self {
        self.segment_bytes = bytes;
        self
    }

    /// The size of the staging ring in which appends meet, in bytes: a power of two from 4 KiB to
    /// 256 MiB. Default 1 MiB.
    ///
    /// A record or batch of more than half of it is written straight from the caller's slices.
    pub fn write_buffer_bytes(&mut self, bytes: usize) -> &mut Self {
        self.write_buffer_bytes = bytes;
        self
    }

    /// How long a sync waits for other threads to join it, also where there is but one: at most 1 s.
    ///
    /// By default a sync waits for as many threads as were there when the last one ended, at most as
    /// long as that one took, and less and less often where they do not come. A lone thread never
    /// waits.
    pub fn commit_delay(&mut self, delay: Duration) -> &mut Self {
        self.commit_delay = Some(delay);
        self
    }

    /// Whether a thread of the log's own prepares and seals segments. Default true.
    ///
    /// Without it the appender that needs a segment makes it, and pays for that in latency.
    pub fn background(&mut self, background: bool) -> &mut Self {
        self.background = background;
        self
    }

    /// What opening does about a torn tail and about corruption. Default
    /// [`RecoveryPolicy::CutTornTail`].
    pub fn recovery(&mut self, policy: RecoveryPolicy) -> &mut Self {
        self.recovery = policy;
        self
    }

    /// Whether opening makes a log where there is none. Default true.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// How large the log may become, in bytes: its segment files and the spares, each with its full
    /// size. At least twice [`segment_bytes`](Self::segment_bytes), or 0 for no limit. Default 0.
    ///
    /// It is looked at when a segment is made. Segments that were dropped count until their files are
    /// gone, which an append that needs the space waits for; those that a snapshot still reads do not,
    /// though they take space until then. A log that is larger already is opened.
    pub fn max_log_bytes(&mut self, bytes: u64) -> &mut Self {
        self.max_log_bytes = bytes;
        self
    }

    /// What happens when the log has come to [`max_log_bytes`](Self::max_log_bytes). Default
    /// [`AtLimit::Refuse`].
    ///
    /// ```
    /// use stratalog::{AtLimit, Lsn, Options, storage::MemoryStorage};
    /// let mut options = Options::new();
    /// options.segment_bytes(16 << 10).max_log_bytes(64 << 10).at_limit(AtLimit::DropOldest);
    /// let log = options.open_with(MemoryStorage::new())?;
    /// let first = log.head();
    /// for _ in 0..100 {
    ///     log.append(&[7; 1000])?;
    /// }
    /// assert!(log.head() > first);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    pub fn at_limit(&mut self, at_limit: AtLimit) -> &mut Self {
        self.at_limit = at_limit;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let refuse =
            |option, found, expected| Err(Error::InvalidOptions { option, found, expected });
        if !(MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(4096)
        {
            let expected = "a multiple of 4096 from 16384 to 1073741824";
            return refuse("segment_bytes", self.segment_bytes, expected);
        }
        if !(MIN_WRITE_BUFFER_BYTES..=MAX_WRITE_BUFFER_BYTES).contains(&self.write_buffer_bytes)
            || !self.write_buffer_bytes.is_power_of_two()
        {
            let expected = "a power of two from 4096 to 268435456";
            return refuse("write_buffer_bytes", self.write_buffer_bytes as u64, expected);
        }
        if self.max_log_bytes != 0 && self.max_log_bytes / 2 < self.segment_bytes {
            let expected = "0, or at least twice segment_bytes";
            return refuse("max_log_bytes", self.max_log_bytes, expected);
        }
        match self.commit_delay {
            Some(delay) if delay > MAX_COMMIT_DELAY => {
                let found = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                refuse("commit_delay", found, "at most 1000 milliseconds")
            }
            _ => Ok(()),
        }
    }
}
