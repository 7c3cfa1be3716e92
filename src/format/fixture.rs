//! [`Area`]: builds the frames of a segment for tests, and damages them.

use super::checksum::{Salt, payload_crc};
use super::frame::{DURABLE_UNKNOWN, FrameHeader, Kind, Link};
use super::layout::{LogId, frames_start};

/// The frames of one segment, from the address `start` on.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub(crate) start: u64,
    pub(crate) salt: Salt,
    pub(crate) bytes: Vec<u8>,
}

/// The encoded frame of these parts. A padding's body is `payload`.
pub(crate) fn frame(header: FrameHeader, payload: &[u8], lsn: u64, salt: Salt) -> Vec<u8> {
    let crc = if header.kind == Kind::Padding { 0 } else { payload_crc(payload) };
    let mut frame = header.sealed(crc, salt.at(lsn)).encode().to_vec();
    frame.extend_from_slice(payload);
    frame.resize(frame.len().next_multiple_of(8), 0);
    frame
}

/// `len` bytes that look random and depend on `seed` only.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = |_| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(seed | 1);
        state.to_le_bytes()[7]
    };
    (0..len).map(next).collect()
}

impl Area {
    /// An area without a frame, not even a link.
    pub(crate) fn new(id: LogId, base: u64) -> Self {
        Self { start: frames_start(base), salt: Salt::new(&id), bytes: Vec::new() }
    }

    /// The area of a log's first segment.
    pub(crate) fn first() -> Self {
        let mut area = Self::new(LogId::new(*b"the id of a test"), 0);
        area.push(FrameHeader::new(Kind::Link, 32, false, DURABLE_UNKNOWN), &Link::FIRST.encode());
        area
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Appends a frame and returns its address.
    pub(crate) fn push(&mut self, header: FrameHeader, payload: &[u8]) -> u64 {
        let lsn = self.end();
        self.bytes.extend(frame(header, payload, lsn, self.salt));
        lsn
    }

    pub(crate) fn record(&mut self, payload: &[u8]) -> u64 {
        self.record_of_batch(payload, false)
    }

    pub(crate) fn record_of_batch(&mut self, payload: &[u8], continues: bool) -> u64 {
        let len = u32::try_from(payload.len()).unwrap();
        self.push(FrameHeader::new(Kind::Record, len, continues, DURABLE_UNKNOWN), payload)
    }

    /// Appends a record that says that everything below `durable` was durable.
    pub(crate) fn record_after(&mut self, durable: u64, payload: &[u8]) -> u64 {
        let len = u32::try_from(payload.len()).unwrap();
        let back = super::frame::durable_back(self.end(), durable);
        self.push(FrameHeader::new(Kind::Record, len, false, back), payload)
    }

    pub(crate) fn padding(&mut self, body: &[u8]) -> u64 {
        let len = u32::try_from(body.len()).unwrap();
        self.push(FrameHeader::new(Kind::Padding, len, false, DURABLE_UNKNOWN), body)
    }

    pub(crate) fn flip(&mut self, lsn: u64, bit: usize) {
        let at = usize::try_from(lsn - self.start).unwrap() + bit / 8;
        self.bytes[at] ^= 1 << (bit % 8);
    }
}
