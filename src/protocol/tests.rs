//! Tests of the protocol on a medium that is a list: what the leaders take out of the ring.
//!
//! Invariant: what is written is what was staged, once and in order.

use std::sync::Arc;

use super::*;
use crate::format::{LINK_FRAME_BYTES, frames_start};
use crate::sync::{AtomicU64, Mutex, Ordering};

const START: u64 = frames_start(0) + LINK_FRAME_BYTES;

/// What was written: address and bytes of each run.
#[derive(Default)]
struct List {
    runs: Mutex<Vec<(u64, Vec<u8>)>>,
    /// How many records another thread publishes, one during each write.
    fed: AtomicU64,
}

impl Medium for List {
    type NoRoom = ();

    fn make_room(&self, _protocol: &Protocol, _tail: u64, _need: u64) -> Result<bool, ()> {
        Err(())
    }

    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed> {
        let mut bytes = vec![0; usize::try_from(run.data_end - run.from).unwrap()];
        protocol.take(run.from, &mut bytes);
        self.runs.lock().push((run.from, bytes));
        if self.fed.load(Ordering::Relaxed) > 0 {
            self.fed.fetch_sub(1, Ordering::Relaxed);
            let end = stage(protocol, self, 64);
            protocol.published(self, end)?;
        }
        Ok(())
    }

    fn sync(&self, _from: u64, _to: u64) -> Result<(), Failed> {
        Ok(())
    }

    fn await_cut(&self) {}

    fn gather(&self, _waiting: &dyn Fn() -> u64) {}
}

/// A protocol with a ring of 4 KiB and one segment of 1 MiB.
fn protocol() -> Protocol {
    let protocol = Protocol::new(START, 4096, LogId::new([7; 16]));
    let end = 1 << 20;
    protocol.attach(Extent { base: 0, end, previous_base: u64::MAX, previous_end: u64::MAX });
    protocol.raise_attached_end(end);
    protocol
}

/// Stages a record whose frame has `bytes` bytes, and tells no leader of it.
fn stage(protocol: &Protocol, list: &List, bytes: usize) -> u64 {
    let payload = vec![1; bytes - 16];
    let part = Part::new(&payload, u32::try_from(payload.len()).unwrap());
    protocol.stage(list, part).unwrap().1
}

#[test]
fn a_leader_that_finds_the_whole_ring_published_takes_it_out_once() {
    // What several threads do that are all stopped between publishing and signalling. The ends of
    // the last frames differ: exactly the ring, and a word less.
    for last in [1024, 1016] {
        let (protocol, list) = (protocol(), List::default());
        for bytes in [1024, 1024, 1024] {
            stage(&protocol, &list, bytes);
        }
        let end = stage(&protocol, &list, last);
        protocol.commit_until(&list, end).unwrap();
        assert_eq!(protocol.committed(), end);
        assert_eq!(protocol.tail(), end);
        let next = stage(&protocol, &list, 64);
        protocol.commit_until(&list, next).unwrap();
        let written: Vec<_> = list.runs.lock().iter().map(|(at, run)| (*at, run.len())).collect();
        assert_eq!(written, [(START, 3072 + last), (end, 64)]);
    }
}

#[test]
fn a_leader_is_let_go_while_others_go_on_publishing() {
    // Its own round, and one more where someone may sleep.
    for (someone_waits, rounds) in [(false, 1), (true, 2)] {
        let (protocol, list) = (protocol(), List::default());
        let place = someone_waits.then(|| protocol.commit_waiters.enlist(u64::MAX - 1));
        list.fed.store(1000, Ordering::Relaxed);
        let end = stage(&protocol, &list, 64);
        protocol.commit_until(&list, end).unwrap();
        assert_eq!(list.runs.lock().len(), rounds);
        assert!(protocol.commit_lead.is_idle());
        let tail = protocol.tail();
        list.fed.store(0, Ordering::Relaxed);
        assert_eq!(protocol.commit_until(&list, tail), Ok(tail));
        if let Some(place) = place {
            protocol.commit_waiters.leave(&place);
        }
    }
}

