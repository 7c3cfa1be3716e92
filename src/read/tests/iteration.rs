//! Iterating: every record once, in order, whatever way.

use super::fixture::{Made, Maker, read, usual};
use crate::Lsn;
use crate::read::ReadOptions;

#[test]
fn an_empty_log_has_no_record() {
    let snapshot = Made::of([]).snapshot();
    assert_eq!(snapshot.iter().count(), 0);
    assert_eq!(snapshot.segments().count(), 0);
    assert_eq!(snapshot.last().unwrap(), None);
    assert_eq!(snapshot.iter_from(snapshot.head()).unwrap().count(), 0);
    assert_eq!(snapshot.iter_from(snapshot.end()).unwrap().count(), 0);
    assert_eq!((snapshot.head(), snapshot.end()), (Lsn::new(0), Lsn::new(4096)));
}

#[test]
fn a_segment_with_nothing_in_it_yet_has_no_record() {
    let mut made = Made::of([Maker::small(0), Maker::small(16384)]);
    for end in [4096, 4096 + 48, 16384 - 4096, 16384 + 4096, 16384 + 4096 + 48] {
        made.end = end;
        if end > 16384 {
            made.segments[0].end = 4096 + 48;
        }
        let snapshot = made.snapshot();
        if end <= 4096 + 48 || end > 16384 {
            assert_eq!(read(&snapshot).unwrap(), [], "{end}");
            assert_eq!(snapshot.last().unwrap(), None, "{end}");
        }
    }
}

#[test]
fn every_record_is_read_once_and_in_order() {
    let made = usual();
    let snapshot = made.snapshot();
    assert_eq!(read(&snapshot).unwrap(), made.records());
    assert_eq!((&snapshot).into_iter().count(), made.records().len());
    let unchecked = snapshot.with(ReadOptions::new().verify(false));
    assert_eq!(read(&unchecked).unwrap(), made.records());
}
