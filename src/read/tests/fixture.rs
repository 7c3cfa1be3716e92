//! [`Maker`]: segments made frame by frame, and [`Made`], a log of them, to read and to damage.
//!
//! Invariant: it uses the format floor to encode and never to find its way, so that what it says of a
//! log is independent of what is tested.

use std::sync::Arc;

use crate::format::{
    BLOCK_BYTES, FRAME_HEADER_BYTES, FrameHeader, Kind, Link, LogId, MIN_SEGMENT_BYTES, Salt,
    SegmentHeader, durable_back, frame_bytes, frames_end, frames_start, payload_crc, segment_name,
};
use crate::read::{ReadOptions, Snapshot};
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::storage::{Image, MemoryStorage, Storage};

pub(super) const ID: LogId = LogId::new(*b"a log of a test!");

/// One frame of a made segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MadeFrame {
    pub(super) lsn: u64,
    pub(super) end: u64,
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
}

/// A segment that is being made.
#[derive(Clone, Debug)]
pub(super) struct Maker {
    pub(super) base: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) frames: Vec<MadeFrame>,
    /// Where the next frame goes.
    pub(super) at: u64,
}

impl Maker {
    /// A segment of this size with its header and link.
    pub(super) fn new(base: u64, segment_bytes: u64) -> Self {
        let mut bytes = SegmentHeader { id: ID, base, segment_bytes }.encode();
        bytes.resize(segment_bytes as usize, 0);
        let mut maker = Self { base, bytes, frames: Vec::new(), at: frames_start(base) };
        maker.frame(Kind::Link, &Link::FIRST.encode(), 32);
        maker
    }

    pub(super) fn small(base: u64) -> Self {
        Self::new(base, MIN_SEGMENT_BYTES)
    }

    pub(super) fn frames_end(&self) -> u64 {
        frames_end(self.base, self.bytes.len() as u64)
    }

    /// How many bytes a record may have that is to fill what is left.
    pub(super) fn room(&self) -> u64 {
        self.frames_end() - self.at - FRAME_HEADER_BYTES
    }

    pub(super) fn record(&mut self, payload: &[u8]) -> u64 {
        self.frame(Kind::Record, payload, payload.len() as u64)
    }

    /// A padding with a body of garbage.
    pub(super) fn padding(&mut self, len: u64) -> u64 {
        let body = (self.at + FRAME_HEADER_BYTES - self.base) as usize;
        let lsn = self.frame(Kind::Padding, &[], len);
        self.bytes[body..body + len as usize].fill(0xa5);
        lsn
    }

    /// Pads up to the end, as a roll does.
    pub(super) fn fill(mut self) -> Self {
        if self.frames_end() - self.at >= FRAME_HEADER_BYTES {
            self.padding(self.room());
        }
        self
    }

    fn frame(&mut self, kind: Kind, payload: &[u8], len: u64) -> u64 {
        let (lsn, offset) = (self.at, (self.at - self.base) as usize);
        let len = u32::try_from(len).unwrap();
        let image = image_of(kind, payload, len, lsn);
        self.bytes[offset..offset + image.len()].copy_from_slice(&image);
        self.at += frame_bytes(len);
        assert!(self.at <= self.frames_end(), "it fits");
        self.frames.push(MadeFrame { lsn, end: self.at, kind, payload: payload.to_vec() });
        lsn
    }
}

/// The bytes of a frame as they lie at `lsn`, without the filler behind the payload.
pub(super) fn image_of(kind: Kind, payload: &[u8], len: u32, lsn: u64) -> Vec<u8> {
    let header = FrameHeader::new(kind, len, false, durable_back(lsn, lsn));
    let header = header.sealed(payload_crc(payload), Salt::new(&ID).at(lsn));
    [&header.encode()[..], payload].concat()
}

/// A record whose payload is `lead` zeros and then the image of a record, valid where it will lie
/// if the outer record lies at `lsn`.
pub(super) fn payload_with_frame(lsn: u64, lead: u64, inner: &[u8]) -> (Vec<u8>, u64) {
    let at = lsn + FRAME_HEADER_BYTES + lead;
    let mut payload = vec![0; lead as usize];
    payload.extend(image_of(Kind::Record, inner, inner.len() as u32, at));
    payload.resize(payload.len().next_multiple_of(8), 0);
    (payload, at)
}

