//! Damage: at every byte, it is found where it is, or changes nothing.

use std::sync::Arc;

use super::fixture::{Made, MadeFrame, Maker, read, usual};
use crate::format::{FRAME_HEADER_BYTES, Kind, MIN_SEGMENT_BYTES, segment_name};
use crate::read::{ReadOptions, Snapshot};
use crate::storage::{MemoryStorage, Storage};
use crate::{Corruption, Error, Lsn, Op};

/// Two segments with a few frames of each kind.
fn small() -> Made {
    let mut first = Maker::small(0);
    let mut second = Maker::small(MIN_SEGMENT_BYTES);
    for maker in [&mut first, &mut second] {
        maker.record(b"one");
        maker.record(&[2; 300]);
        maker.padding(0);
        maker.record(b"");
        maker.record(b"fifteen bytes..");
        maker.padding(16);
        maker.record(&[3; 64]);
    }
    Made::of([first.fill(), second])
}

/// The frame whose bytes, as far as they mean anything, include the one at `at`.
fn frame_around(made: &Made, at: u64) -> Option<MadeFrame> {
    let covered = |frame: &MadeFrame| match frame.kind {
        Kind::Padding => frame.lsn..frame.lsn + FRAME_HEADER_BYTES,
        _ => frame.lsn..frame.end,
    };
    made.frames().into_iter().find(|frame| covered(frame).contains(&at))
}

fn is_damage_at(error: &Error, frame: &MadeFrame) -> bool {
    let base = frame.lsn / MIN_SEGMENT_BYTES * MIN_SEGMENT_BYTES;
    match error {
        Error::Corrupt { path, offset, lsn, .. } => {
            *path == MemoryStorage::new().path(&segment_name(base))
                && *offset == frame.lsn - base
                && *lsn == Some(Lsn::new(frame.lsn))
        }
        _ => false,
    }
}

#[test]
fn damage_at_any_byte_is_reported_where_it_is_or_changes_nothing() {
    let whole = small();
    let records = whole.records();
    for at in 0..whole.end {
        for bits in [1 << (at % 8), 0xff] {
            let mut made = whole.clone();
            made.flip(at, bits);
            let snapshot = made.snapshot();
            let Some(frame) = frame_around(&whole, at) else {
                assert_eq!(read(&snapshot).unwrap(), records, "{at}");
                continue;
            };
            let mut iter = snapshot.iter();
            let expected = records.iter().take_while(|(lsn, _)| *lsn < frame.lsn);
            for (lsn, payload) in expected {
                let record = iter.next().unwrap().unwrap();
                assert_eq!((record.lsn().get(), record.payload()), (*lsn, payload.as_slice()));
            }
            let error = iter.next().unwrap().unwrap_err();
            assert!(is_damage_at(&error, &frame), "{at}: {error}");
            assert!(iter.next().is_none(), "it is fused");
            look_up_all(&snapshot, &records, &frame);
            skip_it(&snapshot, &whole, &frame);
        }
    }
}

/// What lies before the damage in its segment, and in other segments, is found. What lies behind it
/// can't be proven to be a record.
fn look_up_all(snapshot: &Snapshot, records: &[(u64, Vec<u8>)], damaged: &MadeFrame) {
    for (lsn, payload) in records {
        let same_segment = lsn / MIN_SEGMENT_BYTES == damaged.lsn / MIN_SEGMENT_BYTES;
        let result = snapshot.get(Lsn::new(*lsn));
        if same_segment && *lsn >= damaged.lsn {
            assert!(is_damage_at(&result.unwrap_err(), damaged), "{lsn}");
        } else {
            assert_eq!(result.unwrap().payload(), payload, "{lsn}");
        }
    }
    if damaged.lsn > MIN_SEGMENT_BYTES {
        assert!(is_damage_at(&snapshot.last().unwrap_err(), damaged));
    } else {
        assert_eq!(snapshot.last().unwrap().unwrap().payload(), records.last().unwrap().1);
    }
}

