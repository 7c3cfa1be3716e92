//! Archives that are made by a process that does not write the log.
//!
//! Invariant: they are what the writer's own archive is, or an error that says what is missing; and in
//! the log's directory nothing changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stratalog::storage::MemoryStorage;
use stratalog::{Error, SegmentState, restore};

use super::{below, fill, open};
use crate::common::{Random, records, seed, tiny};

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    entries.map(|entry| (name(&entry), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_reader_archives_beside_the_writer_what_the_writer_would_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [dir, by_reader, by_writer, copy] =
        ["wal", "reader", "writer", "copy"].map(|name| folder.path().join(name));
    let mut random = Random::new(seed("by a reader"));
    let log = tiny().open(&dir).unwrap();
    let reader = tiny().open_read_only(&dir).unwrap();
    for round in 0..4 {
        fill(&log, 2, &mut random);
        // It seals what has ended.
        let expected = log.archive(&by_writer).unwrap();
        let before = files(&dir);
        let report = reader.archive(&by_reader).unwrap();
        assert_eq!(files(&dir), before, "round {round}");
        assert_eq!((report.start, report.end), (expected.start, expected.end));
        assert_eq!(report.copied.len(), expected.copied.len());
        assert_eq!(reader.archive(&by_reader).unwrap().copied.len(), 0);
        assert_eq!(files(&by_reader), files(&by_writer));
        assert!(report.end <= log.durable());
    }
    let report = restore(&by_reader, &copy, None).unwrap();
    let restored = records(&tiny().open(&copy).unwrap());
    assert_eq!(restored, below(&records(&log), report.end));
}

#[test]
fn what_is_cut_while_a_reader_archives_is_not_archived() {
    let mut random = Random::new(seed("cut beside a reader"));
    // In the segment that comes third, and in the first, which takes the second away.
    for (cut_in, copied) in [(2, 2), (0, 1)] {
        let (disk, archive) = (MemoryStorage::new(), MemoryStorage::new());
        let log = open(&disk);
        fill(&log, 5, &mut random);
        log.archive_with(&MemoryStorage::new(), |_| {}).unwrap();
        let reader = tiny().open_read_only_with(disk.clone()).unwrap();
        let segments = log.segments();
        let last = segments[cut_in].seal.unwrap().first.unwrap();
        let report = reader.archive_with(&archive, |progress| {
            if progress.done == copied {
                log.truncate_after(last).unwrap();
                fill(&log, 1, &mut random);
            }
        });
        let report = report.unwrap();
        assert_eq!((report.copied.len(), report.end), (copied, segments[copied - 1].end));
    }
}

#[test]
fn a_segment_that_is_dropped_before_a_reader_has_archived_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [dir, archive] = ["wal", "archive"].map(|name| folder.path().join(name));
    let mut random = Random::new(seed("dropped beside a reader"));
    let log = tiny().open(&dir).unwrap();
    fill(&log, 5, &mut random);
    log.archive(folder.path().join("other")).unwrap();
    let reader = tiny().open_read_only(&dir).unwrap();
    let kept = log.segments().into_iter().nth(4).unwrap();
    let second = log.segments().into_iter().nth(1).unwrap();
    let head = kept.seal.unwrap().first.unwrap();
    let error = reader
        .archive_with(&stratalog::storage::FileStorage::new(&archive), |progress| {
            if progress.done == 1 {
                log.truncate_before(head).unwrap();
            }
        })
        .unwrap_err();
    let Error::Truncated { lsn, head: told, .. } = error else { panic!("{error:?}") };
    assert_eq!((lsn, told), (second.start, head));
    // It goes on behind the gap.
    let report = reader.archive(&archive).unwrap();
    assert_eq!(report.start, kept.start);
}

#[test]
fn damage_that_a_reader_archives_is_named_also_below_the_head() {
    let folder = tempfile::tempdir().unwrap();
    let [dir, archive] = ["wal", "archive"].map(|name| folder.path().join(name));
    let mut random = Random::new(seed("damage beside a reader"));
    let log = tiny().open(&dir).unwrap();
    fill(&log, 3, &mut random);
    let sealed = |it: &stratalog::SegmentInfo| it.state == SegmentState::Sealed;
    let second = log.segments().into_iter().filter(sealed).nth(1).unwrap();
    let seal = second.seal.unwrap();
    let (first, last) = (seal.first.unwrap(), seal.last.unwrap());
    log.truncate_before(last).unwrap();
    log.close().unwrap();
    let mut bytes = fs::read(&second.path).unwrap();
    let offset = usize::try_from(first.get() - second.base).unwrap() + 20;
    bytes[offset] ^= 4;
    fs::write(&second.path, bytes).unwrap();
    let reader = tiny().open_read_only(&dir).unwrap();
    let error = reader.archive(&archive).unwrap_err();
    let Error::Corrupt { lsn, path, .. } = error else { panic!("{error:?}") };
    assert_eq!((lsn, path), (Some(first), second.path));
}
