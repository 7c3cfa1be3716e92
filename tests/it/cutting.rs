//! Cutting the end of the log off: what stays, what is gone, and where the log goes on.
//!
//! Invariant: an address that was cut away names nothing for ever; everything before it stays.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use stratalog::storage::{Event, EventKind, FaultStorage, MemoryStorage, Storage};
use stratalog::{Error, Log, Lsn, Options, SegmentState, Snapshot};

const SEGMENT_BYTES: u64 = 16 << 10;

fn small() -> Options {
    let mut options = Options::new();
    options.segment_bytes(SEGMENT_BYTES).write_buffer_bytes(8 << 10);
    options
}

fn open(storage: impl Storage) -> Log {
    small().open_with(storage).unwrap()
}

fn all(snapshot: &Snapshot) -> Vec<(Lsn, Vec<u8>)> {
    snapshot.iter().map(|it| it.map(|it| (it.lsn(), it.payload().to_vec())).unwrap()).collect()
}

fn is_cut<T>(result: &Result<T, Error>, at: Lsn) -> bool {
    matches!(result, Err(Error::Cut { lsn, .. }) if *lsn == at)
}

/// Appends records of so many bytes until they take so many segments, and returns what they are.
fn fill(log: &Log, bytes: usize, segments: usize) -> Vec<(Lsn, Vec<u8>)> {
    let mut records = Vec::new();
    while log.stats().segments < segments {
        let payload = vec![u8::try_from(records.len() % 251).unwrap(); bytes];
        records.push((log.append(&payload).unwrap(), payload));
    }
    records
}

#[test]
fn every_record_can_be_the_last_one_kept_or_the_first_one_dropped() {
    let count = {
        let log = open(MemoryStorage::new());
        fill(&log, 3000, 3).len()
    };
    for number in 0..count {
        for keep in [true, false] {
            let disk = MemoryStorage::new();
            let log = open(disk.clone());
            let mut records = fill(&log, 3000, 3);
            let before = log.snapshot();
            let (lsn, tail) = (records[number].0, log.tail());
            if keep { log.truncate_after(lsn) } else { log.truncate_from(lsn) }.unwrap();
            let dropped = records.split_off(number + usize::from(keep));
            let check = |log: &Log, records: &[(Lsn, Vec<u8>)]| {
                let snapshot = log.snapshot();
                assert_eq!(all(&snapshot), records);
                for (lsn, _) in &dropped {
                    assert!(is_cut(&snapshot.get(*lsn), *lsn), "{number} {keep} {lsn}");
                    assert!(is_cut(&log.sync_to(*lsn), *lsn), "{number} {keep} {lsn}");
                }
            };
            check(&log, &records);
            assert_eq!(all(&before).len(), count, "a snapshot stays as it was");
            if !dropped.is_empty() {
                assert!(log.tail() > tail, "addresses are never given out again");
            }
            let watermarks = (log.durable(), log.committed());
            assert!(log.tail() == tail || watermarks == (log.tail(), log.tail()));
            records.push((log.append(b"after").unwrap(), b"after".to_vec()));
            check(&log, &records);
            assert_eq!(all(&before).len(), count, "a snapshot stays as it was");
            log.close().unwrap();
            let log = open(disk);
            assert!(log.recovery().clean);
            check(&log, &records);
            // A place to resume from stays one.
            if let Some((last, payload)) = records.get(number.wrapping_sub(usize::from(!keep))) {
                let end = Lsn::new(last.get() + 16 + payload.len().next_multiple_of(8) as u64);
                let snapshot = log.snapshot();
                assert_eq!(snapshot.iter_from(end).unwrap().count(), 1);
            }
        }
    }
}

#[test]
fn a_log_is_emptied_and_goes_on() {
    let disk = MemoryStorage::new();
    let log = open(disk.clone());
    let records = fill(&log, 3000, 2);
    log.truncate_from(records[0].0).unwrap();
    assert_eq!(log.snapshot().iter().count(), 0);
    log.close().unwrap();
    let log = open(disk.clone());
    assert_eq!(log.snapshot().iter().count(), 0);
    let lsn = log.append_durable(b"anew").unwrap();
    assert!(lsn > records.last().unwrap().0);
    drop(log);
    let log = open(disk);
    assert_eq!(all(&log.snapshot()), [(lsn, b"anew".to_vec())]);
}

#[test]
fn a_cut_inside_a_batch_keeps_its_first_records_also_after_a_crash() {
    for close in [true, false] {
        let disk = FaultStorage::new();
        let log = open(disk.clone());
        let batch = log.append_batch(&["one", "two", "three"]).unwrap();
        let two = log.snapshot().iter().nth(1).unwrap().unwrap().lsn();
        log.append(b"behind").unwrap();
        log.truncate_after(two).unwrap();
        if close {
            log.close().unwrap();
        }
        let log = open(FaultStorage::from_image(disk.crash(1)));
        let expected = [(batch.start, b"one".to_vec()), (two, b"two".to_vec())];
        assert_eq!(all(&log.snapshot()), expected);
        let next = log.append_durable(b"next").unwrap();
        log.close().unwrap();
        assert!(next > batch.end);
    }
}