fn skip_it(snapshot: &Snapshot, whole: &Made, damaged: &MadeFrame) {
    let snapshot = snapshot.with(ReadOptions::new().skip_damage(true));
    let mut expected = whole.records();
    expected.retain(|(lsn, _)| *lsn != damaged.lsn);
    assert_eq!(read(&snapshot).unwrap(), expected);
    let mut iter = snapshot.iter();
    assert_eq!(iter.skipped_bytes(), 0);
    assert!(iter.by_ref().all(|record| record.is_ok()));
    assert_eq!(iter.skipped_bytes(), damaged.end - damaged.lsn);
    assert_eq!(snapshot.last().unwrap().unwrap().lsn().get(), expected.last().unwrap().0);
    for (lsn, payload) in &expected {
        assert_eq!(snapshot.get(Lsn::new(*lsn)).unwrap().payload(), payload);
        let first = snapshot.iter_from(Lsn::new(*lsn)).unwrap().next().unwrap().unwrap();
        assert_eq!(first.lsn().get(), *lsn);
    }
}

#[test]
fn damage_below_the_head_does_not_matter() {
    let mut made = small();
    let frames = made.frames();
    made.head = frames[3].lsn;
    made.flip(frames[1].lsn + 5, 0x80);
    made.flip(frames[2].lsn + 20, 1);
    let snapshot = made.snapshot();
    assert_eq!(read(&snapshot).unwrap(), made.records());
    for (lsn, payload) in made.records() {
        assert_eq!(snapshot.get(Lsn::new(lsn)).unwrap().payload(), payload);
    }
}

#[test]
fn a_wrong_address_behind_damage_is_reported_as_damage() {
    let mut made = small();
    let frame = made.frames()[2].clone();
    made.flip(frame.lsn + 40, 1);
    let snapshot = made.snapshot();
    let wrong = Lsn::new(made.frames()[4].lsn + 8);
    assert!(is_damage_at(&snapshot.get(wrong).unwrap_err(), &frame));
    assert!(is_damage_at(&snapshot.iter_from(wrong).unwrap_err(), &frame));
    let skipping = snapshot.with(ReadOptions::new().skip_damage(true));
    let first = skipping.iter_from(wrong).unwrap().next().unwrap().unwrap();
    assert!(first.lsn() > wrong, "it begins at the first record behind");
}

#[test]
fn damage_that_appears_after_the_check_is_reported_as_damage() {
    let mut made = small();
    let frame = made.frames()[2].clone();
    // The walk over headers comes past the address that it is to meet.
    made.flip(frame.lsn + 5, 1);
    let snapshot = made.snapshot();
    let segment = &snapshot.set().segments[0];
    segment.checked().lock().push(segment.start()..segment.end);
    for at in [made.frames()[3].lsn, frame.end + 8] {
        assert!(is_damage_at(&snapshot.get(Lsn::new(at)).unwrap_err(), &frame));
    }
}

#[test]
fn what_was_checked_is_not_checked_again() {
    let whole = usual();
    let frames = whole.segments[0].maker.frames.clone();
    let records: Vec<_> = frames.iter().filter(|frame| frame.kind == Kind::Record).collect();
    let (damaged, behind, last) = (records[3], records[5], records[records.len() - 1]);
    let (middle, second) = (records[20].lsn, records[30].lsn);
    let with = |offset, at: u64, ends: &[u64]| {
        let mut made = Made { end: last.end, ..whole.clone() };
        made.flip(damaged.lsn + offset, 1);
        let snapshot = made.snapshot();
        let segment = &snapshot.set().segments[0];
        let mut checked = segment.checked().lock();
        for end in ends {
            let start = checked.last().map_or(segment.start(), |below| below.end);
            checked.push(start..*end);
        }
        drop(checked);
        let got = snapshot.get(Lsn::new(at)).map(|record| record.payload().to_vec());
        assert_eq!(snapshot.last().unwrap().unwrap().lsn().get(), last.lsn);
        got
    };
    // From the stretch's start only the headers are walked, and only up to the address.
    for record in [behind, records[2]] {
        let got = with(FRAME_HEADER_BYTES, record.lsn, &[middle, second]);
        assert_eq!(got.unwrap(), record.payload);
    }
    // What begins where a stretch ends needs no look at it.
    for ends in [&[middle][..], &[middle, second]] {
        assert_eq!(with(5, middle, ends).unwrap(), records[20].payload);
    }
    // But the damaged one is never handed out.
    let got = with(FRAME_HEADER_BYTES, damaged.lsn, &[middle, second]);
    assert!(is_damage_at(&got.unwrap_err(), damaged));
}

