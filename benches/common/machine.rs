//! What Linux tells of this process, of its disk and of the page cache. Elsewhere nothing is known,
//! and the figures are left out.
//!
//! Invariant: asking changes nothing that is measured, but for [`drop_caches`], whose purpose it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much of this process is in memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The most it ever was.
    pub(crate) peak: u64,
}

pub(crate) fn memory() -> Option<Memory> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = |name| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(Memory { resident: kib("VmRSS")?, peak: kib("VmHWM")? })
}

/// How many descriptors this process has, but for the one that counting them takes.
pub(crate) fn descriptors() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() - 1)
}

/// How many places of its memory are mapped.
pub(crate) fn mappings() -> Option<usize> {
    Some(fs::read_to_string("/proc/self/maps").ok()?.lines().count())
}

/// Writes out everything and empties the page cache of the whole machine. False where that is not
/// allowed.
pub(crate) fn drop_caches() -> bool {
    let synced = Command::new("sync").status().is_ok_and(|status| status.success());
    synced && fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

/// Reserves blocks for a new file without writing them. False where the tool is missing or refuses.
pub(crate) fn fallocate(path: &Path, bytes: u64) -> bool {
    let tool = Command::new("fallocate").arg("-l").arg(bytes.to_string()).arg(path).status();
    tool.is_ok_and(|status| status.success())
}

/// The block device that a folder lies on.
#[derive(Debug)]
pub(crate) struct Device {
    stat: PathBuf,
    /// The journal of its file system, if it has one.
    journal: Option<PathBuf>,
}

/// What a device did since the machine was started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
    pub(crate) flushes: u64,
    /// Transactions that the journal committed.
    pub(crate) commits: Option<u64>,
}

impl Device {
    #[cfg(target_os = "linux")]
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        use std::os::linux::fs::MetadataExt;
        let number = fs::metadata(folder).ok()?.st_dev();
        let major = number >> 8 & 0xfff | number >> 32 & !0xfff;
        let minor = number & 0xff | number >> 12 & !0xff;
        let place = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        let uevent = fs::read_to_string(place.join("uevent")).ok()?;
        let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        let prefix = format!("{name}-");
        let journals = fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
        let mut journals = journals.map(|journal| journal.path());
        let journal = journals.find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        });
        let journal = journal.map(|path| path.join("info"));
        Some(Self { stat: place.join("stat"), journal })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of(_folder: &Path) -> Option<Self> {
        None
    }

    pub(crate) fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    pub(crate) fn counts(&self) -> Option<Counts> {
        let stat = fs::read_to_string(&self.stat).ok()?;
        let fields: Vec<u64> =
            stat.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let flushes = fields.get(15).copied().unwrap_or(0);
        let commits = self.journal.as_ref().and_then(|journal| {
            fs::read_to_string(journal).ok()?.split_whitespace().next()?.parse().ok()
        });
        Some(Counts { writes: *fields.get(4)?, bytes: *fields.get(6)? * 512, flushes, commits })
    }
}

impl Counts {
    /// What was done since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        let commits = self.commits.zip(before.commits);
        Self {
            writes: self.writes - before.writes,
            bytes: self.bytes - before.bytes,
            flushes: self.flushes - before.flushes,
            commits: commits.map(|(now, before)| now - before),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.writes += other.writes;
        self.bytes += other.bytes;
        self.flushes += other.flushes;
        self.commits = match (self.commits, other.commits) {
            (Some(ours), Some(theirs)) => Some(ours + theirs),
            (ours, theirs) => ours.or(theirs),
        };
    }
}
