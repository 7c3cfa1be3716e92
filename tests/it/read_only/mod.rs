//! Logs that are read by who does not write them: beside the writer, after it, without it.
//!
//! Invariant: a reader sees a prefix of what was appended, to the byte, and changes nothing.

mod archived;
mod beside;
mod changing;
mod damaged;
mod events;
#[cfg(target_os = "linux")]
mod mounted;
mod switch;
mod truncated;
mod vanishing;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use stratalog::storage::{FaultStorage, LockKind, MemoryStorage, Storage};
use stratalog::{Error, Log, LogReader, Lsn, NotALog, Options, ReadOptions};

use super::common::{Random, Records, Tag, read, records, seed, tiny};
use super::process::end_of;

fn open(storage: impl Storage) -> LogReader {
    tiny().open_read_only_with(storage).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

fn seen(reader: &LogReader) -> Records {
    let (records, error) = read(&reader.snapshot());
    assert!(error.is_none(), "reading ended with {error:?}");
    records
}

fn append(log: &Log, count: u32, more: usize) {
    for _ in 0..count {
        let call = log.stats().tail.get() as u32;
        log.append(&Tag::single(1, call).payload(more)).unwrap();
    }
}

#[test]
fn a_reader_sees_what_is_committed_when_it_looks() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let reader = open(disk.clone());
    assert_eq!((reader.head(), reader.end()), (log.head(), log.head()));
    assert!(!reader.refresh().unwrap(), "nothing was appended");
    for round in 0..300 {
        let before = seen(&reader);
        append(&log, 1 + round % 5, 40 * (round as usize % 50));
        let buffered = log.append_buffered(b"not yet").unwrap();
        assert_eq!(seen(&reader), before, "nothing comes by itself");
        assert!(reader.refresh().unwrap());
        assert!(reader.end() <= log.committed());
        assert_eq!(seen(&reader), records(&log), "in round {round}");
        assert!(reader.snapshot().get(buffered).is_err());
        log.commit().unwrap();
        if round % 7 == 0 {
            log.sync().unwrap();
        }
        if round % 40 == 39 {
            log.roll().unwrap();
        }
        assert!(reader.refresh().unwrap());
        assert_eq!(reader.end(), log.committed());
        assert_eq!(seen(&reader), seen(&open(disk.clone())), "as one that looks anew");
        assert!(!reader.refresh().unwrap());
    }
    assert!(reader.segments().len() > 20 && reader.report().damage.is_empty());
    log.close().unwrap();
    reader.refresh().unwrap();
    assert_eq!(reader.snapshot().iter().count(), reader.snapshot().iter().count());
}

#[test]
fn a_snapshot_stays_as_it_was_while_the_log_goes_on() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let reader = open(disk);
    let mut kept = Vec::new();
    for round in 0..60 {
        append(&log, 3, 500);
        if round % 5 == 0 {
            log.sync().unwrap();
        }
        reader.refresh().unwrap();
        kept.push((reader.snapshot(), records(&log)));
    }
    for (snapshot, expected) in &kept {
        assert_eq!(read(snapshot).0, *expected);
        for options in [ReadOptions::new().copy(true), ReadOptions::new().verify(false)] {
            assert_eq!(read(&snapshot.with(options)).0, *expected);
        }
        let (last, payload) = expected.last().unwrap();
        assert_eq!(snapshot.get(*last).unwrap().payload(), payload);
        assert_eq!(snapshot.last().unwrap().unwrap().lsn(), *last);
    }
}

