//! [`Trailer`]: the last block of a sealed segment, and [`summarize`], which computes what it says.
//!
//! Invariant: it is written only after the frames that it sums up are durable, so that a valid
//! trailer proves how far they were.

use super::block;
use super::checksum::Salt;
use super::defect::{Defect, DefectAt};
use super::frame::Kind;
use super::layout::{
    FRAME_HEADER_BYTES, FRAME_HEADER_LEN, LogId, MAX_SEGMENT_BYTES, frames_end, frames_start,
};
use super::scan::header_at;

const MAGIC: [u8; 8] = *b"STRATEND";

/// How many bytes of frames are walked before they are summed, so that these are in the cache still.
const RUN_BYTES: usize = 64 << 10;

/// What the last block of a sealed segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// The address where the frames end.
    pub end: u64,
    /// How many records there are.
    pub records: u64,
    /// The first record's address.
    pub first: Option<u64>,
    /// The last record's address.
    pub last: Option<u64>,
    /// The CRC-32C of the frames, as [`summarize`] computes it.
    pub frames_crc: u32,
    /// The checksum of the trailer of the segment before; 0 for the first.
    pub previous_checksum: u32,
}

impl Trailer {
    /// Encodes the block, of [`BLOCK_BYTES`](super::BLOCK_BYTES), for the segment of this log and
    /// base.
    pub fn encode(&self, id: &LogId, base: u64) -> Vec<u8> {
        let mut block = block::begin(MAGIC);
        let [first, last] = [self.first, self.last].map(|lsn| lsn.unwrap_or(block::NO_ADDRESS));
        for word in [self.end, self.records, first, last] {
            block.extend_from_slice(&word.to_le_bytes());
        }
        block.extend_from_slice(&self.frames_crc.to_le_bytes());
        block.extend_from_slice(&self.previous_checksum.to_le_bytes());
        block::finish(block, Salt::new(id).at(base))
    }

    /// Decodes the last block of the segment of this log and base, and returns its checksum too, for
    /// the next segment's trailer.
    ///
    /// # Errors
    ///
    /// [`Defect::Version`] for an intact trailer of a newer version; [`Defect::Checksum`] or
    /// [`Defect::Malformed`] for anything that is not exactly an encoded trailer of this segment.
    pub fn decode(bytes: &[u8], id: &LogId, base: u64) -> Result<(Self, u32), Defect> {
        let (mut fields, checksum) = block::open(bytes, MAGIC, Salt::new(id).at(base))?;
        let trailer = Self {
            end: fields.address()?,
            records: fields.u64()?,
            first: fields.optional_address()?,
            last: fields.optional_address()?,
            frames_crc: fields.u32()?,
            previous_checksum: fields.u32()?,
        };
        fields.end()?;
        if trailer.is_plausible(base) { Ok((trailer, checksum)) } else { Err(Defect::Malformed) }
    }

    fn is_plausible(&self, base: u64) -> bool {
        let start = frames_start(base);
        let ends_inside = (start..=frames_end(base, MAX_SEGMENT_BYTES)).contains(&self.end);
        let room = self.end.saturating_sub(start) / FRAME_HEADER_BYTES;
        let records_fit = match (self.records, self.first, self.last) {
            (0, None, None) => true,
            (1, Some(first), Some(last)) => start <= first && first == last && last < self.end,
            (2.., Some(first), Some(last)) => start <= first && first < last && last < self.end,
            _ => false,
        };
        ends_inside && records_fit && self.records <= room
    }
}

/// What frames come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many records there are.
    pub records: u64,
    /// The first record's address.
    pub first: Option<u64>,
    /// The last record's address.
    pub last: Option<u64>,
    /// The CRC-32C of all bytes of the frames but the bodies of paddings.
    pub frames_crc: u32,
}

/// Sums up a segment's frames: `frames` are its bytes from `start`, where its frames begin, to their
/// end. A remainder of less than a frame's header at the end is left out.
///
/// Walks headers only; frames are checked by [`scan`](super::scan).
///
/// # Errors
///
/// The first header that is invalid, or reaches beyond the end.
pub fn summarize(frames: &[u8], start: u64) -> Result<Summary, DefectAt> {
    summarize_with(frames, start, || {})
}

/// The same, and calls `between` after every 64 KiB or so, however large the records are.
pub(crate) fn summarize_with(
    frames: &[u8],
    start: u64,
    between: impl FnMut(),
) -> Result<Summary, DefectAt> {
    let mut summary = Summary::default();
    summary.add(frames, start, between)?;
    Ok(summary)
}

impl Summary {
    /// Adds the frames that follow those summed up so far, from `start` on, and calls `between` after
    /// every 64 KiB or so of them.
    ///
    /// # Errors
    ///
    /// As [`summarize`]; then what is summed up is of no use.
    pub(crate) fn add(
        &mut self,
        frames: &[u8],
        start: u64,
        mut between: impl FnMut(),
    ) -> Result<(), DefectAt> {
        // All before `rest` is in the CRC or left out of it; the walk has come to `pending` inside it.
        let mut rest = frames;
        let mut pending = 0;
        let mut at = start;
        let mut sum = |mut crc, rest: &mut &[u8], bytes: usize| {
            let (run, after) = rest.split_at_checked(bytes).unwrap_or((*rest, &[]));
            *rest = after;
            let mut pieces = run.chunks_exact(RUN_BYTES);
            for piece in &mut pieces {
                crc = crc32c::crc32c_append(crc, piece);
                between();
            }
            crc32c::crc32c_append(crc, pieces.remainder())
        };
        while (rest.len() - pending) as u64 >= FRAME_HEADER_BYTES {
            let misplaced = |defect| DefectAt { at, defect };
            let header = header_at(frames, start, at).map_err(misplaced)?;
            let bytes =
                usize::try_from(header.frame_bytes()).map_err(|_| misplaced(Defect::Malformed))?;
            match header.kind {
                Kind::Record => {
                    self.records += 1;
                    self.first = self.first.or(Some(at));
                    self.last = Some(at);
                    pending += bytes;
                }
                Kind::Link => pending += bytes,
                Kind::Padding => {
                    let body = bytes - FRAME_HEADER_LEN;
                    self.frames_crc = sum(self.frames_crc, &mut rest, pending + bytes - body);
                    rest = rest.get(body..).unwrap_or_default();
                    pending = 0;
                }
            }
            if pending >= RUN_BYTES {
                self.frames_crc = sum(self.frames_crc, &mut rest, pending);
                pending = 0;
            }
            at += header.frame_bytes();
        }
        self.frames_crc = sum(self.frames_crc, &mut rest, pending);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
