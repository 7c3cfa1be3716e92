//! What happens to the log while it is archived.
//!
//! Invariant: the archive is a memory that does something to the log when a file is made in it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::format::{DROPPED_SUFFIX, frames_start};
use crate::segment::set::SegmentSet;
use crate::storage::{MemoryStorage, StorageFile};
use crate::sync::Mutex;
use crate::{Options, restore_with};

type Hook = Box<dyn FnMut(&str) + Send>;

/// Runs the hook before it makes a file.
struct Hooked {
    disk: MemoryStorage,
    hook: Mutex<Hook>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Storage for Hooked {
    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }
    fn create_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        (self.hook.lock())(name);
        self.disk.create(name, bytes)
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.disk.open(name, access)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.disk.lock(name, kind)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

const BYTES: u64 = 16 << 10;

fn log() -> Log {
    let mut options = Options::new();
    options.segment_bytes(BYTES).background(false);
    let log = options.open_with(MemoryStorage::new()).unwrap();
    for _ in 0..4 {
        log.append(&[7; 900]).unwrap();
        log.append(&[8; 900]).unwrap();
        log.roll().unwrap();
    }
    log
}

/// Archives while `change` is made to the set, when the copy of the segment number `at` begins.
fn archive_while(
    log: &Log,
    at: u64,
    change: impl Fn(&SegmentSet) -> SegmentSet + Send + 'static,
) -> (ArchiveReport, MemoryStorage) {
    let disk = MemoryStorage::new();
    let (base, changed) = (format!("{:020}-", at * BYTES), log.clone());
    let hook = move |name: &str| {
        if name.starts_with(&base) {
            changed.appender().disk.segments.change(&change);
        }
    };
    let archive = Hooked { disk: disk.clone(), hook: Mutex::new(Box::new(hook)) };
    (log.archive_with(&archive, |_| {}).unwrap(), disk)
}

/// The set, cut at `end` in the segment `index`.
fn cut(set: &SegmentSet, index: usize, end: u64) -> SegmentSet {
    let mut segments: Vec<_> = set.segments.iter().take(index).cloned().collect();
    segments.extend(set.segments.get(index).map(|segment| segment.ending(end)));
    SegmentSet { head: set.head, segments }
}

#[test]
fn a_segment_that_is_cut_while_it_is_copied_is_discarded_with_all_behind_it() {
    for (at, cut_at) in [(2, 2), (2, 1), (2, 0)] {
        let log = log();
        let end = frames_start(BYTES * cut_at as u64) + 48;
        let (report, disk) = archive_while(&log, at, move |set| cut(set, cut_at, end));
        assert_eq!(report.copied.len(), 2, "what was copied before the cut stays");
        let there = disk.names().unwrap();
        assert_eq!(there.iter().filter(|name| name.contains(".seg")).count(), 2, "{there:?}");
    }
}

#[test]
fn a_segment_that_is_dropped_while_it_is_copied_is_archived_all_the_same() {
    let log = log();
    let all = log.snapshot().iter().count();
    let (report, disk) = archive_while(&log, 1, |set| {
        let segments: Vec<_> = set.segments.iter().skip(3).cloned().collect();
        SegmentSet { head: segments.first().map_or(0, |segment| segment.start()), segments }
    });
    assert_eq!(report.copied.len(), 4);
    let restored = restore_with(&disk, &MemoryStorage::new(), None, |_| {}).unwrap();
    assert_eq!(restored.records, all as u64);
}

#[test]
fn a_dropped_segment_is_copied_from_its_new_name() {
    let log = log();
    let storage = Arc::clone(&log.appender().disk.storage);
    let dropping = log.clone();
    let (report, disk) = archive_while(&log, 0, move |set| {
        for segment in set.segments.iter().take(3) {
            segment.drop_later(&storage).unwrap();
        }
        let segments: Vec<_> = set.segments.iter().skip(3).cloned().collect();
        SegmentSet { head: segments.first().map_or(0, |segment| segment.start()), segments }
    });
    assert_eq!(report.copied.len(), 4);
    assert_eq!(disk.names().unwrap().len(), 5);
    let left = dropping.appender().disk.storage.names().unwrap();
    assert!(
        !left.iter().any(|name| name.ends_with(DROPPED_SUFFIX)),
        "unpinned when copied: {left:?}"
    );
}

#[test]
fn nothing_is_archived_that_is_not_durable() {
    let mut options = Options::new();
    options.segment_bytes(BYTES).background(false);
    let disk = crate::storage::FaultStorage::new();
    let log = options.open_with(disk.clone()).unwrap();
    for _ in 0..9 {
        log.append(&[7; 3000]).unwrap();
        let archive = MemoryStorage::new();
        let report = log.archive_with(&archive, |_| {}).unwrap();
        assert!(report.end <= log.durable());
        if report.copied.is_empty() {
            continue;
        }
        // Power is lost right now: the log holds whatever the archive does.
        let left =
            options.open_with(crate::storage::FaultStorage::from_image(disk.crash(0))).unwrap();
        let into = MemoryStorage::new();
        restore_with(&archive, &into, None, |_| {}).unwrap();
        let restored = options.open_with(into).unwrap();
        let (kept, held) = (restored.snapshot(), left.snapshot());
        let read = |snapshot: &crate::Snapshot| -> Vec<_> {
            snapshot.iter().map(|it| it.unwrap().lsn()).collect()
        };
        assert!(read(&held).starts_with(&read(&kept)));
    }
}
