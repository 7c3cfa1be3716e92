//! [`Waiters`]: who waits for a watermark, ordered by address: threads, and [listeners](Listener).
//!
//! Invariant: whoever enlists and then looks again, by a signal to the lead, is either covered when
//! it looks, leads itself, or is woken by a leader. Only the covered are taken out, and nobody is
//! woken or told with the lock held. Threads are woken a few at a time; each that leaves wakes a few
//! more, so that waking spreads over the threads instead of holding up the leader. The last to come is
//! the first of them: its core sleeps, as a rule, and takes longest to get up. Who came first has run
//! on the waker's own core, and takes it away. Listeners take no
//! part in that, as nobody knows when, or if, they get to run: one thread takes all that are covered
//! at once, and tells them in order of address.

use std::collections::{BTreeMap, VecDeque};

use crate::protocol::listener::Listener;
use crate::sync::{AtomicU64, Mutex, Ordering, Thread, current};

/// How many are woken by one thread. With two, the last of a group sits behind several wake-ups, one
/// after the other: groups of 32 were then half as large.
const WOKEN_AT_ONCE: usize = if cfg!(stratalog_loom) { 1 } else { 8 };

#[derive(Debug)]
struct Waiter {
    /// Covered when the watermark reaches this.
    target: u64,
    id: u64,
    thread: Thread,
}

/// Listeners by target and number, so in order of address and, at one address, of arrival.
pub(super) type Listeners = BTreeMap<(u64, u64), Listener>;

#[derive(Debug)]
struct List {
    /// Ascending by target; arrivals mostly belong at the end.
    threads: VecDeque<Waiter>,
    listeners: Listeners,
    next_id: u64,
    /// The highest watermark that a leader came with. Who wakes others on a leader's behalf goes by
    /// it: what it has read of the watermark itself may be older.
    covered: u64,
    /// The highest target that a listener ever had.
    asked: u64,
}

impl List {
    /// Takes out the lowest threads that are covered, as many as one thread wakes.
    fn take_covered(&mut self) -> [Option<Waiter>; WOKEN_AT_ONCE] {
        let mut woken = [const { None }; WOKEN_AT_ONCE];
        for place in &mut woken {
            if self.threads.front().is_some_and(|waiter| waiter.target <= self.covered) {
                *place = self.threads.pop_front();
            }
        }
        woken
    }

    fn count(&self) -> u64 {
        (self.threads.len() + self.listeners.len()) as u64
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

fn wake(waiters: impl DoubleEndedIterator<Item = Waiter>) {
    waiters.rev().for_each(|waiter| waiter.thread.unpark());
}

#[derive(Debug)]
pub(crate) struct Waiters {
    /// The lowest target of a thread, or all ones. Written under the lock; read by leaders without
    /// it.
    lowest_thread: AtomicU64,
    /// The lowest target of anyone, likewise.
    lowest: AtomicU64,
    /// How many wait, likewise.
    count: AtomicU64,
    list: Mutex<List>,
}

/// A place in the list.
#[derive(Debug)]
pub(crate) struct Ticket {
    target: u64,
    id: u64,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        let list = List {
            threads: VecDeque::new(),
            listeners: BTreeMap::new(),
            next_id: 0,
            covered: 0,
            asked: 0,
        };
        Self {
            lowest_thread: AtomicU64::new(u64::MAX),
            lowest: AtomicU64::new(u64::MAX),
            count: AtomicU64::new(0),
            list: Mutex::new(list),
        }
    }

    /// Puts the current thread into the list. It must look again before it parks.
    pub(crate) fn enlist(&self, target: u64) -> Ticket {
        let mut list = self.list.lock();
        let id = list.next_id();
        let at = list.threads.partition_point(|waiter| waiter.target <= target);
        list.threads.insert(at, Waiter { target, id, thread: current() });
        self.note(&list);
        Ticket { target, id }
    }

    /// Takes the place back, if it is still there, and wakes others that are covered.
    pub(crate) fn leave(&self, ticket: &Ticket) {
        let mut list = self.list.lock();
        let from = list.threads.partition_point(|waiter| waiter.target < ticket.target);
        let found = list.threads.range(from..).position(|waiter| waiter.id == ticket.id);
        if let Some(offset) = found {
            list.threads.remove(from + offset);
        }
        let woken = list.take_covered();
        self.note(&list);
        drop(list);
        wake(woken.into_iter().flatten());
    }

    /// Puts a listener into the list; whoever does so must look again. Also says whether the target
    /// is the highest yet: then someone has to be asked to lead.
    pub(super) fn enlist_listener(&self, target: u64, listener: Listener) -> (Ticket, bool) {
        let mut list = self.list.lock();
        let id = list.next_id();
        list.listeners.insert((target, id), listener);
        let rises = target > list.asked;
        list.asked = list.asked.max(target);
        self.note(&list);
        (Ticket { target, id }, rises)
    }

    /// Puts another listener in the place, if it is still there. Returns the one that there is no
    /// use for, to be dropped without the lock.
    pub(super) fn replace(&self, ticket: &Ticket, listener: Listener) -> Listener {
        match self.list.lock().listeners.get_mut(&(ticket.target, ticket.id)) {
            Some(place) => std::mem::replace(place, listener),
            None => listener,
        }
    }

    /// Takes a listener out again, unless someone else is about to tell it.
    pub(super) fn withdraw(&self, ticket: &Ticket) -> Option<Listener> {
        let mut list = self.list.lock();
        let listener = list.listeners.remove(&(ticket.target, ticket.id));
        self.note(&list);
        listener
    }

    /// The highest target that a listener ever had.
    pub(super) fn asked(&self) -> u64 {
        self.list.lock().asked
    }

    /// Whether a thread waits. Relaxed: a read-modify-write of the lead stands between an arrival
    /// and this look.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.lowest_thread.load(Ordering::Relaxed) != u64::MAX
    }

