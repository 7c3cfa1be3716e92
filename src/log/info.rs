//! [`SegmentInfo`]: what there is to know of one segment file.

use std::path::PathBuf;

use super::Log;
use crate::format::{frames_start, segment_name};
use crate::lsn::Lsn;
use crate::options::SealedFile;

/// Where a segment stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentState {
    /// Prepared and empty.
    Spare,
    /// Appended to, or full and about to be sealed.
    Active,
    /// Full, immutable, summed up by its trailer, safe to copy.
    Sealed,
}

/// One segment file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file.
    pub path: PathBuf,
    /// Where it stands in its life.
    pub state: SegmentState,
    /// The address of the file's first byte; byte `o` has the address `base + o`.
    pub base: u64,
    /// The file's size, in bytes.
    pub bytes: u64,
    /// Where its frames begin.
    pub start: Lsn,
    /// Where its frames end: in the active segment, and in a spare, where they end now.
    pub end: Lsn,
}

impl From<SealedFile> for SegmentInfo {
    fn from(SealedFile { path, base, bytes, end }: SealedFile) -> Self {
        let (start, end) = (Lsn::new(frames_start(base)), Lsn::new(end));
        Self { path, state: SegmentState::Sealed, base, bytes, start, end }
    }
}

impl Log {
    /// All segment files, ascending by address, the spares last.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let disk = &self.appender().disk;
        let committed = self.committed().get();
        let info = |state, base, bytes, end| SegmentInfo {
            path: disk.storage.path(&segment_name(base)),
            state,
            base,
            bytes,
            start: Lsn::new(frames_start(base)),
            end: Lsn::new(end),
        };
        let spares = disk.supply.spares();
        let set = disk.segments.load();
        let attached = set.segments.iter().map(|segment| {
            let sealed = segment.is_sealed();
            let state = if sealed { SegmentState::Sealed } else { SegmentState::Active };
            let end = segment.end.min(committed.max(segment.start()));
            info(state, segment.base, segment.bytes, end)
        });
        // One that was attached in between is not listed twice.
        let spares = spares
            .into_iter()
            .filter(|(base, _)| set.at_base(*base).is_none())
            .map(|(base, bytes)| info(SegmentState::Spare, base, bytes, frames_start(base)));
        attached.chain(spares).collect()
    }
}
