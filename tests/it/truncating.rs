//! The beginning of a log is dropped: what is read afterwards, before and after reopening, and what
//! becomes of the files.
//!
//! Invariant: reads begin exactly at the new head; it never goes back, whatever crashes; what a hold
//! or a snapshot keeps is there.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use stratalog::format::{FileKind, classify, segment_name};
use stratalog::storage::{EventKind, Fault, FaultStorage, LockKind, MemoryStorage, Storage};
use stratalog::{Error, Log, Lsn, Options};

use super::common::{Random, Records, TINY, filled, number, records, seed, tiny};

/// Appends records of 1000 bytes; returns them.
fn fill(log: &Log, count: u64) -> Records {
    let first = log.tail().get();
    let append = |key| {
        let payload = filled(first + key, 1000);
        (log.append(&payload).unwrap(), payload)
    };
    (0..count).map(append).collect()
}

fn segment_files(disk: &impl Storage) -> usize {
    disk.names()
        .unwrap()
        .iter()
        .filter(|name| matches!(classify(name), FileKind::Segment(_)))
        .count()
}

fn assert_begins(log: &Log, head: Lsn, expected: &[(Lsn, Vec<u8>)]) {
    assert_eq!(log.head(), head);
    assert_eq!(records(log), expected);
    let snapshot = log.snapshot();
    assert_eq!(snapshot.iter_from(head).unwrap().count(), expected.len());
    let below = Lsn::new(head.get() - 8);
    assert!(matches!(snapshot.get(below), Err(Error::Truncated { lsn, head: at, .. })
        if lsn == below && at == head));
    assert!(matches!(log.truncate_before(below), Err(Error::Truncated { .. })));
}

#[test]
fn reads_begin_exactly_where_the_log_was_truncated_also_after_reopening() {
    for background in [false, true] {
        for kept in [0, 1, 7, 8, 9, 22, 39, 40] {
            let disk = MemoryStorage::new();
            let mut options = tiny();
            options.background(background);
            let log = options.open_with(disk.clone()).unwrap();
            let all = fill(&log, 40);
            let head = all.get(kept).map_or(log.tail(), |(lsn, _)| *lsn);
            assert_eq!(log.truncate_before(head).unwrap(), head);
            assert_eq!(log.truncate_before(head).unwrap(), head, "once more");
            assert_begins(&log, head, &all[kept..]);
            let below = log.segments().iter().filter(|segment| segment.end < head).count();
            assert_eq!(below, 0, "segments below the head are gone");
            log.close().unwrap();
            let log = options.open_with(disk.clone()).unwrap();
            assert!(log.recovery().clean);
            assert_begins(&log, head, &all[kept..]);
            let next = log.append(b"next").unwrap();
            assert_eq!(log.snapshot().get(next).unwrap().payload(), b"next");
            // A process that was killed.
            let killed = MemoryStorage::from_image(disk.image());
            let log = options.open_with(killed).unwrap();
            let seen = records(&log);
            assert_eq!((log.head(), seen.len()), (head, all.len() - kept + 1));
        }
    }
}

#[test]
fn every_place_to_resume_from_can_be_the_head_and_nothing_else() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let all = fill(&log, 30);
    let segments = log.segments();
    let batch = log.append_batch(&["a", "b"]).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for at in (log.head().get()..log.tail().get()).step_by(8) {
        let copy = tiny().open_with(MemoryStorage::from_image(disk.image())).unwrap();
        let lsn = Lsn::new(at);
        let resumes = copy.snapshot().iter_from(lsn).map(drop);
        match (copy.truncate_before(lsn), resumes) {
            (Ok(head), Ok(())) => {
                assert_eq!(head, lsn);
                let kept = all.partition_point(|(at, _)| *at < lsn);
                assert_eq!(&records(&copy)[..all.len() - kept], &all[kept..]);
                taken += 1;
            }
            (Err(Error::NotARecord { .. }), Err(Error::NotARecord { .. }))
            | (Err(Error::Cut { .. }), Err(Error::Cut { .. })) => refused += 1,
            other => panic!("{lsn}: {other:?}"),
        }
    }
    assert!(taken > all.len() + segments.len() && refused > taken);
    assert_eq!(log.truncate_before(segments[1].end).unwrap(), segments[1].end);
    assert_eq!(log.truncate_before(batch.end).unwrap(), batch.end);
    let beyond = Lsn::new(log.tail().get() + 8);
    assert!(
        matches!(log.truncate_before(beyond), Err(Error::NotYet { end, .. }) if end == log.tail())
    );
    let (log, closed) = (log.clone(), log);
    closed.close().unwrap();
    assert!(matches!(log.truncate_before(batch.end), Err(Error::Closed)));
}

