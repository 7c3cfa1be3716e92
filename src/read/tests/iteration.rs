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
    let full = Made::of([Maker::small(0).fill(), Maker::small(16384)]);
    for end in [4096, 4096 + 48, 16384 - 4096, 16384 + 4096, 16384 + 4096 + 48] {
        let snapshot = Made { end, ..full.clone() }.snapshot();
        assert_eq!(read(&snapshot).unwrap(), [], "{end}");
        assert_eq!(snapshot.last().unwrap(), None, "{end}");
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

#[test]
fn the_last_record_is_found_behind_paddings_and_empty_segments() {
    let mut first = Maker::small(0);
    first.record(b"early");
    let last = first.record(b"last");
    for _ in 0..50 {
        first.padding(0);
    }
    let made = Made::of([first.fill(), Maker::small(16384).fill(), Maker::small(2 * 16384)]);
    let snapshot = made.snapshot();
    for snapshot in [&snapshot, &snapshot.with(ReadOptions::new().skip_damage(true))] {
        let record = snapshot.last().unwrap().unwrap();
        assert_eq!((record.lsn().get(), record.payload()), (last, &b"last"[..]));
    }
    let behind = Made { head: last + 24, ..made };
    assert_eq!(behind.snapshot().last().unwrap(), None);
}

#[test]
fn the_last_record_is_the_one_that_iterating_ends_with() {
    let whole = usual();
    for frame in whole.frames() {
        let made = Made { end: frame.end, ..usual() };
        let snapshot = made.snapshot();
        let last = snapshot.last().unwrap().map(|record| record.lsn().get());
        assert_eq!(last, made.records().last().map(|(lsn, _)| *lsn), "{}", frame.end);
    }
}

#[test]
fn the_address_behind_each_record_leads_to_the_next() {
    let snapshot = usual().snapshot();
    let mut all = snapshot.iter().map(Result::unwrap);
    let mut from = snapshot.head();
    while let Some(record) = snapshot.iter_from(from).unwrap().next() {
        let record = record.unwrap();
        assert_eq!(Some(record), all.next());
        from = record.next_lsn();
    }
    assert_eq!(all.next(), None);
}

#[test]
fn segments_read_by_several_threads_hold_the_same_records() {
    let made = usual();
    let snapshot = made.snapshot();
    let parallel: Vec<(u64, Vec<u8>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = snapshot
            .segments()
            .map(|segment| {
                scope.spawn(move || {
                    let records = segment.iter().map(Result::unwrap);
                    let range = segment.range();
                    let inside = records.inspect(|record| assert!(range.contains(&record.lsn())));
                    inside
                        .map(|record| (record.lsn().get(), record.payload().to_vec()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(parallel, made.records());
    let bases: Vec<u64> = snapshot.segments().map(|segment| segment.base().get()).collect();
    assert_eq!(bases, [0, 16384, 3 * 16384 + 8]);
}

#[test]
fn segments_outside_the_range_are_left_out() {
    let whole = usual();
    let made = Made { head: whole.segments[0].end, end: 16384 + 4096 + 48, ..usual() };
    let snapshot = made.snapshot();
    let ranges: Vec<_> = snapshot.segments().map(|segment| segment.range()).collect();
    assert_eq!(ranges, [Lsn::new(16384 + 4096)..Lsn::new(16384 + 4096 + 48)]);
}

#[test]
fn copies_hold_the_same_records_and_all_payloads_are_aligned() {
    let made = usual();
    let snapshot = made.snapshot();
    let copy = snapshot.with(ReadOptions::new().copy(true));
    assert_eq!(read(&copy).unwrap(), made.records());
    for snapshot in [&snapshot, &copy] {
        for record in snapshot {
            assert_eq!(record.unwrap().payload().as_ptr() as usize % 8, 0);
        }
    }
}

#[test]
fn records_of_one_read_are_the_same_memory_as_those_of_another() {
    let snapshot = usual().snapshot();
    let clone = snapshot.clone();
    let pointers = |snapshot: &crate::Snapshot| -> Vec<*const u8> {
        snapshot.iter().map(|record| record.unwrap().payload().as_ptr()).collect()
    };
    assert_eq!(pointers(&snapshot), pointers(&clone));
}

#[test]
fn a_snapshot_goes_to_other_threads() {
    fn goes<T: Send + Sync + Clone + 'static>() {}
    fn borrows_go<T: Send + Sync + Copy>() {}
    goes::<crate::Snapshot>();
    borrows_go::<crate::Record<'_>>();
    borrows_go::<crate::SnapshotSegment<'_>>();
}
