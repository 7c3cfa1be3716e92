//! [`Walk`]: from frame to frame through one segment.
//!
//! Invariant: a walk that begins at a frame boundary, and checks, comes only to frame boundaries.
//!
//! The loop makes no call to the system, takes no lock and allocates nothing for a frame: it works on
//! `bytes`, the frames that were made readable so far. When the next frame does not lie inside, it
//! looks like a damaged one; so only what seems damaged is asked whether there is more to be made
//! readable, [`WINDOW_BYTES`] at a time.

use crate::error::{Corruption, Result};
use crate::format::{
    Defect, FRAME_HEADER_BYTES, Frame, FrameHeader, Kind, Salt, checksum_at, frame_at, header_at,
    next_valid, payload_crc,
};
use crate::read::area::Area;
use crate::read::record::Record;

/// How much is made readable at a time. Larger windows gain nothing more; smaller ones cost calls.
/// Small in tests, so that small segments have several.
const WINDOW_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 1 << 20 };

#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    start: u64,
    at: u64,
    salt: Salt,
    /// Whether checksums are verified.
    check: bool,
    area: Area<'a>,
    window_bytes: u64,
}

impl<'a> Walk<'a> {
    /// A walk over the frames of `area` from `at` on, a frame boundary.
    pub(super) fn new(area: Area<'a>, at: u64, check: bool) -> Self {
        let salt = Salt::new(&area.segment.id);
        let window_bytes = WINDOW_BYTES;
        Self { bytes: &[], start: area.start, at, salt, check, area, window_bytes }
    }

    /// Makes fewer bytes readable at a time, for a walk that is not meant to go far.
    pub(super) fn with_window(self, window_bytes: u64) -> Self {
        Self { window_bytes, ..self }
    }

    /// Goes on with bytes that were made readable before.
    pub(super) fn with_readable(self, readable: u64) -> Result<Self> {
        if readable <= self.start {
            return Ok(self);
        }
        let bytes = self.area.slice(self.start..readable)?;
        Ok(Self { bytes, ..self })
    }

    /// Up to where bytes were made readable.
    pub(super) fn readable(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Where the walk has come to.
    #[inline]
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn area(&self) -> Area<'a> {
        self.area
    }

    /// The next frame, if it is a record that is right and readable already: the loop of a replay.
    /// `None` says nothing but that [`next`](Self::next) knows more.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the result stays in registers: a tenth of the time")]
    pub(super) fn record(&mut self) -> Option<Record<'a>> {
        let offset = usize::try_from(self.at.wrapping_sub(self.start)).ok()?;
        let (encoded, body) = self.bytes.get(offset..)?.split_first_chunk()?;
        let header = FrameHeader::decode(*encoded).ok().filter(|it| it.kind == Kind::Record)?;
        let body = body.get(..usize::try_from(header.frame_bytes() - FRAME_HEADER_BYTES).ok()?)?;
        let (payload, filler) = body.split_at_checked(usize::try_from(header.len).ok()?)?;
        if self.check {
            let crc = payload_crc(payload);
            let right = header.checksum == checksum_at(encoded, crc, self.salt, self.at);
            if !right || filler.iter().any(|byte| *byte != 0) {
                return None;
            }
        }
        let lsn = self.at;
        self.at = lsn.saturating_add(header.frame_bytes());
        Some(Record::new(lsn, self.at, payload))
    }

    /// The next frame, or `None` at the end. After an error the walk is still before the frame that
    /// it could not pass.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'a>>> {
        loop {
            match self.frame() {
                Ok(frame) => {
                    self.at = frame.end();
                    return Ok(Some(frame));
                }
                Err(defect) => {
                    if !self.read_on(defect)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn frame(&self) -> Result<Frame<'a>, Defect> {
        if self.check {
            frame_at(self.bytes, self.start, self.at, self.salt)
        } else {
            unchecked_frame_at(self.bytes, self.start, self.at)
        }
    }

    /// Makes more bytes readable, if that is why the frame at `at` looks damaged. False at the end.
    fn read_on(&mut self, defect: Defect) -> Result<bool> {
        let area = self.area;
        if area.ends_at(self.at) {
            return Ok(false);
        }
        let readable = self.readable();
        let from = readable.max(self.at);
        let window_end = from.saturating_add(self.window_bytes);
        let header = self.header();
        match header.map(|header| (header.kind, self.at.saturating_add(header.frame_bytes()))) {
            Some((_, end)) if end > area.end => {
                let max = (area.end - self.at).saturating_sub(FRAME_HEADER_BYTES);
                let found = header.map_or(0, |header| u64::from(header.len));
                return Err(area.corrupt(self.at, Corruption::Length { max, found }));
            }
            // The body of a padding is not read, so it need not be readable.
            Some((Kind::Padding, end)) if end > readable => self.bytes = area.bytes(end, end)?,
            Some((_, end)) if end > readable => {
                self.bytes = area.bytes(from, end.max(window_end))?;
            }
            None if readable < area.end && readable < self.at + FRAME_HEADER_BYTES => {
                self.bytes = area.bytes(from, window_end)?;
            }
            _ => return Err(area.corrupt(self.at, defect.into())),
        }
        Ok(true)
    }

    /// The header at `at`, if it is readable and one at all.
    fn header(&self) -> Option<FrameHeader> {
        let offset = usize::try_from(self.at.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(offset..)?.first_chunk()?;
        FrameHeader::decode(*bytes).ok()
    }

    /// Passes the damaged frame at `at`: goes on at the next one that is valid where it lies, or at
    /// the end. Returns how many bytes were passed.
    pub(super) fn skip(&mut self) -> Result<u64> {
        let damaged = self.at;
        let readable = self.readable();
        self.bytes = self.area.bytes(readable.max(damaged), self.area.end)?;
        let valid = next_valid(self.bytes, self.start, damaged + 8, self.salt);
        self.at = valid.unwrap_or(self.area.end);
        Ok(self.at - damaged)
    }
}

fn unchecked_frame_at(bytes: &[u8], start: u64, lsn: u64) -> Result<Frame<'_>, Defect> {
    let header = header_at(bytes, start, lsn)?;
    let payload = || {
        let from = usize::try_from(lsn.checked_sub(start)? + FRAME_HEADER_BYTES).ok()?;
        bytes.get(from..)?.get(..usize::try_from(header.len).ok()?)
    };
    let payload = match header.kind {
        Kind::Padding => &[],
        Kind::Record | Kind::Link => payload().ok_or(Defect::Malformed)?,
    };
    Ok(Frame { lsn, header, payload })
}
