//! What a link may claim, what lies between a segment and its follower, and how damage is told.

use super::images::{BYTES, Opened, Writer, open, open_as};
use crate::format::{LINK_FRAME_BYTES, frames_end, frames_start, segment_name};
use crate::storage::Image;
use crate::{Corruption, Error, RecoveryPolicy};

fn skip(image: &Image) -> Opened {
    open_as(image, RecoveryPolicy::SkipCorrupt).unwrap().checked()
}

/// The stretches of damage that were reported.
fn damage(opened: &Opened) -> Vec<(u64, u64)> {
    let damage = opened.recovered.report.damage.iter();
    damage.map(|one| (one.lsn.start.get(), one.lsn.end.get())).collect()
}

/// The bases of the segments that opening set aside.
fn set_aside(opened: &Opened) -> Vec<u64> {
    let paths = opened.recovered.report.set_aside.iter();
    paths.map(|path| path.file_name().unwrap().to_string_lossy()[..20].parse().unwrap()).collect()
}

/// Whether all records are told as lost.
fn told(opened: &Opened, records: &[(u64, Vec<u8>)]) -> bool {
    records.iter().all(|(lsn, _)| damage(opened).iter().any(|(from, to)| from <= lsn && lsn < to))
}

/// Goes on as if the segment at `base` ended at `end`.
fn behind(mut writer: Writer, base: u64, end: u64) -> Writer {
    writer.base = base;
    writer.end_at(end).segment()
}

#[test]
fn what_follows_a_leftover_is_one_as_well() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.records[2].0;
    // The first segment ends there, and what is left claims more of it.
    let left = writer.roll().records(2, 60);
    for (left, bases) in
        [(left.clone(), vec![BYTES]), (left.roll().records(1, 60), vec![BYTES, 2 * BYTES])]
    {
        let opened = open(&left.clone().seal_at(0, end).image).unwrap().checked();
        assert_eq!(opened.records(), left.records[..2]);
        assert_eq!(set_aside(&opened), bases);
    }
}

#[test]
fn what_follows_a_segment_that_was_dropped_is_a_leftover() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.records[2].0;
    let writer = writer.roll().records(2, 60);
    let left = behind(writer.clone(), 0, end).records(1, 60).lose(0);
    let head = frames_start(BYTES);
    let left = left.control(|state| (state.head, state.durable_end) = (head, head));
    let opened = open(&left.image).unwrap().checked();
    assert_eq!(opened.records(), writer.records[4..]);
    assert_eq!(set_aside(&opened), [2 * BYTES]);
}

#[test]
fn a_link_that_names_an_end_outside_of_its_segment_is_not_believed() {
    let writer = Writer::new().segment().records(4, 60);
    for end in [frames_start(0), frames_end(0, BYTES) + 8] {
        let wrong = behind(writer.clone(), 0, end).records(2, 60);
        let opened = open(&wrong.image).unwrap().checked();
        assert_eq!(opened.records(), writer.records, "{end}");
        assert_eq!(set_aside(&opened), [BYTES], "{end}");
    }
}

#[test]
fn a_link_that_names_an_end_above_its_own_segment_is_not_believed() {
    let writer = Writer::new().segment().records(4, 60);
    for beyond in [8, 4096, 1 << 40] {
        let wrong = behind(writer.clone(), 0, BYTES + beyond).sync().records(2, 60);
        let mut image = wrong.image.clone();
        // How large it was nobody knows any more.
        image.get_mut(&segment_name(0)).unwrap()[8] ^= 1;
        let opened = skip(&image);
        assert!(damage(&opened).iter().all(|(_, to)| *to <= BYTES), "{:?}", damage(&opened));
        assert_eq!(opened.records(), wrong.records, "{beyond}");
    }
}

#[test]
fn a_segment_is_missed_though_a_spare_lies_in_its_place() {
    // The one that follows it says that it was there, and a spare lies between them.
    let writer = Writer::new().segment().records(4, 60).roll().seal(0).records(2, 60);
    let end = writer.at;
    let writer = behind(writer.spare(), BYTES, end).records(2, 60).lose(BYTES);
    let error = open(&writer.image).unwrap_err();
    assert!(matches!(error, Error::MissingSegment { .. }), "{error}");
}

