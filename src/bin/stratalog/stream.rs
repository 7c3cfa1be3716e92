//! The stream of `export` and `import`: records on their way to another machine.
//!
//! Invariant: a stream that was cut short or changed on the way is noticed, at the first record that
//! differs, and each record before that is right.
//!
//! All numbers are little endian, all checksums CRC-32C of what lies before them in their part:
//!
//! 1. `STRATEXP`, version `u32` = 1, the log's id, 16 bytes, checksum `u32`.
//! 2. For each record: its address `u64`, its length `u32`, checksum `u32` of these two; the payload;
//!    its checksum `u32`.
//! 3. The end: all ones `u64`, 0 `u32`, checksum `u32`; how many records `u64`, checksum `u32`.

use stratalog::format::LogId;

const MAGIC: &[u8; 8] = b"STRATEXP";
const VERSION: u32 = 1;
/// Where a record's address would be, it says that none follows.
const END: u64 = u64::MAX;

pub(crate) const BEGINNING_BYTES: usize = 32;
pub(crate) const HEADER_BYTES: usize = 16;
pub(crate) const CHECKSUM_BYTES: usize = 4;
pub(crate) const COUNT_BYTES: usize = 12;

/// What stands before each part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Record { lsn: u64, len: u32 },
    End,
}

fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What was summed, if the checksum fits.
fn unsummed(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, checksum) = bytes.split_last_chunk()?;
    (crc32c::crc32c(bytes) == u32::from_le_bytes(*checksum)).then_some(bytes)
}

pub(crate) fn beginning(id: LogId) -> Vec<u8> {
    summed([&MAGIC[..], &VERSION.to_le_bytes(), &id.bytes()].concat())
}

/// Whether it is the beginning of a stream of a version that is known.
pub(crate) fn is_beginning(bytes: &[u8]) -> bool {
    let version = unsummed(bytes).and_then(|bytes| bytes.strip_prefix(MAGIC));
    version.is_some_and(|bytes| bytes.starts_with(&VERSION.to_le_bytes()))
}

pub(crate) fn header(lsn: u64, len: u32) -> Vec<u8> {
    summed([&lsn.to_le_bytes()[..], &len.to_le_bytes()].concat())
}

/// Reads what [`header`] or [`end`] wrote.
pub(crate) fn part(bytes: &[u8]) -> Option<Part> {
    let (lsn, len) = unsummed(bytes)?.split_first_chunk()?;
    let (lsn, len) = (u64::from_le_bytes(*lsn), u32::from_le_bytes(*len.first_chunk()?));
    Some(if lsn == END { Part::End } else { Part::Record { lsn, len } })
}

pub(crate) fn payload_checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32c::crc32c(payload).to_le_bytes()
}

/// A payload without the checksum behind it, if that fits.
pub(crate) fn payload(bytes: &[u8]) -> Option<&[u8]> {
    unsummed(bytes)
}

pub(crate) fn end(records: u64) -> Vec<u8> {
    let mut bytes = header(END, 0);
    bytes.extend_from_slice(&summed(records.to_le_bytes().to_vec()));
    bytes
}

/// How many records the end says there are.
pub(crate) fn count(bytes: &[u8]) -> Option<u64> {
    unsummed(bytes)?.first_chunk().map(|count| u64::from_le_bytes(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_read_as_it_was_written_and_refused_with_any_bit_flipped() {
        let id = LogId::new([7; 16]);
        let is_part = |bytes: &[u8]| part(bytes) == Some(Part::Record { lsn: 4144, len: 9 });
        let ends = end(3);
        let (first, second) = ends.split_at(HEADER_BYTES);
        assert_eq!((part(first), second.len()), (Some(Part::End), COUNT_BYTES));
        refuses_any_flip(&beginning(id), is_beginning);
        refuses_any_flip(&header(4144, 9), is_part);
        refuses_any_flip(second, |bytes| count(bytes) == Some(3));
    }

    fn refuses_any_flip(bytes: &[u8], is_right: impl Fn(&[u8]) -> bool) {
        assert!(is_right(bytes));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_right(&flipped), "bit {bit}");
        }
    }
}