#[test]
fn what_was_read_by_skipping_damage_is_not_taken_for_checked() {
    let mut made = usual();
    let records = made.records();
    let (damaged, behind) = (made.frames()[2].clone(), Lsn::new(records[38].0));
    made.flip(damaged.lsn + FRAME_HEADER_BYTES, 1);
    let snapshot = made.snapshot();
    let skipping = snapshot.with(ReadOptions::new().skip_damage(true));
    assert_eq!(skipping.get(behind).unwrap().payload(), records[38].1);
    assert!(is_damage_at(&snapshot.get(behind).unwrap_err(), &damaged));
}

#[test]
fn unchecked_reading_hands_out_a_damaged_payload() {
    let mut made = small();
    let frame = made.frames()[2].clone();
    made.flip(frame.lsn + 40, 1);
    let snapshot = made.snapshot().with(ReadOptions::new().verify(false));
    assert_eq!(read(&snapshot).unwrap(), made.records_with(frame.lsn, 24, 1));
}

#[test]
fn every_stretch_of_damage_is_skipped() {
    let whole = usual();
    let mut made = whole.clone();
    let mut expected = whole.records();
    let mut bytes = 0;
    for frame in whole.frames().iter().filter(|frame| frame.kind == Kind::Record) {
        if (frame.lsn / 8).is_multiple_of(3) {
            made.flip(frame.lsn, 4);
            expected.retain(|(lsn, _)| *lsn != frame.lsn);
            bytes += frame.end - frame.lsn;
        }
    }
    // The remainder behind the last frame of a segment is skipped with it.
    let last = whole.segments[0].maker.frames.last().unwrap();
    bytes += if (last.lsn / 8).is_multiple_of(3) { whole.segments[0].end - last.end } else { 0 };
    let snapshot = made.snapshot().with(ReadOptions::new().skip_damage(true));
    let mut iter = snapshot.iter();
    let read: Vec<u64> = iter.by_ref().map(|record| record.unwrap().lsn().get()).collect();
    assert!(expected.iter().map(|(lsn, _)| *lsn).eq(read));
    assert_eq!(iter.skipped_bytes(), bytes);
}

#[test]
fn a_file_that_is_too_short_is_damage() {
    let made = small();
    let mut image = made.image();
    image.get_mut(&segment_name(0)).unwrap().truncate(5000);
    let snapshot = made.snapshot_on(Arc::new(MemoryStorage::from_image(image)));
    match snapshot.iter().last().unwrap().unwrap_err() {
        Error::Corrupt { offset, reason, .. } => {
            let expected = MIN_SEGMENT_BYTES;
            assert_eq!(reason, Corruption::FileLength { expected, found: 5000 });
            assert_eq!(offset, 5000);
        }
        other => panic!("{other}"),
    }
    let skipping = snapshot.with(ReadOptions::new().skip_damage(true));
    let mut iter = skipping.iter();
    assert!(iter.by_ref().all(|record| record.is_ok()));
    assert!(iter.skipped_bytes() > 0);
}

#[test]
fn a_missing_file_is_an_error_each_time_and_skipping_goes_on_behind_it() {
    let made = small();
    let mut image = made.image();
    let bytes = image.remove(&segment_name(0)).unwrap();
    let storage = MemoryStorage::from_image(image);
    let snapshot = made.snapshot_on(Arc::new(storage.clone()));
    for _ in 0..2 {
        let error = snapshot.iter().last().unwrap().unwrap_err();
        assert!(matches!(error, Error::Io { op: Op::Open, .. }), "{error}");
    }
    let skipping = snapshot.with(ReadOptions::new().skip_damage(true));
    let results: Vec<bool> = skipping.iter().map(|record| record.is_ok()).collect();
    assert_eq!(results, [false, true, true, true, true, true]);
    // An error is not remembered.
    let file = storage.create(&segment_name(0), MIN_SEGMENT_BYTES).unwrap();
    file.write_at(&bytes, 0).unwrap();
    assert_eq!(read(&snapshot).unwrap(), made.records());
}