#[test]
fn a_spare_below_the_last_segment_is_not_what_follows_it() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let writer = behind(writer.spare().cut(0, end), 0, end).records(2, 60);
    let writer = writer.control(|state| state.cut = None).close();
    assert_eq!(open(&writer.image).unwrap().checked().records(), writer.records);
}

#[test]
fn a_spare_between_what_is_missing_and_what_follows_that_is_passed_over() {
    let writer = Writer::new().segment().records(4, 60).spare();
    let end = writer.at;
    let writer = behind(writer, 0, end).records(2, 60);
    let durable = writer.at;
    let writer = writer.control(|state| state.durable_end = durable).lose(0);
    let opened = skip(&writer.image);
    assert_eq!(opened.records(), writer.records[4..]);
    assert!(told(&opened, &writer.records[..4]));
}

#[test]
fn a_segment_without_its_link_is_kept_though_nothing_follows_it() {
    let writer = Writer::new().segment().records(4, 60).roll().seal(0).records(2, 60).sync();
    let start = frames_start(BYTES);
    let writer = writer.records(1, 60).zero(start..start + LINK_FRAME_BYTES);
    assert_eq!(skip(&writer.image).records(), writer.records);
}

#[test]
fn what_claims_more_of_a_damaged_segment_than_is_left_follows_it() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.records[2].0;
    let writer = writer.roll().sync().records(2, 60).seal_at(0, end).flip(frames_start(0) + 20);
    let opened = skip(&writer.image);
    assert_eq!(opened.records(), [&writer.records[..2], &writer.records[4..]].concat());
    assert_eq!(damage(&opened)[0], (frames_start(0), frames_start(0) + LINK_FRAME_BYTES));
}

#[test]
fn a_segment_that_is_missing_behind_a_damaged_one_is_told() {
    let writer = Writer::new().segment().records(3, 60).roll().seal(0).records(2, 60);
    let writer = writer.roll().seal(BYTES).sync().records(2, 60).flip(frames_start(0) + 20);
    let opened = skip(&writer.clone().lose(BYTES).image);
    assert_eq!(opened.records(), [&writer.records[..3], &writer.records[5..]].concat());
    assert!(told(&opened, &writer.records[3..5]));
}

#[test]
fn nothing_is_missing_before_a_file_that_can_not_be_read() {
    let writer = Writer::new().segment().records(2, 60).roll().seal(0).records(2, 60);
    let writer = writer.roll().seal(BYTES).sync().records(2, 60);
    let mut image = writer.image.clone();
    image.get_mut(&segment_name(BYTES)).unwrap().truncate(20);
    let opened = skip(&image);
    let reasons = opened.recovered.report.damage.iter().map(|one| one.reason);
    assert!(reasons.clone().count() > 0);
    assert!(reasons.into_iter().all(|reason| reason != Corruption::MissingSegment));
}

#[test]
fn a_segment_without_a_header_ends_where_its_own_follower_says() {
    let writer = Writer::new().segment().records(2, 60).roll().records(2, 60);
    let writer = writer.roll().sync().records(2, 60);
    for base in [0, BYTES] {
        let opened = skip(&writer.clone().flip(base + 10).image);
        assert_eq!(opened.records(), writer.records, "{base}");
    }
}

#[test]
fn what_a_file_without_a_header_lost_is_told() {
    let writer = Writer::new().sized(2 * BYTES).segment().records(2, 60).roll().seal(0);
    let (base, writer) = (2 * BYTES, writer.records(1, 12_000).records(5, 60));
    let durable = writer.at;
    let in_use = writer.clone().control(|state| state.durable_end = durable);
    let followed = writer.roll().sync().records(2, 60);
    // Up to where the next one says that it ended, or as far as it can have gone.
    for (writer, end) in [(in_use, 2 * base), (followed, frames_end(base, 2 * BYTES))] {
        let mut image = writer.clone().flip(base + 10).image;
        image.get_mut(&segment_name(base)).unwrap().truncate(usize::try_from(BYTES).unwrap());
        let opened = skip(&image);
        let there = opened.records();
        let lost = writer.records.iter().filter(|record| !there.contains(record));
        let lost: Vec<_> = lost.cloned().collect();
        assert_eq!(lost.len(), 3, "{}", opened.recovered.report);
        assert!(told(&opened, &lost), "{}", opened.recovered.report);
        assert_eq!(damage(&opened).iter().map(|(_, to)| *to).max(), Some(end));
    }
}

