//! [`Pin`]: one payload that outlives the snapshot that it was read from.
//!
//! Invariant: the bytes are those of a record that was handed out, so they are committed, and the file
//! that they lie in is pinned as a snapshot pins it: it is not written again while the pin lives.

use std::ops::Range;
use std::ptr;
use std::sync::Arc;

use crate::format::FRAME_HEADER_BYTES;
use crate::read::record::Record;
use crate::read::snapshot::Snapshot;
use crate::segment::segment::Segment;
use crate::storage::Region;

/// One payload, and what keeps it where it is: the memory, then the segment.
#[derive(Debug)]
pub(crate) struct Pin {
    region: Arc<Region>,
    offsets: Range<u64>,
    _segment: Arc<Segment>,
}

impl Pin {
    pub(crate) fn payload(&self) -> &[u8] {
        self.region.slice(self.offsets.clone()).unwrap_or_default()
    }
}

impl Snapshot {
    /// Pins the payload of a record of this snapshot. `None` where the payload does not lie in the
    /// snapshot's memory, for a record that comes from elsewhere.
    pub(crate) fn pin(&self, record: &Record<'_>) -> Option<Pin> {
        let segments = &self.pinned.set.segments;
        let lsn = record.lsn().get();
        let index = segments.partition_point(|segment| segment.start() <= lsn).checked_sub(1)?;
        let (segment, area) = (segments.get(index)?, self.pinned.area(index)?);
        let start = lsn.checked_add(FRAME_HEADER_BYTES)?;
        let end = start.checked_add(record.payload().len() as u64)?;
        // No slice is made above the watermark, whatever the record says of itself.
        if end > area.end {
            return None;
        }
        let (region, offsets) = area.regions().find_map(|(region, base)| {
            let offsets = start.checked_sub(base)?..end.checked_sub(base)?;
            let slice = region.slice(offsets.clone())?;
            ptr::eq(slice, record.payload()).then(|| (Arc::clone(region), offsets))
        })?;
        Some(Pin { region, offsets, _segment: Arc::clone(segment) })
    }
}
