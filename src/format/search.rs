//! [`find`]: the first valid frame that answers a question, among bytes of which nothing is known.
//!
//! Invariant: it gives what checking the frame at every 8-byte step gives, and takes time in
//! proportion to the bytes, whatever they are.
//!
//! 1. Blocks of words none of which could be a header's second are passed over, many words at a time:
//!    zeros, text, random bytes.
//! 2. In what is left, headers whose fields, length or answer are wrong are passed over.
//! 3. The others' payloads are summed: directly as long as they are short, or together come to few
//!    times the bytes. From then on by [`RangeCrc`], since frames in frames, which may overlap at
//!    every step, would take quadratic time.
//! 4. What seems right is checked again as any frame is.

use std::ops::Range;

use super::checksum::{Salt, payload_crc};
use super::frame::{FrameHeader, Kind};
use super::layout::FRAME_HEADER_LEN;
use super::polynomial::step;
use super::range_crc::{RangeCrc, RangeEnd, Word};
use super::scan::frame_at;

/// A payload of at most so many bytes is always summed directly: that is no dearer than [`RangeCrc`].
const SHORT: usize = 64;
/// Longer ones are, until together they come to so many times the bytes that are searched.
const DIRECT_PASSES: usize = 2;
/// How many words are looked at together.
const BLOCK_WORDS: usize = 64;
const HEADER_WORDS: usize = FRAME_HEADER_LEN / 8;

/// Finds the first valid frame that begins in `within`, in steps of 8, and that `accept` accepts.
pub(super) fn find(
    bytes: &[u8],
    start: u64,
    within: Range<u64>,
    salt: Salt,
    accept: impl Fn(u64, &FrameHeader) -> bool,
) -> Option<(u64, FrameHeader)> {
    Search::new(bytes, start, salt).find(within, accept)
}

/// Whether kind, flags and reserved bits are those of a header. No branches, so that it is computed
/// for several words at once.
#[inline]
fn may_be_second(word: Word) -> bool {
    let [kind, flags, zero, zero_too, ..] = word;
    let low = u32::from_le_bytes([kind, flags, zero, zero_too]);
    matches!(low, 0x001..=0x003 | 0x101)
}

/// A header that decodes, and whose frame ends within the bytes.
#[derive(Clone, Copy)]
struct Candidate {
    lsn: u64,
    /// The word where the payload begins.
    payload: usize,
    /// The length of what is summed, in bytes: nothing of a padding.
    len: usize,
    header: FrameHeader,
    /// The header's second word, little endian.
    second: u64,
}

struct Search<'a> {
    bytes: &'a [u8],
    words: &'a [Word],
    start: u64,
    salt: Salt,
    /// How many bytes may still be summed directly.
    direct: usize,
    /// Made when that is used up.
    crcs: Option<RangeCrc>,
    ends: Vec<RangeEnd>,
    /// How many bytes were summed, and how many checksums were compared.
    #[cfg(test)]
    work: std::cell::Cell<[usize; 2]>,
}

impl<'a> Search<'a> {
    fn new(bytes: &'a [u8], start: u64, salt: Salt) -> Self {
        let (words, _) = bytes.as_chunks();
        let direct = bytes.len().saturating_mul(DIRECT_PASSES);
        Self {
            bytes,
            words,
            start,
            salt,
            direct,
            crcs: None,
            ends: Vec::new(),
            #[cfg(test)]
            work: std::cell::Cell::default(),
        }
    }

    /// Counts work, for tests that bound it.
    #[cfg(test)]
    fn count(&self, summed: usize, compared: usize) {
        let [bytes, times] = self.work.get();
        self.work.set([bytes + summed, times + compared]);
    }