    /// How many wait, at a glance.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Wakes the lowest threads that `watermark` covers, a few of them.
    pub(crate) fn wake_covered(&self, watermark: u64) {
        // Relaxed, as in `any`.
        if self.lowest_thread.load(Ordering::Relaxed) > watermark {
            return;
        }
        let mut list = self.list.lock();
        list.covered = list.covered.max(watermark);
        let woken = list.take_covered();
        self.note(&list);
        drop(list);
        wake(woken.into_iter().flatten());
    }

    /// Takes out all listeners that `watermark` covers. The caller tells them.
    pub(super) fn take_listeners(&self, watermark: u64) -> Listeners {
        // Relaxed, as in `any`.
        if self.lowest.load(Ordering::Relaxed) > watermark {
            return Listeners::new();
        }
        let mut list = self.list.lock();
        let later = list.listeners.split_off(&(watermark + 1, 0));
        let covered = std::mem::replace(&mut list.listeners, later);
        self.note(&list);
        covered
    }

    /// Whether anyone waits whom `watermark` covers. Relaxed, as in `any`.
    #[inline]
    pub(super) fn covers_any(&self, watermark: u64) -> bool {
        self.lowest.load(Ordering::Relaxed) <= watermark
    }

    /// Lets the lowest thread look that `watermark` does not cover: it is its turn to lead. The
    /// covered may be in the list still, to be woken by each other.
    pub(crate) fn nudge(&self, watermark: u64) {
        if !self.any() {
            return;
        }
        let list = self.list.lock();
        let at = list.threads.partition_point(|waiter| waiter.target <= watermark);
        let thread = list.threads.get(at).map(|waiter| waiter.thread.clone());
        drop(list);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    /// Wakes all threads; they find out why by looking. Returns all listeners, for the caller to
    /// tell.
    pub(super) fn wake_all(&self) -> Listeners {
        let mut list = self.list.lock();
        let threads = std::mem::take(&mut list.threads);
        let listeners = std::mem::take(&mut list.listeners);
        self.note(&list);
        drop(list);
        wake(threads.into_iter());
        listeners
    }

    fn note(&self, list: &List) {
        self.count.store(list.count(), Ordering::Relaxed);
        let lowest = list.threads.front().map_or(u64::MAX, |waiter| waiter.target);
        self.lowest_thread.store(lowest, Ordering::Relaxed);
        let lowest = list.listeners.keys().next().map_or(lowest, |(target, _)| lowest.min(*target));
        self.lowest.store(lowest, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(stratalog_loom)))]
mod tests {
    use std::task::Waker;

    use super::*;
    #[cfg(not(miri))]
    use crate::sync::yield_now;

    fn listener() -> Listener {
        Listener::Waker(Waker::noop().clone())
    }

    #[test]
    fn only_a_target_above_all_before_it_needs_a_leader_to_be_asked() {
        let waiters = Waiters::new();
        let rises = |target| waiters.enlist_listener(target, listener()).1;
        assert_eq!([16, 16, 8, 24].map(rises), [true, false, false, true]);
    }

    #[cfg(not(miri))]
    #[test]
    fn nobody_is_woken_who_is_not_covered() {
        use std::sync::Arc;

        use crate::sync::{park, schedule, spawn};

        const TARGETS: [u64; 4] = [8, 16, 24, 32];
        schedule::run(1, || {
            let waiters = Arc::new(Waiters::new());
            let wakeful: Arc<[AtomicU64; 4]> = Arc::default();
            let threads = [0, 1, 2, 3].map(|number| {
                let (waiters, wakeful) = (Arc::clone(&waiters), Arc::clone(&wakeful));
                spawn("waiter", move || {
                    let ticket = waiters.enlist(TARGETS[number]);
                    park();
                    wakeful[number].store(1, Ordering::Relaxed);
                    waiters.leave(&ticket);
                })
                .unwrap()
            });
            let settle = || (0..1000).for_each(|_| yield_now());
            let woken = || wakeful.each_ref().map(|it| it.load(Ordering::Relaxed));
            settle();
            waiters.wake_covered(7);
            settle();
            assert_eq!(woken(), [0; 4]);
            waiters.wake_covered(16);
            settle();
            assert_eq!(woken(), [1, 1, 0, 0]);
            // Whoever is to look next, and nobody else.
            waiters.nudge(16);
            settle();
            assert_eq!(woken(), [1, 1, 1, 0]);
            drop(waiters.wake_all());
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn threads_and_listeners_are_counted_until_they_leave() {
        let waiters = Waiters::new();
        let threads = [8, 8, 16].map(|target| waiters.enlist(target));
        assert_eq!(waiters.count(), 3);
        let listeners = [8, 16].map(|target| waiters.enlist_listener(target, listener()).0);
        assert_eq!(waiters.count(), 5);
        assert!(waiters.withdraw(&listeners[0]).is_some());
        assert_eq!(waiters.count(), 4);
        for ticket in &threads {
            waiters.leave(ticket);
        }
        assert_eq!(waiters.count(), 1);
    }
}
