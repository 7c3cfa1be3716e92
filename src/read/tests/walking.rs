//! Walking: how much is made readable, and what a replay is handed without asking for more.

use super::fixture::{Made, Maker, image_of};
use crate::format::{BLOCK_BYTES, FRAME_HEADER_BYTES, Kind};
use crate::read::walk::Walk;
use crate::{Corruption, Error, Lsn};

/// Records of several sizes, a padding in between and one at the end.
fn made() -> Made {
    let mut maker = Maker::small(0);
    for len in [40, 8, 13, 200] {
        maker.record(&vec![3; len]);
    }
    maker.padding(64);
    for len in [0, 80, 5] {
        maker.record(&vec![4; len]);
    }
    Made::of([maker])
}

#[test]
fn a_walk_makes_no_more_readable_than_the_next_frame_or_its_window_needs() {
    let made = made();
    let snapshot = made.snapshot();
    let area = snapshot.pinned.area(0).unwrap();
    let mut paddings = 0;
    for window_bytes in (16..400).step_by(8) {
        let mut walk = Walk::new(area, area.start, true).with_window(window_bytes);
        for frame in made.frames() {
            let before = walk.readable();
            walk.next().unwrap().unwrap();
            let after = walk.readable();
            assert!(before.max(frame.end) <= after, "{frame:?}");
            // Twice: for the header, and for the rest.
            let windows = before.max(frame.lsn) + 2 * window_bytes;
            assert!(after <= before.max(frame.end).max(windows), "{frame:?}");
            // The body of a padding is passed and not read.
            let header_end = frame.lsn + FRAME_HEADER_BYTES;
            if frame.kind == Kind::Padding && header_end <= before && before < frame.end {
                assert_eq!(after, frame.end, "{window_bytes}");
                paddings += 1;
            }
        }
    }
    assert!(paddings > 0);
}

#[test]
fn a_walk_goes_on_with_what_was_made_readable_before() {
    let made = made();
    let snapshot = made.snapshot();
    let area = snapshot.pinned.area(0).unwrap();
    let mut first = Walk::new(area, area.start, true).with_window(100);
    first.next().unwrap().unwrap();
    let (at, readable) = (first.at(), first.readable());
    assert!(at < readable && readable < made.end);
    let second = Walk::new(area, at, true).with_readable(readable).unwrap();
    assert_eq!((second.at(), second.readable()), (at, readable));
    let none = Walk::new(area, at, true).with_readable(BLOCK_BYTES).unwrap();
    assert_eq!(none.readable(), area.start);
}

#[test]
fn a_record_that_is_readable_needs_no_second_look() {
    let made = made();
    let snapshot = made.snapshot();
    let area = snapshot.pinned.area(0).unwrap();
    for verify in [true, false] {
        let mut walk = Walk::new(area, area.start, verify);
        // Nothing is readable yet.
        assert!(walk.record().is_none());
        walk.next().unwrap().unwrap();
        assert_eq!(walk.readable(), made.end.min(area.start + 1024));
        for frame in made.frames().iter().skip(1) {
            let record = walk.record();
            if frame.kind == Kind::Record {
                let record = record.unwrap();
                assert_eq!((record.lsn().get(), record.payload()), (frame.lsn, &*frame.payload));
            } else {
                assert!(record.is_none());
                walk.next().unwrap().unwrap();
            }
            assert_eq!(walk.at(), frame.end);
        }
    }
}

/// Puts bytes over those that lie at an address of the first segment.
fn put(made: &mut Made, at: u64, bytes: &[u8]) {
    let at = usize::try_from(at).unwrap();
    made.segments[0].maker.bytes[at..at + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn nothing_more_is_read_for_a_header_that_is_none() {
    let mut made = made();
    let damaged = made.frames()[2].lsn;
    put(&mut made, damaged, &[0xff; 16]);
    let snapshot = made.snapshot();
    let area = snapshot.pinned.area(0).unwrap();
    for window_bytes in [16, 24, 64] {
        let mut walk = Walk::new(area, damaged, true).with_window(window_bytes);
        walk.next().unwrap_err();
        assert_eq!((walk.at(), walk.readable()), (damaged, damaged + window_bytes));
    }
}

#[test]
fn a_rest_too_small_for_a_frame_is_damage_where_more_was_committed() {
    let mut maker = Maker::small(0);
    let lsn = maker.record(&[1; 40]);
    let mut made = Made::of([maker]);
    // Another, valid as well, that ends 8 bytes before the snapshot does.
    put(&mut made, lsn, &image_of(Kind::Record, &[1; 32], 32, lsn));
    let snapshot = made.snapshot();
    let area = snapshot.pinned.area(0).unwrap();
    for verify in [true, false] {
        let mut walk = Walk::new(area, lsn, verify);
        assert_eq!(walk.next().unwrap().unwrap().end(), made.end - 8);
        let error = walk.next().unwrap_err();
        let at = Lsn::new(made.end - 8);
        assert!(matches!(error, Error::Corrupt { lsn: Some(lsn), .. } if lsn == at), "{error}");
    }
}

#[test]
fn a_length_that_is_too_large_is_told_beside_the_largest_that_fits() {
    let mut made = made();
    let damaged = made.frames()[3].lsn;
    put(&mut made, damaged, &image_of(Kind::Record, b"", 9000, damaged));
    let snapshot = made.snapshot();
    let area = snapshot.pinned.area(0).unwrap();
    let error = Walk::new(area, damaged, true).next().unwrap_err();
    let Error::Corrupt { reason, .. } = error else { panic!("{error}") };
    let max = made.end - damaged - FRAME_HEADER_BYTES;
    assert_eq!(reason, Corruption::Length { max, found: 9000 });
}

#[test]
fn skipping_never_goes_back_to_what_lies_across_the_damage() {
    let mut maker = Maker::small(0);
    // What is valid begins in the last bytes of one record and ends in the first of the next.
    let across = maker.at + FRAME_HEADER_BYTES;
    let image = image_of(Kind::Record, b"", 0, across);
    let lsn = maker.record(&image[..8]);
    let damaged = maker.record(&[2; 40]);
    let behind = maker.record(&[3; 40]);
    assert_eq!(across + 8, damaged);
    let mut made = Made::of([maker]);
    put(&mut made, damaged, &image[8..]);
    let snapshot = made.snapshot();
    let area = snapshot.pinned.area(0).unwrap();
    let mut walk = Walk::new(area, lsn, true);
    assert_eq!(walk.next().unwrap().unwrap().payload, &image[..8]);
    walk.next().unwrap_err();
    assert_eq!((walk.skip().unwrap(), walk.at()), (behind - damaged, behind));
    assert_eq!(walk.next().unwrap().unwrap().payload, [3; 40]);
}