#[test]
fn a_file_that_lost_nothing_but_room_has_no_other_damage() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let writer = behind(writer, 0, end).sync().records(2, 60);
    let mut image = writer.image.clone();
    image.get_mut(&segment_name(0)).unwrap().truncate(8192);
    let opened = skip(&image);
    assert_eq!(opened.records(), writer.records);
    assert_eq!(opened.recovered.report.damage.len(), 1, "{}", opened.recovered.report);
}

#[test]
fn stretches_of_damage_are_told_apart_and_those_that_touch_are_one() {
    let writer = Writer::new().segment().records(6, 60).batch(4, 60).records(2, 60).sync().idle();
    let at = |record: usize| writer.records[record].0;
    let apart = skip(&writer.clone().flip(at(1) + 20).flip(at(4) + 20).image);
    assert_eq!(damage(&apart), [(at(1), at(2)), (at(4), at(5))]);
    // What is left of a batch that lost its first record and its last one.
    let touching = skip(&writer.clone().flip(at(6) + 20).flip(at(9) + 20).image);
    assert_eq!(damage(&touching), [(at(6), at(10))]);
}

#[test]
fn damage_up_to_the_end_of_the_last_segment_ends_with_it() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let writer = writer.control(|state| state.durable_end = end);
    let opened = skip(&writer.clone().flip(writer.records[3].0 + 20).image);
    let [(from, to)] = damage(&opened)[..] else { panic!() };
    assert_eq!(from, writer.records[3].0);
    assert!(end <= to && to <= frames_end(0, BYTES), "{to}");
}

#[test]
fn what_is_torn_right_behind_all_that_is_proven_is_cut() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let writer = writer.control(|state| state.durable_end = end).records(1, 60).flip(end + 20);
    let opened = skip(&writer.image);
    assert_eq!(opened.records(), writer.records[..4]);
    let cut = opened.recovered.report.cut.as_ref().map(|cut| cut.lsn.get());
    assert_eq!(cut, Some(end));
}

#[test]
fn a_remainder_that_no_frame_fits_into_belongs_to_its_segment() {
    let room = frames_end(0, BYTES) - frames_start(0) - LINK_FRAME_BYTES - 16;
    for rest in [0, 8] {
        let len = usize::try_from(room - rest).unwrap();
        let writer = Writer::new().segment().records(1, len);
        assert_eq!(writer.at + rest, frames_end(0, BYTES));
        let opened = open(&writer.image).unwrap().checked();
        assert_eq!(opened.records(), writer.records);
        assert_eq!(opened.recovered.start.previous_end, frames_end(0, BYTES), "{rest}");
    }
}

#[test]
fn a_report_tells_how_much_was_scanned() {
    let writer = Writer::new().segment().records(4, 60).roll().records(2, 60);
    let opened = open(&writer.image).unwrap().checked();
    let scanned = writer.at - frames_start(BYTES) + frames_end(0, BYTES) - frames_start(0);
    assert_eq!(opened.recovered.report.scanned_bytes, scanned);
}

#[test]
fn what_a_cut_ended_is_not_looked_at_where_the_head_lies_behind_it() {
    // All of the log was dropped before anything was written behind the cut.
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let writer = writer.cut(0, end);
    for head in [end, frames_start(BYTES)] {
        let writer = writer.clone().control(|state| state.head = head);
        let opened = open(&writer.image).unwrap().checked();
        assert_eq!(opened.records(), []);
        assert_eq!(opened.recovered.report.scanned_bytes, 0);
    }
}
