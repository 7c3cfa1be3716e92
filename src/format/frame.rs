//! [`FrameHeader`] and [`Link`]: the 16 bytes before every payload, and the payload that chains
//! segments.
//!
//! Invariant: a header's second 8-byte word is never zero, since no kind is 0. So zeros are never a
//! frame, and that word can be the one that publishes a frame in memory.

use super::checksum::{Salt, checksum_at};
use super::crc::crc32c;
use super::defect::Defect;
use super::layout::{FRAME_HEADER_BYTES, LINK_PAYLOAD_BYTES, LogId};

/// The value of [`FrameHeader::durable_back`] that says nothing.
pub const DURABLE_UNKNOWN: u32 = u32::MAX;

const CONTINUES: u8 = 1;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// What an application appended.
    Record = 1,
    /// Nothing: a body that is skipped, never read.
    Padding = 2,
    /// A [`Link`] to the segment before, the first frame of a segment.
    Link = 3,
}

/// The first 16 bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The frame's checksum; see [`expected_checksum`](Self::expected_checksum).
    pub checksum: u32,
    /// The length of the payload, or of a padding's body, in bytes.
    pub len: u32,
    /// What the frame holds.
    pub kind: Kind,
    /// Whether the batch goes on in the next frame. Only ever set for a record.
    pub continues: bool,
    /// How far the durable watermark lay behind this frame when it was framed, in 8-byte units, or
    /// [`DURABLE_UNKNOWN`].
    pub durable_back: u32,
}

impl FrameHeader {
    /// Makes a header whose checksum is 0 still.
    #[inline]
    pub const fn new(kind: Kind, len: u32, continues: bool, durable_back: u32) -> Self {
        Self { checksum: 0, len, kind, continues, durable_back }
    }

    /// Sets the checksum. A padding's `payload_crc` is 0, that of no bytes.
    #[inline]
    #[must_use]
    pub fn sealed(self, payload_crc: u32, salt_at: u32) -> Self {
        Self { checksum: self.expected_checksum(payload_crc, salt_at), ..self }
    }

    /// Sets the checksum of the frame at `address` in the log of `salt`.
    #[inline]
    #[must_use]
    pub(crate) fn sealed_at(self, payload_crc: u32, salt: Salt, address: u64) -> Self {
        Self { checksum: checksum_at(&self.encode(), payload_crc, salt, address), ..self }
    }

    /// Computes the checksum that this header should have: `payload_crc` XOR `salt_at`, carried on
    /// over header bytes 4 to 16.
    #[inline]
    pub fn expected_checksum(self, payload_crc: u32, salt_at: u32) -> u32 {
        checksum_of(&self.encode(), payload_crc, salt_at)
    }

    /// Encodes the header.
    #[inline]
    pub fn encode(self) -> [u8; 16] {
        let flags = if self.continues { CONTINUES } else { 0 };
        let first = u64::from(self.checksum) | u64::from(self.len) << 32;
        let second =
            u64::from(self.kind as u8) | u64::from(flags) << 8 | u64::from(self.durable_back) << 32;
        (u128::from(first) | u128::from(second) << 64).to_le_bytes()
    }

    /// Decodes a header, looking at nothing but its fields: neither whether the length fits, nor
    /// whether the checksum is right.
    ///
    /// # Errors
    ///
    /// [`Defect::Malformed`] for an unknown kind or flag, a batch flag on anything but a record, a
    /// reserved bit that is set, a padding of a length that is no multiple of 8, a link of a length
    /// other than 32.
    #[inline]
    pub fn decode(bytes: [u8; 16]) -> Result<Self, Defect> {
        let [c0, c1, c2, c3, l0, l1, l2, l3, k0, k1, k2, k3, d0, d1, d2, d3] = bytes;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        // Kind, flags and the reserved bytes have four values in all.
        let (kind, continues) = match u32::from_le_bytes([k0, k1, k2, k3]) {
            0x001 => (Kind::Record, false),
            0x101 => (Kind::Record, true),
            0x002 if len.is_multiple_of(8) => (Kind::Padding, false),
            0x003 if len == LINK_PAYLOAD_BYTES => (Kind::Link, false),
            _ => return Err(Defect::Malformed),
        };
        Ok(Self {
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
            len,
            kind,
            continues,
            durable_back: u32::from_le_bytes([d0, d1, d2, d3]),
        })
    }

