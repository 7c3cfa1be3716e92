//! What counts as proof and what does not, and what becomes of files that look unused.

use super::images::{BYTES, Opened, Writer, flip, open, open_as};
use crate::format::{frames_end, frames_start, segment_name};
use crate::{Error, RecoveryPolicy};

/// The bases of the segments that opening set aside, and of those that it removed.
fn put_away(opened: &Opened) -> [Vec<u64>; 2] {
    let report = &opened.recovered.report;
    [&report.set_aside, &report.removed].map(|paths| {
        let names = paths.iter().map(|path| path.file_name().unwrap().to_string_lossy());
        names.map(|name| name[..20].parse().unwrap()).collect()
    })
}

#[test]
fn of_what_a_cut_gave_up_only_what_is_empty_throughout_is_removed() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    // One with frames, one that lost the first of them, two that were never used.
    let writer = writer.roll().records(3, 60).roll().records(3, 60).spare().spare();
    let start = frames_start(2 * BYTES);
    let mut image = writer.zero(start..start + 100).cut(0, end).image;
    // Of the last the header is damaged: what it is can't be told.
    flip(&mut image, 4 * BYTES, 4 * BYTES + 20);
    let opened = open(&image).unwrap().checked();
    assert_eq!(opened.recovered.report.end.get(), end);
    assert_eq!(put_away(&opened), [vec![BYTES, 2 * BYTES, 4 * BYTES], vec![3 * BYTES]]);
}

#[test]
fn a_log_ends_before_the_first_segment_that_never_reached_the_disk() {
    let writer = Writer::new().segment().records(4, 60).roll().records(2, 60).roll();
    let writer = writer.records(2, 60).spare();
    let [lost, left] = [BYTES, 2 * BYTES].map(frames_start);
    let lost = writer.clone().zero(lost..lost + 500);
    // What is left behind it begins with its link, or does not, or is all gone.
    for (gone, torn) in [(0, true), (48, true), (500, false)] {
        let image = lost.clone().zero(left..left + gone).image;
        let opened = open(&image).unwrap().checked();
        assert_eq!(opened.records(), writer.records[..4], "{gone}");
        let cut = opened.recovered.report.cut.as_ref();
        let place = cut.map(|cut| (cut.lsn.get(), cut.path.ends_with(segment_name(BYTES))));
        assert_eq!(place, torn.then_some((frames_end(0, BYTES), true)), "{gone}");
        let aside = if torn { vec![2 * BYTES] } else { Vec::new() };
        assert_eq!(put_away(&opened)[0], aside, "{gone}");
        let strict = open_as(&image, RecoveryPolicy::Strict);
        assert_eq!(matches!(strict, Err(Error::TornTail { .. })), torn, "{gone}");
    }
}

#[test]
fn a_segment_is_missed_whatever_number_of_spares_lies_behind_it() {
    let writer = Writer::new().segment().records(4, 60).roll().records(2, 60);
    for spares in 1..4 {
        let writer = (0..spares).fold(writer.clone(), |writer, _| writer.spare()).lose(BYTES);
        let error = open(&writer.image).unwrap_err();
        assert!(matches!(error, Error::MissingSegment { .. }), "{spares}: {error}");
    }
}

#[test]
fn proof_in_the_damaged_segment_itself_counts_whatever_it_follows() {
    let writer = Writer::new().segment().records(4, 60).roll().seal(0).records(3, 60);
    let place = writer.records[5].0;
    let image = writer.sync().idle().flip(place + 20).image;
    let error = open(&image).unwrap_err();
    assert!(
        matches!(error, Error::Corrupt { lsn: Some(lsn), .. } if lsn.get() == place),
        "{error}"
    );
}

/// A segment that says that it follows an end which `writer`'s first one does not have, with proof
/// in it, or in one that follows it.
fn leftover(mut writer: Writer, end: u64, further: bool) -> Writer {
    writer.base = 0;
    let writer = writer.end_at(end).segment().records(1, 60);
    if further { writer.roll().sync().records(1, 60) } else { writer.sync().records(1, 60) }
}

#[test]
fn leftovers_prove_nothing_nor_does_what_follows_them() {
    for further in [false, true] {
        let writer = Writer::new().segment().records(4, 60);
        let ended = writer.records[2].0;
        // What it follows ends before the place where the log is torn.
        let torn = writer.records[3].0;
        let mut left = leftover(writer.clone(), ended, further);
        (left.base, left.at, left.durable) = (0, writer.at, None);
        let left = left.pad().segment().records(1, 60).flip(torn + 20);
        let opened = open(&left.image).unwrap().checked();
        assert_eq!(opened.records(), writer.records[..3], "{further}");
        assert_eq!(opened.recovered.report.cut.as_ref().unwrap().lsn.get(), torn);
        // What it follows lies before the segment in which the log is torn.
        let writer = writer.pad().seal(0).segment().records(3, 60);
        let torn = writer.records[5].0;
        let left = leftover(writer.clone(), ended, further).flip(torn + 20);
        let opened = open(&left.image).unwrap().checked();
        assert_eq!(opened.records(), writer.records[..5], "{further}");
        assert_eq!(opened.recovered.report.cut.as_ref().unwrap().lsn.get(), torn);
    }
}

#[test]
fn what_a_truncation_dropped_is_not_missed_and_nothing_else_is_let_go() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let headed = |writer: Writer, head| {
        let durable = writer.state.durable_end.max(head);
        writer.control(|state| (state.head, state.durable_end) = (head, durable)).lose(0).image
    };
    let is_missed = |image| match open(&image) {
        Ok(opened) => {
            assert!(opened.checked().records().is_empty());
            false
        }
        Err(Error::MissingSegment { .. }) => true,
        Err(other) => panic!("{other}"),
    };
    // The segment that a cut ended, and the one that goes on behind it.
    let cut = writer.clone().cut(0, end);
    assert!(!is_missed(headed(cut.clone(), end)));
    assert!(is_missed(headed(cut.clone(), end - 8)));
    let mut behind = cut.clone();
    behind.base = 0;
    let behind = behind.end_at(end).segment();
    assert!(is_missed(headed(behind.clone().lose(behind.base), end)));
    // The newest of all.
    let full = writer.pad();
    assert!(!is_missed(headed(full.clone(), frames_start(BYTES))));
    assert!(is_missed(headed(full.clone(), frames_end(0, BYTES) - 8)));
}

#[test]
fn a_lost_segment_is_missed_though_a_leftover_lies_behind_it() {
    let writer = Writer::new().segment().records(4, 60).roll().seal(0).records(2, 60);
    let end = writer.at;
    let mut left = writer.clone().control(|state| state.durable_end = end);
    left.base = 0;
    let left = left.end_at(writer.records[2].0).segment().records(1, 60);
    assert_eq!(open(&left.image).unwrap().checked().records(), writer.records);
    let error = open(&left.lose(BYTES).image).unwrap_err();
    assert!(matches!(error, Error::MissingSegment { .. }), "{error}");
}

#[test]
fn a_spare_that_came_back_after_a_cut_hides_nothing() {
    let writer = Writer::new().segment().records(4, 60);
    let end = writer.at;
    let mut writer = writer.spare().cut(0, end);
    writer.base = 0;
    let writer = writer.end_at(end).segment().records(2, 60).control(|state| state.cut = None);
    let opened = open(&writer.image).unwrap().checked();
    assert_eq!(opened.records(), writer.records);
    assert_eq!(put_away(&opened), [vec![], vec![BYTES]]);
}
