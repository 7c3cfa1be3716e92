//! Models of following: threads and tasks that wait for a watermark that others move.
//!
//! Invariant: who follows is woken for what it waits for, by whoever brings it about, and what it sees
//! is written, or synced. It leads nothing: where nobody commits, nothing is committed.

use super::*;
use crate::protocol::models::rolling::next;
use crate::sync::Deadline;

/// A thread that waits for what lies ahead of a position, and checks that it is there.
fn blocking(log: &Log, followed: Followed, position: u64) -> Ahead {
    let ahead = log.protocol.wait_ahead(followed, position, &Deadline::NEVER);
    check(log, followed, position, ahead)
}

fn check(log: &Log, followed: Followed, position: u64, ahead: Ahead) -> Ahead {
    match (ahead, followed) {
        (Ahead::More, Followed::Committed) => {
            let reached = log.protocol.committed();
            let state = log.disk.state.lock();
            assert!(reached > position && state.written_to >= state.written_at(reached));
        }
        (Ahead::More, Followed::Durable) => {
            assert!(log.disk.state.lock().synced_to > position, "durable means synced");
        }
        (Ahead::Stopped(stopped), _) => drop(log.disk.hear(stopped)),
        (Ahead::Nothing, _) => panic!("it ends with nothing"),
    }
    ahead
}

/// A task that does the same on this thread.
fn polling(log: &Log, followed: Followed, position: u64) -> Ahead {
    let mut place = Place::default();
    let waker = Waker::from(std::sync::Arc::new(Unpark(current())));
    run(log, followed, position, &mut place, &waker)
}

fn run(log: &Log, followed: Followed, at: u64, place: &mut Place, waker: &Waker) -> Ahead {
    loop {
        match log.protocol.poll_ahead(followed, at, place, waker) {
            Ahead::Nothing => park(),
            ahead => return check(log, followed, at, ahead),
        }
    }
}

type Follow = fn(&Log, Followed, u64) -> Ahead;

fn nobody_is_left(log: &Log) {
    assert_eq!(log.protocol.commit_followers.count(), 0);
    assert_eq!(log.protocol.sync_followers.count(), 0);
}

/// One follows beside another that does `work`, and finds more.
fn beside(
    room: u64,
    followed: Followed,
    follow: impl Fn(&Log, Followed, u64) -> Ahead + Copy + Send + Sync + 'static,
    work: fn(&Log),
) {
    model(move || {
        let log = Log::new(room, 128, next(room));
        let thread = spawn(&log, move |log| {
            let seen = follow(log, followed, START);
            // Nothing is written after it.
            log.disk.bytes.on_read();
            seen
        });
        work(&log);
        assert_eq!(thread.join().unwrap(), Ahead::More);
        nobody_is_left(&log);
    });
}

fn appends(log: &Log) {
    log.append(&[1; 8]).unwrap();
}

fn appends_alone(log: &Log) {
    log.alone(&[1; 8]).unwrap();
}

fn durable(log: &Log) {
    log.durable(&[1; 8]).unwrap();
}

#[test]
fn a_thread_is_woken_for_what_is_committed() {
    beside(1024, Followed::Committed, blocking, appends);
}

#[test]
fn a_task_is_woken_for_what_is_committed() {
    beside(1024, Followed::Committed, polling, appends);
}

#[test]
fn a_thread_is_woken_for_what_is_durable() {
    beside(1024, Followed::Durable, blocking, durable);
}

#[test]
fn a_task_is_woken_for_what_is_durable() {
    beside(1024, Followed::Durable, polling, durable);
}

#[test]
fn a_thread_is_woken_for_what_was_buffered_when_another_commits_it() {
    beside(1024, Followed::Committed, blocking, |log| {
        let (_, end) = log.buffered(&[1; 8]).unwrap();
        log.commit_until(end).unwrap();
    });
}

/// Nobody waits for it: half of the ring is full, so its publisher leads.
#[test]
fn a_task_is_woken_for_what_its_publisher_commits() {
    beside(1024, Followed::Committed, polling, |log| {
        log.buffered(&[1; 48]).unwrap();
    });
}

#[test]
fn a_task_is_woken_for_what_is_written_beside_the_ring() {
    beside(1024, Followed::Committed, polling, |log| {
        log.direct(160).unwrap();
    });
}

