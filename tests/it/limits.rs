//! `max_log_bytes`, `on_seal`, the application's state, recycling on real files.
//!
//! Invariant: the limit holds at every moment, and what it refuses comes back once there is room.

use std::fs;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use stratalog::format::{FileKind, classify};
use stratalog::storage::{FaultStorage, MemoryStorage, Storage};
use stratalog::{AtLimit, Error, Log, NotALog, Options, SegmentState};

use super::common::{TINY, filled, records, seed, tiny};

/// Appends until it is refused for want of space; the number of records.
fn until_refused(log: &Log) -> u64 {
    for count in 0.. {
        match log.append(&filled(count, 900)) {
            Ok(_) => assert!(count < 1000, "nothing is refused"),
            Err(Error::NoSpace { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::QuotaExceeded);
                return count;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!("it returns")
}

/// What the log's files take, but for what was dropped and is held still.
fn file_bytes(disk: &impl Storage) -> u64 {
    TINY * disk
        .names()
        .unwrap()
        .iter()
        .filter(|name| matches!(classify(name), FileKind::Segment(_) | FileKind::Temporary))
        .count() as u64
}

#[test]
fn a_log_at_its_limit_refuses_appends_until_it_is_truncated() {
    for background in [false, true] {
        let disk = FaultStorage::new();
        disk.set_zero_fill(background);
        let mut options = tiny();
        options.background(background).max_log_bytes(5 * TINY);
        let log = options.open_with(disk.clone()).unwrap();
        assert!(until_refused(&log) > 30);
        for _ in 0..20 {
            let tail = log.tail();
            assert_eq!(until_refused(&log), 0);
            assert_eq!(log.tail(), tail);
            assert!(!log.stats().poisoned);
            assert!(file_bytes(&disk) <= 5 * TINY, "{:?}", disk.names());
            log.truncate_before(log.tail()).unwrap();
            assert!(until_refused(&log) > 20, "there is room again");
        }
        let bytes = log.stats().bytes;
        assert!((3 * TINY..=5 * TINY).contains(&bytes), "{bytes}");
        log.close().unwrap();
        // A larger log is opened, and takes nothing more.
        let log = options.max_log_bytes(2 * TINY).open_with(disk.clone()).unwrap();
        log.roll().unwrap_or_else(|error| assert!(matches!(error, Error::NoSpace { .. })));
        assert_eq!(until_refused(&log), 0);
        log.close().unwrap();
    }
}

#[test]
fn a_log_at_its_limit_drops_the_oldest_segments_whoever_holds_them() {
    for background in [false, true] {
        for limit in [2, 3, 5] {
            let disk = FaultStorage::new();
            let mut options = tiny();
            options.background(background).max_log_bytes(limit * TINY);
            options.at_limit(AtLimit::DropOldest);
            let log = options.open_with(disk.clone()).unwrap();
            let first = log.append(b"first").unwrap();
            let hold = log.hold(first).unwrap();
            let mut all = vec![(first, b"first".to_vec())];
            for key in 0..200 {
                let payload = filled(key, 900);
                all.push((log.append(&payload).unwrap(), payload));
                let (head, durable) = (log.head(), log.durable());
                assert!(head <= durable, "{head} is above {durable}");
                let seen = records(&log);
                assert!(all.ends_with(&seen), "{key}: no suffix");
                assert!(!seen.is_empty());
                // The log's own thread may have dropped one meanwhile.
                let is_old = head < first || head < log.head();
                assert!(is_old || seen[0].0 == head, "{head}: no record begins there");
                assert!(file_bytes(&disk) <= limit * TINY, "{:?}", disk.names());
                // One that is being dropped by the log's own thread may be counted twice.
                assert!(background || log.stats().bytes <= limit * TINY, "{:?}", log.stats());
            }
            assert!(log.head() > first);
            // The hold finds out that it was overtaken.
            assert!(matches!(hold.advance(all[2].0), Err(Error::Truncated { .. })));
            let newest = all.last().unwrap().0;
            hold.advance(newest).unwrap();
            // The log's own thread may be at it still.
            let head = log.head();
            for seed in 0..20 {
                let left = FaultStorage::from_image(disk.crash(seed));
                let log = tiny().open_with(left).unwrap();
                assert!(log.head() >= head, "the head is durable before anything goes");
                let from = all.partition_point(|(lsn, _)| *lsn < log.head());
                assert!(all[from..].starts_with(&records(&log)));
            }
            log.close().unwrap();
        }
    }
}

#[test]
fn a_log_that_is_opened_above_its_limit_drops_as_many_segments_as_it_takes() {
    for background in [false, true] {
        let disk = MemoryStorage::new();
        let mut options = tiny();
        options.background(background);
        let log = options.open_with(disk.clone()).unwrap();
        for key in 0..100 {
            log.append(&filled(key, 900)).unwrap();
        }
        assert!(log.stats().bytes > 5 * TINY);
        log.close().unwrap();
        options.max_log_bytes(2 * TINY).at_limit(AtLimit::DropOldest);
        let log = options.open_with(disk.clone()).unwrap();
        for key in 0..60 {
            let payload = filled(key, 900);
            let lsn = log.append(&payload).unwrap();
            assert_eq!(records(&log).last(), Some(&(lsn, payload)));
        }
        assert!(file_bytes(&disk) <= 2 * TINY, "{:?}", disk.names());
        log.close().unwrap();
    }
}

#[test]
fn who_drops_the_oldest_segment_beside_a_truncation_gets_its_room() {
    for background in [false, true] {
        let mut options = tiny();
        options.background(background).max_log_bytes(3 * TINY).at_limit(AtLimit::DropOldest);
        let log = options.open_with(MemoryStorage::new()).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match log.truncate_before(log.durable()) {
                        // The other has dropped more meanwhile.
                        Ok(_) | Err(Error::Truncated { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
            // Several, so that one may truncate between the steps of the other.
            let append = || (0..3000).try_for_each(|key| log.append(&filled(key, 900)).map(drop));
            let appending = scope.spawn(append);
            let results = [append(), appending.join().unwrap()];
            done.store(true, Ordering::Relaxed);
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        });
        log.close().unwrap();
    }
}

#[test]
fn a_limit_below_two_segments_is_refused() {
    let refusal = tiny().max_log_bytes(2 * TINY - 1).open_with(MemoryStorage::new()).unwrap_err();
    assert!(
        matches!(refusal, Error::InvalidOptions { option: "max_log_bytes", .. }),
        "{refusal:?}"
    );
    tiny().max_log_bytes(0).open_with(MemoryStorage::new()).unwrap();
}

#[test]
fn each_segment_is_told_of_once_when_its_trailer_is_durable() {
    for background in [false, true] {
        let disk = FaultStorage::new();
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut options = tiny();
        let (list, storage) = (Arc::clone(&told), disk.clone());
        options.background(background).on_seal(move |segment| {
            assert_eq!(segment.state, SegmentState::Sealed);
            let durable = storage.durable();
            let name = segment.path.file_name().unwrap().to_str().unwrap();
            let trailer = &durable.get(name).unwrap()[TINY as usize - 4096..];
            assert!(trailer.iter().any(|byte| *byte != 0), "{name} is not sealed durably");
            list.lock().unwrap().push(segment);
        });
        let log = options.open_with(disk).unwrap();
        for key in 0..60 {
            log.append(&filled(key, 900)).unwrap();
        }
        log.sync().unwrap();
        let segments = log.segments();
        log.close().unwrap();
        let mut told = told.lock().unwrap().clone();
        told.sort_by_key(|segment| segment.base);
        let used = segments.iter().filter(|segment| segment.state != SegmentState::Spare).count();
        assert_eq!(told.len(), used - 1, "all but the active one");
        for (told, segment) in told.iter().zip(&segments) {
            assert_eq!(
                (told.base, told.bytes, told.end),
                (segment.base, segment.bytes, segment.end)
            );
        }
    }
}

#[test]
fn the_hook_may_use_the_log_and_panic() {
    let slot: Arc<Mutex<Option<Log>>> = Arc::default();
    let (inner, called) = (Arc::clone(&slot), Arc::new(AtomicBool::new(false)));
    let mark = Arc::clone(&called);
    let mut options = tiny();
    options.on_seal(move |segment| {
        let log = inner.lock().unwrap().clone().expect("the log is open");
        let (base, end) = (segment.base, segment.end);
        log.append_durable(format!("{base} is sealed").as_bytes()).unwrap();
        let hold = log.hold(end).unwrap();
        log.truncate_before(hold.lsn()).unwrap();
        mark.store(true, Ordering::Relaxed);
        panic!("a hook's own matter");
    });
    let log = options.open_with(MemoryStorage::new()).unwrap();
    *slot.lock().unwrap() = Some(log.clone());
    for key in 0..60 {
        log.append(&filled(key, 900)).unwrap();
    }
    assert!(called.load(Ordering::Relaxed) && !log.stats().poisoned);
    assert!(log.segments().len() < 5);
    slot.lock().unwrap().take();
    log.close().unwrap();
}

#[test]
fn the_state_of_the_application_stays_through_everything() {
    let disk = FaultStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    assert!(log.app_state().is_empty());
    for len in [0, 1, 7, 1023, 1024] {
        let state = filled(len, len as usize);
        log.set_app_state(&state).unwrap();
        assert_eq!(log.app_state(), state);
        let durable = tiny().open_with(FaultStorage::from_image(disk.durable())).unwrap();
        assert_eq!(durable.app_state(), state, "not durable on return");
    }
    let refusal = log.set_app_state(&[0; 1025]).unwrap_err();
    assert!(matches!(refusal, Error::RecordTooLarge { len: 1025, max: 1024, .. }), "{refusal:?}");
    let state = log.app_state();
    for key in 0..40 {
        log.append(&filled(key, 900)).unwrap();
    }
    log.truncate_before(log.tail()).unwrap();
    let began = disk.events();
    log.set_app_state(b"other").unwrap();
    for event in began..=disk.events() {
        for seed in 0..9 {
            let left = FaultStorage::from_image(disk.crash_at(event, seed));
            let found = tiny().open_with(left).unwrap().app_state();
            assert!(found == state || found == b"other");
        }
    }
    let handle = log.clone();
    log.close().unwrap();
    assert!(matches!(handle.set_app_state(b"late"), Err(Error::Closed)));
    let log = tiny().open_with(disk).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(log.app_state(), b"other");
}

#[test]
fn create_false_makes_nothing_and_opens_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("a").join("log");
    let refused = |at: &std::path::Path| {
        let refusal = tiny().create(false).open(at).unwrap_err();
        let nothing = matches!(refusal, Error::NotALog { found: NotALog::Nothing, .. });
        assert!(nothing, "{refusal:?}");
    };
    refused(&at);
    assert!(!directory.path().join("a").exists(), "a directory was made");
    fs::create_dir_all(&at).unwrap();
    refused(&at);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0, "a file was made");
    // What a creation that was cut short leaves is no log.
    fs::write(at.join("control.tmp"), [0; 100]).unwrap();
    refused(&at);
    tiny().open(&at).unwrap().append(b"kept").unwrap();
    let log = tiny().create(false).open(&at).unwrap();
    assert_eq!(records(&log).len(), 1);
}

#[test]
fn a_segment_with_another_name_is_removed_and_not_written_over() {
    let first = seed("links");
    let directory = tempfile::tempdir().unwrap();
    let (at, copies) = (directory.path().join("log"), directory.path().join("copies"));
    fs::create_dir(&copies).unwrap();
    let mut options = Options::new();
    options.segment_bytes(TINY).write_buffer_bytes(4096);
    let log = options.open(&at).unwrap();
    let mut kept = Vec::new();
    for round in 0..40 {
        for key in 0..9 {
            log.append_durable(&filled(first + round * 100 + key, 900)).unwrap();
        }
        for segment in log.segments() {
            let copy = copies.join(segment.path.file_name().unwrap());
            // Also those that are not sealed yet, which may be dropped as soon as they are.
            let linked = copy.exists() || fs::hard_link(&segment.path, &copy).is_ok();
            if segment.state == SegmentState::Sealed && linked {
                let bytes = fs::read(&copy).unwrap();
                kept.push((copy, bytes));
            }
        }
        log.truncate_before(log.tail()).unwrap();
        thread::yield_now();
    }
    assert_eq!(log.stats().segments_recycled, 0, "all of them have two names");
    assert!(fs::read_dir(&copies).unwrap().count() > 20);
    for (copy, bytes) in &kept {
        assert!(fs::read(copy).unwrap() == *bytes, "{} was written over", copy.display());
    }
    log.close().unwrap();
    assert!(catch_unwind(|| tiny().open(&at).unwrap().close().unwrap()).is_ok());
}
