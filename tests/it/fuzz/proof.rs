//! What the bytes of a disk prove to have been durable, looked for without recovery.
//!
//! Invariant: what is said to be proof is proof by the text of the format. There may be more of it.

use stratalog::format::{
    BLOCK_BYTES, CONTROL_NAME, ControlState, Link, LogId, SegmentHeader, Trailer, segment_name,
    winner,
};
use stratalog::storage::Image;

use super::frames::valid;

const BLOCK: usize = BLOCK_BYTES as usize;

/// What proves that the log was durable beyond `at`, in the segment `base`, if anything in that
/// segment or in the control file does.
pub(crate) fn durable_beyond(image: &Image, base: u64, at: u64) -> Option<String> {
    let state = control(image)?;
    if state.cut.is_some() {
        // What lies beyond was given up; it may have been durable.
        return None;
    }
    let (area, last, id) = segment(image, base)?;
    let start = base + BLOCK_BYTES;
    // Between two segments there is nothing that could be lost.
    let at = at.max(start);
    if state.durable_end > at {
        return Some(format!("the control file names {}", state.durable_end));
    }
    if let Ok((trailer, _)) = Trailer::decode(last, &id, base)
        && trailer.end > at
    {
        return Some(format!("the trailer names {}", trailer.end));
    }
    let mut frames = (at..start + area.len() as u64).step_by(8);
    let proof = |step| valid(area, start, step, &id)?.watermark.filter(|watermark| *watermark > at);
    frames.find_map(|step| Some(format!("the frame at {step} names {}", proof(step)?)))
}

/// Base and end of the segment that the segment `base` says it follows.
pub(crate) fn followed(image: &Image, base: u64) -> Option<(u64, u64)> {
    let (area, _, id) = segment(image, base)?;
    let start = base + BLOCK_BYTES;
    valid(area, start, start, &id).filter(|frame| frame.kind == 3)?;
    let link = Link::decode(&area[16..48]).ok()?;
    Some((link.previous_base, link.previous_end))
}

/// The frames area of an intact segment, its last block, and its log.
fn segment(image: &Image, base: u64) -> Option<(&[u8], &[u8], LogId)> {
    let file = image.get(&segment_name(base))?;
    let header = SegmentHeader::decode(file.get(..BLOCK)?).ok()?;
    if (header.base, header.segment_bytes) != (base, file.len() as u64) {
        return None;
    }
    let (area, last) = file[BLOCK..].split_at(file.len() - 2 * BLOCK);
    Some((area, last, header.id))
}

fn control(image: &Image) -> Option<ControlState> {
    let (slots, _) = image.get(CONTROL_NAME)?.as_chunks::<BLOCK>();
    let [first, second] = [slots.first()?, slots.get(1)?].map(|slot| ControlState::decode(slot));
    Some(winner([first, second]).ok()?.state)
}
