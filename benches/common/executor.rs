//! [`Tasks`]: many futures polled by one thread, each only after it was woken.
//!
//! Invariant: a future is in the queue at most once. Its mark is taken away before it is polled, so a
//! waker that comes meanwhile puts it there again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// What wakers and the polling thread share.
#[derive(Default)]
struct Queue {
    ready: Mutex<VecDeque<usize>>,
    changed: Condvar,
}

impl Queue {
    fn push(&self, number: usize) {
        let mut ready = self.ready.lock().expect("no holder panics");
        ready.push_back(number);
        // The one who waits takes all there are.
        if ready.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// All that are ready, in `taken`; waits until there is one.
    fn take(&self, taken: &mut VecDeque<usize>) {
        let mut ready = self.ready.lock().expect("no holder panics");
        while ready.is_empty() {
            ready = self.changed.wait(ready).expect("no holder panics");
        }
        std::mem::swap(&mut *ready, taken);
    }
}

struct Place {
    number: usize,
    is_queued: AtomicBool,
    queue: Arc<Queue>,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            self.queue.push(self.number);
        }
    }
}

struct Slot<F> {
    future: Option<F>,
    place: Arc<Place>,
    waker: Waker,
}

/// Futures of one kind; each has a slot, which is used again.
pub(crate) struct Tasks<F> {
    queue: Arc<Queue>,
    slots: Vec<Slot<F>>,
    taken: VecDeque<usize>,
}

impl<F: Future + Unpin> Tasks<F> {
    pub(crate) fn new() -> Self {
        Self { queue: Arc::default(), slots: Vec::new(), taken: VecDeque::new() }
    }

    /// Takes a future, which is polled first when its turn comes.
    pub(crate) fn push(&mut self, future: F) {
        let (number, queue) = (self.slots.len(), Arc::clone(&self.queue));
        let place = Arc::new(Place { number, is_queued: AtomicBool::new(true), queue });
        let waker = Waker::from(Arc::clone(&place));
        self.slots.push(Slot { future: Some(future), place, waker });
        self.queue.push(number);
    }

    /// Polls until all have ended. `next` gets what each ended with, and returns another future that
    /// takes its place, or none.
    pub(crate) fn run(mut self, mut next: impl FnMut(F::Output) -> Option<F>) {
        let mut left = self.slots.len();
        while left > 0 {
            self.queue.take(&mut self.taken);
            while let Some(number) = self.taken.pop_front() {
                let slot = &mut self.slots[number];
                slot.place.is_queued.store(false, Ordering::Release);
                let Some(future) = &mut slot.future else { continue };
                let mut context = Context::from_waker(&slot.waker);
                let Poll::Ready(output) = std::pin::Pin::new(future).poll(&mut context) else {
                    continue;
                };
                slot.future = next(output);
                if slot.future.is_some() {
                    slot.waker.wake_by_ref();
                } else {
                    left -= 1;
                }
            }
        }
    }
}
