//! Committing: how the contiguous published prefix reaches the operating system.
//!
//! Invariant: only the holder of the commit lead walks, takes and advances. `committed` moves from
//! one frame end to another that is outside every batch, or from the end of a segment to the first
//! frame of the next once the tail is there.

use crate::format::{FRAME_HEADER_BYTES, FrameHeader, Kind};
use crate::protocol::layout::Extent;
use crate::protocol::{Failed, Medium, Protocol, Stopped};

/// Published frames of one segment, to be written in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The base address of the segment.
    pub(crate) base: u64,
    /// The first byte to write.
    pub(crate) from: u64,
    /// The end of the bytes to write.
    pub(crate) data_end: u64,
    /// The end of the last frame: beyond `data_end` where that is padding, whose body is not
    /// written.
    pub(crate) to: u64,
}

/// A run is not longer than this unless one batch is. Large enough to make the call's cost vanish,
/// small enough that the appenders waiting behind it see progress. Under test it is exceeded often.
const RUN_BYTES: u64 = match (cfg!(stratalog_loom), cfg!(test)) {
    (true, _) => 8,
    (false, true) => 5 << 10,
    (false, false) => 256 << 10,
};

/// How much of a frame is written: of padding only the header.
fn written_bytes(header: FrameHeader) -> u64 {
    match header.kind {
        Kind::Padding => FRAME_HEADER_BYTES,
        Kind::Record | Kind::Link => header.frame_bytes(),
    }
}

/// Poisons unless disarmed: when a leader's call fails, and when it unwinds. The lead then stays
/// held, so that nothing is ever written again, and nobody waits for it.
pub(super) struct Unwinding<'a>(pub(super) &'a Protocol);

impl Unwinding<'_> {
    pub(super) fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.0.poison();
    }
}

impl Protocol {
    /// Leads: writes what is published, once those who are expected have come, and
    /// [leaves](Self::leave_commit). The caller has taken the commit lead.
    pub(crate) fn lead_commit<M: Medium>(&self, medium: &M) -> Result<(), Failed> {
        let guard = Unwinding(self);
        self.company.gather();
        let serves = self.company.begin();
        self.write_published(medium)?;
        self.company.end(serves);
        guard.disarm();
        self.leave_commit(medium)
    }

    /// Gives up the commit lead. Who has come meanwhile and is awake takes it: by the time that it
    /// begins, this thread may have its next record there. Where some may sleep one more round is
    /// written, as to wake a leader takes longer.
    pub(super) fn leave_commit<M: Medium>(&self, medium: &M) -> Result<(), Failed> {
        let guard = Unwinding(self);
        let mut has_left = self.commit_lead.leave();
        if !has_left && self.commit_waiters.any() {
            self.company.begin();
            self.write_published(medium)?;
            has_left = self.commit_lead.leave();
        }
        if !has_left {
            self.commit_lead.abandon();
            self.commit_waiters.nudge(self.committed());
        }
        guard.disarm();
        self.commit_waiters.wake_covered(self.committed());
        Ok(())
    }

    /// One round: writes what is published of all that is claimed when it begins. What is published
    /// after that has signalled, or its publisher waits for nothing.
    fn write_published<M: Medium>(&self, medium: &M) -> Result<(), Failed> {
        let until = self.tail();
        while self.committed() < until
            && let Some(run) = self.next_run()
        {
            medium.write(self, &run)?;
            self.free.advance(run.to);
            self.committed.advance(run.to);
        }
        Ok(())
    }

    /// The published frames at `committed`, if there are any. Steps over the end of a segment.
    fn next_run(&self) -> Option<Run> {
        let mut at = self.committed();
        let (number, mut extent) = self.layout.find(at)?;
        if extent.end - at < FRAME_HEADER_BYTES {
            // Acquire on the tail: if it is beyond, the next extent was attached before.
            if self.tail() <= extent.end {
                return None;
            }
            extent = self.layout.after(number, &extent)?;
            at = extent.start();
            self.free.advance(at);
            self.committed.advance(at);
        }
        let run = self.walk(at, &extent);
        (run.to > run.from).then_some(run)
    }

    /// Walks published frames from `from`, the committed watermark, on, and stops outside a batch;
    /// at most once around the ring, where the words of the first frame would be found again.
    fn walk(&self, from: u64, extent: &Extent) -> Run {
        let mut run = Run { base: extent.base, from, data_end: from, to: from };
        let mut at = from;
        let last_end = extent.end.min(from + self.ring.bytes());
        while at + FRAME_HEADER_BYTES <= last_end {
            let Some(header) = self.ring.peek(at) else { break };
            let data_end = at + written_bytes(header);
            at += header.frame_bytes();
            if header.continues {
                continue;
            }
            if run.to > from && at - from > RUN_BYTES {
                break;
            }
            (run.data_end, run.to) = (data_end, at);
        }
        run
    }

    pub(crate) fn check_poison(&self) -> Result<(), Stopped> {
        match self.state() {
            Some(super::State::Poisoned) => Err(Stopped::Poisoned),
            _ => Ok(()),
        }
    }
}
