//! [`Listener`]: who is told of durability instead of waiting for it: the waker of a future, or a
//! callback. It can't lead, so someone else has to.
//!
//! Invariant: a callback is called once, a waker at least once after its future has enlisted and
//! looked again; both after the sync that covers them, or after the log was poisoned, by a thread
//! that holds no lock and no lead. What they do, panic included, changes nothing for anyone else.
//!
//! 1. Enlist, then look again by a signal to the sync lead: a leader that has not left yet comes to
//!    look at the list, and what an earlier one has made durable is seen.
//! 2. Whoever enlists the highest target yet rings for the thread that leads for listeners, which
//!    syncs up to [`asked`](Protocol::asked).
//! 3. The leader of the sync that covers them takes them out, and tells them one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use crate::protocol::waiters::{Listeners, Ticket};
use crate::protocol::{Protocol, Stopped};

/// What became of waiting: the watermark that was reached.
pub(crate) type Outcome = Result<u64, Stopped>;

#[cfg(not(stratalog_loom))]
pub(crate) type Callback = Box<dyn FnOnce(Outcome) + Send>;
/// What loom's models share is not `Sync`, and need not be.
#[cfg(stratalog_loom)]
pub(crate) type Callback = Box<dyn FnOnce(Outcome)>;

pub(crate) enum Listener {
    Waker(Waker),
    Callback(Callback),
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waker(_) => "Waker",
            Self::Callback(_) => "Callback",
        })
    }
}

impl Listener {
    fn tell(self, outcome: Outcome) {
        match self {
            Self::Waker(waker) => contained(|| waker.wake()),
            Self::Callback(callback) => call(callback, outcome),
        }
    }
}

/// Calls a callback; its panic ends here.
pub(crate) fn call(callback: Callback, outcome: Outcome) {
    contained(|| callback(outcome));
}

/// Runs foreign code; a panic of it ends here. Under loom it goes on: it is a model's.
fn contained(run: impl FnOnce()) {
    if cfg!(stratalog_loom) {
        run();
    } else if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        // What it holds may panic in its turn when it is dropped.
        std::mem::forget(panic);
    }
}

/// The place of a future in the list.
#[derive(Debug, Default)]
pub(crate) struct Place(pub(super) Option<Ticket>);

/// What a future hears when it is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Ready(Outcome),
    /// Its waker is in the list.
    Wait,
    /// Likewise, and the thread that leads for listeners must be told that more is
    /// [asked](Protocol::asked) for.
    Ask,
}

impl Protocol {
    /// Whether everything below `target` is durable or the log is poisoned; if not, `waker` is put
    /// into the list.
    pub(crate) fn poll_durable(&self, target: u64, place: &mut Place, waker: &Waker) -> Polled {
        let mut polled = Polled::Wait;
        let mut outcome = self.outcome(target);
        if outcome.is_none() {
            let listener = Listener::Waker(waker.clone());
            match &place.0 {
                None => {
                    let (ticket, rises) = self.sync_waiters.enlist_listener(target, listener);
                    place.0 = Some(ticket);
                    if rises {
                        polled = Polled::Ask;
                    }
                }
                Some(ticket) => drop(self.sync_waiters.replace(ticket, listener)),
            }
            outcome = self.look_again(target);
        }
        if let Some(outcome) = outcome {
            self.withdraw(place);
            polled = Polled::Ready(outcome);
        }
        polled
    }

    /// Takes a future's waker out of the list. Nobody depends on it: others are told without it.
    pub(crate) fn withdraw(&self, place: &mut Place) {
        if let Some(ticket) = place.0.take() {
            drop(self.sync_waiters.withdraw(&ticket));
        }
    }

    /// Has `callback` called once everything below `target` is durable or the log is poisoned: now,
    /// or later by whoever leads then. True if the thread that leads for listeners must be told that
    /// more is [asked](Self::asked) for.
    pub(crate) fn call_when_durable(&self, target: u64, callback: Callback) -> bool {
        let listener = Listener::Callback(callback);
        if let Some(outcome) = self.outcome(target) {
            listener.tell(outcome);
            return false;
        }
        let (ticket, rises) = self.sync_waiters.enlist_listener(target, listener);
        let Some(outcome) = self.look_again(target) else { return rises };
        // Unless a leader has it already.
        if let Some(listener) = self.sync_waiters.withdraw(&ticket) {
            listener.tell(outcome);
        }
        false
    }

    /// Up to where someone has to sync on behalf of listeners, if there is anything to sync.
    pub(crate) fn asked(&self) -> Option<u64> {
        Some(self.sync_waiters.asked()).filter(|asked| *asked > self.durable())
    }

    /// What a listener for `target` is to be told, if it needs to wait no longer.
    fn outcome(&self, target: u64) -> Option<Outcome> {
        let reached = self.durable();
        if reached >= target {
            return Some(self.uncut(target).map(|()| reached));
        }
        self.check_poison().err().map(Err)
    }

    /// Tells those that `reached` covers, and that the others' waiting was stopped.
    pub(super) fn tell(&self, listeners: Listeners, reached: u64) {
        for ((target, _), listener) in listeners {
            let covered =
                if target <= reached { self.uncut(target) } else { Err(Stopped::Poisoned) };
            listener.tell(covered.map(|()| reached));
        }
    }

    /// Tells all listeners of what is durable. The caller holds no lock.
    pub(crate) fn tell_durable(&self) {
        let durable = self.durable();
        self.tell(self.sync_waiters.take_listeners(durable), durable);
    }

    /// Whether what ends at `target`, which a watermark covers, is still there.
    pub(crate) fn uncut(&self, target: u64) -> Result<(), Stopped> {
        if self.cuts.holds(target) { Err(Stopped::Cut(target)) } else { Ok(()) }
    }

    /// The second look, owed after enlisting: a read-modify-write of the lead, after which either a
    /// leader sees the list or this sees what the leader has done.
    fn look_again(&self, target: u64) -> Option<Outcome> {
        self.sync_lead.touch();
        self.outcome(target)
    }
}
