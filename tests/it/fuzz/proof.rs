//! What the bytes of a disk prove to have been durable, looked for without recovery.
//!
//! Invariant: what is said to be proof is proof by the text of the format. There may be more of it.

use stratalog::format::{
    BLOCK_BYTES, CONTROL_NAME, ControlState, SegmentHeader, Trailer, segment_name, winner,
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
    if state.durable_end > at {
        return Some(format!("the control file names {}", state.durable_end));
    }
    let file = image.get(&segment_name(base))?;
    let header = SegmentHeader::decode(file.get(..BLOCK)?).ok()?;
    if (header.base, header.segment_bytes) != (base, file.len() as u64) {
        return None;
    }
    let id = header.id;
    let (area, last) = file[BLOCK..].split_at(file.len().checked_sub(2 * BLOCK)?);
    if let Ok((trailer, _)) = Trailer::decode(last, &id, base)
        && trailer.end > at
    {
        return Some(format!("the trailer names {}", trailer.end));
    }
    let start = base + BLOCK_BYTES;
    let mut frames = (at.max(start)..start + area.len() as u64).step_by(8);
    let proof = |step| valid(area, start, step, &id)?.watermark.filter(|watermark| *watermark > at);
    frames.find_map(|step| Some(format!("the frame at {step} names {}", proof(step)?)))
}

fn control(image: &Image) -> Option<ControlState> {
    let (slots, _) = image.get(CONTROL_NAME)?.as_chunks::<BLOCK>();
    let [first, second] = [slots.first()?, slots.get(1)?].map(|slot| ControlState::decode(slot));
    Some(winner([first, second]).ok()?.state)
}
