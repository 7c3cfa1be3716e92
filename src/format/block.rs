//! The frame that segment headers, trailers and control slots share: 4096 bytes under one checksum.
//!
//! Invariant: magic, version and checksum lie at the same place in every version of the format, and
//! the checksum covers every other byte, so that one flipped bit anywhere is found, and a block of a
//! newer version is known for one instead of being taken for damage.

use super::defect::Defect;
use super::layout::{BLOCK_LEN, VERSION};

/// Magic, version and checksum.
const PREFIX_BYTES: usize = 16;
const CHECKSUM_AT: usize = 12;

/// What "none" is for an address in a block.
pub(super) const NO_ADDRESS: u64 = u64::MAX;

/// What lies behind the fields: copied and compared as one piece, not byte by byte.
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];

/// Begins a block; the fields are then appended to it.
pub(super) fn begin(magic: [u8; 8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK_LEN);
    block.extend_from_slice(&magic);
    block.extend_from_slice(&VERSION.to_le_bytes());
    block.extend_from_slice(&[0; 4]);
    block
}

/// Fills a block up with zeros and sets its checksum.
pub(super) fn finish(mut block: Vec<u8>, salt_at: u32) -> Vec<u8> {
    let fields = block.len();
    block.extend_from_slice(ZEROS.get(fields..).unwrap_or_default());
    let checksum = checksum(&block, salt_at).to_le_bytes();
    block.splice(CHECKSUM_AT..PREFIX_BYTES, checksum);
    block
}

/// Checks a block and returns its fields and its checksum.
pub(super) fn open(
    bytes: &[u8],
    magic: [u8; 8],
    salt_at: u32,
) -> Result<(Fields<'_>, u32), Defect> {
    let mut fields = Fields(bytes);
    if bytes.len() != BLOCK_LEN || fields.bytes()? != magic {
        return Err(Defect::Malformed);
    }
    let version = fields.u32()?;
    let found = fields.u32()?;
    let expected = checksum(bytes, salt_at);
    if found != expected {
        return Err(Defect::Checksum { expected, found });
    }
    match version {
        VERSION => Ok((fields, found)),
        0 => Err(Defect::Malformed),
        found => Err(Defect::Version { found }),
    }
}

/// As for a frame: body, salt, and then what lies before the checksum.
fn checksum(block: &[u8], salt_at: u32) -> u32 {
    let body = block.get(PREFIX_BYTES..).unwrap_or_default();
    let before = block.get(..CHECKSUM_AT).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(body) ^ salt_at, before)
}

/// The fields of a block that are not read yet.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Defect> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Defect::Malformed)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Defect> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Defect> {
        self.bytes().map(u64::from_le_bytes)
    }

    /// Takes an address, which is a multiple of 8.
    pub(super) fn address(&mut self) -> Result<u64, Defect> {
        self.u64().and_then(|address| {
            if address.is_multiple_of(8) { Ok(address) } else { Err(Defect::Malformed) }
        })
    }

    /// Takes an address or "none".
    pub(super) fn optional_address(&mut self) -> Result<Option<u64>, Defect> {
        match self.u64()? {
            NO_ADDRESS => Ok(None),
            address if address.is_multiple_of(8) => Ok(Some(address)),
            _ => Err(Defect::Malformed),
        }
    }

    pub(super) fn slice(&mut self, len: usize) -> Result<&'a [u8], Defect> {
        let (slice, rest) = self.0.split_at_checked(len).ok_or(Defect::Malformed)?;
        self.0 = rest;
        Ok(slice)
    }

    /// Checks that no bytes but zeros are left.
    pub(super) fn end(self) -> Result<(), Defect> {
        if ZEROS.get(..self.0.len()) == Some(self.0) { Ok(()) } else { Err(Defect::Malformed) }
    }
}

/// Sets the version of an encoded block and makes its checksum right again.
#[cfg(test)]
pub(super) fn with_version(mut block: Vec<u8>, version: u32, salt_at: u32) -> Vec<u8> {
    block[8..12].copy_from_slice(&version.to_le_bytes());
    finish(block, salt_at)
}

/// Sets 8 bytes of an encoded block and makes its checksum right again.
#[cfg(test)]
pub(super) fn with_field(mut block: Vec<u8>, at: usize, value: u64, salt_at: u32) -> Vec<u8> {
    block[at..at + 8].copy_from_slice(&value.to_le_bytes());
    finish(block, salt_at)
}
