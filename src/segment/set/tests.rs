//! Where a log was cut, by the ends of its segments alone.

use super::*;
use crate::format::LogId;

const BYTES: u64 = 16 << 10;
const ID: LogId = LogId::new([7; 16]);

fn segment(base: u64, end: u64) -> Arc<Segment> {
    Segment::new((base, BYTES), end, ID, None)
}

/// The first segment was cut, and the log goes on two segments further up; the second is full but for
/// `rest` bytes.
fn set(rest: u64) -> SegmentSet {
    let second = 3 * BYTES;
    let end = second + BYTES - 4096 - rest;
    let segments =
        vec![segment(0, 5000), segment(second, end), segment(4 * BYTES, 4 * BYTES + 5000)];
    SegmentSet { head: 4096, segments }
}

#[test]
fn what_lies_between_two_segments_is_floored_to_the_end_of_the_first() {
    let set = set(0);
    assert_eq!([4095, 4096, 4999, 5000].map(|lsn| set.floor(lsn)), [4096, 4096, 4999, 5000]);
    let first = 3 * BYTES + 4096;
    for lsn in [5001, 8192, BYTES, 3 * BYTES, first - 1] {
        assert_eq!(set.floor(lsn), 5000, "{lsn}");
    }
    assert_eq!([first, first + 8].map(|lsn| set.floor(lsn)), [first, first + 8]);
    assert_eq!(set.floor(u64::MAX), 4 * BYTES + 5000);
}

#[test]
fn an_address_is_cut_away_that_lies_behind_an_end_and_before_what_follows() {
    let cut = set(0);
    let first = 3 * BYTES + 4096;
    for at in [5000, 5008, BYTES - 8, BYTES, 2 * BYTES, 3 * BYTES - 8, first - 8] {
        assert!(cut.is_cut(at), "{at}");
    }
    for at in [4096, 4992, first, first + 8] {
        assert!(!cut.is_cut(at), "{at}");
    }
    // Nothing was cut off between the full segment and the next one, though no frame fits into its
    // rest.
    for rest in [0, 8] {
        let end = 3 * BYTES + BYTES - 4096 - rest;
        for at in [end, 4 * BYTES - 8, 4 * BYTES, 4 * BYTES + 4088] {
            assert!(!set(rest).is_cut(at), "{rest}: {at}");
        }
    }
    assert!(set(16).is_cut(4 * BYTES - 4096 - 16));
}

#[test]
fn of_a_log_without_segments_all_from_its_head_on_is_cut_away() {
    let empty = SegmentSet { head: 8192, segments: Vec::new() };
    assert_eq!([8184, 8192, 8200].map(|at| empty.is_cut(at)), [false, true, true]);
    assert_eq!(empty.floor(9000), 8192);
}

#[test]
fn segments_overlap_a_range_that_holds_one_of_their_frames() {
    let set = set(0);
    let found = |from, to| set.overlapping(from, to).map(|it| it.base).collect::<Vec<_>>();
    let [second, third] = [3 * BYTES, 4 * BYTES];
    assert_eq!(found(0, u64::MAX), [0, second, third]);
    assert_eq!(found(4999, second + 4096), [0]);
    assert_eq!(found(5000, second + 4097), [second]);
    assert!(found(5000, second + 4096).is_empty());
}

#[test]
fn a_segment_goes_when_the_link_of_the_next_one_is_durable() {
    let segments = || Segments::new(4096, set(0).segments);
    let (head, link) = (3 * BYTES + 4096, 3 * BYTES + 4096);
    for (head, durable, gone) in [
        (head, link, vec![]),
        (head, link + 8, vec![0]),
        (5000, link + 8, vec![0]),
        (4999, link + 8, vec![]),
    ] {
        let mut bytes = 0;
        let dropped = segments().raise_head(head, durable, |gone| bytes = gone);
        assert_eq!(bytes, dropped.iter().map(|segment| segment.bytes).sum::<u64>());
        assert_eq!(dropped.iter().map(|it| it.base).collect::<Vec<_>>(), gone, "{head} {durable}");
    }
}
