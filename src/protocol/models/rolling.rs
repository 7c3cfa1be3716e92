//! Models of rolling: what appenders, leaders and a roll do at the end of a segment.
//!
//! Invariant: a segment's end is padded once, the next begins with its link, and nothing is lost
//! between them.

use super::*;

/// The segment that follows a first one with `room` bytes of room.
pub(super) fn next(room: u64) -> DiskState {
    let extent =
        Extent { base: 8192, end: 8192 + 8192, previous_base: 0, previous_end: START + room };
    DiskState { spares: vec![extent], ..DiskState::default() }
}

#[test]
fn a_roll_pads_links_and_loses_nothing() {
    model(|| {
        let next =
            Extent { base: 8192, end: 8192 + 8192, previous_base: 0, previous_end: START + 40 };
        let log = Log::new(40, 64, DiskState { spares: vec![next], ..DiskState::default() });
        let thread = spawn(&log, |log| log.append(&[1; 8]).unwrap());
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 2);
        assert!(log.protocol.committed() > 8192);
    });
}

#[test]
fn a_sync_across_a_roll_covers_both_segments() {
    model(|| {
        let next =
            Extent { base: 8192, end: 8192 + 8192, previous_base: 0, previous_end: START + 24 };
        let log = Log::new(24, 64, DiskState { spares: vec![next], ..DiskState::default() });
        let thread = spawn(&log, |log| log.durable(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.protocol.durable(), log.protocol.committed());
    });
}

#[test]
fn an_extent_is_found_whole_or_not_at_all() {
    model(|| {
        let layout = Arc::new(Layout::new());
        let first = Extent { base: 0, end: START, previous_base: 1, previous_end: 1 };
        let next = Extent { base: 8192, end: 20480, previous_base: 0, previous_end: START };
        layout.attach(first);
        let other = Arc::clone(&layout);
        let thread = thread::spawn(move || other.attach(next));
        if let Some(found) = layout.after(0, &first) {
            assert_eq!(found, next);
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_roll_beside_an_appender_that_rolls_claims_nothing_that_stays_unfilled() {
    model(|| {
        // The next segment is larger than the end of this one is high.
        let next = Extent { base: 8192, end: 32768, previous_base: 0, previous_end: START + 24 };
        let log = Log::new(24, 128, DiskState { spares: vec![next], ..DiskState::default() });
        log.buffered(&[1; 8]).unwrap();
        let thread = spawn(&log, |log| log.append(&[2; 8]).map(drop));
        let rolled = log.protocol.roll(&log.disk);
        let appended = thread.join().unwrap();
        assert!(rolled.is_ok() || appended.is_ok());
        let tail = log.protocol.tail();
        log.protocol.commit_until(&log.disk, tail).unwrap();
    });
}

#[test]
fn a_batch_and_a_buffered_record_roll_together() {
    bounded(1, || {
        let log = Log::new(40, 128, next(40));
        let thread = spawn(&log, |log| log.batch(&[&[1; 8], &[2; 8]]).unwrap());
        log.buffered(&[3; 8]).unwrap();
        let (at, end) = thread.join().unwrap();
        log.commit_until(log.protocol.tail()).unwrap();
        assert_eq!(end - at, 48);
        assert_eq!(log.records().len(), 3);
    });
}

#[test]
fn a_record_too_big_for_the_ring_rolls() {
    model(|| {
        let log = Log::new(24, 64, next(24));
        let thread = spawn(&log, |log| log.direct(96).unwrap());
        log.append(&[1; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 1);
    });
}

/// Too little is left of the first segment for a frame: nobody publishes anything there.
#[test]
fn a_rest_too_small_for_a_frame_is_stepped_over() {
    model(|| {
        let log = Log::new(8, 128, next(8));
        let thread = spawn(&log, |log| log.append(&[1; 8]).unwrap());
        log.commit_until(log.protocol.tail()).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 1);
    });
}
