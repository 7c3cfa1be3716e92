//! Models of the end: failures that poison, and closing.
//!
//! Invariant: everyone who waits hears of it, thread, future or callback, and finds the cause; nobody
//! claims anything afterwards.

use super::*;
use crate::protocol::models::rolling::next;

#[test]
fn a_failed_write_reaches_every_waiter() {
    model(|| {
        let log = Log::new(1024, 128, DiskState { fail_write: true, ..DiskState::default() });
        let thread = spawn(&log, |log| assert!(log.append(&[1; 8]).is_err()));
        assert!(log.append(&[2; 8]).is_err());
        thread.join().unwrap();
        assert_eq!(log.protocol.committed(), START);
        assert!(log.buffered(&[3; 8]).is_err(), "poison is sticky");
    });
}

#[test]
fn a_failed_sync_reaches_every_waiter() {
    model(|| {
        let log = Log::new(1024, 128, DiskState { fail_sync: true, ..DiskState::default() });
        let thread = spawn(&log, |log| assert!(log.durable(&[1; 8]).is_err()));
        assert!(log.durable(&[2; 8]).is_err());
        thread.join().unwrap();
        assert_eq!(log.protocol.durable(), START);
    });
}

#[test]
fn closing_refuses_claims_and_waits_for_those_that_were_granted() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let thread = spawn(&log, |log| log.buffered(&[1; 8]).is_ok());
        let tail = log.protocol.close();
        log.protocol.sync_until(&log.disk, tail).unwrap();
        let appended = thread.join().unwrap();
        assert_eq!(tail, if appended { START + 24 } else { START });
        assert_eq!(log.records().len(), usize::from(appended));
    });
}

/// A write or a sync fails beside a thread that waits, a future, and a callback.
fn a_failure_reaches(listen: fn(&Arc<Told>, &Arc<Log>, u64), state: fn() -> DiskState) {
    model(move || {
        let log = Log::new(1024, 128, state());
        let told = Told::new();
        let (other, tell) = (Arc::clone(&log), Arc::clone(&told));
        let thread = thread::spawn(move || match other.stage(&[1; 8]) {
            Ok((_, end)) => listen(&tell, &other, end),
            Err(stopped) => tell.note(Err(stopped)),
        });
        assert!(log.durable(&[2; 8]).is_err());
        told.keep(&log, 1);
        thread.join().unwrap();
        assert_eq!(told.all(), [Err(Stopped::Poisoned)]);
        assert_eq!(log.protocol.sync_waiters.count(), 0);
    });
}

#[test]
fn a_failed_sync_reaches_every_future() {
    a_failure_reaches(|told, log, end| told.future(log, end), failing_sync);
}

#[test]
fn a_failed_sync_reaches_every_callback() {
    a_failure_reaches(Told::callback, failing_sync);
}

#[test]
fn a_failed_write_reaches_every_future() {
    a_failure_reaches(|told, log, end| told.future(log, end), failing_write);
}

#[test]
fn a_failed_write_reaches_every_callback() {
    a_failure_reaches(Told::callback, failing_write);
}

fn failing_sync() -> DiskState {
    DiskState { fail_sync: true, ..DiskState::default() }
}

fn failing_write() -> DiskState {
    DiskState { fail_write: true, ..DiskState::default() }
}

/// With a leader at work already, whose sync fails.
#[test]
fn a_failed_sync_reaches_a_thread_a_future_and_a_callback_at_once() {
    bounded(1, || {
        let log = Log::syncing(START + 24);
        log.disk.state.lock().fail_sync = true;
        log.protocol.committed.advance(START + 24);
        let told = Told::new();
        Told::callback(&told, &log, START + 24);
        let (other, tell) = (Arc::clone(&log), Arc::clone(&told));
        let future = thread::spawn(move || tell.future(&other, START + 24));
        let waiter = spawn(&log, |log| log.sync_until(START + 24));
        assert!(log.protocol.lead_sync(&log.disk, 0).is_err());
        future.join().unwrap();
        assert_eq!(waiter.join().unwrap(), Err(Stopped::Poisoned));
        assert_eq!(told.all(), [Err(Stopped::Poisoned); 2]);
    });
}

/// Nobody leads for the listener but who closes the log.
fn closing_ends(listen: fn(&Arc<Told>, &Arc<Log>, u64), room: u64) {
    model(move || {
        let log = Log::new(room, 128, next(room));
        let told = Told::new();
        let (other, tell) = (Arc::clone(&log), Arc::clone(&told));
        let thread = thread::spawn(move || match other.stage(&[1; 8]) {
            Ok((_, end)) => listen(&tell, &other, end),
            Err(stopped) => tell.note(Err(stopped)),
        });
        let tail = log.protocol.close();
        log.sync_until(tail).unwrap();
        thread.join().unwrap();
        let expected = match log.records().len() {
            0 => Err(Stopped::Closed),
            _ => Ok(log.protocol.durable()),
        };
        assert_eq!(told.all(), [expected]);
    });
}

#[test]
fn closing_ends_every_future() {
    closing_ends(|told, log, end| told.future(log, end), 1024);
}

#[test]
fn closing_ends_every_callback() {
    closing_ends(Told::callback, 1024);
}

#[test]
fn closing_beside_a_roll_ends_every_callback() {
    closing_ends(Told::callback, 16);
}

/// Between the claim of a rest that is too small for a frame and the claim of the link behind it
/// nothing is published, and nobody else looks: the close itself must find the next segment.
#[test]
fn closing_between_two_segments_steps_over_the_rest() {
    model(|| {
        let log = Log::new(24 + 8, 64, next(24 + 8));
        log.append(&[1; 8]).unwrap();
        let thread = spawn(&log, |log| log.append(&[2; 8]).map(drop));
        let tail = log.protocol.close();
        log.sync_until(tail).unwrap();
        let appended = thread.join().unwrap();
        assert!(appended.is_ok() || log.protocol.committed() == tail);
    });
}