#[test]
fn a_reader_follows_the_log_from_one_writer_to_the_next() {
    let disk = MemoryStorage::new();
    let mut random = Random::new(seed("read only, writers"));
    drop(tiny().open_with(disk.clone()).unwrap());
    let reader = open(disk.clone());
    let mut follower = reader.follow(reader.head()).unwrap();
    let mut followed = Records::new();
    for round in 0..60 {
        let log = tiny().open_with(disk.clone()).unwrap();
        for _ in 0..random.below(30) {
            append(&log, 1, random.below(900) as usize);
            if random.chance(20) {
                log.sync().unwrap();
            }
            if random.chance(30) {
                reader.refresh().unwrap();
            }
        }
        log.commit().unwrap();
        let expected = records(&log);
        while let Some(record) = follower.try_next().unwrap() {
            followed.push((record.lsn(), record.payload().to_vec()));
        }
        assert_eq!(followed, expected, "round {round}");
        assert_eq!(seen(&reader), expected);
        // One in two ends as if it was killed.
        if round % 2 == 0 {
            log.close().unwrap();
        } else {
            let left = disk.image();
            drop(log);
            let names: Vec<_> = disk.image().names().map(str::to_owned).collect();
            for name in names.iter().filter(|name| name.as_str() == "control") {
                let before = left.get(name).unwrap();
                let file = disk.open(name, stratalog::storage::Access::ReadWrite).unwrap();
                file.write_at(before, 0).unwrap();
            }
        }
        reader.refresh().unwrap();
        assert_eq!(seen(&reader), expected);
    }
    assert!(reader.report().damage.is_empty());
}

#[test]
fn following_waits_no_longer_than_it_is_told() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let reader = open(disk);
    let mut follower = reader.follow(reader.head()).unwrap();
    assert!(follower.next_timeout(Duration::ZERO).unwrap().is_none());
    assert!(follower.next_timeout(Duration::from_millis(3)).unwrap().is_none());
    std::thread::scope(|scope| {
        scope.spawn(|| append(&log, 100, 700));
        for _ in 0..100 {
            let record = follower.next_timeout(Duration::from_secs(60)).unwrap().unwrap();
            Tag::of(record.payload());
        }
    });
    assert!(follower.try_next().unwrap().is_none());
    assert!(matches!(reader.follow(Lsn::new(1 << 40)), Err(Error::NotYet { .. })));
    assert_eq!(
        follower.position(),
        records(&log).last().map(|(lsn, payload)| Lsn::new(end_of(lsn.get(), payload))).unwrap()
    );
}

