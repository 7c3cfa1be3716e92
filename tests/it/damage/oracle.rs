//! [`Oracle`]: what an undamaged disk holds and where, how much of the log is proven durable by what
//! damage left of it, and what opening has to make of that.
//!
//! Invariant: it is computed from the format alone, independently of what recovery does. Proof is an
//! undamaged frame's watermark, an undamaged trailer's end, an undamaged slot's durable end, and the
//! mark of a clean stop.

use stratalog::format::{
    BLOCK_BYTES, CONTROL_NAME, ControlState, FileKind, Kind, LogId, Salt, SegmentHeader, Trailer,
    classify, frame_at, frames_end, frames_start,
};
use stratalog::storage::Image;

use crate::common::TINY;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Slot {
        clean: bool,
    },
    Header,
    Link,
    /// With the address where its batch begins, its own if it is alone.
    Record {
        first: u64,
    },
    Padding,
    /// A valid frame behind the end of the log.
    Leftover,
    Trailer,
}

/// A piece of a file that means something as a whole, and what it proves to be durable.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) file: String,
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) what: What,
    /// The address of its first byte.
    pub(super) at: u64,
    proves: u64,
}

impl Piece {
    fn is_in(&self, image: &Image) -> bool {
        let found = image.get(&self.file).and_then(|file| file.get(self.offset..));
        found.is_some_and(|found| found.starts_with(&self.bytes))
    }

    pub(super) fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.bytes.len()
    }
}

/// Where damage lies, as far as that says what has to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A slot of the control file, the other one being whole.
    Slot,
    /// Both.
    Slots,
    /// A segment's first block.
    Header,
    /// The link of a segment, something behind it being proven durable.
    ProvenLink,
    /// The link of a segment of which nothing is proven durable.
    UnprovenLink,
    /// Frames that a trailer or the mark of a clean stop vouches for: they are checked when read.
    VouchedFrame,
    /// Frames that are checked when the log is opened, and that something proves durable.
    ProvenFrame,
    /// Frames that nothing proves durable.
    UnprovenFrame,
    /// A segment's last block, its frames being whole.
    Trailer,
    /// What means nothing: the bodies of paddings, what was never written, leftovers of a crash.
    Nothing,
}

/// What opening has to make of damage that leaves names and lengths as they are.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) place: Place,
    pub(super) file: String,
    /// The damaged frame, and the address below which everything is kept in any case.
    pub(super) damaged: u64,
    pub(super) first: u64,
}

/// Control slots, headers, frames, and trailers of a disk, file by file, in the order of addresses.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    pub(super) pieces: Vec<Piece>,
    /// The segment in which the log ends.
    last: String,
}

impl Oracle {
    /// `last` is the address of the last record that is kept.
    pub(super) fn of(image: &Image, last: u64) -> Self {
        let mut oracle = Self::default();
        let mut newest = None;
        for offset in [0, BLOCK_BYTES] {
            let bytes = block(image, CONTROL_NAME, offset);
            let (sequence, state) = ControlState::decode(&bytes).expect("a whole slot");
            let (what, proves) = (What::Slot { clean: state.clean }, state.durable_end);
            oracle.push(CONTROL_NAME, 0, offset, bytes, what, proves);
            newest = newest.max(Some((sequence, state.id.bytes())));
        }
        let id = LogId::new(newest.expect("a slot").1);
        for name in image.names() {
            if let FileKind::Segment(base) = classify(name) {
                oracle.add_segment(image, name, base, &id);
                if base < last {
                    name.clone_into(&mut oracle.last);
                }
            }
        }
        oracle
    }

    fn push(
        &mut self,
        file: &str,
        base: u64,
        offset: u64,
        bytes: Vec<u8>,
        what: What,
        proves: u64,
    ) {
        let (file, at, offset) = (file.to_owned(), base + offset, offset as usize);
        self.pieces.push(Piece { file, offset, bytes, what, at, proves });
    }

    fn add_segment(&mut self, image: &Image, name: &str, base: u64, id: &LogId) {
        let file = image.get(name).unwrap();
        let header = SegmentHeader::decode(&file[..BLOCK_BYTES as usize]).expect("a whole header");
        self.push(name, base, 0, block(image, name, 0), What::Header, 0);
        let (start, end) = (frames_start(base), frames_end(base, header.segment_bytes));
        let area = &file[(start - base) as usize..(end - base) as usize];
        let mut at = start;
        let mut batch = None;
        while let Ok(frame) = frame_at(area, start, at, Salt::new(id)) {
            let first = *batch.get_or_insert(at);
            if !frame.header.continues {
                batch = None;
            }
            let (what, body) = match frame.header.kind {
                Kind::Record => (What::Record { first }, frame.payload.len()),
                Kind::Link => (What::Link, frame.payload.len()),
                Kind::Padding => (What::Padding, 0),
            };
            let from = (at - base) as usize;
            let bytes = file[from..from + 16 + body.next_multiple_of(8)].to_vec();
            let watermark = frame.header.watermark(at).unwrap_or(0);
            self.push(name, base, from as u64, bytes, what, watermark);
            at = frame.end();
        }
        // What was begun of a batch, and what lies behind an invalid frame, is no part of the log.
        let unfinished = batch.unwrap_or(at);
        self.pieces.retain(|piece| piece.at < unfinished);
        for at in (unfinished..end).step_by(8) {
            if let Ok(frame) = frame_at(area, start, at, Salt::new(id)) {
                let from = (at - base) as usize;
                let bytes = file[from..from + (frame.end() - at) as usize].to_vec();
                let watermark = frame.header.watermark(at).unwrap_or(0);
                self.push(name, base, from as u64, bytes, What::Leftover, watermark);
            }
        }
        let bytes = block(image, name, end - base);
        if let Ok((trailer, _)) = Trailer::decode(&bytes, id, base) {
            self.push(name, base, end - base, bytes, What::Trailer, trailer.end);
        }
    }

