//! Following: waiting for a watermark to move beyond a position, whoever moves it.
//!
//! Invariant: a follower leads nothing, asks nobody to, and is counted by nobody, so what appenders
//! do is the same with and without it. It goes to sleep only after it has enlisted and then looked
//! again, by a signal to the lead; so it is either covered when it looks, or a leader that has yet to
//! leave sees it in the list.
//!
//! 1. Followers have lists of their own, beside those of the appenders who wait for the same mark: a
//!    publisher leads if someone waits in theirs.
//! 2. Whoever has led tells the covered ones, after it has given up the lead and its own place in any
//!    list. Without followers that is one relaxed load.
//! 3. Closing and poison wake all, after the state is set. Enlisting and waking take one lock, so who
//!    enlists later sees the state.
//! 4. Once the log is closed the tail is final. Who stands below it is woken by the leader that
//!    covers it, who stands there has seen everything.

use std::task::Waker;

use crate::protocol::lead::Lead;
use crate::protocol::listener::{Listener, Place};
use crate::protocol::tail::State;
use crate::protocol::waiters::Waiters;
use crate::protocol::watermark::Watermark;
use crate::protocol::{Protocol, Stopped};
use crate::sync::{Deadline, SPIN_TURNS, has_other_cores, park_until, spin_loop};

/// Which watermark is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    Committed,
    Durable,
}

/// What lies ahead of one who has seen everything below a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// The watermark lies above.
    More,
    /// Nothing yet.
    Nothing,
    /// Nothing will ever come.
    Stopped(Stopped),
}

/// One of the two watermarks, and all who have to do with it.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) mark: &'a Watermark,
    pub(super) lead: &'a Lead,
    pub(super) waiters: &'a Waiters,
    pub(super) followers: &'a Waiters,
}

impl Protocol {
    #[inline]
    pub(super) fn committing(&self) -> Side<'_> {
        Side {
            mark: &self.committed,
            lead: &self.commit_lead,
            waiters: &self.commit_waiters,
            followers: &self.commit_followers,
        }
    }

    #[inline]
    pub(super) fn syncing(&self) -> Side<'_> {
        Side {
            mark: &self.durable,
            lead: &self.sync_lead,
            waiters: &self.sync_waiters,
            followers: &self.sync_followers,
        }
    }

    fn side(&self, followed: Followed) -> Side<'_> {
        match followed {
            Followed::Committed => self.committing(),
            Followed::Durable => self.syncing(),
        }
    }

    /// What lies ahead of `position`, a place that the committed watermark has reached.
    pub(crate) fn ahead(&self, followed: Followed, position: u64) -> Ahead {
        // In this order: what was reached before the poison is found.
        let tail = self.tail.view();
        if self.side(followed).mark.get() > position {
            return Ahead::More;
        }
        match tail.state() {
            Some(State::Poisoned) => Ahead::Stopped(Stopped::Poisoned),
            // Below the final tail: a leader will come by.
            Some(State::Closed) if position >= tail.address() => Ahead::Stopped(Stopped::Closed),
            _ => Ahead::Nothing,
        }
    }

    /// Waits until something lies ahead of `position`, or nothing ever will, or the deadline has
    /// passed.
    pub(crate) fn wait_ahead(
        &self,
        followed: Followed,
        position: u64,
        deadline: &Deadline,
    ) -> Ahead {
        let Side { lead, followers, .. } = self.side(followed);
        let mut spins = if has_other_cores() { SPIN_TURNS } else { 0 };
        let mut ticket = None;
        let mut in_time = true;
        loop {
            let ahead = self.ahead(followed, position);
            if ahead != Ahead::Nothing || !in_time {
                if let Some(ticket) = ticket {
                    followers.leave(&ticket);
                }
                return ahead;
            }
            if spins > 0 {
                spins -= 1;
                spin_loop();
            } else if let Some(enlisted) = ticket.take() {
                in_time = park_until(deadline);
                // Woken, its place may be gone, and what woke it may not be for it.
                followers.leave(&enlisted);
            } else {
                ticket = Some(followers.enlist(position + 1));
                lead.touch();
            }
        }
    }

    /// What lies ahead of `position`; if nothing yet, `waker` is put into the list, in place of the
    /// one that `place` stands for.
    pub(crate) fn poll_ahead(
        &self,
        followed: Followed,
        position: u64,
        place: &mut Place,
        waker: &Waker,
    ) -> Ahead {
        let Side { lead, followers, .. } = self.side(followed);
        // Not replaced: it may be gone, for all are told when the log closes.
        self.forget_follower(followed, place);
        let ahead = self.ahead(followed, position);
        if ahead != Ahead::Nothing {
            return ahead;
        }
        let listener = Listener::Waker(waker.clone());
        let (ticket, _) = followers.enlist_listener(position + 1, listener);
        place.0 = Some(ticket);
        lead.touch();
        let ahead = self.ahead(followed, position);
        if ahead != Ahead::Nothing {
            self.forget_follower(followed, place);
        }
        ahead
    }

    /// Takes a follower's waker out of the list.
    pub(crate) fn forget_follower(&self, followed: Followed, place: &mut Place) {
        if let Some(ticket) = place.0.take() {
            drop(self.side(followed).followers.withdraw(&ticket));
        }
    }

    /// Tells followers of what is committed. Whoever has advanced the watermark does so, once it has
    /// no lead, no lock, no place in a list and no claim: they may do what they like.
    #[inline]
    pub(super) fn tell_of_commit(&self) {
        self.tell_followers(self.committing());
    }

    /// Wakes the threads that follow what is committed, and leaves wakers for later: there is no
    /// foreign code in this.
    pub(super) fn wake_of_commit(&self) {
        self.commit_followers.wake_covered(self.committed());
    }

    /// Wakes all, to look for themselves.
    pub(super) fn tell_all_followers(&self) {
        for Side { mark, followers, .. } in [self.committing(), self.syncing()] {
            self.tell(followers.wake_all(), mark.get());
        }
    }

    /// Tells followers of both watermarks, and listeners, of a cut: it has raised both, or was given up
    /// after it had things committed. The caller holds no lock.
    pub(crate) fn tell_of_cut(&self) {
        self.tell_durable();
        self.tell_followers(self.committing());
        self.tell_followers(self.syncing());
    }

    /// Wakes threads, and tells listeners, that the watermark covers.
    #[inline]
    pub(super) fn tell_followers(&self, Side { mark, followers, .. }: Side<'_>) {
        let reached = mark.get();
        if followers.covers_any(reached) {
            followers.wake_covered(reached);
            self.tell(followers.take_listeners(reached), reached);
        }
    }
}