#[test]
fn what_is_no_log_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), b"text").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other").join("letter"), b"text").unwrap();
    fs::create_dir(at("control")).unwrap();
    fs::write(at("control").join("control"), b"text").unwrap();
    for (name, expected) in [
        ("missing", NotALog::Nothing),
        ("empty", NotALog::Nothing),
        ("file", NotALog::File),
        ("other", NotALog::OtherFiles),
        ("control", NotALog::OtherFiles),
    ] {
        match Options::new().open_read_only(at(name)) {
            Err(Error::NotALog { found, .. }) => assert_eq!(found, expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    assert!(!at("missing").exists());
    assert_eq!(fs::read_dir(at("empty")).unwrap().count(), 0);
}

/// Everything that is known of a file without reading it, and its bytes.
type Files = BTreeMap<PathBuf, (SystemTime, u64, Vec<u8>)>;

fn files(directory: &Path) -> Files {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let facts = |path: &Path| {
        let facts = fs::metadata(path).unwrap();
        (facts.modified().unwrap(), facts.len(), fs::read(path).unwrap())
    };
    entries.map(|path| (path.clone(), facts(&path))).collect()
}

fn use_it(reader: &LogReader) -> Records {
    let seen = seen(reader);
    reader.refresh().unwrap();
    for (lsn, payload) in &seen {
        assert_eq!(reader.snapshot().get(*lsn).unwrap().payload(), payload);
    }
    let mut follower = reader.follow(reader.head()).unwrap();
    while follower.try_next().unwrap().is_some() {}
    assert!(follower.next_timeout(Duration::from_millis(2)).unwrap().is_none());
    assert!(reader.app_state().is_empty());
    seen
}

#[test]
fn nothing_is_written_whatever_state_the_log_is_in() {
    let directory = tempfile::tempdir().unwrap();
    let modified = || fs::metadata(directory.path()).unwrap().modified().unwrap();
    let log = tiny().open(directory.path()).unwrap();
    append(&log, 100, 700);
    let expected = records(&log);
    for state in ["in use", "closed", "without READERS"] {
        if state == "closed" {
            log.clone().close().unwrap();
        }
        if state == "without READERS" {
            fs::remove_file(directory.path().join("READERS")).unwrap();
        }
        let before = (files(directory.path()), modified());
        let reader = tiny().open_read_only(directory.path()).unwrap();
        assert_eq!(use_it(&reader), expected, "{state}");
        drop(reader);
        assert!((files(directory.path()), modified()) == before, "{state}: a file was changed");
    }
}

#[test]
fn a_reader_stops_no_writer_from_opening() {
    let directory = tempfile::tempdir().unwrap();
    let log = tiny().open(directory.path()).unwrap();
    append(&log, 100, 700);
    log.close().unwrap();
    let reader = tiny().open_read_only(directory.path()).unwrap();
    let snapshot = reader.snapshot();
    let (expected, _) = read(&snapshot);
    let log = tiny().open(directory.path()).unwrap();
    append(&log, 50, 700);
    reader.refresh().unwrap();
    assert_eq!(seen(&reader), records(&log));
    assert_eq!(read(&snapshot).0, expected);
}

#[test]
fn readers_are_locked_as_long_as_anything_is_mapped() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 100, 700);
    log.close().unwrap();
    let free = || disk.lock("READERS", LockKind::Exclusive).unwrap().is_some();
    let reader = open(disk.clone());
    assert!(free(), "nothing is mapped yet");
    let snapshot = reader.snapshot();
    assert_eq!(snapshot.iter().count(), 100);
    assert!(!free());
    drop(reader);
    assert!(!free(), "the snapshot holds it");
    drop(snapshot);
    assert!(free());
    // Where a writer has it, everything is read another way.
    let lock = disk.lock("READERS", LockKind::Exclusive).unwrap();
    assert_eq!(open(disk.clone()).snapshot().iter().count(), 100);
    drop(lock);
}

/// If the disk fails to take it, the system may go back to what the disk holds, also under a map.
#[test]
fn what_is_not_durable_yet_is_not_mapped() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 10, 700);
    let mapped = || disk.lock("READERS", LockKind::Exclusive).unwrap().is_none();
    let reader = open(disk.clone());
    for _ in 0..2 {
        let snapshot = reader.snapshot();
        assert_eq!(read(&snapshot).0, records(&log));
        assert!(!mapped());
        append(&log, 2, 700);
        assert!(reader.refresh().unwrap());
    }
    append(&log, 60, 700);
    log.sync().unwrap();
    append(&log, 1, 700);
    reader.refresh().unwrap();
    let snapshot = reader.snapshot();
    assert_eq!(read(&snapshot).0, records(&log));
    assert!(mapped(), "the first segments are durable");
}

/// What there is to do does not grow with the log.
#[test]
fn looking_again_costs_as_much_as_there_is_news() {
    let disk = FaultStorage::new().without_journal();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 1000, 700);
    let reader = open(disk.clone());
    let cost = || {
        let before = disk.reads();
        reader.refresh().unwrap();
        disk.reads() - before
    };
    cost();
    let mut costs = Vec::new();
    for _ in 0..200 {
        let nothing = cost();
        assert!(nothing <= 8, "nothing is new: {nothing}");
        append(&log, 1, 700);
        costs.push(cost());
        if costs.len() % 30 == 0 {
            log.sync().unwrap();
        }
    }
    assert!(costs.iter().all(|cost| *cost <= 40), "a record is new: {costs:?}");
    assert_eq!(seen(&reader), records(&log));
    assert!(reader.segments().len() > 40);
}
