//! [`Lead`]: at most one thread leads, and no signal to the leader is lost.
//!
//! Invariant: from a successful [`signal`](Lead::signal) until the matching leave there is no other
//! leader. The word is idle, held, or held with a signal (again), and is changed only by
//! read-modify-writes, which are totally ordered: whoever signals while the lead is held makes the
//! leader's leave fail, so it looks once more; whoever signals while it is idle leads, and has
//! acquired all that earlier leaders and signallers did.

use crate::sync::{AtomicU32, Ordering};

const IDLE: u32 = 0;
const HELD: u32 = 1;
const AGAIN: u32 = 2;

#[derive(Debug)]
pub(crate) struct Lead(AtomicU32);

impl Lead {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(IDLE))
    }

    /// Takes the lead, true, or makes the leader look again, false.
    #[inline]
    pub(crate) fn signal(&self) -> bool {
        self.exchange(HELD) == IDLE
    }

    /// Takes the lead if nobody has it. A leader is not made to look again: there is nothing of the
    /// caller's to be found.
    #[inline]
    pub(crate) fn take_idle(&self) -> bool {
        // Acquire: partner of earlier leaders and signallers.
        self.0.compare_exchange(IDLE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Makes a leader look again; true if there is none. A publisher that need not lead calls this
    /// so that whoever begins to wait after its look finds what it has published.
    #[inline]
    pub(crate) fn touch(&self) -> bool {
        self.exchange(IDLE) == IDLE
    }

    /// Leaves, true, unless there was a signal, false: then the lead is still held, and the signal
    /// is taken.
    pub(crate) fn leave(&self) -> bool {
        // Release, for the next leader. Nothing to acquire: what is found is this leader's own word.
        if self.0.compare_exchange(HELD, IDLE, Ordering::Release, Ordering::Relaxed).is_ok() {
            return true;
        }
        // Acquire: partner of the signal. Nobody relies on what this leader has done so far.
        self.0.swap(HELD, Ordering::Acquire);
        false
    }

    /// Leaves, whatever was signalled. The caller sees to it that a waiter looks. Acquire, so that it
    /// finds the waiter that has signalled; release, for the next leader.
    pub(crate) fn abandon(&self) {
        self.0.swap(IDLE, Ordering::AcqRel);
    }

    /// A look without a promise.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == IDLE
    }

    /// Changes idle to `from_idle`, and both others to again; returns what it was. Every path is a
    /// successful read-modify-write, also where the value stays. Acquire: partner of earlier leaders
    /// and signallers; release: of the leader that looks again, and of later ones.
    #[inline]
    fn exchange(&self, from_idle: u32) -> u32 {
        let mut seen = IDLE;
        loop {
            let to = if seen == IDLE { from_idle } else { AGAIN };
            match self.0.compare_exchange(seen, to, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return seen,
                Err(now) => seen = now,
            }
        }
    }
}
