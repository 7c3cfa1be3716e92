//! [`Layout`]: what an undamaged disk holds and where, and how much of that is still proven durable
//! after damage.
//!
//! Invariant: it is computed from the format alone, independently of what recovery does: proof is an
//! undamaged frame's watermark, an undamaged trailer's end, an undamaged slot's durable end.

use stratalog::Lsn;
use stratalog::format::{
    BLOCK_BYTES, CONTROL_NAME, ControlState, FileKind, LogId, Salt, SegmentHeader, Trailer,
    classify, frame_at, frames_end, frames_start,
};
use stratalog::storage::Image;

/// A piece of a file that means something as a whole, and what it proves to be durable.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) file: String,
    pub(crate) offset: usize,
    pub(crate) bytes: Vec<u8>,
    pub(crate) proves: u64,
}

impl Piece {
    fn of(image: &Image, file: &str, offset: u64, len: u64, proves: u64) -> Self {
        let (offset, len) = (offset as usize, len as usize);
        let bytes = image.get(file).unwrap()[offset..offset + len].to_vec();
        Self { file: file.to_owned(), offset, bytes, proves }
    }

    fn is_in(&self, image: &Image) -> bool {
        let found = image.get(&self.file).and_then(|file| file.get(self.offset..));
        found.is_some_and(|found| found.starts_with(&self.bytes))
    }
}

/// Control slots, headers, frames, and trailers of a disk.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) pieces: Vec<Piece>,
}

impl Layout {
    pub(crate) fn of(image: &Image) -> Self {
        let mut layout = Self::default();
        let mut id = None;
        for offset in [0, BLOCK_BYTES] {
            let mut piece = Piece::of(image, CONTROL_NAME, offset, BLOCK_BYTES, 0);
            let (_, state) = ControlState::decode(&piece.bytes).expect("a whole slot");
            piece.proves = state.durable_end;
            id = Some(state.id);
            layout.pieces.push(piece);
        }
        let id = id.expect("a control file");
        for name in image.names() {
            if let FileKind::Segment(base) = classify(name) {
                layout.add_segment(image, name, base, &id);
            }
        }
        layout
    }

    fn add_segment(&mut self, image: &Image, name: &str, base: u64, id: &LogId) {
        let file = image.get(name).unwrap();
        let header = SegmentHeader::decode(&file[..BLOCK_BYTES as usize]).expect("a whole header");
        self.pieces.push(Piece::of(image, name, 0, BLOCK_BYTES, 0));
        let (start, end) = (frames_start(base), frames_end(base, header.segment_bytes));
        let area = &file[(start - base) as usize..(end - base) as usize];
        let mut at = start;
        while let Ok(frame) = frame_at(area, start, at, Salt::new(id)) {
            let len = 16 + frame.payload.len().next_multiple_of(8) as u64;
            let watermark = frame.header.watermark(at).unwrap_or(0);
            self.pieces.push(Piece::of(image, name, at - base, len, watermark));
            at = frame.end();
        }
        let trailer = Piece::of(image, name, end - base, BLOCK_BYTES, 0);
        if let Ok((decoded, _)) = Trailer::decode(&trailer.bytes, id, base) {
            self.pieces.push(Piece { proves: decoded.end, ..trailer });
        }
    }

    /// How far the log is proven durable by what of it is undamaged in `image`.
    pub(crate) fn proven(&self, image: &Image) -> Lsn {
        let whole = self.pieces.iter().filter(|piece| piece.is_in(image));
        Lsn::new(whole.map(|piece| piece.proves).max().unwrap_or(0))
    }
}
