//! Waiting for a watermark: look, lead if nobody does, enlist, look again, park.
//!
//! Invariant: a thread parks only after it has enlisted and then signalled the lead. Had its record,
//! or the one that it waits behind, been published after that signal, the publisher's own
//! read-modify-write of the lead would see the list.

use crate::protocol::commit::Unwinding;
use crate::protocol::following::Side;
use crate::protocol::waiters::Ticket;
use crate::protocol::{Failed, Medium, Protocol, Stopped};
use crate::sync::{SPIN_TURNS, has_other_cores, park, spin_loop, yield_now};

/// How often a waiter lets other threads run after it has spun, before it parks. Where there are more
/// threads than cores those that it waits for, and those whose records go into the same write, get to
/// run at once, and nobody has to be woken.
const YIELDS: u32 = 16;

impl Protocol {
    /// Lets the leader know of what the caller has published and does not wait for. Leads if someone
    /// waits, or if half of the ring is full.
    #[inline]
    pub(crate) fn published<M: Medium>(&self, medium: &M, end: u64) -> Result<(), Failed> {
        let crowded = end - self.committed().min(end) >= self.ring.bytes() / 2;
        if self.commit_lead.touch()
            && (crowded || self.commit_waiters.any())
            && self.commit_lead.signal()
        {
            self.lead_commit(medium)?;
            self.tell_of_commit();
        }
        Ok(())
    }

    /// Waits until everything below `target` is committed, and leads where that is needed. Returns
    /// the watermark.
    #[inline]
    pub(crate) fn commit_until<M: Medium>(&self, medium: &M, target: u64) -> Result<u64, Stopped> {
        self.commit_telling(medium, target, true)
    }

    /// The same; followers are told by the caller unless `tells`.
    #[inline]
    pub(super) fn commit_telling<M: Medium>(
        &self,
        medium: &M,
        target: u64,
        tells: bool,
    ) -> Result<u64, Stopped> {
        if tells {
            self.company.arrive();
        }
        let spins = if has_other_cores() { SPIN_TURNS + YIELDS } else { 0 };
        let lead = || self.lead_commit(medium).map_err(|Failed| Stopped::Failed);
        self.wait(self.committing(), target, spins, tells, lead)
    }

    /// Waits until everything below `target` is durable, and leads where that is needed. Returns
    /// the watermark; [`Stopped::Cut`] if what ends there was cut away meanwhile. Who leads the sync
    /// has everything committed that is published: until then nobody needs to, but for those who
    /// wait for no more. The caller holds no lock: who has led tells listeners, and they may do what
    /// they like.
    pub(crate) fn sync_until<M: Medium>(&self, medium: &M, target: u64) -> Result<u64, Stopped> {
        self.published(medium, target).map_err(|Failed| Stopped::Failed)?;
        let mut has_led = false;
        let lead = || {
            has_led = true;
            self.lead_sync(medium, target)
        };
        let reached = self.wait(self.syncing(), target, 0, true, lead);
        if has_led {
            // With no place in the list any more: others may depend on those who have one.
            self.tell_of_commit();
            self.tell_durable();
        }
        let reached = reached?;
        self.uncut(target).map(|()| reached)
    }

    /// The same for who does not mind if what it waits for was cut away.
    pub(crate) fn sync_past<M: Medium>(&self, medium: &M, target: u64) -> Result<(), Stopped> {
        match self.sync_until(medium, target) {
            Ok(_) | Err(Stopped::Cut(_)) => Ok(()),
            Err(stopped) => Err(stopped),
        }
    }

    #[inline]
    fn wait(
        &self,
        side: Side<'_>,
        target: u64,
        mut spins: u32,
        tells: bool,
        mut go: impl FnMut() -> Result<(), Stopped>,
    ) -> Result<u64, Stopped> {
        let Side { mark, lead, waiters, followers } = side;
        let mut ticket: Option<Ticket> = None;
        // A look is owed on arrival, after enlisting and after parking. Beyond that, one who spins
        // takes a lead that falls idle, unless it has led in vain: then it waits for a publisher.
        let (mut look_owed, mut has_led) = (true, false);
        let result = loop {
            let reached = mark.get();
            if reached >= target {
                break Ok(reached);
            }
            if let Err(stopped) = self.check_poison() {
                break Err(stopped);
            }
            if look_owed || (!has_led && lead.is_idle()) {
                look_owed = false;
                if lead.signal() {
                    has_led = true;
                    if let Err(stopped) = go() {
                        break Err(stopped);
                    }
                    // Who is told does what it likes, and others depend on those who have a place.
                    if tells && followers.covers_any(mark.get()) {
                        if let Some(ticket) = ticket.take() {
                            waiters.leave(&ticket);
                        }
                        self.tell_followers(side);
                    }
                    continue;
                }
            }
            if spins > YIELDS {
                spins -= 1;
                spin_loop();
            } else if spins > 0 {
                spins -= 1;
                yield_now();
            } else if ticket.is_none() {
                ticket = Some(waiters.enlist(target));
                look_owed = true;
            } else {
                park();
                look_owed = true;
            }
        };
        if let Some(ticket) = ticket {
            waiters.leave(&ticket);
        }
        result
    }

    /// Leads: has committed what is published, `target` at least, and syncs that, once. Who came
    /// meanwhile leads next: this leader's own record is served, and it has more to append, perhaps,
    /// that the next sync could cover. The caller has taken the sync lead, and must tell those who
    /// follow what is committed.
    pub(super) fn lead_sync<M: Medium>(&self, medium: &M, target: u64) -> Result<(), Stopped> {
        let guard = Unwinding(self);
        medium.gather(&|| self.sync_waiters.count());
        self.commit_telling(medium, target, false)?;
        self.wake_of_commit();
        // Captured before the call: what is committed while it runs may not be covered by it.
        let committed = self.committed();
        let durable = self.durable();
        if committed > durable {
            medium.sync(durable, committed).map_err(|Failed| Stopped::Failed)?;
            medium.gathered(self.sync_waiters.count());
            self.durable.advance(committed);
        }
        guard.disarm();
        if !self.sync_lead.leave() {
            self.sync_lead.abandon();
        }
        // Also where nobody has come: of what was published, something may lie behind what was not.
        self.sync_waiters.nudge(self.durable());
        self.sync_waiters.wake_covered(self.durable());
        Ok(())
    }
}
