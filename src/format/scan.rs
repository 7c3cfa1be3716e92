//! [`scan`] and what it is made of: checking frames in the bytes of a segment.
//!
//! Invariant: from a frame boundary a scan comes only to frame boundaries, so that whatever a payload
//! looks like, it is never taken for a frame. Everything is bounded by the bytes that are there.
//!
//! `bytes` is always the frames area of one segment, or a prefix of it, and `start` the address of
//! its first byte.

use super::checksum::{Salt, checksum_at, payload_crc};
use super::defect::Defect;
use super::frame::{FrameHeader, Kind};
use super::layout::FRAME_HEADER_BYTES;
use super::search;

/// A frame that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its address.
    pub lsn: u64,
    /// Its header.
    pub header: FrameHeader,
    /// Its payload; empty for a padding.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The address where the frame ends.
    pub const fn end(&self) -> u64 {
        self.lsn.saturating_add(self.header.frame_bytes())
    }
}

/// Decodes and checks the whole frame at `lsn`.
///
/// # Errors
///
/// As [`header_at`]; [`Defect::Malformed`] where the bytes between the payload and the next multiple
/// of 8 are not zero; [`Defect::Checksum`]. A padding's body is not looked at.
pub fn frame_at(bytes: &[u8], start: u64, lsn: u64, salt: Salt) -> Result<Frame<'_>, Defect> {
    let header = header_at(bytes, start, lsn)?;
    let body = || {
        let from = usize::try_from(lsn.checked_sub(start)? + FRAME_HEADER_BYTES).ok()?;
        let body = usize::try_from(header.frame_bytes() - FRAME_HEADER_BYTES).ok()?;
        let payload = usize::try_from(header.len).ok()?;
        bytes.get(from..)?.get(..body)?.split_at_checked(payload)
    };
    let (payload, filler) = match header.kind {
        Kind::Padding => (&[][..], &[][..]),
        Kind::Record | Kind::Link => body().ok_or(Defect::Malformed)?,
    };
    if filler.iter().any(|byte| *byte != 0) {
        return Err(Defect::Malformed);
    }
    let expected = checksum_at(&header.encode(), payload_crc(payload), salt, lsn);
    if header.checksum != expected {
        return Err(Defect::Checksum { expected, found: header.checksum });
    }
    Ok(Frame { lsn, header, payload })
}

/// Decodes the header at `lsn` and checks that its frame ends within `bytes`, but not its checksum:
/// for walking over frames that are known to be right.
///
/// # Errors
///
/// [`Defect::Malformed`] where there is no header, [`Defect::Length`] where it names more bytes than
/// are there.
#[inline]
pub fn header_at(bytes: &[u8], start: u64, lsn: u64) -> Result<FrameHeader, Defect> {
    let offset = lsn.wrapping_sub(start);
    if !offset.is_multiple_of(8) {
        return Err(Defect::Malformed);
    }
    let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
    let Some((header, body)) = rest.and_then(<[u8]>::split_first_chunk) else {
        return Err(Defect::Malformed);
    };
    let header = FrameHeader::decode(*header)?;
    let max = body.len() as u64;
    if header.frame_bytes() - FRAME_HEADER_BYTES > max {
        return Err(Defect::Length { max, found: u64::from(header.len) });
    }
    Ok(header)
}

/// What a [`scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanEnd {
    /// The end of the last valid frame that is not part of an unfinished batch; where the scan began
    /// if there is none.
    pub end: u64,
    /// How many records lie before `end`.
    pub records: u64,
    /// The first of them.
    pub first: Option<u64>,
    /// The last of them.
    pub last: Option<u64>,
    /// The highest durable watermark that any valid frame names, before `end` or after it.
    pub watermark: Option<u64>,
    /// Why the scan stopped.
    pub stopped: Stopped,
}

/// Why a [`scan`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Where it was to stop, or at the area's end: a remainder of less than a header is the end too.
    Complete,
    /// At an invalid frame.
    Invalid {
        /// Its address.
        at: u64,
        /// What is wrong with it.
        defect: Defect,
    },
    /// At an invalid frame inside a batch.
    TornBatch {
        /// The batch's first frame.
        first: u64,
        /// The invalid frame.
        at: u64,
        /// What is wrong with it.
        defect: Defect,
    },
    /// At what can't follow in a batch: a valid frame that is no record, or the end.
    BrokenBatch {
        /// The batch's first frame.
        first: u64,
        /// Where it goes on into something else.
        at: u64,
    },
}