    /// Returns the two words whose bytes in memory are the encoded header.
    #[inline]
    pub fn to_words(self) -> [u64; 2] {
        let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7] = self.encode();
        [
            u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            u64::from_ne_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
        ]
    }

    /// Decodes what [`to_words`](Self::to_words) gave.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    #[inline]
    pub fn from_words(words: [u64; 2]) -> Result<Self, Defect> {
        let [[a0, a1, a2, a3, a4, a5, a6, a7], [b0, b1, b2, b3, b4, b5, b6, b7]] =
            words.map(u64::to_ne_bytes);
        Self::decode([a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7])
    }

    /// The size of the whole frame, in bytes.
    #[inline]
    pub const fn frame_bytes(self) -> u64 {
        frame_bytes(self.len)
    }

    /// The durable watermark that this frame names, if it lies at `lsn`: everything below it was
    /// durable when the frame was framed. `None` where it names none.
    #[inline]
    pub fn watermark(self, lsn: u64) -> Option<u64> {
        match self.durable_back {
            DURABLE_UNKNOWN => None,
            back => lsn.checked_sub(u64::from(back) * 8),
        }
    }
}

/// Computes the checksum that an encoded header should have: see
/// [`expected_checksum`](FrameHeader::expected_checksum). Encoding it again for that takes longer.
#[inline]
pub(super) fn checksum_of(encoded: &[u8; 16], payload_crc: u32, salt_at: u32) -> u32 {
    let [_, _, _, _, covered @ ..] = encoded;
    crc32c(payload_crc ^ salt_at, covered)
}

/// The size of a frame with a payload of `len` bytes: its header, and the payload filled up to 8.
#[inline]
pub const fn frame_bytes(len: u32) -> u64 {
    FRAME_HEADER_BYTES + (len as u64).next_multiple_of(8)
}

/// Returns how far `durable` lies behind `lsn`, in 8-byte units rounded up: what a frame says may err
/// low, never high. [`DURABLE_UNKNOWN`] where that does not fit, or `durable` lies above.
#[inline]
pub fn durable_back(lsn: u64, durable: u64) -> u32 {
    lsn.checked_sub(durable)
        .and_then(|bytes| u32::try_from(bytes.div_ceil(8)).ok())
        .unwrap_or(DURABLE_UNKNOWN)
}

/// A link frame's payload: which segment this one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The base of the segment before.
    pub previous_base: u64,
    /// Where that segment's frames end. It says nothing about their being durable.
    pub previous_end: u64,
    /// The log that it belongs to: another one where a log was restored from an archive.
    pub previous_id: LogId,
}

impl Link {
    /// The link of a log's first segment, which follows none.
    pub const FIRST: Self =
        Self { previous_base: u64::MAX, previous_end: u64::MAX, previous_id: LogId::new([0; 16]) };

    /// Encodes the payload.
    pub fn encode(self) -> [u8; LINK_PAYLOAD_BYTES as usize] {
        let mut payload = [0; LINK_PAYLOAD_BYTES as usize];
        let [base, end] = [self.previous_base, self.previous_end].map(u64::to_le_bytes);
        let id = self.previous_id.bytes();
        let bytes = base.into_iter().chain(end).chain(id);
        payload.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        payload
    }

    /// Decodes a link frame's payload.
    ///
    /// # Errors
    ///
    /// [`Defect::Malformed`] for another length, for addresses that are no multiples of 8, for an end
    /// below its base, and for anything but [`FIRST`](Self::FIRST) whose base is all ones.
    pub fn decode(payload: &[u8]) -> Result<Self, Defect> {
        let fields = payload.as_chunks::<8>();
        let ([base, end, id @ ..], []) = fields else { return Err(Defect::Malformed) };
        let link = Self {
            previous_base: u64::from_le_bytes(*base),
            previous_end: u64::from_le_bytes(*end),
            previous_id: LogId::new(id.as_flattened().try_into().map_err(|_| Defect::Malformed)?),
        };
        let aligned = link.previous_base.is_multiple_of(8) && link.previous_end.is_multiple_of(8);
        if link == Self::FIRST || (aligned && link.previous_base < link.previous_end) {
            Ok(link)
        } else {
            Err(Defect::Malformed)
        }
    }
}

#[cfg(test)]
mod tests;
