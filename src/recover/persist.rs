//! [`persist`] and [`seal`]: make durable what is kept, and sum up the segments that have ended.
//!
//! Invariant: bytes are written only where they lie already, and only after they were found valid in
//! private memory. A sync alone would not do: after a failed write-back the system holds pages that
//! differ from the disk and counts them as written.

use std::sync::Arc;

use crate::error::{Corruption, Error, Op, Result};
use crate::format::{Salt, Stopped, scan, summarize};
use crate::lsn::Lsn;
use crate::recover::bytes::Bytes;
use crate::recover::facts::{Piece, SegmentFile, path_of};
use crate::segment::seal::{trailer_of, write_trailer};
use crate::segment::segment::Segment;
use crate::storage::{Access, Storage, StorageFile, write_all_at};

/// Writes the frames of a piece from `proven` on again and syncs them. Returns how many bytes.
pub(super) fn persist(
    bytes: &mut Bytes<'_>,
    file: &SegmentFile,
    piece: &Piece,
    proven: u64,
) -> Result<u64> {
    let from = proven.max(piece.intact_from);
    if from >= piece.end || piece.sealed.is_some() {
        return Ok(0);
    }
    let storage = bytes.storage;
    // Read again, so that what is checked is what is written.
    bytes.forget();
    let frames = bytes.frames_to(file, piece.end)?;
    let start = file.start();
    let found = scan(frames, start, piece.intact_from, Some(piece.end), Salt::new(&file.id));
    let (at, reason) = match found.stopped {
        Stopped::Complete => (found.end, None),
        Stopped::Invalid { at, defect } | Stopped::TornBatch { at, defect, .. } => {
            (at, Some(Corruption::from(defect)))
        }
        Stopped::BrokenBatch { at, .. } => (at, Some(Corruption::BrokenBatch)),
    };
    if let Some(reason) = reason {
        return Err(Error::Corrupt {
            path: path_of(storage, file),
            offset: at - file.base,
            lsn: Some(Lsn::new(at)),
            reason,
        });
    }
    let range = offset(start, from)..offset(start, piece.end);
    let kept = frames.get(range).unwrap_or_default();
    let target = open(storage, file)?;
    write_all_at(&*target, kept, from - file.base)
        .map_err(|source| Error::io(Op::Write, path_of(storage, file), source))?;
    target.sync().map_err(|source| Error::io(Op::Sync, path_of(storage, file), source))?;
    Ok(kept.len() as u64)
}

/// Writes the trailer of a segment that has ended and returns its checksum, or 0 if its frames are
/// not all valid: damaged bytes are never summed up.
pub(super) fn seal(
    bytes: &mut Bytes<'_>,
    file: &SegmentFile,
    piece: &Piece,
    previous_checksum: u32,
) -> Result<u32> {
    let storage = bytes.storage;
    let start = file.start();
    let end = piece.end;
    let frames = bytes.frames_to(file, end)?;
    let found = scan(frames, start, start, Some(end), Salt::new(&file.id));
    if piece.damaged || found.stopped != Stopped::Complete {
        return Ok(0);
    }
    let frames = frames.get(..offset(start, end)).unwrap_or(frames);
    let Ok(summary) = summarize(frames, start) else { return Ok(0) };
    let trailer = trailer_of(&summary, end, previous_checksum);
    let segment = Segment::new(file.base, file.bytes, end, None);
    let target = open(storage, file)?;
    write_trailer(storage, &*target, &segment, &file.id, &trailer)
}

/// Opens a segment to write to it.
pub(super) fn open(storage: &dyn Storage, file: &SegmentFile) -> Result<Arc<dyn StorageFile>> {
    storage
        .open(&file.name(), Access::ReadWrite)
        .map_err(|source| Error::io(Op::Open, path_of(storage, file), source))
}

fn offset(start: u64, at: u64) -> usize {
    usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX)
}
