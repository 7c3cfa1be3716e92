//! [`Waiters`]: who waits for a watermark, ordered by address.
//!
//! Invariant: whoever enlists and then looks again, by a signal to the lead, is either covered when
//! it looks, leads itself, or is woken by a leader. Only the covered are taken out and woken, two at
//! a time and with no lock held; each that leaves wakes two more, so that waking spreads over the
//! threads instead of holding up the leader.

use std::collections::VecDeque;

use crate::sync::{AtomicU64, Mutex, Ordering, Thread, current};

/// How many are woken by one thread.
const WOKEN_AT_ONCE: usize = if cfg!(stratalog_loom) { 1 } else { 2 };

#[derive(Debug)]
struct Waiter {
    /// Covered when the watermark reaches this.
    target: u64,
    id: u64,
    thread: Thread,
}

#[derive(Debug)]
struct List {
    /// Ascending by target; arrivals mostly belong at the end.
    waiters: VecDeque<Waiter>,
    next_id: u64,
    /// The highest watermark that a leader came with. Who wakes others on a leader's behalf goes by
    /// it: what it has read of the watermark itself may be older.
    covered: u64,
}

impl List {
    /// Takes out the lowest that are covered, as many as one thread wakes.
    fn take_covered(&mut self) -> [Option<Waiter>; WOKEN_AT_ONCE] {
        let mut woken = [const { None }; WOKEN_AT_ONCE];
        for place in &mut woken {
            if self.waiters.front().is_some_and(|waiter| waiter.target <= self.covered) {
                *place = self.waiters.pop_front();
            }
        }
        woken
    }
}

fn wake(waiters: impl IntoIterator<Item = Waiter>) {
    waiters.into_iter().for_each(|waiter| waiter.thread.unpark());
}

#[derive(Debug)]
pub(crate) struct Waiters {
    /// The lowest target, or all ones. Written under the lock; read by leaders without it.
    lowest: AtomicU64,
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
        Self {
            lowest: AtomicU64::new(u64::MAX),
            list: Mutex::new(List { waiters: VecDeque::new(), next_id: 0, covered: 0 }),
        }
    }

    /// Puts the current thread into the list. It must look again before it parks.
    pub(crate) fn enlist(&self, target: u64) -> Ticket {
        let mut list = self.list.lock();
        let id = list.next_id;
        list.next_id += 1;
        let at = list.waiters.partition_point(|waiter| waiter.target <= target);
        list.waiters.insert(at, Waiter { target, id, thread: current() });
        self.note_lowest(&list);
        Ticket { target, id }
    }

    /// Takes the place back, if it is still there, and wakes others that are covered.
    pub(crate) fn leave(&self, ticket: &Ticket) {
        let mut list = self.list.lock();
        let from = list.waiters.partition_point(|waiter| waiter.target < ticket.target);
        let found = list.waiters.range(from..).position(|waiter| waiter.id == ticket.id);
        if let Some(offset) = found {
            list.waiters.remove(from + offset);
        }
        let woken = list.take_covered();
        self.note_lowest(&list);
        drop(list);
        wake(woken.into_iter().flatten());
    }

    /// Whether anyone waits. Relaxed: a read-modify-write of the lead stands between an arrival and
    /// this look.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.lowest.load(Ordering::Relaxed) != u64::MAX
    }

    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.list.lock().waiters.len()
    }

    /// Wakes the two lowest that `watermark` covers.
    pub(crate) fn wake_covered(&self, watermark: u64) {
        if self.lowest.load(Ordering::Relaxed) > watermark {
            return;
        }
        let mut list = self.list.lock();
        list.covered = list.covered.max(watermark);
        let woken = list.take_covered();
        self.note_lowest(&list);
        drop(list);
        wake(woken.into_iter().flatten());
    }

    /// Lets the lowest look that `watermark` does not cover: it is its turn to lead. The covered may
    /// be in the list still, to be woken by each other.
    pub(crate) fn nudge(&self, watermark: u64) {
        if !self.any() {
            return;
        }
        let list = self.list.lock();
        let at = list.waiters.partition_point(|waiter| waiter.target <= watermark);
        let thread = list.waiters.get(at).map(|waiter| waiter.thread.clone());
        drop(list);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    /// Wakes everyone; they find out why by looking.
    pub(crate) fn wake_all(&self) {
        let mut list = self.list.lock();
        let waiters = std::mem::take(&mut list.waiters);
        self.note_lowest(&list);
        drop(list);
        wake(waiters);
    }

    fn note_lowest(&self, list: &List) {
        let lowest = list.waiters.front().map_or(u64::MAX, |waiter| waiter.target);
        self.lowest.store(lowest, Ordering::Relaxed);
    }
}