#[test]
fn a_thread_is_woken_for_what_is_appended_alone() {
    beside(1024, Followed::Committed, blocking, appends_alone);
}

#[test]
fn a_task_is_woken_for_what_is_appended_alone() {
    beside(1024, Followed::Committed, polling, appends_alone);
}

/// Who finds itself not alone, with the lead taken, commits what another has published, and is not
/// heard of any more: it may get no room of its own.
#[test]
fn a_task_is_woken_by_one_who_is_not_alone() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let mut place = Place::default();
        let waker = Waker::from(std::sync::Arc::new(Unpark(current())));
        assert_eq!(run_once(&log, &mut place, &waker), Ahead::Nothing);
        let other = spawn(&log, |log| log.append(&[2; 8]).unwrap());
        log.try_alone(&[1; 8]).transpose().unwrap();
        other.join().unwrap();
        // Returns only if it is woken.
        park();
        assert_eq!(run(&log, Followed::Committed, START, &mut place, &waker), Ahead::More);
        nobody_is_left(&log);
    });
}

/// Begun where the first segment is full: what comes is the next one's link, then the record.
fn beside_a_roll(follow: Follow) {
    model(move || {
        let log = Log::new(24, 128, next(24));
        log.append(&[1; 8]).unwrap();
        let thread = spawn(&log, move |log| {
            let mut seen = START + 24;
            // Structure moves the watermark as well.
            while seen < frames_start(8192) + LINK_FRAME_BYTES + 24 {
                assert_eq!(follow(log, Followed::Committed, seen), Ahead::More);
                seen = log.protocol.committed();
            }
            log.disk.bytes.on_read();
        });
        log.append(&[2; 8]).unwrap();
        thread.join().unwrap();
        nobody_is_left(&log);
    });
}

#[test]
fn a_thread_is_woken_beside_a_roll() {
    beside_a_roll(blocking);
}

#[test]
fn a_task_is_woken_beside_a_roll() {
    beside_a_roll(polling);
}

/// A leader that is at work already, after whom nobody comes.
fn beside_a_leader_that_leaves(follow: impl Fn(&Log) + Copy + Send + Sync + 'static) {
    bounded(3, move || {
        let log = Log::new(1024, 128, DiskState::default());
        let (_, end) = log.stage(&[1; 8]).unwrap();
        let thread = spawn(&log, move |log| follow(log));
        log.commit_until(end).unwrap();
        thread.join().unwrap();
        nobody_is_left(&log);
    });
}

#[test]
fn a_thread_that_enlists_beside_a_leader_is_seen_or_sees() {
    beside_a_leader_that_leaves(|log| {
        assert_eq!(blocking(log, Followed::Committed, START), Ahead::More);
    });
}

#[test]
fn a_task_that_enlists_beside_a_leader_is_seen_or_sees() {
    beside_a_leader_that_leaves(|log| {
        assert_eq!(polling(log, Followed::Committed, START), Ahead::More);
    });
}

/// As when a task is polled by another executor thread: the first waker leads nowhere.
#[test]
fn a_task_that_is_polled_again_is_woken_by_its_last_waker() {
    beside_a_leader_that_leaves(|log| {
        let mut place = Place::default();
        let waker = Waker::from(std::sync::Arc::new(Unpark(current())));
        let first = run_once(log, &mut place, Waker::noop());
        if first == Ahead::Nothing {
            run(log, Followed::Committed, START, &mut place, &waker);
        }
    });
}

/// Cancelled while a leader may be about to wake it.
#[test]
fn a_task_that_is_dropped_leaves_nothing() {
    beside_a_leader_that_leaves(|log| {
        let mut place = Place::default();
        run_once(log, &mut place, Waker::noop());
        log.protocol.forget_follower(Followed::Committed, &mut place);
    });
}

fn run_once(log: &Log, place: &mut Place, waker: &Waker) -> Ahead {
    log.protocol.poll_ahead(Followed::Committed, START, place, waker)
}

/// Whoever is woken wakes the next who is covered.
#[test]
fn two_threads_are_woken_one_by_the_other() {
    bounded(1, || {
        let log = Log::new(1024, 128, DiskState::default());
        let follow = || spawn(&log, |log| blocking(log, Followed::Committed, START));
        let threads = [follow(), follow()];
        log.append(&[1; 8]).unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Ahead::More);
        }
        nobody_is_left(&log);
    });
}