    /// How far the log is proven durable by what of it is undamaged in `image`.
    pub(super) fn proven(&self, image: &Image) -> u64 {
        let whole = self.pieces.iter().filter(|piece| piece.is_in(image));
        whole.map(|piece| piece.proves).max().unwrap_or(0)
    }

    /// The addresses of the records that are damaged or gone in `image`, those whose batch is in
    /// part included.
    pub(super) fn damaged(&self, image: &Image) -> Vec<u64> {
        let first_of = |piece: &Piece| match piece.what {
            What::Record { first } => Some(first),
            _ => None,
        };
        // Without header and length nobody knows where the frames of a file end: none is looked for
        // where the length is that of no segment.
        let lost = |file: &str| {
            let header = self.pieces.iter().find(|it| it.what == What::Header && it.file == file);
            let bytes = image.get(file).map_or(0, <[u8]>::len);
            let possible = bytes >= TINY as usize && bytes.is_multiple_of(BLOCK_BYTES as usize);
            header.is_some_and(|header| !header.is_in(image)) && !possible
        };
        let broken = self.pieces.iter().filter(|it| !it.is_in(image) || lost(&it.file));
        let broken = broken.filter_map(first_of);
        let broken: Vec<u64> = broken.collect();
        let records = self
            .pieces
            .iter()
            .filter(|piece| first_of(piece).is_some_and(|first| broken.contains(&first)));
        records.map(|piece| piece.at).collect()
    }

    /// Whether a segment is gone, unreadable, or looks as if it had never been used.
    pub(super) fn forgets(&self, image: &Image) -> bool {
        self.pieces.iter().any(|piece| match piece.what {
            What::Header => !piece.is_in(image),
            What::Link => {
                let bytes = image.get(&piece.file).and_then(|file| file.get(piece.range()));
                bytes.is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0))
            }
            _ => false,
        })
    }

    /// What has to become of damage inside of files.
    pub(super) fn expect(&self, image: &Image) -> Expected {
        let proven = self.proven(image);
        let broken: Vec<&Piece> = self.pieces.iter().filter(|piece| !piece.is_in(image)).collect();
        let slots = broken.iter().filter(|piece| matches!(piece.what, What::Slot { .. })).count();
        let clean =
            slots == 0 && self.pieces.iter().any(|it| it.what == What::Slot { clean: true });
        let expected = |place, piece: &Piece, first| {
            let (file, damaged) = (piece.file.clone(), piece.at);
            Expected { place, file, damaged, first }
        };
        let by_kind = |wanted: What| broken.iter().find(|piece| piece.what == wanted);
        if slots == 2 {
            return expected(Place::Slots, broken[0], 0);
        }
        if let Some(header) = by_kind(What::Header) {
            return expected(Place::Header, header, 0);
        }
        for piece in &broken {
            let sealed = self.pieces.iter().any(|other| {
                other.what == What::Trailer && other.file == piece.file && other.is_in(image)
            });
            let vouched = sealed || (clean && piece.file == self.last);
            let (place, first) = match piece.what {
                What::Link if proven > piece.at || clean => (Place::ProvenLink, piece.at),
                What::Link => (Place::UnprovenLink, piece.at),
                What::Record { .. } | What::Padding if vouched => (Place::VouchedFrame, piece.at),
                What::Record { first } if proven > first || clean => (Place::ProvenFrame, first),
                What::Padding if proven > piece.at || clean => (Place::ProvenFrame, piece.at),
                What::Record { first } => (Place::UnprovenFrame, first),
                What::Padding => (Place::UnprovenFrame, piece.at),
                _ => continue,
            };
            return expected(place, piece, first);
        }
        match broken.iter().find(|piece| piece.what != What::Leftover) {
            Some(slot) if slots > 0 => expected(Place::Slot, slot, u64::MAX),
            Some(trailer) => expected(Place::Trailer, trailer, u64::MAX),
            None => {
                let (file, damaged, first) = (String::new(), 0, u64::MAX);
                Expected { place: Place::Nothing, file, damaged, first }
            }
        }
    }
}

fn block(image: &Image, file: &str, offset: u64) -> Vec<u8> {
    let offset = offset as usize;
    image.get(file).unwrap()[offset..offset + BLOCK_BYTES as usize].to_vec()
}
