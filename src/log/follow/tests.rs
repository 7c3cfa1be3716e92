//! Tests of what a follower pins, and of truncations and cuts, made here by changing the set.
//!
//! Invariant: segments are tiny, so that a log of some dozen records has several.

use std::sync::Arc;

use super::*;
use crate::Options;
use crate::error::Corruption;
use crate::storage::MemoryStorage;

fn log() -> Log {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).write_buffer_bytes(4096).background(false);
    options.open_with(MemoryStorage::new()).unwrap()
}

/// Appends so many records of a kilobyte: eight fill a segment.
fn append(log: &Log, count: u8) -> Vec<Lsn> {
    (0..count).map(|number| log.append(&[number; 1000]).unwrap()).collect()
}

fn set(log: &Log) -> Arc<SegmentSet> {
    log.appender().disk.segments.load()
}

/// Drops what lies below `head`, as a truncation does once the head is durable.
fn truncate(log: &Log, head: Lsn) {
    let head = head.get();
    log.appender().disk.segments.change(|set| {
        let kept = |(index, segment): (usize, &Arc<Segment>)| {
            let is_newest = index + 1 == set.segments.len();
            (segment.end > head || is_newest).then(|| Arc::clone(segment))
        };
        SegmentSet { head, segments: set.segments.iter().enumerate().filter_map(kept).collect() }
    });
}