/// A write or a sync fails: no more will come, and the cause is there.
fn beside_poison(follow: Follow, followed: Followed, state: fn() -> DiskState) {
    model(move || {
        let log = Log::new(1024, 128, state());
        let thread = spawn(&log, move |log| follow(log, followed, START));
        assert!(log.durable(&[1; 8]).is_err());
        let seen = thread.join().unwrap();
        let committed = followed == Followed::Committed && log.protocol.committed() > START;
        assert_eq!(seen == Ahead::More, committed);
        nobody_is_left(&log);
    });
}

fn failing_write() -> DiskState {
    DiskState { fail_write: true, ..DiskState::default() }
}

fn failing_sync() -> DiskState {
    DiskState { fail_sync: true, ..DiskState::default() }
}

#[test]
fn a_failed_write_reaches_every_thread_that_follows() {
    beside_poison(blocking, Followed::Committed, failing_write);
}

#[test]
fn a_failed_write_reaches_every_task_that_follows() {
    beside_poison(polling, Followed::Committed, failing_write);
}

#[test]
fn a_failed_sync_reaches_every_thread_that_follows() {
    beside_poison(blocking, Followed::Durable, failing_sync);
}

#[test]
fn a_failed_sync_reaches_every_task_that_follows() {
    beside_poison(polling, Followed::Durable, failing_sync);
}

/// It is told of what was claimed before, if anything was, and then of the end.
fn beside_closing(follow: Follow, followed: Followed) {
    beside_closing_behind(follow, followed, false);
    beside_closing_behind(follow, followed, true);
}

fn beside_closing_behind(follow: Follow, followed: Followed, a_record: bool) {
    model(move || {
        let log = Log::new(1024, 128, DiskState::default());
        let end = if a_record { log.stage(&[1; 8]).unwrap().1 } else { START };
        let thread = spawn(&log, move |log| {
            if a_record {
                assert_eq!(follow(log, followed, START), Ahead::More);
            }
            follow(log, followed, end)
        });
        let tail = log.protocol.close();
        log.sync_until(tail).unwrap();
        assert_eq!(thread.join().unwrap(), Ahead::Stopped(Stopped::Closed));
        nobody_is_left(&log);
    });
}

#[test]
fn closing_ends_every_thread_that_follows() {
    beside_closing(blocking, Followed::Committed);
}

#[test]
fn closing_ends_every_task_that_follows() {
    beside_closing(polling, Followed::Committed);
}

#[test]
fn closing_ends_every_thread_that_follows_what_is_durable() {
    beside_closing(blocking, Followed::Durable);
}

#[test]
fn closing_ends_every_task_that_follows_what_is_durable() {
    beside_closing(polling, Followed::Durable);
}

/// It stands where the log ended before, and so is covered by where it goes on.
fn beside_a_cut(follow: Follow, followed: Followed) {
    model(move || {
        let log = Log::new(1024, 128, DiskState::default());
        let (_, end) = log.stage(&[1; 8]).unwrap();
        let thread = spawn(&log, move |log| follow(log, followed, end));
        assert!(log.cut().unwrap());
        assert_eq!(thread.join().unwrap(), Ahead::More);
        nobody_is_left(&log);
    });
}

#[test]
fn a_thread_is_woken_by_a_cut() {
    beside_a_cut(blocking, Followed::Committed);
}

#[test]
fn a_task_is_woken_by_a_cut() {
    beside_a_cut(polling, Followed::Committed);
}

#[test]
fn a_thread_that_follows_what_is_durable_is_woken_by_a_cut() {
    beside_a_cut(blocking, Followed::Durable);
}

#[test]
fn a_task_that_follows_what_is_durable_is_woken_by_a_cut() {
    beside_a_cut(polling, Followed::Durable);
}

/// A follower in the list makes nobody lead who would not without it.
#[test]
fn who_publishes_a_buffered_record_does_not_lead_for_a_follower() {
    model(|| {
        let log = Log::new(1024, 128, DiskState::default());
        let place = log.protocol.commit_followers.enlist(START + 1);
        let thread = spawn(&log, |log| log.buffered(&[1; 8]).unwrap());
        let (_, end) = log.buffered(&[2; 8]).unwrap();
        thread.join().unwrap();
        assert_eq!(log.protocol.committed(), START, "nobody commits");
        log.commit_until(end.max(START + 48)).unwrap();
        log.protocol.commit_followers.leave(&place);
    });
}