#[test]
fn a_head_at_the_end_of_a_sealed_segment_is_found_again_whatever_of_the_files_came_back() {
    let disk = FaultStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let all = fill(&log, 40);
    log.sync().unwrap();
    let ends: Vec<_> = log.segments().iter().map(|segment| segment.end).collect();
    let head = ends[2];
    log.truncate_before(head).unwrap();
    let kept = all.partition_point(|(lsn, _)| *lsn < head);
    for seed in 0..200 {
        let left = FaultStorage::from_image(disk.crash(seed));
        let log = tiny().open_with(left.clone()).unwrap_or_else(|error| panic!("{seed}: {error}"));
        assert_begins(&log, head, &all[kept..]);
        assert!(log.recovery().set_aside.is_empty());
        let names = left.names().unwrap();
        assert!(!names.iter().any(|name| name.starts_with("00000000000000000000")), "{names:?}");
    }
}

#[test]
fn what_comes_back_from_before_a_cut_that_was_dropped_is_removed_and_the_log_goes_on() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let all = fill(&log, 40);
    log.sync().unwrap();
    let before = disk.image();
    log.truncate_after(all[30].0).unwrap();
    let cut = log.segments().last().unwrap().base;
    let cut = segment_name(cut);
    let head = log.truncate_before(log.tail()).unwrap();
    drop(log);
    let after = disk.image();
    let is_segment = |name: &&str| name.contains(".seg");
    let old: Vec<_> = before.names().filter(is_segment).filter(|name| *name < &*cut).collect();
    assert!(old.len() >= 2 && before.get(&cut).is_some());
    for subset in 0..1_usize << old.len().min(4) {
        let mut left = after.clone();
        after.names().filter(is_segment).for_each(|name| drop(left.remove(name)));
        let back = || old.iter().rev().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1);
        back().for_each(|(_, name)| drop(left.insert(*name, before.get(name).unwrap().to_vec())));
        let disk = MemoryStorage::from_image(left);
        let log =
            tiny().open_with(disk.clone()).unwrap_or_else(|error| panic!("{subset}: {error}"));
        assert_begins(&log, head, &[]);
        assert!(log.recovery().damage.is_empty() && log.recovery().set_aside.is_empty());
        assert_eq!(log.recovery().removed.len(), back().count());
        let next = log.append_durable(b"goes on").unwrap();
        assert!(next >= head);
        drop(log);
        let log = tiny().open_with(disk).unwrap();
        assert_begins(&log, head, &[(next, b"goes on".to_vec())]);
    }
}

#[test]
fn a_power_cut_at_any_moment_leaves_the_old_head_or_the_new_one() {
    let disk = FaultStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let mut all = fill(&log, 30);
    // All that sealing would sync: the truncation has to sync the rest by itself.
    log.sync().unwrap();
    all.extend(fill(&log, 2));
    let old = log.head();
    let began = disk.events();
    // What lies below the new head was never synced before.
    assert!(log.durable() < all[31].0);
    let new = log.truncate_before(all[31].0).unwrap();
    let ended = disk.events();
    assert!(log.durable() >= new, "the head is above the durable watermark");
    all.truncate(31);
    for event in began..=ended {
        for seed in 0..30 {
            let left = FaultStorage::from_image(disk.crash_at(event, seed));
            let log = tiny().open_with(left).unwrap_or_else(|error| panic!("{event}: {error}"));
            let (head, seen) = (log.head(), records(&log));
            assert!(head == new || (head == old && event < ended), "{event}: {head}");
            assert!(seen.iter().all(|(lsn, _)| *lsn >= head));
            if head == old {
                assert!(seen.iter().zip(&all).all(|(seen, all)| seen == all), "{event}/{seed}");
            }
        }
    }
}

#[test]
fn a_segment_that_cannot_be_removed_is_an_error_and_goes_at_the_next_opening() {
    for fault in [Fault::Error(ErrorKind::Other), Fault::Late(ErrorKind::Other)] {
        let disk = FaultStorage::new();
        let log = tiny().open_with(disk.clone()).unwrap();
        let all = fill(&log, 40);
        disk.fail_when(move |event| {
            let first =
                event.kind == EventKind::Remove && event.name.starts_with("00000000000000000000");
            first.then_some(fault)
        });
        let failure = log.truncate_before(all[35].0).unwrap_err();
        assert!(matches!(failure, Error::Io { op: stratalog::Op::Remove, .. }), "{failure:?}");
        assert_begins(&log, all[35].0, &all[35..]);
        assert!(!log.stats().poisoned);
        assert!(segment_files(&disk) <= 3, "the others are gone");
        log.append_durable(b"goes on").unwrap();
        disk.heal();
        drop(log);
        let log = tiny().open_with(disk.clone()).unwrap();
        assert_eq!((log.head(), records(&log).len()), (all[35].0, 6));
        assert!(disk.names().unwrap().iter().all(|name| !name.starts_with("00000000000000000000")));
    }
}

