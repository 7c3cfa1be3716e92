//! Frames and blocks by the text of the format alone: what is valid, and how a checksum is made right.
//!
//! Invariant: nothing here asks the library whether a frame is valid, so that its answer can be
//! compared.

use stratalog::format::{BLOCK_BYTES, LogId, Salt};

/// What a valid frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) at: u64,
    pub(crate) end: u64,
    pub(crate) kind: u8,
    pub(crate) continues: bool,
    pub(crate) watermark: Option<u64>,
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// Length of payload and of frame, if header and length are in their ranges.
fn lengths(area: &[u8], offset: usize) -> Option<(usize, usize)> {
    let frame = area.get(offset..)?;
    let header = frame.get(..16)?;
    let len = number(&header[4..8]) as usize;
    let in_range = match (header[8], header[9]) {
        (1, 0 | 1) => true,
        (2, 0) => len.is_multiple_of(8),
        (3, 0) => len == 32,
        _ => false,
    };
    let bytes = 16 + len.next_multiple_of(8);
    (in_range && header[10..12] == [0, 0] && bytes <= frame.len()).then_some((len, bytes))
}

fn checksum(area: &[u8], offset: usize, len: usize, id: &LogId, at: u64) -> u32 {
    let is_padding = area[offset + 8] == 2;
    let payload = if is_padding { &[] } else { &area[offset + 16..offset + 16 + len] };
    let salted = crc32c::crc32c(payload) ^ Salt::new(id).at(at);
    crc32c::crc32c_append(salted, &area[offset + 4..offset + 16])
}

/// The frame at `at`, if there is a valid one. `start` is a multiple of 8.
pub(crate) fn valid(area: &[u8], start: u64, at: u64, id: &LogId) -> Option<Plain> {
    let offset = usize::try_from(at.checked_sub(start)?).ok()?;
    if offset % 8 != 0 {
        return None;
    }
    let (len, bytes) = lengths(area, offset)?;
    let kind = area[offset + 8];
    let filled = kind == 2 || area[offset + 16 + len..offset + bytes].iter().all(|byte| *byte == 0);
    if !filled || number(&area[offset..offset + 4]) != checksum(area, offset, len, id, at) {
        return None;
    }
    let back = number(&area[offset + 12..offset + 16]);
    let watermark = if back == u32::MAX { None } else { at.checked_sub(u64::from(back) * 8) };
    let continues = area[offset + 9] == 1;
    Some(Plain { at, end: at + bytes as u64, kind, continues, watermark })
}

/// Makes the checksum of the frame at `offset` right, if there is anything like a frame.
pub(crate) fn seal(area: &mut [u8], start: u64, offset: usize, id: &LogId) {
    if let Some((len, bytes)) = lengths(area, offset) {
        let at = start.wrapping_add(offset as u64);
        if area[offset + 8] != 2 {
            area[offset + 16 + len..offset + bytes].fill(0);
        }
        let checksum = checksum(area, offset, len, id, at);
        area[offset..offset + 4].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Makes the checksum of a block right.
pub(crate) fn seal_block(block: &mut [u8], salt: u32) {
    assert_eq!(block.len() as u64, BLOCK_BYTES);
    let salted = crc32c::crc32c(&block[16..]) ^ salt;
    let checksum = crc32c::crc32c_append(salted, &block[..12]);
    block[12..16].copy_from_slice(&checksum.to_le_bytes());
}