#[test]
fn a_cut_is_there_when_it_returns_and_so_is_what_it_kept() {
    let disk = FaultStorage::new();
    let log = open(disk.clone());
    let records = fill(&log, 500, 3);
    for seed in 0..10 {
        let keep = records[records.len() - 2 - 2 * seed].0;
        log.truncate_after(keep).unwrap();
        let image = FaultStorage::from_image(disk.crash(seed as u64));
        let kept = all(&open(image).snapshot());
        assert_eq!(kept.last().unwrap().0, keep);
        assert_eq!(kept[..], records[..kept.len()]);
    }
}

#[test]
fn a_power_cut_at_any_event_of_a_cut_leaves_the_log_before_it_or_after_it() {
    for back in [2, 9, 20, 45] {
        let disk = FaultStorage::new();
        // Nobody else writes to the disk.
        let log = small().background(false).open_with(disk.clone()).unwrap();
        let mut records = fill(&log, 500, 2);
        let durable = records.len();
        log.sync().unwrap();
        // In the cache only, up to the fourth segment.
        records.extend(fill(&log, 500, 4));
        for key in 0..10 {
            let payload = vec![key; 500];
            records.push((log.append(&payload).unwrap(), payload));
        }
        let number = records.len() - back;
        let keep = records[number - 1].0;
        let begin = disk.events();
        log.truncate_after(keep).unwrap();
        let is_commit = |event: &&Event| event.kind == EventKind::Sync && event.name == "control";
        let history = disk.history();
        let commit = history.iter().skip_while(|event| event.number < begin).find(is_commit);
        let commit = commit.expect("the control file is synced").number;
        for event in begin..=disk.events() {
            for seed in 0..18 {
                let log = open(FaultStorage::from_image(disk.crash_at(event, seed)));
                let seen = all(&log.snapshot());
                assert_eq!(seen[..], records[..seen.len()], "{back}: {event}/{seed}");
                let is_after = seen.len() == number;
                assert!(is_after || event <= commit, "{back}: {event}/{seed}: {}", seen.len());
                assert!(
                    seen.len() >= durable.min(number),
                    "{back}: {event}/{seed}: {}",
                    seen.len()
                );
            }
        }
        let after = commit + 1..=disk.events();
        assert!(after.count() > 2, "there are steps behind the commit");
    }
}

#[test]
fn what_a_cut_removes_is_gone_for_good_before_the_trailer_is_written() {
    for pinned in [false, true] {
        let disk = FaultStorage::new();
        let log = small().background(false).open_with(disk.clone()).unwrap();
        let records = fill(&log, 500, 4);
        log.sync().unwrap();
        let begin = disk.events();
        let snapshot = pinned.then(|| log.snapshot());
        log.truncate_after(records[3].0).unwrap();
        let is_trailer = |event: &&Event| {
            let place = (event.kind, event.offset) == (EventKind::Write, SEGMENT_BYTES - 4096);
            event.number >= begin && place && event.name == "00000000000000000000.seg"
        };
        let history = disk.history();
        let trailer = history.iter().find(is_trailer).expect("the end of the first segment");
        for event in trailer.number..=disk.events() {
            // What is durable and nothing else, or also whatever the system has written by itself.
            for seed in 0..9 {
                let image = disk.crash_at(event, seed);
                let is_segment =
                    |name: &&str| Path::new(name).extension().is_some_and(|it| it == "seg");
                let left: Vec<_> = image.names().filter(is_segment).collect();
                assert_eq!(left, ["00000000000000000000.seg"], "{pinned}: {event}/{seed}");
            }
        }
        drop(snapshot);
    }
}

/// What is sealed of a log is summed up by trailers of which each names the one before it.
fn trailers_are_a_chain(log: &Log, sealed: usize) {
    let segments = log.segments();
    let mut previous = 0;
    for segment in &segments[..sealed] {
        assert_eq!(segment.state, SegmentState::Sealed, "{segment:?}");
        let seal = segment.seal.expect("a trailer");
        assert_eq!(seal.previous_checksum, previous, "{segment:?}");
        previous = seal.checksum;
    }
}

