//! Models of syncing: how sync leaders take turns, and the mark of an idle log.
//!
//! Invariant: durable is what was synced, and never more than what was written.

use super::*;

#[test]
fn syncs_are_handed_over_and_nobody_is_left_behind() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.durable(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_sync_that_nobody_appended_for_covers_what_was_committed_before() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.append(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
        log.sync_until(log.protocol.tail()).unwrap();
        assert_eq!(log.protocol.durable(), START + 48);
    });
}

#[test]
fn an_idle_mark_gives_way_to_an_append_or_comes_before_it() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, move |log| {
            let marked = log.protocol.mark_idle(&log.disk, START).unwrap();
            if let Some(end) = marked {
                log.sync_until(end).unwrap();
            }
            marked
        });
        let (at, end) = log.durable(&[1; 8]).unwrap();
        let marked = thread.join().unwrap();
        assert_eq!(at, marked.unwrap_or(START));
        assert_eq!(log.protocol.durable(), end);
        assert_eq!(log.records().len(), 1);
    });
}

/// The sync leader has committed what it found published; what lies behind a claim that is still being
/// filled is left to its own waiter, who is woken to lead.
#[test]
fn a_durable_record_behind_one_that_is_published_later() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.buffered(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn durable_records_of_three_one_of_whom_waits_for_nothing() {
    bounded(1, || {
        let log = Log::new(1024, 128, DiskState::default());
        let second = spawn(&log, |log| log.durable(&[2; 8]).unwrap());
        let third = spawn(&log, |log| log.buffered(&[3; 8]).unwrap());
        log.durable(&[1; 8]).unwrap();
        second.join().unwrap();
        third.join().unwrap();
    });
}
