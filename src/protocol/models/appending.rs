//! Models of appending: claims, the ring, commits, and records that go beside the ring.
//!
//! Invariant: what is written is every record once, contiguous.

use super::*;

#[test]
fn two_appenders_commit_contiguously() {
    model(|| {
        let log = Log::new(1024, 64, DiskState::default());
        let thread = spawn(&log, |log| log.append(&[1; 8]).unwrap());
        let mine = log.append(&[2; 8]).unwrap();
        let theirs = thread.join().unwrap();
        assert_ne!(mine.0, theirs.0);
        assert_eq!(log.protocol.committed(), START + 48);
        assert_eq!(log.records().len(), 2);
    });
}

#[test]
fn an_appender_behind_a_buffered_record_is_woken_by_its_publisher() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.buffered(&[1; 8]).unwrap());
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_full_ring_is_taken_out_zeroed_and_used_again() {
    model(|| {
        let log = Log::new(1024, 64, DiskState::default());
        let thread = spawn(&log, |log| {
            log.buffered(&[1; 8]).unwrap();
            log.buffered(&[2; 8]).unwrap();
        });
        log.buffered(&[3; 8]).unwrap();
        log.append(&[4; 8]).unwrap();
        thread.join().unwrap();
        log.protocol.commit_until(&log.disk, START + 4 * 24).unwrap();
        let mut records = log.records();
        records.sort();
        assert_eq!(records, [[1; 8], [2; 8], [3; 8], [4; 8]]);
    });
}

#[test]
fn three_appenders_hand_the_lead_over() {
    bounded(1, || {
        let log = Log::new(1024, 128, DiskState::default());
        let threads: Vec<_> = (1..3)
            .map(|number| spawn(&log, move |log| log.append(&[number; 8]).unwrap()))
            .collect();
        log.append(&[0; 8]).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(log.records().len(), 3);
    });
}

#[test]
fn a_record_too_big_for_the_ring_waits_for_its_turn() {
    model(|| {
        let log = Log::new(4096, 64, DiskState::default());
        let thread = spawn(&log, |log| log.direct(96).unwrap());
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.protocol.committed(), START + 96 + 24);
    });
}

#[test]
fn records_too_big_for_the_ring_take_turns_with_each_other_and_with_a_buffered_one() {
    model(|| {
        let log = Log::new(4096, 64, DiskState::default());
        let thread = spawn(&log, |log| log.direct(96).unwrap());
        log.buffered(&[1; 8]).unwrap();
        log.direct(104).unwrap();
        thread.join().unwrap();
        log.commit_until(START + 96 + 104 + 24).unwrap();
    });
}

#[test]
fn a_claim_beyond_the_ring_waits_until_its_place_is_zeroed() {
    model(|| {
        let log = Log::new(1024, 64, DiskState::default());
        // Two records fill three quarters of the ring; each further one wraps.
        log.buffered(&[1; 8]).unwrap();
        let thread = spawn(&log, |log| log.append(&[2; 16]).unwrap());
        log.append(&[3; 16]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 3);
    });
}