/// What is there to be handed out, and how that ends, if it does.
fn rest(follower: &mut Follower) -> (Vec<Lsn>, Option<Error>) {
    let mut seen = Vec::new();
    loop {
        match follower.try_next() {
            Ok(Some(record)) => seen.push(record.lsn()),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

/// What is there, of one that goes on.
#[track_caller]
fn all(follower: &mut Follower) -> Vec<Lsn> {
    let (seen, error) = rest(follower);
    assert!(error.is_none(), "{error:?}");
    seen
}

#[track_caller]
fn assert_truncated(follower: &mut Follower, lsn: Lsn, head: Lsn) {
    for _ in 0..2 {
        let error = follower.try_next().unwrap_err();
        let Error::Truncated { lsn: at, head: named, .. } = error else { panic!("{error:?}") };
        assert_eq!((at, named), (lsn, head));
    }
}

#[test]
fn it_can_be_sent_to_another_thread() {
    fn check<T: Send>(_: T) {}
    let log = log();
    let mut follower = log.follow(log.head()).unwrap();
    check(follower.next_async());
    check(follower);
}

#[test]
fn it_pins_the_segment_that_its_position_lies_in_and_no_other() {
    for (handed_out, pinned) in [(0, 0), (1, 0), (20, 2), (47, 5), (60, 7)] {
        let log = log();
        let lsns = append(&log, 60);
        let all: Vec<_> = set(&log).segments.iter().map(Arc::downgrade).collect();
        assert_eq!(all.len(), 8);
        let mut follower = log.follow(log.head()).unwrap();
        for lsn in &lsns[..handed_out] {
            assert_eq!(follower.next().unwrap().lsn(), *lsn);
        }
        if handed_out == lsns.len() {
            assert!(follower.try_next().unwrap().is_none(), "it waits");
        }
        truncate(&log, log.tail());
        let held = || {
            let is_held = |index: &usize| all[*index].strong_count() > 0;
            (0..all.len()).filter(is_held).collect::<Vec<_>>()
        };
        // The newest belongs to the log.
        let mut expected = vec![pinned, 7];
        expected.dedup();
        assert_eq!(held(), expected, "after {handed_out} records");
        drop(follower);
        assert_eq!(held(), [7]);
    }
}

#[test]
fn what_it_copied_grows_by_what_is_new() {
    let log = log();
    let options = FollowOptions::new().read(ReadOptions::new().copy(true));
    let mut follower = log.follow_with(log.head(), options).unwrap();
    for number in 0..60 {
        let lsn = log.append(&[number; 700]).unwrap();
        let record = follower.next().unwrap();
        assert_eq!((record.lsn(), record.payload()), (lsn, &[number; 700][..]));
        assert!(follower.try_next().unwrap().is_none());
    }
    assert!(set(&log).segments.len() > 2);
}

#[test]
fn one_that_is_overtaken_says_so_and_stays_ended() {
    let log = log();
    let lsns = append(&log, 30);
    let mut behind = log.follow(lsns[3]).unwrap();
    let mut reading = log.follow(lsns[3]).unwrap();
    assert_eq!(reading.next().unwrap().lsn(), lsns[3]);
    truncate(&log, lsns[20]);
    assert_truncated(&mut behind, lsns[3], lsns[20]);
    assert_eq!(behind.position(), lsns[3]);
    // It goes on in what it pins.
    let (seen, error) = rest(&mut reading);
    assert!(!seen.is_empty() && lsns[4..].starts_with(&seen), "{seen:?}");
    assert!(seen.len() < 16);
    let Some(Error::Truncated { lsn, head, .. }) = error else { panic!("{error:?}") };
    assert!(lsn == reading.position() && lsn > *seen.last().unwrap() && head == lsns[20]);
    // Begun anew.
    let (seen, error) = rest(&mut log.follow(lsns[20]).unwrap());
    assert!(error.is_none() && seen == lsns[20..]);
    assert!(matches!(log.follow(lsns[3]), Err(Error::Truncated { .. })));
}

#[test]
fn one_that_has_seen_all_below_the_head_is_not_overtaken() {
    let log = log();
    append(&log, 3);
    let mut follower = log.follow(log.head()).unwrap();
    assert_eq!(rest(&mut follower).0.len(), 3);
    // A mark of idleness, and the end of the log after it.
    let protocol = &log.appender().protocol;
    let durable = log.sync().unwrap().get();
    assert!(log.appender().disk.mark_idle(protocol, durable).unwrap().is_some());
    truncate(&log, log.tail());
    let next = log.append(b"behind the mark").unwrap();
    assert_eq!(all(&mut follower), vec![next]);
    // The start of the next segment, which has no link yet, and is all that is left.
    log.roll().unwrap();
    log.commit().unwrap();
    truncate(&log, log.tail());
    let next = log.append(b"in the next segment").unwrap();
    assert_eq!(set(&log).segments.len(), 1);
    assert_eq!(all(&mut follower), vec![next]);
    // The first record of the one after that.
    log.roll().unwrap();
    let next = log.append(b"first").unwrap();
    truncate(&log, next);
    assert_eq!(set(&log).segments.len(), 1);
    assert_eq!(all(&mut follower), vec![next]);
    // But not what lies behind that one.
    let position = follower.position();
    log.append(b"second").unwrap();
    log.roll().unwrap();
    let next = log.append(b"third").unwrap();
    truncate(&log, next);
    assert_truncated(&mut follower, position, next);
}

#[test]
fn one_that_missed_a_whole_segment_is_overtaken() {
    let log = log();
    append(&log, 3);
    let mut follower = log.follow(log.committed()).unwrap();
    let position = follower.position();
    log.roll().unwrap();
    log.append(b"missed").unwrap();
    log.roll().unwrap();
    let next = log.append(b"next").unwrap();
    truncate(&log, next);
    assert_truncated(&mut follower, position, next);
}

#[test]
fn one_that_stands_in_what_was_cut_away_says_so_and_one_at_its_end_goes_on() {
    let log = log();
    let lsns = append(&log, 30);
    let first = Arc::clone(&set(&log).segments[0]);
    let behind = lsns.iter().position(|lsn| lsn.get() > first.end).unwrap();
    let mut inside = log.follow(lsns[5]).unwrap();
    let mut at_the_end = log.follow(lsns[4]).unwrap();
    let mut before = log.follow(lsns[0]).unwrap();
    let mut reading = log.follow(lsns[0]).unwrap();
    assert!(reading.try_next().unwrap().is_some());
    // The record at 4 and all behind it in the first segment.
    log.appender().disk.segments.change(|set| {
        let mut segments = set.segments.clone();
        segments[0] = segments[0].ending(lsns[4].get());
        SegmentSet { head: set.head, segments }
    });
    for _ in 0..2 {
        let error = inside.try_next().unwrap_err();
        assert!(matches!(error, Error::Cut { lsn, .. } if lsn == lsns[5]), "{error:?}");
    }
    assert_eq!(all(&mut at_the_end), lsns[behind..].to_vec());
    let kept = [&lsns[..4], &lsns[behind..]].concat();
    assert_eq!(all(&mut before), kept);
    // What it was shown before the cut it hands out.
    let (seen, error) = rest(&mut reading);
    assert_eq!(seen, lsns[1..behind]);
    assert!(matches!(error, Some(Error::Cut { .. })), "{error:?}");
}

#[test]
fn damage_ends_it_or_is_passed() {
    let disk = MemoryStorage::new();
    let mut options = Options::new();
    options.segment_bytes(16 << 10).background(false);
    let log = options.open_with(disk.clone()).unwrap();
    let lsns = append(&log, 12);
    log.close().unwrap();
    let mut image = disk.image();
    let offset = usize::try_from(lsns[2].get()).unwrap() + 20;
    image.get_mut("00000000000000000000.seg").unwrap()[offset] ^= 1;
    let log = options.open_with(MemoryStorage::from_image(image)).unwrap();
    let mut follower = log.follow(log.head()).unwrap();
    for _ in 0..2 {
        let (_, error) = rest(&mut follower);
        let Some(Error::Corrupt { lsn, reason, .. }) = error else { panic!("{error:?}") };
        assert_eq!(lsn, Some(lsns[2]));
        assert!(matches!(reason, Corruption::Checksum { .. }));
    }
    assert_eq!(follower.position(), lsns[2]);
    let passing = FollowOptions::new().read(ReadOptions::new().skip_damage(true));
    let mut follower = log.follow_with(log.head(), passing).unwrap();
    let kept = [&lsns[..2], &lsns[3..]].concat();
    assert_eq!(all(&mut follower), kept);
    assert_eq!(follower.skipped_bytes(), lsns[3].get() - lsns[2].get());
}