#[test]
fn a_control_file_that_cannot_be_written_poisons_and_drops_nothing() {
    let disk = FaultStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let all = fill(&log, 40);
    log.sync().unwrap();
    let files = segment_files(&disk);
    disk.fail_when(|event| {
        let sync = event.kind == EventKind::Sync && event.name == "control";
        sync.then_some(Fault::Error(ErrorKind::Other))
    });
    assert!(matches!(log.truncate_before(all[35].0), Err(Error::Io { .. })));
    assert!(matches!(log.truncate_before(all[35].0), Err(Error::Poisoned { .. })));
    assert!(log.stats().poisoned);
    assert_eq!(segment_files(&disk), files);
    disk.heal();
    drop(log);
    let log = tiny().open_with(disk).unwrap();
    let kept = all.partition_point(|(lsn, _)| *lsn < log.head());
    assert_eq!(records(&log), all[kept..]);
}

#[test]
fn a_hold_keeps_what_it_was_made_for_and_is_listed() {
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    let all = fill(&log, 40);
    let slow = log.hold_named(all[9].0, "replica 7").unwrap();
    let fast = log.hold(all[30].0).unwrap();
    let listed: Vec<_> = log.stats().holds.into_iter().map(|hold| (hold.lsn, hold.label)).collect();
    assert_eq!(listed, [(all[9].0, Some("replica 7".to_owned())), (all[30].0, None)]);
    assert_eq!(log.truncate_before(all[35].0).unwrap(), all[9].0);
    assert_begins(&log, all[9].0, &all[9..]);
    // A hold is no place that is dropped, nor one that is not there.
    assert!(matches!(log.hold(all[8].0), Err(Error::Truncated { head, .. }) if head == all[9].0));
    assert!(matches!(log.hold(Lsn::new(log.tail().get() + 8)), Err(Error::NotYet { .. })));
    assert!(matches!(log.hold(Lsn::new(all[9].0.get() + 8)), Err(Error::NotARecord { .. })));
    assert!(matches!(slow.advance(Lsn::new(all[9].0.get() + 8)), Err(Error::NotARecord { .. })));
    slow.advance(all[20].0).unwrap();
    slow.advance(all[10].0).unwrap();
    assert_eq!(slow.lsn(), all[20].0, "it never goes back");
    assert_eq!(log.truncate_before(log.tail()).unwrap(), all[20].0);
    drop(slow);
    assert_eq!(log.truncate_before(log.tail()).unwrap(), all[30].0);
    drop(fast);
    assert_eq!(log.truncate_before(log.tail()).unwrap(), log.tail());
    assert!(log.stats().holds.is_empty());
    // What is in the buffer only can be held as well.
    let buffered = log.append_buffered(b"later").unwrap();
    let hold = log.hold(buffered).unwrap();
    assert!(log.committed() >= hold.lsn());
    assert_eq!(log.truncate_before(log.tail()).unwrap(), buffered);
}

