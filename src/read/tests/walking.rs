//! Walking: how much is made readable, and what a replay is handed without asking for more.

use super::fixture::{Made, Maker};
use crate::format::{BLOCK_BYTES, FRAME_HEADER_BYTES, Kind};
use crate::read::walk::Walk;

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
