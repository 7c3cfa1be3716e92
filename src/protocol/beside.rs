//! Beside the ring: what its owner writes itself, straight from the caller's bytes.
//!
//! Invariant: it is written by the holder of the commit lead, at the committed watermark, and the
//! watermark passes it in one step once all of it is written.
//!
//! 1. What is [too big](Protocol::commit_direct) for the ring is claimed first, and waits for its turn.
//! 2. Where [nobody else](Protocol::append_alone) is at it, the lead is taken first: whatever is then
//!    claimed at the watermark has its turn. Who comes meanwhile goes through the ring, and is served
//!    by this leader before it leaves. If anything is in the way, nothing was claimed.

use crate::protocol::commit::Unwinding;
use crate::protocol::{Failed, Medium, Protocol, Stopped};
use crate::sync::yield_now;

impl Protocol {
    /// Waits until everything below `at` is committed, has `write` write `at..to`, which the caller
    /// claimed with [`reserve_direct`](Protocol::reserve_direct), and goes on leading. `write` is
    /// given the base of the segment.
    pub(crate) fn commit_direct<M: Medium>(
        &self,
        medium: &M,
        (at, to): (u64, u64),
        write: impl FnOnce(u64) -> Result<(), Failed>,
    ) -> Result<(), Stopped> {
        // Foreign code has to wait: others wait for what is claimed and not yet written.
        self.commit_telling(medium, at, false)?;
        self.wake_of_commit();
        // Nothing can be published behind `at` before it is written, so whoever holds the lead now
        // finds nothing and leaves.
        while !self.commit_lead.signal() {
            self.check_poison()?;
            yield_now();
        }
        let guard = Unwinding(self);
        self.check_poison()?;
        // Its slot is not used again before this is committed.
        let base = self.layout.find(at).map_or(at, |(_, extent)| extent.base);
        write(base).map_err(|Failed| Stopped::Failed)?;
        guard.disarm();
        self.free.advance(to);
        self.committed.advance(to);
        self.lead_commit(medium).map_err(|Failed| Stopped::Failed)?;
        self.tell_of_commit();
        Ok(())
    }

    /// Claims `need` bytes, a multiple of 8, and has `write` write them, if all that is claimed is
    /// committed, nobody leads, and they fit where the log ends; `None` otherwise, with nothing done.
    /// `write` is given the base of the segment and the address. Returns the address.
    #[inline]
    pub(crate) fn append_alone<M: Medium>(
        &self,
        medium: &M,
        need: u64,
        write: impl FnOnce(u64, u64) -> Result<(), Failed>,
    ) -> Option<Result<u64, Failed>> {
        // Looks without a promise: most who are not alone learn it here.
        let is_alone = self.tail() == self.committed() && !self.company.is_expected();
        if !is_alone || !self.commit_lead.take_idle() {
            return None;
        }
        let guard = Unwinding(self);
        let written = self.claim_at_watermark(need).map(|(base, at)| {
            write(base, at)?;
            self.free.advance(at + need);
            self.committed.advance(at + need);
            Ok(at)
        });
        if let Some(Err(Failed)) = written {
            return written;
        }
        self.company.end(1);
        guard.disarm();
        // Others may have come, also where nothing was claimed: then this sees to them.
        if let Err(Failed) = self.leave_commit(medium) {
            return Some(Err(Failed));
        }
        self.tell_of_commit();
        written
    }
}