/// A protocol with a ring of 4 KiB, whose next address is `at` in a segment up to `end`.
fn protocol_at(at: u64, end: u64) -> Protocol {
    let protocol = Protocol::new(at, 4096, LogId::new([7; 16]));
    protocol.attach(Extent { base: 0, end, previous_base: u64::MAX, previous_end: u64::MAX });
    protocol
}

#[test]
fn an_idle_mark_is_claimed_only_where_it_fits_and_nothing_has_to_come_before_it() {
    let mark_at = |at: u64, attached_end: u64| {
        let protocol = protocol_at(at, START + 1024);
        protocol.raise_attached_end(attached_end);
        protocol.reserve_mark(at)
    };
    let end = START + 1024;
    assert_eq!(mark_at(START, end), Some((START, START + 16)));
    assert_eq!(mark_at(START, START + 16), Some((START, START + 16)));
    assert_eq!(mark_at(START, START + 8), None, "that is not attached");
    assert_eq!(mark_at(frames_start(0), end), None, "the link comes first");
    assert_eq!(mark_at(end - 16, end), Some((end - 16, end)));
    assert_eq!(mark_at(end - 8, end + 4096), None, "it would lie behind the frames");
    // Where the log ends elsewhere, or the ring is full.
    let (protocol, list) = (protocol(), List::default());
    assert_eq!(protocol.reserve_mark(START + 8), None);
    for _ in 0..4 {
        stage(&protocol, &list, 1024);
    }
    let tail = protocol.tail();
    assert_eq!(protocol.reserve_mark(tail), None);
    protocol.commit_until(&list, tail).unwrap();
    assert_eq!(protocol.reserve_mark(tail), Some((tail, tail + 16)));
}

#[test]
fn neither_link_nor_padding_is_claimed_where_nothing_is_attached() {
    let first = frames_start(0);
    let protocol = protocol_at(first, START + 64);
    let refused = |tail, need| Err(Refusal::NoSegment { tail, need });
    protocol.raise_attached_end(START - 8);
    assert_eq!(protocol.reserve(24), refused(first, 24));
    protocol.raise_attached_end(START);
    assert!(matches!(protocol.reserve(24), Ok(Claim::Link { .. })));
    let (base, end) = (16384, 16384 + 12288);
    protocol.attach(Extent { base, end, previous_base: 0, previous_end: START + 64 });
    protocol.raise_attached_end(START + 8);
    assert_eq!(protocol.reserve(128), refused(START, 128));
    protocol.raise_attached_end(START + 16);
    assert_eq!(protocol.reserve(128), Ok(Claim::Padding { at: START, end: START + 64 }));
}

#[test]
fn what_is_claimed_in_the_ring_at_once_is_what_would_be_claimed_and_nothing_else() {
    // Where the log ends, what is attached, what is asked for.
    let end = START + 1024;
    for (at, attached_end, need, claimed) in [
        (START, end, 24, true),
        (START, end, 1024, true),
        (START, START + 24, 24, true),
        (START, START + 16, 24, false),
        (START, end, 1032, false),
        (end - 24, end + 4096, 24, true),
        (end - 16, end + 4096, 24, false),
        (end, end + 4096, 24, false),
        (frames_start(0), end, 24, false),
        (frames_start(0) - 8, end, 24, false),
    ] {
        let protocol = protocol_at(at, end);
        protocol.raise_attached_end(attached_end);
        let now = protocol.claim_in_ring(need);
        assert_eq!(now, claimed.then_some(at), "{at} {attached_end} {need}");
        assert_eq!(protocol.tail(), at + if claimed { need } else { 0 });
        if !claimed {
            assert_ne!(protocol.reserve(need), Ok(Claim::Frames { at }), "{at} {need}");
        }
    }
    let (protocol, list) = (protocol(), List::default());
    for bytes in [1024, 1024, 2024] {
        stage(&protocol, &list, bytes);
    }
    let tail = protocol.tail();
    assert_eq!(protocol.claim_in_ring(32), None, "the ring is full");
    assert_eq!(protocol.claim_in_ring(24), Some(tail));
    protocol.close();
    assert_eq!(protocol.claim_in_ring(24), None);
}

