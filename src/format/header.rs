//! [`SegmentHeader`]: the first block of a segment file.
//!
//! Invariant: it is written and synced before the file has its name, and never changes afterwards.

use super::block;
use super::defect::Defect;
use super::layout::{BLOCK_BYTES, LogId, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};

const MAGIC: [u8; 8] = *b"STRATSEG";

/// What the first block of a segment file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The log that the segment belongs to.
    pub id: LogId,
    /// The address of the file's first byte: a multiple of 8.
    pub base: u64,
    /// The size of the file, in bytes: a multiple of 4096 from 16 KiB to 1 GiB.
    pub segment_bytes: u64,
}

impl SegmentHeader {
    /// Encodes the block, of [`BLOCK_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut block = block::begin(MAGIC);
        block.extend_from_slice(&self.id.bytes());
        block.extend_from_slice(&self.base.to_le_bytes());
        block.extend_from_slice(&self.segment_bytes.to_le_bytes());
        block::finish(block, 0)
    }

    /// Decodes a block of [`BLOCK_BYTES`].
    ///
    /// # Errors
    ///
    /// [`Defect::Version`] for an intact header of a newer version; [`Defect::Checksum`] or
    /// [`Defect::Malformed`] for anything that is not exactly an encoded header. The caller compares
    /// id, base and size with what it knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, Defect> {
        let (mut fields, _) = block::open(bytes, MAGIC, 0)?;
        let header = Self {
            id: LogId::new(fields.bytes()?),
            base: fields.address()?,
            segment_bytes: fields.u64()?,
        };
        fields.end()?;
        let size_is_right = (MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&header.segment_bytes)
            && header.segment_bytes.is_multiple_of(BLOCK_BYTES);
        let has_addresses = header.base.checked_add(header.segment_bytes).is_some();
        if size_is_right && has_addresses { Ok(header) } else { Err(Defect::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            id: LogId::new(*b"an id of a log!!"),
            base: 1 << 40,
            segment_bytes: 64 << 20,
        }
    }

    #[test]
    fn a_header_is_decoded_as_it_was_encoded() {
        for segment_bytes in [MIN_SEGMENT_BYTES, 20480, MAX_SEGMENT_BYTES] {
            for base in [0, 8, u64::MAX - 7 - MAX_SEGMENT_BYTES] {
                let header = SegmentHeader { base, segment_bytes, ..header() };
                assert_eq!(header.encode().len() as u64, BLOCK_BYTES);
                assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_refused() {
        let mut bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let refused = SegmentHeader::decode(&bytes).unwrap_err();
            assert!(!matches!(refused, Defect::Version { .. }), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header()));
    }

    #[test]
    fn a_header_of_another_size_is_refused() {
        let bytes = header().encode();
        for len in [0, 7, 8, 16, 48, 4095] {
            assert_eq!(SegmentHeader::decode(&bytes[..len]), Err(Defect::Malformed));
        }
        let longer = [bytes, vec![0]].concat();
        assert_eq!(SegmentHeader::decode(&longer), Err(Defect::Malformed));
        assert_eq!(SegmentHeader::decode(&[0; 4096]), Err(Defect::Malformed));
    }

    #[test]
    fn a_field_out_of_its_range_is_refused_under_a_right_checksum() {
        let refuse = |at, value| {
            let block = block::with_field(header().encode(), at, value, 0);
            assert_eq!(SegmentHeader::decode(&block), Err(Defect::Malformed), "{at} {value}");
        };
        refuse(32, 4);
        refuse(32, u64::MAX - 7);
        refuse(40, 0);
        refuse(40, MIN_SEGMENT_BYTES - 4096);
        refuse(40, MIN_SEGMENT_BYTES + 8);
        refuse(40, MAX_SEGMENT_BYTES + 4096);
        refuse(48, 1);
        refuse(4088, 1 << 56);
    }

    #[test]
    fn a_newer_version_is_named_only_under_a_right_checksum() {
        let newer = block::with_version(header().encode(), 2, 0);
        assert_eq!(SegmentHeader::decode(&newer), Err(Defect::Version { found: 2 }));
        let mut torn = newer.clone();
        torn[100] ^= 1;
        assert!(matches!(SegmentHeader::decode(&torn), Err(Defect::Checksum { .. })));
        let unversioned = block::with_version(header().encode(), 0, 0);
        assert_eq!(SegmentHeader::decode(&unversioned), Err(Defect::Malformed));
    }
}
