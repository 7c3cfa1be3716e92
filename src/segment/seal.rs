//! Sealing: the trailer that sums up a full segment.
//!
//! Invariant: the trailer is written after every frame of the segment is durable, and after the
//! trailer of the segment before it; so a valid trailer proves all frames up to its end, and of all
//! earlier segments, to have been durable.

use crate::error::{Corruption, Error, Op, Result};
use crate::format::{
    BLOCK_BYTES, DefectAt, FRAME_HEADER_BYTES, Kind, Summary, Trailer, header_at, summarize,
    summarize_with,
};
use crate::lsn::Lsn;
use crate::segment::segment::Segment;
use crate::storage::{Storage, StorageFile, write_all_at};
use crate::sync::yield_now;

/// The rest of a segment is given back to the file system from this size on.
const DISCARD_BYTES: u64 = 64 << 10;

/// Writes the trailer of `segment`, whose frames end at its `end` and are durable, syncs it, and
/// closes the descriptor. Returns the trailer's checksum for the next one.
///
/// A segment that can't be read or whose frames do not walk is left without a trailer, so that opening
/// scans it and finds out what is wrong; it is not an error of the log in use. Then there is no
/// checksum.
pub(crate) fn seal(
    storage: &dyn Storage,
    segment: &Segment,
    previous_checksum: u32,
) -> Result<Option<u32>> {
    let Some(file) = segment.file() else { return Ok(None) };
    let Ok(region) = segment.region(storage, segment.end, false) else {
        segment.close();
        return Ok(None);
    };
    let frames = region.slice(segment.offsets(segment.start()..segment.end)).unwrap_or_default();
    // All of a segment is read: on few processors, appenders would wait for this as long as the
    // system lets it go on.
    let Ok(summary) = summarize_with(frames, segment.start(), yield_now) else {
        segment.close();
        return Ok(None);
    };
    let trailer = trailer_of(&summary, segment.end, previous_checksum);
    let checksum = write_trailer(storage, &*file, segment, &trailer)?;
    discard_padding(&*file, segment, frames, summary.last);
    segment.close();
    Ok(Some(checksum))
}

/// Sums up the frames of a segment that lie below `end`, the end of one of them.
///
/// # Errors
///
/// `Corrupt` where they do not walk, `Io` where they can't be read.
pub(crate) fn summary_to(storage: &dyn Storage, segment: &Segment, end: u64) -> Result<Summary> {
    let region = segment.region(storage, end, false)?;
    let frames = segment.offsets(segment.start()..end);
    region
        .populate(frames.clone())
        .map_err(|error| Error::io(Op::Read, storage.path(&segment.name()), error))?;
    let frames = region.slice(frames).unwrap_or_default();
    summarize(frames, segment.start()).map_err(|DefectAt { at, defect }| Error::Corrupt {
        path: storage.path(&segment.name()),
        offset: at.saturating_sub(segment.base),
        lsn: Some(Lsn::new(at)),
        reason: Corruption::from(defect),
    })
}

/// The trailer of frames that end at `end`.
pub(crate) fn trailer_of(summary: &Summary, end: u64, previous_checksum: u32) -> Trailer {
    let Summary { records, first, last, frames_crc } = *summary;
    Trailer { end, records, first, last, frames_crc, previous_checksum }
}

/// Writes and syncs a trailer, and returns its checksum.
pub(crate) fn write_trailer(
    storage: &dyn Storage,
    file: &dyn StorageFile,
    segment: &Segment,
    trailer: &Trailer,
) -> Result<u32> {
    let block = trailer.encode(&segment.id, segment.base);
    let checksum =
        Trailer::decode(&block, &segment.id, segment.base).map_or(0, |(_, checksum)| checksum);
    write_all_at(file, &block, segment.bytes - BLOCK_BYTES)
        .map_err(|error| Error::io(Op::Write, storage.path(&segment.name()), error))?;
    file.sync().map_err(|error| Error::io(Op::Sync, storage.path(&segment.name()), error))?;
    segment.note_summary(*trailer, checksum);
    Ok(checksum)
}

/// Gives back the blocks under the body of a large last padding, which is never read. A failure
/// costs space, nothing else.
fn discard_padding(file: &dyn StorageFile, segment: &Segment, frames: &[u8], last: Option<u64>) {
    let Some(last) = last else { return };
    let Ok(header) = header_at(frames, segment.start(), last) else { return };
    let mut padding = last + header.frame_bytes();
    // Idle marks are empty paddings in front of the one that fills the rest.
    while let Ok(header) = header_at(frames, segment.start(), padding) {
        let end = padding + header.frame_bytes();
        if header.kind != Kind::Padding {
            return;
        }
        let body = (padding + FRAME_HEADER_BYTES - segment.base).next_multiple_of(BLOCK_BYTES);
        if end == segment.end && segment.base + body + DISCARD_BYTES <= end {
            let _ = file.discard(body, end - segment.base - body);
        }
        padding = end;
    }
}

#[cfg(test)]
mod tests;