#[test]
fn a_run_is_of_one_batch_or_not_longer_than_it_may_be() {
    let protocol = Protocol::new(START, 16384, LogId::new([7; 16]));
    let end = 1 << 20;
    protocol.attach(Extent { base: 0, end, previous_base: u64::MAX, previous_end: u64::MAX });
    protocol.raise_attached_end(end);
    let list = List::default();
    // A run may have 5 KiB under test.
    for bytes in [2560, 2560, 16, 5104, 6000, 24] {
        stage(&protocol, &list, bytes);
    }
    protocol.commit_until(&list, protocol.tail()).unwrap();
    let written: Vec<_> = list.runs.lock().iter().map(|(_, run)| run.len()).collect();
    assert_eq!(written, [5120, 5120, 6000, 24]);
}

#[test]
fn a_segment_without_a_record_is_not_rolled() {
    let (protocol, list) = (protocol(), List::default());
    assert_eq!(protocol.reserve_rest(0), Ok(None));
    stage(&protocol, &list, 64);
    // There is no other segment yet.
    assert!(protocol.reserve_rest(0).is_err());
    assert_eq!(protocol.reserve_rest(8192), Ok(None));
}

#[test]
fn nothing_is_asked_for_that_is_durable_already() {
    let (protocol, list) = (protocol(), List::default());
    let end = stage(&protocol, &list, 64);
    assert_eq!(protocol.asked(), None);
    assert!(protocol.call_when_durable(end, Box::new(|_| {})));
    assert_eq!(protocol.asked(), Some(end));
    protocol.sync_until(&list, end).unwrap();
    assert_eq!(protocol.asked(), None);
}

#[test]
fn who_follows_is_not_told_before_there_is_more() {
    let (protocol, list) = (protocol(), List::default());
    let mut place = Place::default();
    let position = protocol.committed();
    let looked =
        protocol.poll_ahead(Followed::Committed, position, &mut place, std::task::Waker::noop());
    assert_eq!(looked, Ahead::Nothing);
    assert!(!protocol.commit_followers.covers_any(position));
    assert!(protocol.commit_followers.covers_any(position + 1));
    protocol.forget_follower(Followed::Committed, &mut place);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            protocol.wait_ahead(Followed::Committed, position, &crate::sync::Deadline::NEVER)
        });
        while protocol.commit_followers.count() == 0 {
            std::thread::yield_now();
        }
        let early = protocol.commit_followers.covers_any(position);
        let end = stage(&protocol, &list, 64);
        protocol.commit_until(&list, end).unwrap();
        assert_eq!((thread.join().unwrap(), early), (Ahead::More, false));
    });
}

#[test]
fn a_fifth_segment_is_not_attached_before_the_first_is_left_and_committed() {
    let protocol = protocol_at(START, START + 64);
    for base in [16384, 32768, 49152] {
        assert!(protocol.can_attach());
        let (previous_base, previous_end) = (base - 16384, base - 4096);
        protocol.attach(Extent { base, end: base + 12288, previous_base, previous_end });
    }
    assert!(!protocol.can_attach());
    protocol.committed.advance(START + 64);
    assert!(!protocol.can_attach(), "the tail may be there still");
    protocol.committed.advance(frames_start(16384));
    assert!(protocol.can_attach());
}

/// A medium that is asked for another sync in each of the first rounds of its leader.
struct Asked<'a> {
    protocol: &'a Protocol,
    left: AtomicU64,
    rounds: AtomicU64,
}

impl Medium for Asked<'_> {
    type NoRoom = ();

    fn make_room(&self, _protocol: &Protocol, _tail: u64, _need: u64) -> Result<bool, ()> {
        Err(())
    }

    fn write(&self, _protocol: &Protocol, _run: &Run) -> Result<(), Failed> {
        Err(Failed)
    }

    fn sync(&self, _from: u64, _to: u64) -> Result<(), Failed> {
        Ok(())
    }

    fn await_cut(&self) {}

    fn gather(&self, _waiting: &dyn Fn() -> u64) {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        if self.left.load(Ordering::Relaxed) > 0 {
            self.left.fetch_sub(1, Ordering::Relaxed);
            assert!(!self.protocol.sync_lead.signal(), "someone leads");
        }
    }
}