    fn find(
        &mut self,
        within: Range<u64>,
        accept: impl Fn(u64, &FrameHeader) -> bool,
    ) -> Option<(u64, FrameHeader)> {
        let start = self.start;
        let steps = |to: u64| usize::try_from(to.saturating_sub(start).div_ceil(8)).ok();
        let mut at = steps(within.start)?;
        let count = steps(within.end)?.saturating_sub(at);
        let mut candidates = Vec::with_capacity(BLOCK_WORDS);
        let seconds = self.words.get(at.checked_add(1)?..)?;
        for seconds in seconds.get(..count).unwrap_or(seconds).chunks(BLOCK_WORDS) {
            if seconds.iter().fold(false, |any, word| any | may_be_second(*word)) {
                let decoded =
                    (at..).zip(seconds).filter_map(|(at, word)| self.candidate(at, *word));
                candidates.clear();
                candidates.extend(decoded.filter(|found| accept(found.lsn, &found.header)));
                if let Some(found) = self.first_valid(&candidates) {
                    return Some((found.lsn, found.header));
                }
            }
            at += seconds.len();
        }
        None
    }

    #[inline]
    fn candidate(&self, at: usize, second: Word) -> Option<Candidate> {
        if !may_be_second(second) {
            return None;
        }
        let first = u64::from_le_bytes(*self.words.get(at)?);
        let second = u64::from_le_bytes(second);
        let both = u128::from(first) | u128::from(second) << 64;
        let header = FrameHeader::decode(both.to_le_bytes()).ok()?;
        let payload = at + HEADER_WORDS;
        let len = usize::try_from(header.len).ok()?;
        if len.div_ceil(8) > self.words.len().checked_sub(payload)? {
            return None;
        }
        let len = if header.kind == Kind::Padding { 0 } else { len };
        let lsn = self.start.checked_add(u64::try_from(at * 8).ok()?)?;
        Some(Candidate { lsn, payload, len, header, second })
    }

    fn first_valid(&mut self, candidates: &[Candidate]) -> Option<Candidate> {
        if self.crcs.is_none() {
            let long = candidates.iter().map(|found| found.len).filter(|len| *len > SHORT);
            if let Some(left) = self.direct.checked_sub(long.fold(0, usize::saturating_add)) {
                self.direct = left;
            } else {
                #[cfg(test)]
                self.count(self.words.len() * 8, 0);
                self.crcs = Some(RangeCrc::new(self.words));
            }
        }
        self.ends.clear();
        self.ends.extend(candidates.iter().map(|found| {
            let end = self.crcs.as_ref().and_then(|crcs| crcs.end(found.payload, found.len));
            end.unwrap_or_default()
        }));
        let right = |(found, end): &(&Candidate, &RangeEnd)| {
            let seems_right = self.has_right_checksum(found, **end) == Some(true);
            #[cfg(test)]
            self.count(if seems_right { found.len } else { 0 }, 1);
            seems_right && frame_at(self.bytes, self.start, found.lsn, self.salt).is_ok()
        };
        candidates.iter().zip(&self.ends).find(right).map(|(found, _)| *found)
    }

    /// Whether the checksum is right, provided that the filler behind the payload is zero.
    #[inline]
    fn has_right_checksum(&self, found: &Candidate, end: RangeEnd) -> Option<bool> {
        let crc = match &self.crcs {
            Some(crcs) if found.len > SHORT => crcs.crc_if_filled(found.payload, found.len, end)?,
            _ => {
                #[cfg(test)]
                self.count(found.len, 0);
                payload_crc(self.words.get(found.payload..)?.as_flattened().get(..found.len)?)
            }
        };
        let salted = crc ^ salt_at(self.salt, found.lsn);
        Some(found.header.checksum == expected_checksum(&found.header, found.second, salted))
    }
}

/// [`Salt::at`], inlined.
#[inline]
fn salt_at(salt: Salt, lsn: u64) -> u32 {
    !step(!salt.id_crc(), lsn)
}

/// [`FrameHeader::expected_checksum`], inlined.
#[inline]
fn expected_checksum(header: &FrameHeader, second: u64, salted: u32) -> u32 {
    // Zeros before anything count for nothing, so the four bytes of the length can be a step's last.
    let with_len = step(0, u64::from(header.len ^ !salted) << 32);
    !step(with_len, second)
}

#[cfg(test)]
mod tests;
