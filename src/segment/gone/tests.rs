//! What became of a segment whose file is gone, by what is left.

use super::*;
use crate::format::payload_crc;
use crate::format::{BLOCK_BYTES, ControlState, CutMark, DURABLE_UNKNOWN, FrameHeader, LogId};
use crate::storage::{Image, MemoryStorage};

const BYTES: u64 = 16 << 10;
const ID: LogId = LogId::new([7; 16]);
const BASE: u64 = 3 * BYTES;

/// A directory with a control file.
fn directory(head: u64, cut: Option<CutMark>) -> Image {
    let state = ControlState {
        id: ID,
        head,
        next_base: 9 * BYTES,
        newest: None,
        durable_end: head,
        cut,
        clean: false,
        app_state: Vec::new(),
    };
    let mut image = Image::new();
    image.insert("control", [state.encode(2), state.encode(3)].concat());
    image
}

/// Adds a segment whose first frame is of this kind and would be a link to `previous_base`.
fn with(mut image: Image, base: u64, kind: Kind, previous_base: u64) -> Image {
    let previous_end = frames_start(previous_base) + 64;
    let link = Link { previous_base, previous_end, previous_id: ID }.encode();
    let start = frames_start(base);
    let header = FrameHeader::new(kind, 32, false, DURABLE_UNKNOWN)
        .sealed(payload_crc(&link), Salt::new(&ID).at(start))
        .encode();
    let mut bytes = SegmentHeader { id: ID, base, segment_bytes: BYTES }.encode();
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&link);
    bytes.resize(usize::try_from(BYTES).unwrap(), 0);
    image.insert(segment_name(base), bytes);
    image
}

/// What is said of an address in the segment at [`BASE`].
fn told(image: &Image) -> Option<Error> {
    let segment = Segment::new((BASE, BYTES), BASE + BYTES - BLOCK_BYTES, ID, None);
    gone(&MemoryStorage::from_image(image.clone()), &segment, frames_start(BASE) + 48)
}

fn is_cut(image: &Image) -> bool {
    match told(image) {
        Some(Error::Cut { lsn }) => lsn.get() == frames_start(BASE) + 48,
        None => false,
        Some(other) => panic!("{other}"),
    }
}

#[test]
fn an_address_below_the_head_was_truncated_and_that_of_the_head_was_not() {
    let at = frames_start(BASE) + 48;
    for head in [at + 8, frames_start(5 * BYTES)] {
        let told = told(&directory(head, None));
        assert!(matches!(told, Some(Error::Truncated { head: found, .. }) if found.get() == head));
    }
    for head in [at, at - 8] {
        assert!(told(&directory(head, None)).is_none(), "{head}: it should be there");
    }
}

#[test]
fn a_segment_was_cut_away_that_lies_in_the_cut_of_the_control_file() {
    let cut = |segment, fresh| {
        let mark = CutMark { segment, end: frames_start(segment) + 64, fresh };
        is_cut(&directory(frames_start(0), Some(mark)))
    };
    assert!(cut(BYTES, 5 * BYTES));
    assert!(cut(BASE, 5 * BYTES));
    assert!(!cut(BYTES, BASE));
    assert!(!cut(4 * BYTES, 5 * BYTES));
}

#[test]
fn a_segment_was_cut_away_that_a_later_one_passes_over() {
    let bare = || directory(frames_start(0), None);
    assert!(is_cut(&with(bare(), 4 * BYTES, Kind::Link, 2 * BYTES)));
    // It follows this one, or a later one.
    assert!(!is_cut(&with(bare(), 4 * BYTES, Kind::Link, BASE)));
    assert!(!is_cut(&with(bare(), 5 * BYTES, Kind::Link, 4 * BYTES)));
    // What lies before it says nothing of it, nor what bears its own name.
    assert!(!is_cut(&with(bare(), 2 * BYTES, Kind::Link, BYTES)));
    assert!(!is_cut(&with(bare(), BASE, Kind::Link, 2 * BYTES)));
    // A record is no link, whatever it says.
    assert!(!is_cut(&with(bare(), 4 * BYTES, Kind::Record, 2 * BYTES)));
}
