//! Upkeep: sealing what is full, and noting that the log has fallen idle.
//!
//! Invariant: segments are sealed in order, each after everything in it is durable. Done by the
//! maintenance thread; by an appender where there is none, or where it has fallen behind.

use crate::append::disk::Disk;
use crate::error::Result;
use crate::format::{LINK_FRAME_BYTES, frames_start};
use crate::protocol::{Failed, Protocol};
use crate::segment::seal::seal;

/// What one sealing hands to the next. Its lock is held while sealing.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// The checksum of the newest trailer.
    pub(super) last_checksum: u32,
    /// The log is closed: nothing is sealed any more.
    pub(super) closed: bool,
}

impl Disk {
    /// Syncs and seals every segment that the committed watermark has left, and closes its
    /// descriptor. Any error but `Poisoned` must poison.
    pub(crate) fn seal_ended(&self, protocol: &Protocol) -> Result<()> {
        // Before the lock is taken: who leads a sync runs callbacks, which may come here in turn.
        let committed = protocol.committed();
        let set = self.segments.load();
        let ended = set.segments.iter().rev().take(set.unsealed());
        if let Some(last) = ended.map(|segment| segment.end).find(|end| *end < committed) {
            protocol.sync_until(self, last + 1).map_err(|stopped| self.stopped(stopped))?;
        }
        let mut upkeep = self.upkeep.lock();
        if upkeep.closed {
            return Ok(());
        }
        let set = self.segments.load();
        let sealed = set.segments.len() - set.unsealed();
        for segment in set.segments.iter().skip(sealed) {
            if protocol.durable() <= segment.end {
                break;
            }
            upkeep.last_checksum = seal(&*self.storage, segment, upkeep.last_checksum)?;
        }
        self.settle_cut(protocol.durable())
    }

    /// Forgets a cut once the link behind it is durable: from then on the link says where the cut
    /// segment ends.
    fn settle_cut(&self, durable: u64) -> Result<()> {
        let settled = |fresh| durable >= frames_start(fresh) + LINK_FRAME_BYTES;
        if self.control.state().cut.is_some_and(|cut| settled(cut.fresh)) {
            self.control.update(|state| state.cut = None)?;
        }
        Ok(())
    }

    /// Appends and syncs an empty padding frame behind `durable`, the end of the log: the evidence
    /// that the last group of records was durable. Returns its end, if nothing was in the way.
    pub(crate) fn mark_idle(&self, protocol: &Protocol, durable: u64) -> Result<Option<u64>> {
        let marked = protocol.mark_idle(self, durable).map_err(|Failed| self.cause.io())?;
        if let Some(end) = marked {
            protocol.sync_until(self, end).map_err(|stopped| self.stopped(stopped))?;
        }
        Ok(marked)
    }
}