#[test]
fn a_cut_seals_what_is_full_before_it_and_trailers_stay_a_chain() {
    for background in [false, true] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let mut options = Options::new();
        options.segment_bytes(SEGMENT_BYTES).write_buffer_bytes(8 << 10).background(background);
        options.on_seal(move |segment| list.lock().unwrap().push((segment.base, segment.end)));
        let log = options.open_with(MemoryStorage::new()).unwrap();
        let records = fill(&log, 3000, 4);
        log.append(b"dropped").unwrap();
        log.truncate_after(records.last().unwrap().0).unwrap();
        trailers_are_a_chain(&log, 4);
        let mut ends: Vec<_> = log.segments()[..4].iter().map(|it| (it.base, it.end)).collect();
        let mut seen = told.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, ends, "each is told of once");
        // One that is sealed already gets another trailer, which names the same one before it.
        let second = log.segments()[1].base;
        let keep = records.iter().find(|(lsn, _)| lsn.get() > second).unwrap();
        log.truncate_after(keep.0).unwrap();
        trailers_are_a_chain(&log, 2);
        ends.push((second, log.segments()[1].end));
        ends.sort_unstable();
        let mut seen = told.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, ends);
        // What follows names the one that was cut.
        fill(&log, 3000, 4);
        log.sync().unwrap();
        log.close().unwrap();
    }
}

#[test]
fn what_is_no_record_is_no_place_to_cut() {
    let log = open(MemoryStorage::new());
    let one = log.append(b"one").unwrap();
    let two = log.append_buffered(b"two").unwrap();
    let inside = Lsn::new(one.get() + 8);
    assert!(matches!(log.truncate_after(inside), Err(Error::NotARecord { .. })));
    assert!(matches!(log.truncate_from(log.head()), Err(Error::NotARecord { .. })));
    assert!(matches!(log.truncate_after(log.tail()), Err(Error::NotYet { .. })));
    log.truncate_after(one).unwrap();
    assert!(is_cut(&log.truncate_after(two), two), "a buffered record is one, and was cut off");
    log.truncate_after(one).unwrap();
    log.clone().close().unwrap();
    assert!(matches!(log.truncate_after(one), Err(Error::Closed)));
}

#[test]
fn nothing_changes_where_nothing_follows() {
    let disk = FaultStorage::new();
    let log = open(disk.clone());
    let one = log.append(b"one").unwrap();
    log.truncate_after(one).unwrap();
    assert_eq!(log.append(b"two").unwrap().get(), one.get() + 24);
    log.truncate_after(one).unwrap();
    // The log's own thread may make a spare meanwhile.
    let used =
        || log.segments().iter().filter(|segment| segment.state != SegmentState::Spare).count();
    let (tail, segments) = (log.tail(), used());
    log.truncate_after(one).unwrap();
    assert_eq!((log.tail(), used()), (tail, segments));
    let log = open(FaultStorage::from_image(disk.crash(3)));
    assert_eq!(log.snapshot().iter().count(), 1, "what was kept is durable");
}

/// Stops the others also where a check fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn appends_beside_cuts_come_before_them_or_after() {
    let disk = MemoryStorage::new();
    let log = open(disk.clone());
    let first = log.append(b"first").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (log, stop) = (log.clone(), &stop);
            scope.spawn(move || {
                let mut last = Lsn::new(0);
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let payload = [thread, number].map(u64::to_le_bytes).concat().repeat(20);
                    let appended = match (thread, number % 50) {
                        (0, 0) => log.append_durable(&payload),
                        (1, 1) => log.append_batch(&[&payload, &payload]).map(|range| range.start),
                        _ => log.append(&payload),
                    };
                    match appended {
                        Ok(lsn) => {
                            assert!(lsn > last);
                            last = lsn;
                        }
                        Err(Error::Cut { lsn, .. }) => {
                            assert!(lsn > last, "only what was waited for can be cut away");
                            last = lsn;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let _stop = Stop(&stop);
        for round in 0..60 {
            while log.stats().segments < 2 + round % 2 {
                std::thread::yield_now();
            }
            let snapshot = log.snapshot();
            let before = all(&snapshot);
            let middle = before[before.len() / 2].0;
            log.truncate_after(middle).unwrap();
            let last = before.last().unwrap().0;
            assert!(last == middle || is_cut(&log.snapshot().get(last), last));
            assert_eq!(all(&snapshot), before, "the snapshot stays as it was");
            log.truncate_after(first).unwrap();
        }
    });
    let kept = all(&log.snapshot());
    log.close().unwrap();
    assert_eq!(all(&open(disk).snapshot()), kept);
}

#[test]
fn whoever_waits_for_what_is_cut_away_is_told_so() {
    let disk = FaultStorage::new();
    let log = open(disk);
    let first = log.append_durable(b"first").unwrap();
    let waits = log.append_buffered(b"second").unwrap();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = Arc::clone(&told);
    let future = log.durable_at(waits);
    log.truncate_after(first).unwrap();
    log.on_durable(waits, move |outcome| note.lock().unwrap().push(outcome));
    assert!(matches!(&told.lock().unwrap()[..], [Err(Error::Cut { lsn, .. })] if *lsn == waits));
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let outcome = Future::poll(future.as_mut(), &mut context);
    assert!(matches!(outcome, std::task::Poll::Ready(Err(Error::Cut { lsn, .. })) if lsn == waits));
}
