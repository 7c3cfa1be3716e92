//! [`Bell`]: wakes the maintenance thread.
//!
//! Invariant: a ring that happens after the thread began to look makes it look once more. While the
//! thread is watching already, a sync costs one atomic operation.

use std::time::Duration;

use crate::sync::{AtomicBool, Condvar, Mutex, Ordering};

#[derive(Debug, Default)]
struct State {
    rung: bool,
    rings: u64,
    stop: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the thread wakes by itself to see if the log has fallen idle.
    watching: AtomicBool,
}

/// Why the thread woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Rung,
    TimedOut,
    Stop,
}

impl Bell {
    /// There is work.
    pub(crate) fn ring(&self) {
        let mut state = self.state.lock();
        state.rung = true;
        state.rings += 1;
        drop(state);
        self.changed.notify_all();
    }

    /// Something became durable: the log may fall idle from now on.
    ///
    /// Called after the durable watermark has advanced. A read-modify-write, like `unwatch`: the
    /// later of the two sees what was done before the earlier.
    pub(crate) fn watch(&self) {
        if !self.watching.swap(true, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// The thread stops watching. It looks at the log after this, so a later sync rings again.
    pub(crate) fn unwatch(&self) {
        self.watching.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watching.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }

    /// Waits for a ring, at most `timeout` if one is given.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Woken {
        let mut state = self.state.lock();
        loop {
            if state.stop {
                return Woken::Stop;
            }
            if std::mem::take(&mut state.rung) {
                return Woken::Rung;
            }
            match timeout {
                None => self.changed.wait(&mut state),
                Some(timeout) => {
                    if self.changed.wait_for(&mut state, timeout).timed_out() {
                        return Woken::TimedOut;
                    }
                }
            }
        }
    }

    /// For the thread at work: waits for `timeout`, or until the next ring, which it will hear in
    /// [`wait`](Self::wait) as well. Not if there is something to do that somebody rings for.
    pub(crate) fn rest(&self, timeout: Duration, is_needed: impl FnOnce() -> bool) {
        let seen = self.state.lock().rings;
        if is_needed() {
            return;
        }
        let mut state = self.state.lock();
        if !state.stop && state.rings == seen {
            self.changed.wait_for(&mut state, timeout);
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::sync::{Instant, schedule, yield_now};

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_ring_ends_a_rest_and_is_heard_afterwards() {
        let bell = Bell::default();
        std::thread::scope(|scope| {
            let resting = scope.spawn(|| bell.rest(LONG, || false));
            while !resting.is_finished() {
                bell.ring();
                yield_now();
            }
        });
        assert_eq!(bell.wait(Some(LONG)), Woken::Rung);
    }

    #[test]
    fn nobody_rests_who_is_needed_or_is_to_stop_or_was_rung_for_meanwhile() {
        let bell = Bell::default();
        bell.rest(LONG, || true);
        bell.rest(LONG, || {
            bell.ring();
            false
        });
        bell.stop();
        bell.rest(LONG, || false);
    }

    #[test]
    fn a_ring_of_before_does_not_keep_from_resting() {
        schedule::run(1, || {
            let bell = Bell::default();
            bell.ring();
            let start = Instant::now();
            bell.rest(LONG, || false);
            assert!(start.elapsed() >= LONG);
            assert_eq!(bell.wait(Some(LONG)), Woken::Rung);
        });
    }
}
