//! The sizes that everything on disk is made of, and [`LogId`], the name of a log.
//!
//! Invariant: every size is a multiple of 8, so that each frame and each payload lies 8-aligned in
//! its file and in any map of it.

use std::fmt;

pub use crate::options::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};

/// The version of the format that this crate writes, and the newest that it reads.
pub const VERSION: u32 = 1;
/// The size of a header block, a trailer block, and a control slot, in bytes.
pub const BLOCK_BYTES: u64 = BLOCK_LEN as u64;
/// The size of a frame's header, in bytes.
pub const FRAME_HEADER_BYTES: u64 = FRAME_HEADER_LEN as u64;
/// Addresses stay below this, so that sums of them do not overflow. A log that writes 10 GiB each
/// second comes here after 29 years.
pub(crate) const MAX_ADDRESS: u64 = 1 << 63;
/// [`BLOCK_BYTES`] as a length in memory.
pub(crate) const BLOCK_LEN: usize = 4096;
/// [`FRAME_HEADER_BYTES`] as a length in memory.
pub(crate) const FRAME_HEADER_LEN: usize = 16;
/// The size of a link frame's payload, in bytes.
pub(crate) const LINK_PAYLOAD_BYTES: u32 = 32;
/// The size of a link frame, the first frame of every segment, in bytes.
pub const LINK_FRAME_BYTES: u64 = FRAME_HEADER_BYTES + LINK_PAYLOAD_BYTES as u64;

const _: () = assert!(MIN_SEGMENT_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(MAX_SEGMENT_BYTES.is_multiple_of(BLOCK_BYTES));
const _: () = assert!(max_record_bytes(MIN_SEGMENT_BYTES) == 8128);
// A length is a `u32` in a frame, and offsets in a segment are cast to `usize`.
const _: () = assert!(MAX_SEGMENT_BYTES < u32::MAX as u64);

/// The address where the frames of the segment with this base begin.
pub const fn frames_start(base: u64) -> u64 {
    base.saturating_add(BLOCK_BYTES)
}

/// The address where the frames of a segment of this base and size end, at the latest.
pub const fn frames_end(base: u64, segment_bytes: u64) -> u64 {
    base.saturating_add(segment_bytes).saturating_sub(BLOCK_BYTES)
}

/// The largest payload that a segment of this size can hold, in bytes: what the header block, the
/// trailer block, the link frame and the record's own header leave.
pub const fn max_record_bytes(segment_bytes: u64) -> u64 {
    segment_bytes.saturating_sub(2 * BLOCK_BYTES + LINK_FRAME_BYTES + FRAME_HEADER_BYTES)
}

/// The name of a log: 16 random bytes that bind its segments, frames and control file together.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LogId([u8; 16]);

impl LogId {
    /// Makes the id of these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, as they lie on disk.
    pub const fn bytes(&self) -> [u8; 16] {
        self.0
    }

    /// Makes, of an id that was drawn, that of a log that is restored from another: its last four
    /// bytes are the CRC of the twelve before them and the other log's id.
    pub(crate) fn restored_from(self, other: Self) -> Self {
        let [drawn @ .., _, _, _, _] = self.0;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&drawn), &other.0).to_le_bytes();
        let mut id = self.0;
        id.iter_mut().zip(drawn.into_iter().chain(crc)).for_each(|(to, byte)| *to = byte);
        Self(id)
    }

    /// Whether the log of this id was restored from the other one; by a chance of 1 in 2^32 it was not.
    pub(crate) fn is_restored_from(self, other: Self) -> bool {
        self.restored_from(other) == self
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_record_fills_a_segment_exactly() {
        for bytes in [MIN_SEGMENT_BYTES, 64 << 20, MAX_SEGMENT_BYTES] {
            let area = frames_end(0, bytes) - frames_start(0);
            assert_eq!(LINK_FRAME_BYTES + FRAME_HEADER_BYTES + max_record_bytes(bytes), area);
        }
    }

    #[test]
    fn an_address_beyond_all_does_not_overflow() {
        assert_eq!(frames_start(u64::MAX), u64::MAX);
        assert_eq!(frames_end(u64::MAX, MIN_SEGMENT_BYTES), u64::MAX - BLOCK_BYTES);
        assert_eq!(max_record_bytes(0), 0);
    }

    #[test]
    fn a_log_id_tells_which_one_it_was_restored_from() {
        let [old, other, drawn] = [1, 2, 3].map(|byte| LogId::new([byte; 16]));
        let new = drawn.restored_from(old);
        assert!(new.is_restored_from(old) && !new.is_restored_from(other));
        assert!(!drawn.is_restored_from(old) && new.bytes()[..12] == drawn.bytes()[..12]);
    }

    #[test]
    fn a_log_id_is_shown_as_its_bytes_in_hex() {
        let id = LogId::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff]);
        assert_eq!(id.to_string(), "000102030405060708090a0b0c0d0eff");
    }
}
