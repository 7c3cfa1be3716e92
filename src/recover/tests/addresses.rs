//! Addresses that no log writes, under valid checksums, and frames at the edge of a segment.

use super::images::{BYTES, ID, Writer, open, open_as};
use crate::format::{
    ControlState, CutMark, LINK_FRAME_BYTES, SegmentHeader, Trailer, frames_end, frames_start,
    segment_name,
};
use crate::storage::Image;
use crate::{Corruption, Error, RecoveryPolicy};

/// No address lies above this.
const MAX_ADDRESS: u64 = 1 << 63;

/// The field of the control file that a log is refused for, its offset, and what was expected there.
fn refused(state: &ControlState, sequences: [u64; 2]) -> Option<(&'static str, u64, u64, u64)> {
    let mut image = Writer::new().segment().records(2, 60).image;
    image.insert("control", sequences.map(|sequence| state.encode(sequence)).concat());
    match open(&image) {
        Err(Error::Corrupt {
            path,
            offset,
            reason: Corruption::Mismatch { field, expected, found },
            ..
        }) => {
            assert!(path.ends_with("control"));
            Some((field, offset, expected, found))
        }
        _ => None,
    }
}

#[test]
fn addresses_in_the_control_file_that_no_log_writes_are_refused() {
    let state = Writer::new().segment().records(2, 60).state;
    let limit = frames_start(state.next_base);
    let with = |change: fn(&mut ControlState, u64), value| {
        let mut state = state.clone();
        change(&mut state, value);
        refused(&state, [2, 3])
    };
    let next_base = |state: &mut ControlState, value| state.next_base = value;
    assert_eq!(with(next_base, MAX_ADDRESS), None);
    let above = MAX_ADDRESS + 8;
    assert_eq!(with(next_base, above), Some(("next_base below", 4096, MAX_ADDRESS, above)));
    let head = |state: &mut ControlState, value| state.head = value;
    assert_eq!(with(head, limit), None);
    assert_eq!(with(head, limit + 8), Some(("head up to", 4096, limit, limit + 8)));
    let durable_end = |state: &mut ControlState, value| state.durable_end = value;
    assert_eq!(with(durable_end, limit), None);
    let told = Some(("durable end up to", 4096, limit, limit + 8));
    assert_eq!(with(durable_end, limit + 8), told);
}

#[test]
fn a_cut_that_no_log_makes_is_refused_whatever_the_policy() {
    let writer = Writer::new().segment().records(2, 60);
    let at = writer.at;
    let writer = writer.cut(0, at);
    let next_base = writer.state.next_base;
    let with = |change: fn(&mut CutMark)| {
        let mut state = writer.state.clone();
        change(state.cut.as_mut().unwrap());
        refused(&state, [2, 3])
    };
    assert_eq!(with(|_| {}), None);
    // Appends would go on below the end of what is kept.
    let told = Some(("cut_fresh up to", 4096, next_base, next_base + 8));
    assert_eq!(with(|cut| cut.fresh += 8), told);
    let start = frames_start(0);
    assert_eq!(
        with(|cut| cut.end = frames_start(0) - 8),
        Some(("cut_end from", 4096, start, start - 8))
    );
    assert_eq!(with(|cut| cut.end = frames_start(0)), None);
    let mut state = writer.state.clone();
    let mark = CutMark { segment: 0, end: 4 * BYTES, fresh: 5 * BYTES };
    (state.cut, state.newest) = (Some(mark), None);
    let mut image = writer.image.clone();
    image.insert("control", [6, 7].map(|sequence| state.encode(sequence)).concat());
    for policy in [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt]
    {
        assert!(open_as(&image, policy).is_err(), "{policy:?}");
    }
}

#[test]
fn slots_that_are_not_where_their_numbers_say_are_refused() {
    let state = Writer::new().segment().records(2, 60).state;
    assert_eq!(refused(&state, [2, 3]), None);
    assert_eq!(refused(&state, [4, 3]), None);
    assert_eq!(refused(&state, [3, 2]), Some(("slot", 0, 1, 0)));
    assert_eq!(refused(&state, [3, 4]), Some(("slot", 4096, 0, 1)));
    assert_eq!(refused(&state, [MAX_ADDRESS, MAX_ADDRESS - 1]), None);
    assert!(refused(&state, [MAX_ADDRESS + 2, MAX_ADDRESS + 1]).is_some());
}

/// Why a file at this base, with a header that names it, is refused.
fn stranger(base: u64) -> Option<Corruption> {
    let mut image = Writer::new().segment().records(2, 60).image;
    let mut bytes = SegmentHeader { id: ID, base, segment_bytes: BYTES }.encode();
    bytes.resize(usize::try_from(BYTES).unwrap(), 0);
    image.insert(segment_name(base), bytes);
    match open(&image) {
        Err(Error::Corrupt { path, reason, .. }) if path.ends_with(segment_name(base)) => {
            Some(reason)
        }
        _ => None,
    }
}

#[test]
fn a_segment_beyond_all_addresses_is_refused() {
    let base = MAX_ADDRESS + 8;
    let (field, expected) = ("base below", MAX_ADDRESS);
    assert_eq!(stranger(base), Some(Corruption::Mismatch { field, expected, found: base }));
    assert_eq!(stranger(MAX_ADDRESS), None);
}

#[test]
fn a_trailer_that_names_an_end_beyond_its_segment_is_none() {
    let writer = Writer::new().segment().records(4, 60);
    for end in [frames_end(0, BYTES) + 8, frames_end(0, BYTES) + 8192] {
        let trailer = Trailer {
            end,
            records: 0,
            first: None,
            last: None,
            frames_crc: 0,
            previous_checksum: 0,
        };
        let mut image: Image = writer.image.clone();
        let file = image.get_mut(&segment_name(0)).unwrap();
        let at = file.len() - 4096;
        file[at..].copy_from_slice(&trailer.encode(&ID, 0));
        let opened = open(&image).unwrap().checked();
        assert_eq!(opened.records(), writer.records, "{end}");
        assert_eq!(opened.recovered.report.end.get(), writer.at);
    }
}

#[test]
fn a_clean_mark_is_stale_where_the_last_frame_that_fits_lies_behind_it() {
    let room = frames_end(0, BYTES) - frames_start(0) - LINK_FRAME_BYTES - 16;
    let writer = Writer::new().segment().records(1, usize::try_from(room - 16).unwrap()).close();
    assert!(open(&writer.image).unwrap().recovered.report.clean);
    let later = writer.idle();
    assert_eq!(later.at, frames_end(0, BYTES));
    assert!(!open(&later.image).unwrap().recovered.report.clean);
}
