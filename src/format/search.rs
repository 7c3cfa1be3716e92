//! [`find`]: the first valid frame that answers a question, among bytes of which nothing is known.
//!
//! Invariant: it gives what checking the frame at every 8-byte step gives, and takes time in
//! proportion to the bytes, whatever they are.
//!
//! 1. Blocks of bytes in which no second word could be a header's are passed over, many at a time:
//!    zeros, text, random bytes.
//! 2. A header whose fields, length or question is wrong is passed over.
//! 3. The payload's CRC is computed: directly as long as it is short or all of them together come to
//!    few times the bytes, and from then on by [`RangeCrc`], since frames in frames, whose lengths
//!    overlap at every step, would take quadratic time.

use super::checksum::{Salt, payload_crc};
use super::frame::{FrameHeader, Kind};
use super::layout::FRAME_HEADER_LEN;
use super::range_crc::RangeCrc;
use super::scan::frame_at;

/// A payload of at most so many bytes is always summed directly: that is no dearer than [`RangeCrc`].
const SHORT: usize = 64;
/// Longer ones are, until together they come to so many times the bytes that are searched.
const DIRECT_PASSES: usize = 2;
/// How many words are looked at together.
const BLOCK_WORDS: usize = 64;

type Word = [u8; 8];

/// Finds the first valid frame from `from` on, in steps of 8, that `accept` accepts.
pub(super) fn find(
    bytes: &[u8],
    start: u64,
    from: u64,
    salt: Salt,
    accept: impl Fn(u64, &FrameHeader) -> bool,
) -> Option<(u64, FrameHeader)> {
    let (words, _) = bytes.as_chunks::<8>();
    let skipped = usize::try_from(from.saturating_sub(start).div_ceil(8)).ok()?;
    let mut summing =
        Summing { bytes, direct: bytes.len().saturating_mul(DIRECT_PASSES), crcs: None };
    let mut index = skipped;
    // The second words of all headers, a block at a time.
    for block in words.get(skipped.checked_add(1)?..)?.chunks(BLOCK_WORDS) {
        if block.iter().fold(false, |any, word| any | may_be_second(*word)) {
            for (at, second) in (index..).zip(block).filter(|(_, word)| may_be_second(**word)) {
                let lsn = start.checked_add(at as u64 * 8)?;
                let Some(header) = words.get(at).and_then(|first| decode(*first, *second)) else {
                    continue;
                };
                if accept(lsn, &header)
                    && summing.is_right(at * 8, &header, salt.at(lsn)) == Some(true)
                    && frame_at(bytes, start, lsn, salt).is_ok()
                {
                    return Some((lsn, header));
                }
            }
        }
        index += block.len();
    }
    None
}

/// Whether kind, flags and reserved bits are those of a header. Written so that it is computed for
/// several words at once.
#[inline]
fn may_be_second(word: Word) -> bool {
    let [kind, flags, zero, zero_too, ..] = word;
    let low = u32::from_le_bytes([kind, flags, zero, zero_too]);
    low.wrapping_sub(1) < 3 || low == 0x101
}

#[inline]
fn decode(first: Word, second: Word) -> Option<FrameHeader> {
    let both = u128::from(u64::from_le_bytes(first)) | u128::from(u64::from_le_bytes(second)) << 64;
    FrameHeader::decode(both.to_le_bytes()).ok()
}

struct Summing<'a> {
    bytes: &'a [u8],
    /// How many bytes may still be summed directly.
    direct: usize,
    crcs: Option<RangeCrc<'a>>,
}

impl Summing<'_> {
    /// Whether the frame at `offset` ends within the bytes, and has the right checksum and filler.
    /// `None` where it does not end there.
    fn is_right(&mut self, offset: usize, header: &FrameHeader, salt_at: u32) -> Option<bool> {
        let from = offset.checked_add(FRAME_HEADER_LEN)?;
        let len = usize::try_from(header.len).ok()?;
        let body = self.bytes.get(from..)?.get(..len.checked_next_multiple_of(8)?)?;
        if header.kind == Kind::Padding {
            return Some(header.checksum == header.expected_checksum(0, salt_at));
        }
        let (payload, filler) = body.split_at_checked(len)?;
        if filler.iter().any(|byte| *byte != 0) {
            return Some(false);
        }
        let crc = if len <= SHORT {
            payload_crc(payload)
        } else if let Some(left) = self.direct.checked_sub(len) {
            self.direct = left;
            payload_crc(payload)
        } else {
            self.crcs.get_or_insert_with(|| RangeCrc::new(self.bytes)).crc(from, len)?
        };
        Some(header.checksum == header.expected_checksum(crc, salt_at))
    }
}

#[cfg(test)]
mod tests;
