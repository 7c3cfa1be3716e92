//! Models of handing over, begun in the middle: a leader is at work, or waiters are in the list.
//!
//! Invariant: a leader that is let go leaves nobody behind who is not covered, and whoever is covered
//! is woken by the leader or by one that it woke.

use super::*;

/// What is committed after the leader's last look has no leader until the leader wakes its waiter.
#[test]
fn a_sync_leader_that_is_let_go_wakes_who_is_not_covered() {
    bounded(3, || {
        let log = Log::syncing(START + 48);
        log.protocol.committed.advance(START + 24);
        // As a listener does, which makes the leader go round once more.
        log.protocol.sync_lead.touch();
        let thread = spawn(&log, |log| {
            log.protocol.committed.advance(START + 48);
            log.sync_until(START + 48).unwrap();
        });
        log.protocol.lead_sync(&log.disk, 0).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_commit_leader_that_is_let_go_wakes_who_is_not_covered() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        assert!(log.protocol.commit_lead.signal());
        let thread = spawn(&log, |log| log.protocol.lead_commit(&log.disk).unwrap());
        log.buffered(&[1; 8]).unwrap();
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
    });
}

/// The leader has a place in the list itself, and is the one that it wakes first.
#[test]
fn who_leaves_the_list_wakes_the_next_who_is_covered() {
    model(|| {
        let log = Log::syncing(START + 48);
        log.protocol.committed.advance(START + 48);
        let place = log.protocol.sync_waiters.enlist(START + 24);
        let thread = spawn(&log, |log| log.sync_until(START + 48).unwrap());
        log.protocol.lead_sync(&log.disk, 0).unwrap();
        log.protocol.sync_waiters.leave(&place);
        thread.join().unwrap();
    });
}

/// Who leaves may have seen an older watermark than the leader that took its place out.
#[test]
fn who_leaves_the_list_wakes_whom_the_newest_leader_covers() {
    model(|| {
        let waiters = Arc::new(Waiters::new());
        let other = Arc::clone(&waiters);
        let mine = waiters.enlist(48);
        let thread = thread::spawn(move || {
            let place = other.enlist(24);
            other.leave(&place);
        });
        waiters.wake_covered(48);
        // Woken by itself, or by the thread whose place it took out instead.
        park();
        waiters.leave(&mine);
        thread.join().unwrap();
    });
}

/// The second look: what was covered before the waiter was in the list.
#[test]
fn a_thread_that_enlists_beside_a_leader_is_seen_or_sees() {
    bounded(3, || {
        let log = Log::syncing(START + 24);
        log.protocol.committed.advance(START + 24);
        let thread = spawn(&log, |log| log.sync_until(START + 24).unwrap());
        log.protocol.lead_sync(&log.disk, 0).unwrap();
        thread.join().unwrap();
    });
}