/// One segment of a made log.
#[derive(Clone, Debug)]
pub(super) struct MadeSegment {
    pub(super) maker: Maker,
    /// What the log knows as the end of its frames.
    pub(super) end: u64,
}

/// A log to read.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) segments: Vec<MadeSegment>,
    pub(super) head: u64,
    pub(super) end: u64,
}

impl Made {
    /// Full segments, but for the last one, which ends where its last frame does.
    pub(super) fn of(makers: impl IntoIterator<Item = Maker>) -> Self {
        let segments: Vec<MadeSegment> = makers
            .into_iter()
            .map(|maker| MadeSegment { end: maker.frames_end(), maker })
            .collect();
        let end = segments.last().map_or(BLOCK_BYTES, |segment| segment.maker.at);
        let head = segments.first().map_or(0, |segment| segment.maker.base);
        Self { segments, head, end }
    }

    /// Cuts the segment `index` behind its last frame.
    pub(super) fn cut(mut self, index: usize) -> Self {
        self.segments[index].end = self.segments[index].maker.at;
        self
    }

    /// All frames that a snapshot may see.
    pub(super) fn frames(&self) -> Vec<MadeFrame> {
        let frames = self.segments.iter().flat_map(|segment| &segment.maker.frames);
        frames.filter(|frame| self.head <= frame.lsn && frame.end <= self.end).cloned().collect()
    }

    /// All records that a snapshot may see.
    pub(super) fn records(&self) -> Vec<(u64, Vec<u8>)> {
        let frames = self.frames().into_iter().filter(|frame| frame.kind == Kind::Record);
        frames.map(|frame| (frame.lsn, frame.payload)).collect()
    }

    /// The records, of which one has bits of one byte flipped.
    pub(super) fn records_with(&self, lsn: u64, byte: usize, bits: u8) -> Vec<(u64, Vec<u8>)> {
        let mut records = self.records();
        let (_, payload) = records.iter_mut().find(|record| record.0 == lsn).unwrap();
        payload[byte] ^= bits;
        records
    }

    pub(super) fn image(&self) -> Image {
        let mut image = Image::new();
        for MadeSegment { maker, .. } in &self.segments {
            image.insert(segment_name(maker.base), maker.bytes.clone());
        }
        image
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.snapshot_on(Arc::new(MemoryStorage::from_image(self.image())))
    }

    pub(super) fn snapshot_on(&self, storage: Arc<dyn Storage>) -> Snapshot {
        Snapshot::new(storage, self.set(), self.end, None, ReadOptions::new())
    }

    /// The segments as the log would know them, with nothing checked yet.
    pub(super) fn set(&self) -> Arc<SegmentSet> {
        let segments = self.segments.iter();
        let segments = segments.map(|MadeSegment { maker, end }| {
            Segment::new((maker.base, maker.bytes.len() as u64), *end, ID, None)
        });
        Arc::new(SegmentSet { head: self.head, segments: segments.collect() })
    }

    /// Flips bits of the byte at an address.
    pub(super) fn flip(&mut self, address: u64, bits: u8) {
        let segment = self.segments.iter_mut().rfind(|segment| segment.maker.base <= address);
        let maker = &mut segment.unwrap().maker;
        maker.bytes[(address - maker.base) as usize] ^= bits;
    }
}

/// All records, or the first error.
pub(super) fn read(snapshot: &Snapshot) -> crate::Result<Vec<(u64, Vec<u8>)>> {
    snapshot
        .iter()
        .map(|record| record.map(|record| (record.lsn().get(), record.payload().to_vec())))
        .collect()
}

/// A log of three segments with what occurs in one: records of many sizes, an empty padding, a
/// remainder that is too small for a frame, a padding at the end, addresses that are skipped.
pub(super) fn usual() -> Made {
    let size = MIN_SEGMENT_BYTES;
    let mut first = Maker::small(0);
    for len in 0..40 {
        first.record(&vec![len; usize::from(len) * 5]);
        if len % 8 == 3 {
            first.padding(0);
        }
    }
    // 8 bytes are left.
    first.record(&vec![7; first.room() as usize - 8]);
    let mut second = Maker::small(size);
    second.record(b"alone");
    let mut third = Maker::small(3 * size + 8);
    for len in 0..30 {
        third.record(&vec![len; usize::from(len)]);
    }
    Made::of([first, second.fill(), third])
}
