//! [`Tail`]: the one word by which addresses are claimed.
//!
//! Invariant: an address range is claimed by exactly one successful [`claim`](Tail::claim), and none
//! succeeds once a state bit is set. Addresses are multiples of 8, so the three low bits of the word
//! carry the states and no state can race a claim. Addresses only rise, so a word never comes back
//! and a stale compare-and-swap always fails.

use crate::sync::{AtomicU64, Ordering};

/// Why nothing can be claimed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    Poisoned,
}

const CLOSED: u64 = 1;
const POISONED: u64 = 2;
/// Claims are refused for as long as the log is being cut.
const CUTTING: u64 = 4;
const STATES: u64 = 7;

/// The tail as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View(u64);

impl View {
    pub(crate) fn address(self) -> u64 {
        self.0 & !STATES
    }

    /// The state that refuses claims; being poisoned is named before being closed.
    pub(crate) fn state(self) -> Option<State> {
        match self.0 & (CLOSED | POISONED) {
            0 => None,
            bits if bits & POISONED != 0 => Some(State::Poisoned),
            _ => Some(State::Closed),
        }
    }

    /// Whether nothing can be claimed, for now or for ever.
    #[inline]
    pub(crate) fn refuses(self) -> bool {
        self.0 & STATES != 0
    }
}

#[derive(Debug)]
pub(crate) struct Tail(AtomicU64);

impl Tail {
    pub(crate) fn new(at: u64) -> Self {
        debug_assert!(at.is_multiple_of(8), "addresses are multiples of 8");
        Self(AtomicU64::new(at))
    }

    /// Acquire: whoever sees a state bit sees what was written before it was set, and whoever sees a
    /// claim the segment that it is in. Partners: `refuse`, `claim`.
    #[inline]
    pub(crate) fn view(&self) -> View {
        View(self.0.load(Ordering::Acquire))
    }

    /// Claims everything from `seen` up to `to`; false if the tail has moved or changed state.
    ///
    /// Release: partner of `view`, which lets a leader find the segments that the claimer has found.
    /// There is nothing to acquire: `view` has loaded this very word.
    #[inline]
    pub(crate) fn claim(&self, seen: View, to: u64) -> bool {
        debug_assert!(to > seen.0 && to.is_multiple_of(8), "a claim is ahead and aligned");
        debug_assert!(!seen.refuses(), "a claim would take the state away");
        self.0.compare_exchange(seen.0, to, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Refuses all later claims. Release: partner of `view`, by which every leader goes; so there is
    /// nothing to acquire here.
    pub(crate) fn refuse(&self, state: State) -> View {
        let bit = match state {
            State::Closed => CLOSED,
            State::Poisoned => POISONED,
        };
        View(self.0.fetch_or(bit, Ordering::Release) | bit)
    }

    /// Refuses claims for as long as the log is cut, and returns its address. One cut at a time.
    ///
    /// Acquire: the cutter finds the segments of all claims. Partner: `claim`.
    pub(crate) fn begin_cut(&self) -> Result<u64, State> {
        let seen = View(self.0.fetch_or(CUTTING, Ordering::Acquire));
        match seen.state() {
            None => Ok(seen.address()),
            Some(state) => {
                self.0.fetch_and(!CUTTING, Ordering::Relaxed);
                Err(state)
            }
        }
    }

    /// Lets claims go on, at `to` if it is given. Whoever has closed or poisoned the log meanwhile has
    /// done so. Release: partner of `view`.
    pub(crate) fn end_cut(&self, to: Option<u64>) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let address = to.unwrap_or(View(seen).address());
            let next = address | seen & (CLOSED | POISONED);
            match self.0.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}
