//! [`gone`]: why a segment's file is not there any more, for whoever pins it from another process.
//!
//! Invariant: it says so only where the log itself does: by its head, or by a cut.

use crate::error::Error;
use crate::format::layout::BLOCK_LEN;
use crate::format::{
    CONTROL_NAME, FileKind, Kind, LINK_FRAME_BYTES, Link, Salt, SegmentHeader, classify, frame_at,
    frames_start, segment_name, winner,
};
use crate::lsn::Lsn;
use crate::segment::control::read_slots;
use crate::segment::segment::Segment;
use crate::storage::{Access, Storage, read_exact_at};

/// The error of reading `lsn`, which lay in a segment whose file is missing: `Truncated` if all of it
/// is below the head by now, `Cut` if it was cut away. `None` if it should be there.
pub(crate) fn gone(storage: &dyn Storage, segment: &Segment, lsn: u64) -> Option<Error> {
    let lsn = Lsn::new(lsn);
    let control = storage.open(CONTROL_NAME, Access::Read).ok()?;
    let state = winner(read_slots(&*control).ok()?).ok()?.state;
    if state.head > lsn.get() {
        return Some(Error::Truncated { lsn, head: Lsn::new(state.head) });
    }
    let in_cut = state.cut.is_some_and(|cut| (cut.segment..cut.fresh).contains(&segment.base));
    (in_cut || is_passed_over(storage, segment.base)).then_some(Error::Cut { lsn })
}

/// Whether a later segment follows an earlier one.
fn is_passed_over(storage: &dyn Storage, base: u64) -> bool {
    let names = storage.names().unwrap_or_default();
    let bases = names.iter().filter_map(|name| match classify(name) {
        FileKind::Segment(later) if later > base => Some(later),
        _ => None,
    });
    bases.filter_map(|later| read_link(storage, later)).any(|link| link.previous_base < base)
}

fn read_link(storage: &dyn Storage, base: u64) -> Option<Link> {
    let file = storage.open(&segment_name(base), Access::Read).ok()?;
    let mut first = vec![0; BLOCK_LEN + usize::try_from(LINK_FRAME_BYTES).ok()?];
    read_exact_at(&*file, &mut first, 0).ok()?;
    let (block, link) = first.split_at(BLOCK_LEN);
    let id = SegmentHeader::decode(block).ok()?.id;
    let start = frames_start(base);
    let frame = frame_at(link, start, start, Salt::new(&id)).ok()?;
    (frame.header.kind == Kind::Link).then(|| Link::decode(frame.payload).ok()).flatten()
}

#[cfg(test)]
mod tests;
