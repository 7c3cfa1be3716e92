//! Models of those who find nobody in the way, and of those who come meanwhile.

use super::*;
use crate::protocol::models::rolling::next;

#[test]
fn two_who_think_they_are_alone() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.alone(&[2; 8]).unwrap());
        let (at, _) = log.alone(&[1; 8]).unwrap();
        let (other_at, _) = thread.join().unwrap();
        assert_ne!(at, other_at);
        assert_eq!(log.records().len(), 2);
        assert_eq!(log.protocol.committed(), START + 48);
    });
}

#[test]
fn who_is_alone_serves_those_who_come_through_the_ring() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.append(&[2; 8]).unwrap());
        log.alone(&[1; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 2);
        assert!(log.protocol.commit_lead.is_idle());
    });
}

#[test]
fn who_is_alone_beside_a_buffered_record_and_one_that_waits() {
    bounded(1, || {
        let log = Log::new(1024, 128, DiskState::default());
        let second = spawn(&log, |log| log.buffered(&[2; 8]).unwrap());
        let third = spawn(&log, |log| log.append(&[3; 8]).unwrap());
        log.alone(&[1; 8]).unwrap();
        second.join().unwrap();
        third.join().unwrap();
        log.commit_until(log.protocol.tail()).unwrap();
        assert_eq!(log.records().len(), 3);
    });
}

#[test]
fn who_is_alone_beside_a_durable_record() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.durable(&[2; 8]).unwrap());
        log.alone(&[1; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 2);
    });
}

#[test]
fn what_does_not_fit_is_claimed_by_nobody_alone() {
    model(|| {
        let log = Log::new(24, 128, next(24));
        let thread = spawn(&log, |log| log.alone(&[2; 8]).unwrap());
        log.alone(&[1; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.records().len(), 2);
    });
}

#[test]
fn a_failed_write_of_one_who_is_alone_reaches_the_others() {
    model(|| {
        let log = Log::new(1024, 128, DiskState { fail_write: true, ..DiskState::default() });
        let thread = spawn(&log, |log| log.append(&[2; 8]));
        let first = log.alone(&[1; 8]);
        assert!(first.is_err() && thread.join().unwrap().is_err());
        assert_eq!(log.protocol.state(), Some(State::Poisoned));
        assert!(log.records().is_empty());
    });
}

#[test]
fn nobody_is_alone_in_a_log_that_is_cut() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.alone(&[2; 8]).unwrap());
        let lock = log.disk.truncation.lock();
        let cutting = log.protocol.begin_cut(&log.disk).unwrap();
        assert_eq!(log.protocol.committed(), cutting.tail(), "what was claimed is committed");
        cutting.abandon(&log.disk).unwrap();
        drop(lock);
        thread.join().unwrap();
        assert_eq!(log.records().len(), 1);
    });
}
