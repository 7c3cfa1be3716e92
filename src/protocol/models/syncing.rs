//! Models of syncing: how sync leaders take turns, and the mark of an idle log.
//!
//! Invariant: durable is what was synced, and never more than what was written.

use super::*;

#[test]
fn syncs_are_handed_over_and_nobody_is_left_behind() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.durable(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_sync_that_nobody_appended_for_covers_what_was_committed_before() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.append(&[1; 8]).unwrap());
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
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || {
            let marked = other.protocol.mark_idle(&other.disk, START).unwrap();
            if let Some(end) = marked {
                other.sync_until(end).unwrap();
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
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || other.buffered(&[1; 8]).unwrap());
        log.durable(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn durable_records_of_three_one_of_whom_waits_for_nothing() {
    bounded(1, || {
        let log = Log::new(1024, 128, DiskState::default());
        let (second, third) = (Arc::clone(&log), Arc::clone(&log));
        let second = thread::spawn(move || second.durable(&[2; 8]).unwrap());
        let third = thread::spawn(move || third.buffered(&[3; 8]).unwrap());
        log.durable(&[1; 8]).unwrap();
        second.join().unwrap();
        third.join().unwrap();
    });
}