/// Checks all frames from `from`, a frame boundary, until `until` or the end of `bytes`.
///
/// An unfinished batch is whole if it comes to `until`: whoever knew that end knew that the log was cut
/// there. A frame that reaches beyond `until` is invalid, and so is all that is missing where `until` lies
/// beyond the end of `bytes`.
pub fn scan(bytes: &[u8], start: u64, from: u64, until: Option<u64>, salt: Salt) -> ScanEnd {
    let area_end = start.saturating_add(bytes.len() as u64);
    let target = until.unwrap_or(area_end);
    let within = usize::try_from(target.saturating_sub(start)).ok();
    let bytes = within.and_then(|within| bytes.get(..within)).unwrap_or(bytes);
    let mut progress = Progress::new(from);
    loop {
        let at = progress.at;
        let remainder = target.checked_sub(at);
        let at_end = remainder == Some(0)
            || (target == area_end && remainder.is_some_and(|bytes| bytes < FRAME_HEADER_BYTES));
        let stopped = if at_end {
            Some(progress.end(until == Some(at)))
        } else {
            match frame_at(bytes, start, at, salt) {
                Ok(frame) => progress.take(&frame),
                Err(defect) => Some(match progress.batch {
                    Some(Batch { first, .. }) => Stopped::TornBatch { first, at, defect },
                    None => Stopped::Invalid { at, defect },
                }),
            }
        };
        if let Some(stopped) = stopped {
            return ScanEnd { stopped, ..progress.found };
        }
    }
}

/// Finds the first address from `from` on, in steps of 8, where a valid frame lies: for skipping
/// damage. Takes time in proportion to the bytes, whatever they are.
///
/// What it finds is a frame of this log at this address, but one that lies inside a payload is found
/// too, if its author knew both.
pub fn next_valid(bytes: &[u8], start: u64, from: u64, salt: Salt) -> Option<u64> {
    search::find(bytes, start, from..u64::MAX, salt, |_, _| true).map(|(lsn, _)| lsn)
}

#[derive(Clone, Copy)]
struct Batch {
    first: u64,
    last: u64,
    records: u64,
}

impl Batch {
    fn broken(self, at: u64) -> Stopped {
        Stopped::BrokenBatch { first: self.first, at }
    }
}

struct Progress {
    at: u64,
    /// The batch that is not finished yet; none of it counts before it is.
    batch: Option<Batch>,
    found: ScanEnd,
}

impl Progress {
    fn new(from: u64) -> Self {
        let stopped = Stopped::Complete;
        let found =
            ScanEnd { end: from, records: 0, first: None, last: None, watermark: None, stopped };
        Self { at: from, batch: None, found }
    }

    /// The end of the bytes, which is that of the frames if it was `named`.
    fn end(&mut self, named: bool) -> Stopped {
        match self.batch.take() {
            None => Stopped::Complete,
            Some(batch) if !named => batch.broken(self.at),
            Some(batch) => {
                self.found.records += batch.records;
                self.found.first = self.found.first.or(Some(batch.first));
                self.found.last = Some(batch.last);
                self.found.end = self.at;
                Stopped::Complete
            }
        }
    }

    fn take(&mut self, frame: &Frame<'_>) -> Option<Stopped> {
        self.found.watermark = self.found.watermark.max(frame.header.watermark(frame.lsn));
        if frame.header.kind == Kind::Record {
            let mut batch =
                self.batch.unwrap_or(Batch { first: frame.lsn, last: frame.lsn, records: 0 });
            (batch.last, batch.records) = (frame.lsn, batch.records + 1);
            if frame.header.continues {
                self.batch = Some(batch);
            } else {
                self.batch = None;
                self.found.records += batch.records;
                self.found.first = self.found.first.or(Some(batch.first));
                self.found.last = Some(frame.lsn);
                self.found.end = frame.end();
            }
        } else if let Some(batch) = self.batch {
            return Some(batch.broken(frame.lsn));
        } else {
            self.found.end = frame.end();
        }
        self.at = frame.end();
        None
    }
}

#[cfg(test)]
pub(super) mod tests;