#[test]
fn a_sync_leader_syncs_once_and_is_let_go_whoever_asks_for_more() {
    for (asked, rounds) in [(0, 1), (1, 1), (9, 1)] {
        let (protocol, list) = (protocol(), List::default());
        let end = stage(&protocol, &list, 64);
        protocol.commit_until(&list, end).unwrap();
        let (left, none) = (AtomicU64::new(asked), AtomicU64::new(0));
        let medium = Asked { protocol: &protocol, left, rounds: none };
        assert_eq!(protocol.sync_until(&medium, end), Ok(end));
        assert_eq!(medium.rounds.load(Ordering::Relaxed), rounds, "{asked}");
        assert!(protocol.sync_lead.is_idle());
    }
}

/// Where a record is published while a leader waits for company, and others begin to wait while it syncs.
#[derive(Default)]
struct Company {
    list: List,
    /// Where the record ends that came during the wait.
    came: AtomicU64,
    /// How many waited when a sync was over.
    waiting: Mutex<Vec<u64>>,
}

/// The protocol of the thread that tests.
struct Beside<'a>(&'a Protocol, &'a Company);

impl Medium for Beside<'_> {
    type NoRoom = ();

    fn make_room(&self, _protocol: &Protocol, _tail: u64, _need: u64) -> Result<bool, ()> {
        Err(())
    }

    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed> {
        self.1.list.write(protocol, run)
    }

    fn sync(&self, _from: u64, to: u64) -> Result<(), Failed> {
        assert_eq!(to, self.1.came.load(Ordering::Relaxed), "who came in time is served");
        self.0.call_when_durable(to + 1, Box::new(|_| ()));
        Ok(())
    }

    fn await_cut(&self) {}

    fn gather(&self, waiting: &dyn Fn() -> u64) {
        assert_eq!(waiting(), 0);
        let end = stage(self.0, &self.1.list, 64);
        self.1.came.store(end, Ordering::Relaxed);
        self.0.call_when_durable(end, Box::new(|_| ()));
        assert_eq!(waiting(), 1);
    }

    fn gathered(&self, waiting: u64) {
        self.1.waiting.lock().push(waiting);
    }
}

#[test]
fn a_sync_serves_who_comes_while_its_leader_waits_and_tells_how_many_there_were() {
    let (protocol, company) = (protocol(), Company::default());
    let medium = Beside(&protocol, &company);
    let end = stage(&protocol, &company.list, 64);
    let reached = protocol.sync_until(&medium, end).unwrap();
    assert_eq!(reached, company.came.load(Ordering::Relaxed));
    // The one that was served, who is told only then, and the one that came meanwhile.
    assert_eq!(*company.waiting.lock(), [2]);
    assert_eq!(protocol.sync_waiters.count(), 1);
}

/// In the schedule's time, in which threads take turns.
#[cfg(not(miri))]
#[test]
fn two_threads_that_append_all_the_time_share_writes() {
    use crate::sync::{cores, schedule, spawn};

    const EACH: usize = 100;
    const RUNS: u64 = 32;
    if cores() == 1 {
        println!("skipped: one core");
        return;
    }
    let mut writes = 0;
    for seed in 0..RUNS {
        let counted = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&counted);
        schedule::run(seed, move || {
            let log = Arc::new((protocol(), List::default()));
            let threads = [0, 1].map(|_| {
                let log = Arc::clone(&log);
                let append = move || {
                    let (protocol, list) = &*log;
                    let end = stage(protocol, list, 64);
                    protocol.commit_until(list, end).unwrap();
                };
                spawn("appender", move || (0..EACH).for_each(|_| append())).unwrap()
            });
            for thread in threads {
                thread.join().unwrap();
            }
            count.store(log.1.runs.lock().len() as u64, Ordering::Relaxed);
        });
        writes += counted.load(Ordering::Relaxed);
    }
    let records = RUNS * 2 * EACH as u64;
    println!("{writes} writes of {records} records");
    // Without a wait for company it is 3 of 4.
    assert!(writes < records * 7 / 10);
}
