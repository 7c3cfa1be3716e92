//! Upkeep: sealing what is full, and noting that the log has fallen idle.
//!
//! Invariant: segments are sealed in order, each after everything in it is durable. Done by the
//! maintenance thread; by an appender where there is none, or where it has fallen behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::append::disk::Disk;
use crate::error::Result;
use crate::format::{ControlState, LINK_FRAME_BYTES, Trailer, frames_start};
use crate::options::{SealHook, SealedFile, SealedSummary};
use crate::protocol::{Failed, Protocol};
use crate::segment::seal::seal;
use crate::segment::segment::Segment;

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
        let last = self.segments.with(|set| {
            let ended = set.segments.iter().rev().take(set.unsealed());
            ended.map(|segment| segment.end).find(|end| *end < committed)
        });
        if let Some(last) = last {
            protocol.sync_past(self, last + 1).map_err(|stopped| self.stopped(stopped))?;
        }
        let mut sealed = Vec::new();
        let result = self.seal_durable(protocol, &mut sealed);
        self.tell_sealed(&sealed);
        result
    }

    /// Seals every ended segment of which everything is durable, and adds them to `sealed`.
    fn seal_durable(&self, protocol: &Protocol, sealed: &mut Vec<Arc<Segment>>) -> Result<()> {
        let mut upkeep = self.upkeep.lock();
        if upkeep.closed {
            return Ok(());
        }
        let unsealed = self.segments.with(|set| {
            let count = set.segments.len() - set.unsealed();
            set.segments.iter().skip(count).cloned().collect::<Vec<_>>()
        });
        for segment in unsealed {
            if protocol.durable() <= segment.end {
                break;
            }
            let checksum = seal(&*self.storage, &segment, upkeep.last_checksum)?;
            upkeep.last_checksum = checksum.unwrap_or(0);
            if checksum.is_some() && self.on_seal.is_some() {
                sealed.push(segment);
            }
        }
        self.settle_cut(protocol.durable())
    }

    /// Tells the caller's hook of segments whose trailers are durable. The caller holds no lock: the
    /// hook may do anything to the log. It holds the segments, so that none is written over while the
    /// hook copies its file.
    pub(crate) fn tell_sealed(&self, sealed: &[Arc<Segment>]) {
        let Some(SealHook(hook)) = &self.on_seal else { return };
        for segment in sealed {
            let Segment { base, bytes, end, id, .. } = **segment;
            let path = self.storage.path(&segment.name());
            let summary = segment.summary(&*self.storage).map(|(trailer, checksum)| {
                let Trailer { records, first, last, frames_crc, previous_checksum, .. } = trailer;
                SealedSummary { records, first, last, frames_crc, previous_checksum, checksum }
            });
            let file = SealedFile { path, base, bytes, end, id: id.bytes(), summary };
            // A panic of the hook's has told of itself, and is nobody else's matter.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(file)));
        }
    }

    /// Forgets a cut once the link behind it is durable: from then on the link says where the cut
    /// segment ends.
    fn settle_cut(&self, durable: u64) -> Result<()> {
        let settled = |fresh| durable >= frames_start(fresh) + LINK_FRAME_BYTES;
        // Another may be cutting the log once more.
        let calls = |state: &ControlState| state.cut.is_some_and(|cut| settled(cut.fresh));
        self.control.update_if(calls, |state| state.cut = None)
    }

    /// Appends and syncs an empty padding frame behind `durable`, the end of the log: the evidence
    /// that the last group of records was durable. Returns its end, if nothing was in the way.
    pub(crate) fn mark_idle(&self, protocol: &Protocol, durable: u64) -> Result<Option<u64>> {
        let marked = protocol.mark_idle(self, durable).map_err(|Failed| self.cause.io())?;
        if let Some(end) = marked {
            protocol.sync_past(self, end).map_err(|stopped| self.stopped(stopped))?;
        }
        Ok(marked)
    }
}
