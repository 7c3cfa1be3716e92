//! Models of listeners: futures and callbacks beside threads that lead.
//!
//! Invariant: each is told once, of no more than was synced, and leaves nothing in the list.

use super::*;
use crate::protocol::models::rolling::next;

/// A listener, beside a thread that makes a record of its own durable and then leads for listeners.
fn beside_a_leader(listen: fn(&Arc<Told>, &Arc<Log>, u64), room: u64) {
    model(move || {
        let log = Log::new(room, 128, next(room));
        let told = Told::new();
        let (other, tell) = (Arc::clone(&log), Arc::clone(&told));
        let thread = thread::spawn(move || {
            let (_, end) = other.stage(&[1; 8]).unwrap();
            listen(&tell, &other, end);
        });
        log.durable(&[2; 8]).unwrap();
        told.keep(&log, 1);
        thread.join().unwrap();
        assert_eq!(told.all().len(), 1);
        assert!(told.all()[0].is_ok());
        assert_eq!(log.protocol.sync_waiters.count(), 0);
    });
}

#[test]
fn a_future_ends_beside_a_leader() {
    beside_a_leader(|told, log, end| told.future(log, end), 1024);
}

#[test]
fn a_callback_is_called_beside_a_leader() {
    beside_a_leader(Told::callback, 1024);
}

#[test]
fn a_future_ends_beside_a_roll() {
    beside_a_leader(|told, log, end| told.future(log, end), 24);
}

#[test]
fn a_callback_is_called_beside_a_roll() {
    beside_a_leader(Told::callback, 24);
}

/// A listener that enlists while a leader is at work, after whom nobody leads unless it was asked.
fn beside_a_leader_that_leaves(listen: fn(&Arc<Told>, &Arc<Log>, u64)) {
    bounded(3, move || {
        let log = Log::syncing(START + 24);
        log.protocol.committed.advance(START + 24);
        let told = Told::new();
        let (other, tell) = (Arc::clone(&log), Arc::clone(&told));
        let thread = thread::spawn(move || listen(&tell, &other, START + 24));
        log.protocol.lead_sync(&log.disk, 0).unwrap();
        log.protocol.tell_durable();
        told.keep(&log, 1);
        thread.join().unwrap();
        assert_eq!(told.all(), [Ok(START + 24)]);
        assert_eq!(log.protocol.sync_waiters.count(), 0);
    });
}

#[test]
fn a_future_that_enlists_beside_a_leader_is_seen_or_sees() {
    beside_a_leader_that_leaves(|told, log, end| told.future(log, end));
}

#[test]
fn a_callback_that_enlists_beside_a_leader_is_seen_or_sees() {
    beside_a_leader_that_leaves(Told::callback);
}

/// As when a task is polled by another executor thread: the first waker leads nowhere.
#[test]
fn a_future_that_is_polled_again_is_woken_by_its_last_waker() {
    beside_a_leader_that_leaves(|told, log, end| {
        let mut place = Place::default();
        match log.protocol.poll_durable(end, &mut place, Waker::noop()) {
            Polled::Ready(outcome) => {
                log.protocol.withdraw(&mut place);
                return told.note(log.check_durable(end, outcome));
            }
            Polled::Ask => told.keeper.unpark(),
            Polled::Wait => {}
        }
        told.run(log, end, &mut place);
    });
}

/// Cancelled while a leader may be about to wake it; its thread goes on to wait by itself.
#[test]
fn a_future_that_is_dropped_leaves_nothing_and_harms_nobody() {
    beside_a_leader_that_leaves(|told, log, end| {
        let waker = Waker::from(std::sync::Arc::new(Unpark(current())));
        let mut place = Place::default();
        let polled = log.protocol.poll_durable(end, &mut place, &waker);
        log.protocol.withdraw(&mut place);
        assert!(!matches!(polled, Polled::Ready(Err(_))));
        told.note(log.sync_until(end));
    });
}

#[test]
fn a_callback_may_append_and_ask_again() {
    bounded(1, || {
        let log = Log::new(1024, 128, DiskState::default());
        let told = Told::new();
        let (other, tell) = (Arc::clone(&log), Arc::clone(&told));
        let thread = thread::spawn(move || {
            let (_, end) = other.stage(&[1; 8]).unwrap();
            let (again, tell_again) = (Arc::clone(&other), Arc::clone(&tell));
            let chained = move |outcome| {
                tell_again.note(again.check_durable(end, outcome));
                let (_, end) = again.append(&[3; 8]).unwrap();
                Told::callback(&tell_again, &again, end);
            };
            if other.protocol.call_when_durable(end, Box::new(chained)) {
                tell.keeper.unpark();
            }
        });
        log.durable(&[2; 8]).unwrap();
        told.keep(&log, 2);
        thread.join().unwrap();
        assert_eq!(log.protocol.durable(), START + 72);
        assert_eq!(told.all().len(), 2);
    });
}