#[test]
fn holds_and_truncations_at_once_never_leave_a_hold_below_the_head() {
    let first = seed("holds");
    let log = tiny().background(true).open_with(MemoryStorage::new()).unwrap();
    let all = fill(&log, 200);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for key in 0..2 {
            let (log, all, done) = (&log, &all, &done);
            scope.spawn(move || {
                let mut random = Random::new(first + key);
                while !done.load(Ordering::Relaxed) {
                    let lsn = all[random.below(all.len() as u64) as usize].0;
                    match log.hold(lsn) {
                        Ok(hold) => {
                            let snapshot = log.snapshot();
                            assert!(snapshot.head() <= hold.lsn());
                            assert_eq!(snapshot.get(lsn).unwrap().lsn(), lsn);
                        }
                        Err(Error::Truncated { .. }) => thread::yield_now(),
                        Err(other) => panic!("{other:?}"),
                    }
                }
            });
        }
        for (lsn, _) in &all {
            let before = log.head();
            match log.truncate_before(*lsn) {
                Ok(head) => assert!(before <= head && head <= *lsn),
                Err(error) => panic!("{error:?}"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(log.head() > all[0].0);
}

#[test]
fn a_snapshot_goes_on_reading_what_was_dropped() {
    let directory = tempfile::tempdir().unwrap();
    for background in [false, true] {
        let at = directory.path().join(format!("{background}"));
        let log = tiny().background(background).open(&at).unwrap();
        let all = fill(&log, 40);
        // Mapped before, and after.
        let (early, late) = (log.snapshot(), log.snapshot());
        assert_eq!(early.iter().count(), 40);
        log.truncate_before(log.tail()).unwrap();
        for round in 0..40 {
            fill(&log, 5);
            log.truncate_before(log.tail()).unwrap();
            for snapshot in [&early, &late] {
                let seen = snapshot.iter().map(|record| record.unwrap().payload().to_vec());
                assert!(seen.eq(all.iter().map(|(_, payload)| payload.clone())), "{round}");
            }
        }
        let dropped = || {
            let names = std::fs::read_dir(&at).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| classify(name) == FileKind::Dropped).count()
        };
        assert!(dropped() >= 3, "{}", dropped());
        drop(early);
        assert!(dropped() >= 3, "one still reads them");
        drop(late);
        // The log's own threads may have held one for a moment.
        log.close().unwrap();
        assert_eq!(dropped(), 0);
    }
}

#[test]
fn truncation_runs_beside_appends_and_readers() {
    let first = seed("beside");
    let rounds = number("STRATALOG_ROUNDS").unwrap_or(1) * 300;
    let directory = tempfile::tempdir().unwrap();
    let log = tiny().background(true).open(directory.path().join("log")).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        for writer in 0..3 {
            let (log, done) = (&log, &done);
            scope.spawn(move || {
                let mut random = Random::new(first + writer);
                while !done.load(Ordering::Relaxed) {
                    let size = 8 + random.below(900) as usize;
                    let mut payload = filled(random.next(), size);
                    let crc = crc(&payload[8..]);
                    payload[..8].copy_from_slice(&crc.to_le_bytes());
                    log.append(&payload).unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let snapshot = log.snapshot();
                let mut before = snapshot.head();
                for record in &snapshot {
                    let record = record.unwrap();
                    assert!(record.lsn() >= before);
                    before = record.next_lsn();
                    let (stored, rest) = record.payload().split_at(8);
                    assert_eq!(stored, crc(rest).to_le_bytes(), "the bytes changed");
                }
            }
        });
        for _ in 0..rounds {
            let to = log.committed();
            assert_eq!(log.truncate_before(to).unwrap(), to);
            assert!(log.segments().len() < 30);
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{} segments recycled", log.stats().segments_recycled);
    log.close().unwrap();
}

/// Not the log's own checksum.
fn crc(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[test]
fn truncation_frees_a_full_disk_and_appends_go_on() {
    for background in [false, true] {
        let disk = FaultStorage::new();
        disk.set_zero_fill(background);
        disk.set_capacity(8192 + 5 * TINY);
        let mut options = tiny();
        let log = options.background(background).open_with(disk.clone()).unwrap();
        for _ in 0..5 {
            let mut last = log.tail();
            let refusal = loop {
                match log.append(&[7; 700]) {
                    Ok(lsn) => last = lsn,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refusal, Error::NoSpace { .. }), "{refusal:?}");
            log.truncate_before(last).unwrap();
            log.append_durable(&vec![1; log.max_record_bytes() as usize]).unwrap();
        }
        log.close().unwrap();
    }
}

#[test]
fn a_log_of_copies_is_dropped_by_name_alone() {
    // Damage in what is dropped is nobody's matter.
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let all = fill(&log, 40);
    log.close().unwrap();
    let mut image = disk.image();
    for byte in &mut image.get_mut("00000000000000000000.seg").unwrap()[5000..5100] {
        *byte ^= 1;
    }
    let log = tiny().open_with(MemoryStorage::from_image(image)).unwrap();
    assert!(log.snapshot().iter().any(|record| record.is_err()));
    assert_eq!(log.truncate_before(all[20].0).unwrap(), all[20].0);
    assert_begins(&log, all[20].0, &all[20..]);
}

#[test]
fn readers_of_other_processes_are_asked_before_a_file_is_used_again() {
    let disk = FaultStorage::new();
    disk.set_zero_fill(true);
    let mut options = Options::new();
    options.segment_bytes(TINY).write_buffer_bytes(4096);
    let log = options.open_with(disk.clone()).unwrap();
    let roll_and_drop = |recycled: u64| {
        for _ in 0..50 {
            fill(&log, 8);
            log.truncate_before(log.tail()).unwrap();
            // The thread makes spares in its own time.
            if log.stats().segments_recycled > recycled {
                break;
            }
            thread::yield_now();
        }
        log.stats().segments_recycled
    };
    let reader = disk.lock("READERS", LockKind::Shared).unwrap().expect("nobody holds it");
    assert_eq!(roll_and_drop(0), 0, "written over while someone may map it");
    drop(reader);
    let mut before = 0;
    for _ in 0..1000 {
        before = roll_and_drop(0);
        if before > 0 {
            break;
        }
    }
    assert!(before > 0, "nothing is recycled");
    log.close().unwrap();
    let names = disk.names().unwrap();
    assert!(!names.iter().any(|name| classify(name) == FileKind::Temporary), "{names:?}");
}
