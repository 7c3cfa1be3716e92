//! Damage to what was durable, segments that are missing, and files of others.

use super::images::{BYTES, ID, Writer, open, open_as};
use crate::format::{
    LogId, MAX_SEGMENT_BYTES, SegmentHeader, frames_end, frames_start, segment_name,
};
use crate::recover::{Contents, contents};
use crate::storage::{Image, MemoryStorage, Storage};
use crate::{Corruption, Error, RecoveryPolicy};

const CUT: RecoveryPolicy = RecoveryPolicy::CutTornTail;

/// Where a refusal says that the damage is, and what it is.
#[track_caller]
fn corrupt(image: &Image) -> (String, u64, Corruption) {
    let errors = [CUT, RecoveryPolicy::Strict].map(|policy| open_as(image, policy).unwrap_err());
    let places = errors.map(|error| match error {
        Error::Corrupt { path, offset, reason, .. } => {
            (path.file_name().unwrap().to_string_lossy().into_owned(), offset, reason)
        }
        other => panic!("{other}"),
    });
    assert_eq!(places[0], places[1]);
    places[0].clone()
}

#[track_caller]
fn missing(image: &Image) -> (String, u64) {
    match open(image).unwrap_err() {
        Error::MissingSegment { path, lsn } => {
            (path.file_name().unwrap().to_string_lossy().into_owned(), lsn.get())
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_flipped_byte_in_durable_frames_is_refused_and_named() {
    let writer = Writer::new().segment().records(6, 40).batch(3, 25).sync();
    let proven = writer.at;
    let writer = writer.records(2, 30);
    for at in 4096..writer.at {
        let image = writer.clone().flip(at).image;
        if at < proven {
            let (name, offset, _) = corrupt(&image);
            assert_eq!(name, segment_name(0));
            let frame = writer.records.iter().map(|(lsn, _)| *lsn).filter(|lsn| *lsn <= at).max();
            assert_eq!(offset, frame.unwrap_or(4096), "flipped at {at}");
        } else {
            // Nothing proves these: they look torn.
            let opened = open(&image).unwrap().checked();
            let lsn = opened.recovered.report.cut.as_ref().unwrap().lsn.get();
            assert!(proven <= lsn && lsn <= at);
            assert_eq!(opened.records(), writer.records_below(lsn));
        }
    }
}

#[test]
fn proof_is_found_behind_the_damage_wherever_it_lies() {
    // An idle mark behind the last group; the control file; a later segment's frames or trailer.
    let idle = Writer::new().segment().records(6, 40).sync().idle();
    let place = idle.records[5].0;
    assert_eq!(corrupt(&idle.clone().flip(place + 3).image).1, place);

    let told = Writer::new().segment().records(6, 40);
    let end = told.at;
    let told = told.control(|state| state.durable_end = end);
    assert_eq!(corrupt(&told.flip(place + 3).image).1, place);

    let rolled = Writer::new().segment().records(6, 40);
    let untold = rolled.clone().roll().records(1, 10).flip(place + 3);
    assert_eq!(open(&untold.image).unwrap().recovered.report.end.get(), place);
    let later = rolled.clone().roll().sync().records(1, 10);
    assert_eq!(corrupt(&later.clone().flip(place + 3).image).1, place);
    // Also when the later segment's own link is damaged, and when there is a third one.
    let unlinked = later.clone().flip(place + 3).flip(frames_start(BYTES) + 20);
    assert_eq!(corrupt(&unlinked.image).1, place);
    let sealed = rolled.roll().records(1, 10).roll().seal(BYTES).flip(place + 3);
    assert_eq!(corrupt(&sealed.image).1, place);
}

#[test]
fn a_damaged_link_is_refused_if_anything_behind_it_was_durable() {
    let start = frames_start(BYTES);
    let writer = Writer::new().segment().records(3, 50).roll().seal(0).records(2, 50);
    let torn = open(&writer.clone().flip(start + 30).image).unwrap().checked();
    assert_eq!(torn.records(), writer.records_below(start));
    assert_eq!(torn.recovered.report.set_aside.len(), 1);
    let proven = writer.sync().records(1, 9);
    assert_eq!(corrupt(&proven.clone().flip(start + 30).image).1, 4096);
    assert_eq!(corrupt(&proven.zero(start..start + 48).image).1, 4096);
}

#[test]
fn a_trailer_proves_the_link_of_its_own_segment() {
    // Sealed, and then power was lost before any frame could name what that had made durable.
    let start = frames_start(BYTES);
    let writer = Writer::new().segment().records(3, 50).roll().seal(0).records(2, 50);
    let sealed = writer.roll().seal(BYTES);
    assert_eq!(corrupt(&sealed.clone().flip(start + 30).image).1, 4096);
    assert_eq!(corrupt(&sealed.zero(start..start + 48).image).1, 4096);
}

#[test]
fn a_segment_is_accounted_for_though_the_slot_that_knew_of_it_is_lost() {
    let writer = Writer::new().segment().records(3, 50).roll().seal(0).sync().records(3, 50);
    let slot = usize::from(writer.clone().control(|_| {}).image != writer.image);
    for slot in [slot, 1 - slot] {
        let lost = writer.clone().damage_slot(slot);
        assert_eq!(corrupt(&lost.clone().flip(frames_start(BYTES) + 20).image).1, 4096);
        assert_eq!(
            corrupt(&lost.flip(BYTES + 20).image),
            (segment_name(BYTES), 0, {
                let image = writer.clone().flip(BYTES + 20).image;
                corrupt(&image).2
            })
        );
    }
}

#[test]
fn a_segment_that_was_proven_durable_is_missed_before_a_torn_one() {
    let writer = Writer::new().segment().records(3, 50).roll().seal(0).records(3, 50);
    let end = writer.at;
    let told = writer.control(|state| state.durable_end = end).roll().records(1, 50);
    // What tears lies above all that is proven, and says nothing of what is before it.
    let torn = told.flip(frames_start(2 * BYTES) + 20).lose(BYTES);
    assert_eq!(missing(&torn.image), (segment_name(BYTES), frames_end(0, BYTES)));
    let Error::MissingSegment { .. } = open_as(&torn.image, RecoveryPolicy::Strict).unwrap_err()
    else {
        panic!("it is missed by all")
    };
}

#[test]
fn a_batch_that_goes_on_into_something_else_is_corruption_even_unproven() {
    let writer = Writer::new().segment().records(1, 10).unfinished(b"a").unfinished(b"b");
    let first = writer.records[1].0;
    let torn = open(&writer.image).unwrap().checked();
    assert_eq!(torn.recovered.report.end.get(), first);
    assert!(matches!(
        open_as(&writer.image, RecoveryPolicy::Strict),
        Err(Error::TornTail { lsn, .. }) if lsn.get() == first
    ));
    let broken = writer.idle();
    assert_eq!(corrupt(&broken.image), (segment_name(0), first, Corruption::BrokenBatch));
}

#[test]
fn a_clean_mark_makes_everything_before_its_end_durable() {
    let writer = Writer::new().segment().records(3, 50).roll().records(2, 50).close();
    let (name, offset, _) = corrupt(&writer.clone().flip(writer.records[1].0).image);
    assert_eq!((name, offset), (segment_name(0), writer.records[1].0));
    let (name, offset, _) = corrupt(&writer.clone().flip(frames_start(BYTES) + 5).image);
    assert_eq!((name, offset), (segment_name(BYTES), 4096));
}

#[test]
fn a_clean_mark_is_stale_if_a_valid_frame_lies_at_or_after_its_end() {
    let writer = Writer::new().segment().records(3, 50).close();
    for stale in [
        writer.clone().records(1, 20),
        writer.clone().idle(),
        writer.clone().batch(2, 20),
        writer.clone().roll().records(1, 20),
    ] {
        for policy in [CUT, RecoveryPolicy::Strict] {
            let opened = open_as(&stale.image, policy).unwrap().checked();
            assert!(!opened.recovered.report.clean);
            assert_eq!(opened.records(), stale.records);
        }
    }
    let full = writer.clone().pad().close().segment().records(1, 20);
    let opened = open(&full.image).unwrap().checked();
    assert_eq!(opened.records(), full.records);
    // It takes both slots to say that the log is clean.
    for slot in 0..2 {
        let half = writer.clone().damage_slot(slot);
        assert!(!open(&half.image).unwrap().checked().recovered.report.clean);
    }
}

#[test]
fn a_lost_segment_is_missed() {
    let writer = Writer::new().segment().records(3, 50).roll().seal(0).records(3, 50);
    let writer = writer.roll().seal(BYTES).records(3, 50).spare();
    assert_eq!(missing(&writer.clone().lose(0).image), (segment_name(0), 4096));
    let middle = missing(&writer.clone().lose(BYTES).image);
    assert_eq!(middle, (segment_name(BYTES), frames_start(BYTES)));
    // The one in use, with a spare behind it; and the newest, even if it was a spare.
    assert_eq!(missing(&writer.clone().lose(2 * BYTES).image).0, segment_name(2 * BYTES));
    assert_eq!(missing(&writer.clone().lose(3 * BYTES).image).0, segment_name(3 * BYTES));
    let closed = writer.close();
    for base in 0..4 {
        assert_eq!(missing(&closed.clone().lose(base * BYTES).image).0, segment_name(base * BYTES));
    }
}

#[test]
fn a_log_closed_below_its_head_goes_on_above_it() {
    let writer = Writer::new().segment().records(6, 40).roll().seal(0).records(2, 40).close();
    let end = writer.at;
    assert!(open(&writer.image).unwrap().recovered.report.clean);
    for head in [end + 8, frames_end(BYTES, BYTES), 2 * BYTES + 32] {
        let headed = writer.clone().control(|state| state.head = head);
        let opened = open(&headed.image).unwrap().checked();
        assert!(!opened.recovered.report.clean && head < opened.recovered.tail, "head {head}");
    }
}

#[test]
fn a_head_that_lies_above_the_proven_end_is_missed() {
    let writer = Writer::new().segment().records(3, 50).pad().seal(0);
    let head = frames_start(BYTES) + 48;
    let writer = writer.spare().control(|state| (state.head, state.durable_end) = (head, head));
    assert_eq!(missing(&writer.clone().lose(BYTES).image).0, segment_name(BYTES));
    // What lies below the head does not matter, and above it there is nothing.
    assert!(open(&writer.image).unwrap().checked().records().is_empty());
    let more = writer.clone().control(|state| state.durable_end = head + 16);
    assert_eq!(corrupt(&more.image).1, head - BYTES);
    let told = writer.control(|state| (state.head, state.newest) = (4096, Some(0)));
    assert_eq!(missing(&told.lose(BYTES).image).0, segment_name(BYTES));
}

#[test]
fn one_damaged_control_slot_is_done_without_and_two_are_not() {
    let writer = Writer::new().segment().records(3, 50).control(|_| {});
    for slot in 0..2 {
        let opened = open(&writer.clone().damage_slot(slot).image).unwrap().checked();
        assert_eq!(opened.records(), writer.records);
    }
    // The lost slot was the one that said that the segment exists: its frames are kept.
    let newest = Writer::new().segment().records(3, 50);
    let slot = usize::from(newest.clone().control(|_| {}).image != newest.image);
    assert_eq!(slot, 1);
    for slot in 0..2 {
        let opened = open(&newest.clone().damage_slot(slot).image).unwrap().checked();
        assert_eq!(opened.records(), newest.records);
        assert_eq!(opened.recovered.start.next_base, BYTES);
    }
    // A file that lost a part of itself may have lost the newer slot.
    for bytes in [4096, 8191, 9000] {
        let mut cropped = writer.image.clone();
        cropped.get_mut("control").unwrap().resize(bytes, 0);
        let found = bytes as u64;
        assert_eq!(corrupt(&cropped).2, Corruption::FileLength { expected: 8192, found });
    }
    let both = writer.damage_slot(0).damage_slot(1);
    assert_eq!(corrupt(&both.image), ("control".into(), 0, Corruption::NoControl));
    let mut gone = both.image;
    gone.remove("control");
    assert_eq!(corrupt(&gone).2, Corruption::NoControl);
}

#[test]
fn a_segment_of_another_log_is_never_touched() {
    let writer = Writer::new().segment().records(3, 50).close();
    let header = SegmentHeader { id: LogId::new([9; 16]), base: BYTES, segment_bytes: BYTES };
    for policy in [CUT, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt] {
        let mut image = writer.image.clone();
        let mut bytes = header.encode();
        bytes.resize(usize::try_from(BYTES).unwrap(), 0);
        image.insert(segment_name(BYTES), bytes);
        let error = open_as(&image, policy).unwrap_err();
        let foreign =
            matches!(error, Error::Corrupt { reason: Corruption::ForeignLog, offset: 0, .. });
        assert!(foreign, "{error}");
    }
}

#[test]
fn a_file_of_the_wrong_length_or_place_is_named() {
    let writer = Writer::new().segment().records(3, 50).roll().records(3, 50).seal(0);
    let resized = |bytes: u64| {
        let mut image = writer.image.clone();
        image.get_mut(&segment_name(0)).unwrap().resize(usize::try_from(bytes).unwrap(), 0);
        corrupt(&image).2
    };
    for found in [BYTES - 1, 8192, BYTES + 4096] {
        assert_eq!(resized(found), Corruption::FileLength { expected: BYTES, found });
    }
    assert_eq!(resized(0), Corruption::Malformed);
    let mut swapped = writer.image.clone();
    let first = swapped.remove(&segment_name(0)).unwrap();
    let second = swapped.insert(segment_name(BYTES), first).unwrap();
    swapped.insert(segment_name(0), second);
    let mismatch = Corruption::Mismatch { field: "base", expected: 0, found: BYTES };
    assert_eq!(corrupt(&swapped), (segment_name(0), 0, mismatch));
}

#[test]
fn every_flipped_byte_of_a_log_is_refused_recovered_or_cut_but_never_lost_silently() {
    let writer = Writer::new().segment().records(2, 30).roll().seal(0).batch(2, 20).sync();
    let proven = writer.at;
    let writer = writer.records(2, 30).spare();
    for base in [0, BYTES, 2 * BYTES] {
        // Payloads of sealed segments are checked when they are read, so theirs is left out.
        for at in (0..BYTES).filter(|at| base > 0 || !(4096 + 48..BYTES - 4096).contains(at)) {
            let image = writer.clone().flip(base + at).image;
            match open(&image) {
                Ok(opened) => {
                    let opened = opened.checked();
                    let end = opened.recovered.report.end.get();
                    assert!(end >= proven, "flipped at {base} + {at}: {end}");
                    assert_eq!(opened.records(), writer.records_below(end), "{base} + {at}");
                }
                Err(Error::Corrupt { .. }) => {}
                Err(other) => panic!("flipped at {base} + {at}: {other}"),
            }
        }
    }
}

#[test]
fn damage_below_the_head_does_not_matter() {
    let writer = Writer::new().segment().records(8, 50).sync().records(1, 9);
    let head = writer.records[4].0;
    let writer = writer.control(|state| (state.head, state.durable_end) = (head, head));
    for at in 4096..head {
        let opened = open(&writer.clone().flip(at).image).unwrap().checked();
        assert_eq!(opened.records(), writer.records[4..]);
    }
    let closed = writer.close().zero(4096..head);
    let opened = open(&closed.image).unwrap().checked();
    assert_eq!(opened.records(), closed.records[4..]);
}

#[test]
fn segments_below_the_head_are_removed_and_not_missed() {
    let writer = Writer::new().segment().records(3, 50).roll().seal(0).records(3, 50);
    let writer = writer.roll().seal(BYTES).records(3, 50);
    for head in [writer.records[6].0, frames_start(2 * BYTES), frames_end(BYTES, BYTES)] {
        let headed = writer.clone().control(|state| (state.head, state.durable_end) = (head, head));
        for image in [headed.clone().image, headed.clone().lose(0).image] {
            for closed in [false, true] {
                let image = if closed { headed.clone().close().image } else { image.clone() };
                let opened = open(&image).unwrap().checked();
                assert_eq!(opened.records(), writer.records[6..], "head {head}");
                assert!(opened.image().get(&segment_name(0)).is_none());
                assert!(opened.image().get(&segment_name(BYTES)).is_none());
            }
        }
    }
}

#[test]
fn a_directory_of_other_things_is_no_log() {
    let holds = |names: &[&str]| {
        let mut image = Image::new();
        for name in names {
            image.insert(*name, vec![1; 10]);
        }
        let storage = MemoryStorage::from_image(image);
        contents(&storage, &storage.names().unwrap()).unwrap()
    };
    for nothing in [&[][..], &["LOCK", "READERS", "control.tmp", "lost+found"]] {
        assert_eq!(holds(nothing), Contents::Nothing);
    }
    for other in ["notes.txt", "control", "control.bak", "00000000000000000000.seg.drop"] {
        assert_eq!(holds(&[other, "LOCK"]), Contents::OtherFiles, "{other}");
    }
    assert_eq!(holds(&["notes.txt", "00000000000000000000.seg"]), Contents::Log);
    for slot in 0..2 {
        let storage = MemoryStorage::from_image(Writer::new().damage_slot(slot).image);
        assert_eq!(contents(&storage, &storage.names().unwrap()).unwrap(), Contents::Log);
    }
}

#[test]
fn foreign_files_are_left_alone_and_reported() {
    let mut image = Writer::new().segment().records(2, 50).close().image;
    image.insert("notes.txt", b"mine".to_vec());
    image.insert("lost+found", Vec::new());
    let opened = open(&image).unwrap().checked();
    assert_eq!(opened.recovered.report.foreign.len(), 1);
    assert_eq!(opened.image().get("notes.txt"), Some(&b"mine"[..]));
    let error = open_as(&image, RecoveryPolicy::Strict).unwrap_err();
    assert!(matches!(error, Error::ForeignFile { .. }), "{error}");
}

#[test]
fn nothing_of_eight_bytes_makes_opening_allocate_or_panic() {
    let bases = [0, BYTES, u64::MAX - 7, u64::MAX - 7 - MAX_SEGMENT_BYTES, 1 << 63];
    let mut contents = vec![Vec::new(), vec![0; 8], vec![0xff; 8], b"STRATSEG".to_vec()];
    for base in bases.into_iter().filter(|base| base.checked_add(MAX_SEGMENT_BYTES).is_some()) {
        for segment_bytes in [BYTES, MAX_SEGMENT_BYTES] {
            contents.push(SegmentHeader { id: ID, base, segment_bytes }.encode());
        }
    }
    let whole = Writer::new().segment().records(2, 50);
    for writer in [Writer::new(), whole.clone(), whole.close()] {
        for base in bases {
            for content in &contents {
                let mut image = writer.image.clone();
                image.insert(segment_name(base), content.clone());
                for policy in [CUT, RecoveryPolicy::SkipCorrupt] {
                    if let Ok(opened) = open_as(&image, policy) {
                        opened.checked();
                    }
                }
            }
        }
    }
}
