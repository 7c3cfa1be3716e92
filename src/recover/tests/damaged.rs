//! Opening what is damaged, segments that don't belong to the log, and the report.

use super::images::{BYTES, Opened, Writer, flip, open, open_as, open_with};
use crate::format::{frames_end, frames_start, segment_name};
use crate::storage::Image;
use crate::{Corruption, Error, Options, RecoveryPolicy};

#[track_caller]
fn skip(image: &Image) -> Opened {
    let opened = open_as(image, RecoveryPolicy::SkipCorrupt).unwrap().checked();
    let damage = &opened.recovered.report.damage;
    assert!(!damage.is_empty());
    assert!(open(image).is_err(), "what is damage to one policy is so to the other");
    opened
}

#[test]
fn a_damaged_record_is_reported_and_all_others_are_kept() {
    let writer = Writer::new().segment().records(8, 50).sync().records(2, 50);
    for damaged in 0..8 {
        let (lsn, payload) = &writer.records[damaged];
        let opened = skip(&writer.clone().flip(lsn + 20).image);
        let [damage] = &opened.recovered.report.damage[..] else { panic!() };
        assert_eq!(damage.lsn.start.get(), *lsn);
        assert_eq!(damage.lsn.end.get(), lsn + 16 + payload.len().next_multiple_of(8) as u64);
        assert_eq!(damage.offset, *lsn);
        let mut expected = writer.records.clone();
        expected.remove(damaged);
        assert_eq!(opened.records(), expected);
        assert_eq!(opened.recovered.report.end.get(), writer.at);
        // It is not summed up, and what goes on names its end.
        let file = opened.image().get(&segment_name(0)).unwrap().to_vec();
        assert!(file[file.len() - 4096..].iter().all(|byte| *byte == 0));
        assert_eq!(opened.recovered.last_checksum, 0);
        assert_eq!(opened.recovered.start.previous_end, writer.at);
        assert_eq!(skip(&opened.image()).records(), expected);
    }
}

#[test]
fn damage_and_a_torn_tail_are_told_apart_in_one_log() {
    let writer = Writer::new().segment().records(8, 50).sync().records(2, 50);
    let torn = writer.clone().flip(writer.records[3].0).flip(writer.records[9].0 + 17);
    let opened = skip(&torn.image);
    let report = &opened.recovered.report;
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.cut.as_ref().unwrap().lsn.get(), writer.records[9].0);
    assert_eq!(report.end.get(), writer.records[9].0);
    assert_eq!(opened.records().len(), 8);
}

#[test]
fn damage_up_to_a_segments_end_ends_at_its_link() {
    let writer = Writer::new().segment().records(4, 50).pad();
    let padding = writer.records[3].0 + 72;
    let last = writer.records[3].0;
    let writer = writer.roll().sync().records(3, 50).flip(padding + 4).flip(last);
    let opened = skip(&writer.image);
    let expected = [&writer.records[..3], &writer.records[4..]].concat();
    assert_eq!(opened.records(), expected);
    let [damage] = &opened.recovered.report.damage[..] else { panic!() };
    assert_eq!(damage.lsn.end.get(), frames_end(0, BYTES));
}

#[test]
fn a_damaged_link_costs_no_record() {
    let writer = Writer::new().segment().records(2, 50).roll().seal(0).records(2, 50);
    let writer = writer.roll().seal(BYTES).sync().records(2, 50);
    for image in [
        writer.clone().flip(frames_start(BYTES) + 20).image,
        writer.clone().zero(frames_start(BYTES)..frames_start(BYTES) + 48).image,
        writer.clone().close().flip(frames_start(BYTES) + 20).image,
    ] {
        let opened = skip(&image);
        assert_eq!(opened.records(), writer.records);
        assert_eq!(opened.recovered.report.damage[0].offset, 4096);
    }
}

#[test]
fn a_damaged_header_costs_no_record() {
    let writer = Writer::new().segment().records(2, 50).roll().seal(0).records(2, 50);
    for writer in [writer.clone(), writer.sync().idle().close()] {
        for at in [10, BYTES + 20] {
            let opened = skip(&writer.clone().flip(at).image);
            assert_eq!(opened.records(), writer.records);
            assert_eq!(opened.recovered.report.damage[0].offset, 0);
        }
    }
}

#[test]
fn missing_segments_are_reported_and_the_rest_is_kept() {
    let writer = Writer::new().segment().records(2, 50).roll().seal(0).records(2, 50);
    let writer = writer.roll().seal(BYTES).records(2, 50).spare();
    for (lost, expected) in [
        (0, writer.records[2..].to_vec()),
        (BYTES, [&writer.records[..2], &writer.records[4..]].concat()),
        (2 * BYTES, writer.records[..4].to_vec()),
        (3 * BYTES, writer.records.clone()),
    ] {
        for image in [writer.clone().lose(lost).image, writer.clone().close().lose(lost).image] {
            let opened = skip(&image);
            assert_eq!(opened.records(), expected);
            let reports = &opened.recovered.report.damage;
            assert!(reports.iter().all(|one| one.reason == Corruption::MissingSegment));
            assert!(reports[0].path.ends_with(segment_name(lost)));
        }
    }
}

#[test]
fn a_file_that_lost_its_end_is_read_as_far_as_it_goes() {
    let writer = Writer::new().segment().records(6, 1000).sync().roll().seal(0).records(2, 50);
    let mut image = writer.image.clone();
    image.get_mut(&segment_name(0)).unwrap().truncate(8192);
    let opened = skip(&image);
    let kept = writer.records.iter().filter(|(lsn, _)| *lsn + 1016 <= 8192 || *lsn > BYTES);
    assert_eq!(opened.records(), kept.cloned().collect::<Vec<_>>());
}

#[test]
fn the_addresses_of_a_segment_that_is_set_aside_are_not_offered_again() {
    // The slot that knew of it is lost, and nothing of it was durable.
    let writer = Writer::new().segment().records(3, 50).roll().records(2, 50);
    let slot = usize::from(writer.clone().control(|_| {}).image == writer.image);
    for slot in [slot, 1 - slot] {
        let torn = writer.clone().damage_slot(slot).flip(frames_start(BYTES) + 20);
        let opened = open(&torn.image).unwrap().checked();
        assert_eq!(opened.records(), writer.records[..3]);
        assert_eq!(opened.recovered.report.set_aside.len(), 1);
        assert!(opened.recovered.tail >= 2 * BYTES, "{}", opened.recovered.tail);
    }
}

#[test]
fn what_follows_a_file_that_can_not_be_read_is_kept() {
    let writer = Writer::new().segment().records(2, 50).roll().seal(0).records(2, 50);
    let writer = writer.roll().seal(BYTES).sync().records(2, 50);
    for bytes in [0, 20, 4000] {
        let mut image = writer.image.clone();
        image.get_mut(&segment_name(BYTES)).unwrap().resize(bytes, 0);
        let opened = skip(&image);
        let expected = [&writer.records[..2], &writer.records[4..]].concat();
        assert_eq!(opened.records(), expected, "{bytes}");
        let report = &opened.recovered.report;
        assert!(report.set_aside.is_empty());
        for (lsn, _) in &writer.records[2..4] {
            let named = |one: &crate::Damage| one.lsn.contains(&crate::Lsn::new(*lsn));
            assert!(report.damage.iter().any(named), "{bytes}: {report}");
        }
    }
}

#[test]
fn of_several_missing_segments_all_records_are_reported() {
    let writer = Writer::new().segment().records(2, 50).roll().seal(0).records(2, 50);
    let writer = writer.roll().seal(BYTES).sync().records(2, 50);
    let opened = skip(&writer.clone().lose(0).lose(BYTES).image);
    assert_eq!(opened.records(), writer.records[4..]);
    for (lsn, _) in &writer.records[..4] {
        let named = |one: &crate::Damage| one.lsn.contains(&crate::Lsn::new(*lsn));
        assert!(opened.recovered.report.damage.iter().any(named));
    }
}

#[test]
fn what_is_missing_below_a_cut_is_reported_where_the_segment_that_was_cut_is_lost_too() {
    let writer = Writer::new().segment().records(2, 50).roll().seal(0).records(2, 50);
    let end = writer.at;
    let writer = writer.cut(BYTES, end).end_at(end).segment().sync().records(2, 50);
    let without_first = writer.clone().lose(0);
    let mut shortened = without_first.image.clone();
    shortened.get_mut(&segment_name(BYTES)).unwrap().truncate(60);
    for image in [shortened, without_first.lose(BYTES).image] {
        let opened = skip(&image);
        assert_eq!(opened.records(), writer.records[4..]);
        for (lsn, _) in &writer.records[..4] {
            let named = |one: &crate::Damage| one.lsn.contains(&crate::Lsn::new(*lsn));
            let report = &opened.recovered.report;
            assert!(report.damage.iter().any(named), "{lsn}: {report}");
        }
    }
}

#[test]
fn a_file_without_a_header_and_shorter_than_any_segment_is_reported_as_lost_whole() {
    let writer = Writer::new().segment().records(2, 50).roll().seal(0).sync().records(2, 50);
    let mut image = writer.clone().flip(10).image;
    image.get_mut(&segment_name(0)).unwrap().truncate(12288);
    let opened = skip(&image);
    assert_eq!(opened.records(), writer.records[2..]);
    let [damage] = &opened.recovered.report.damage[..] else { panic!() };
    assert_eq!(damage.lsn.start.get()..damage.lsn.end.get(), 0..BYTES);
    assert_eq!(opened.image().get(&segment_name(0)), image.get(&segment_name(0)));
}

#[test]
fn what_lay_behind_the_new_end_of_a_file_without_a_header_is_reported() {
    for first in [12224, 8128, 12100, 13000] {
        // With the first, a frame ends where the file does; with the second, where frames would in a
        // segment of that length.
        let writer = Writer::new().sized(2 * BYTES).segment().records(1, first).records(3, 50);
        let in_use = writer.clone().control(|state| state.durable_end = writer.at);
        let followed = writer.roll().seal(0).sync().records(2, 50);
        for writer in [in_use, followed] {
            let mut image = writer.clone().flip(10).image;
            image.get_mut(&segment_name(0)).unwrap().truncate(usize::try_from(BYTES).unwrap());
            let opened = skip(&image);
            let report = &opened.recovered.report;
            assert!(report.set_aside.is_empty(), "{first}: {report}");
            let there = opened.records();
            for record in &writer.records {
                let end = record.0 + 16 + record.1.len().next_multiple_of(8) as u64;
                let left = end <= BYTES || record.0 > 2 * BYTES;
                assert_eq!(there.contains(record), left, "{first}: {}", record.0);
                let named = |one: &crate::Damage| one.lsn.contains(&crate::Lsn::new(record.0));
                assert!(left || report.damage.iter().any(named), "{first}: {report}");
            }
        }
    }
}

#[test]
fn proof_at_the_very_end_of_a_file_without_a_header_counts() {
    // The last record that is left spans the place where the trailer of so short a segment would be.
    let writer = Writer::new().sized(2 * BYTES).segment().records(1, 8000).records(1, 200);
    let writer = writer.sync().records(1, 50).records(1, 9000);
    let mut image = writer.clone().flip(10).image;
    image.get_mut(&segment_name(0)).unwrap().truncate(usize::try_from(BYTES).unwrap());
    let opened = skip(&image);
    assert!(opened.records() == writer.records[..3], "{}", opened.recovered.report);
    // As much where the record itself is damaged.
    let spanning = writer.records[1].0;
    flip(&mut image, 0, spanning + 20);
    let opened = skip(&image);
    let report = &opened.recovered.report;
    let others = [&writer.records[..1], &writer.records[2..3]].concat();
    assert!(opened.records() == others, "{report}");
    let named = |one: &crate::Damage| one.lsn.contains(&crate::Lsn::new(spanning));
    assert!(report.damage.iter().any(named), "{report}");
}

#[test]
fn swapped_files_are_left_alone() {
    let writer = Writer::new().segment().records(2, 50).roll().records(2, 50);
    let mut image = writer.roll().records(1, 10).image;
    let first = image.remove(&segment_name(0)).unwrap();
    let second = image.insert(segment_name(BYTES), first.clone()).unwrap();
    image.insert(segment_name(0), second.clone());
    let opened = skip(&image);
    assert_eq!(opened.image().get(&segment_name(0)), Some(&second[..]));
    assert_eq!(opened.image().get(&segment_name(BYTES)), Some(&first[..]));
}

#[test]
fn the_order_of_damage_does_not_matter_to_what_is_kept() {
    let writer = Writer::new().segment().records(5, 40).batch(3, 30).records(5, 40);
    let writer = writer.roll().sync().records(4, 40);
    for first in 0..13 {
        for second in first..13 {
            let [one, two] = [first, second].map(|record| writer.records[record].0);
            let opened = skip(&writer.clone().flip(one + 17).flip(two + 4).image);
            let records = opened.records();
            for (number, record) in writer.records.iter().enumerate() {
                let whole = number != first && number != second && !(5..8).contains(&number);
                assert!(!whole || records.contains(record), "{first} {second} {number}");
            }
        }
    }
}

#[test]
fn a_later_segment_whose_link_does_not_match_is_set_aside() {
    // It follows an end that the segment does not have: a segment that came back after a cut.
    let old = Writer::new().segment().records(4, 50);
    let end = old.records[2].0;
    let came_back = old.clone().roll().sync().records(2, 50);
    let mut cut = came_back.clone().seal_at(0, end).end_at(end);
    (cut.base, cut.records) = (0, old.records_below(end));
    let cut = cut.end_at(end).segment().records(1, 50);
    let image = cut.clone().lose(BYTES).image;
    let expected = open(&image).unwrap().checked().records();
    assert_eq!(expected.len(), 3);
    let resurrected = came_back.image.get(&segment_name(BYTES)).unwrap().to_vec();
    for closed in [false, true] {
        let mut image = if closed { cut.clone().close().image } else { cut.image.clone() };
        image.insert(segment_name(BYTES), resurrected.clone());
        let opened = open(&image).unwrap().checked();
        assert_eq!(opened.records(), expected);
        let aside = format!("{}.bak", segment_name(BYTES));
        assert_eq!(opened.image().get(&aside), Some(&resurrected[..]));
        assert_eq!(opened.recovered.report.clean, closed);
        let strict = open_as(&image, RecoveryPolicy::Strict).unwrap_err();
        assert!(matches!(strict, Error::TornTail { .. }), "{strict}");
        // One that is there already is fine.
        image.insert(aside, vec![1]);
        assert_eq!(open(&image).unwrap().checked().records(), expected);
    }
}

#[test]
fn a_torn_tail_over_several_segments_is_cut_and_kept_beside() {
    let writer = Writer::new().segment().records(4, 50).roll().records(4, 50).roll().batch(3, 9);
    let torn = writer.clone().flip(writer.records[2].0 + 16);
    assert!(matches!(
        open_as(&torn.image, RecoveryPolicy::Strict),
        Err(Error::TornTail { lsn, .. }) if lsn.get() == writer.records[2].0
    ));
    let opened = open(&torn.image).unwrap().checked();
    assert_eq!(opened.records(), writer.records[..2]);
    let report = &opened.recovered.report;
    assert_eq!(report.set_aside.len(), 2);
    let cut = report.cut.as_ref().unwrap();
    assert_eq!((cut.lsn.get(), cut.bytes > 100), (writer.records[2].0, true));
    assert!(matches!(cut.reason, Corruption::Checksum { .. }));
    assert_eq!(opened.recovered.tail, frames_start(3 * BYTES));
    assert_eq!(open(&opened.image()).unwrap().checked().records(), writer.records[..2]);
}

#[test]
fn a_segment_that_looks_empty_but_is_not_is_not_removed() {
    let writer = Writer::new().segment().records(4, 50).pad().seal(0).segment().records(3, 50);
    let start = frames_start(BYTES);
    let image = writer.clone().zero(start..start + 100).image;
    let opened = open(&image).unwrap().checked();
    assert_eq!(opened.records(), writer.records[..4]);
    assert_eq!(opened.recovered.report.set_aside.len(), 1);
    assert!(opened.recovered.report.cut.is_some());
}

#[test]
fn a_spare_of_another_size_is_not_used_and_not_missed_later() {
    let writer = Writer::new().segment().records(4, 50).spare().spare().close();
    let options = Options::new().segment_bytes(2 * BYTES).clone();
    let opened = open_with(&writer.image, &options).unwrap().checked();
    assert_eq!(opened.records(), writer.records);
    assert_eq!(opened.recovered.report.removed.len(), 2);
    assert_eq!(opened.recovered.tail, frames_start(3 * BYTES));
    assert_eq!(opened.state().newest, Some(0));
    let again = open_with(&opened.image(), &options).unwrap().checked();
    assert_eq!(again.recovered.tail, frames_start(3 * BYTES));
    // The segment in use may be of another size.
    let writer = Writer::new().segment().records(4, 50).close();
    let opened = open_with(&writer.image, &options).unwrap().checked();
    assert_eq!(opened.recovered.tail, writer.at);
}

#[test]
fn a_report_reads_well_in_a_terminal() {
    let writer = Writer::new().segment().records(8, 50).sync().records(2, 50);
    let torn = writer.clone().flip(writer.records[3].0).flip(writer.records[9].0 + 17);
    let mut image = torn.image;
    image.insert("notes.txt", Vec::new());
    image.insert("00000000000000016384.seg.tmp", Vec::new());
    let opened = skip(&image);
    let shown = opened.recovered.report.to_string();
    assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
    for part in [
        "opened a log that was not closed: lsn 4096 to 4792",
        "cut at lsn 4792, 66 bytes of leftovers:",
        "removed:\n  memory/00000000000000016384.seg.tmp",
        "not the log's, left alone:\n  memory/notes.txt",
        "damaged: memory/00000000000000000000.seg: offset 4360, lsn 4360 to 4432:",
    ] {
        assert!(shown.contains(part), "{part} in\n{shown}");
    }
    assert!(!shown.ends_with('\n'));
}

#[test]
fn a_log_that_lost_all_its_segments_keeps_its_head() {
    let writer = Writer::new().segment().records(3, 50).sync();
    let opened = skip(&writer.clone().lose(0).image);
    assert_eq!(opened.state().head, writer.state.head);
    assert!(opened.recovered.tail > opened.state().head);
    // What is missing is told as long as it is.
    skip(&opened.image());
}

#[test]
fn a_segment_that_ends_at_the_head_is_not_read() {
    let writer = Writer::new().segment().records(3, 50).pad();
    let end = writer.at;
    let headed = writer.control(|state| (state.head, state.durable_end) = (end, end));
    let opened = open(&headed.image).unwrap().checked();
    assert_eq!(opened.recovered.report.scanned_bytes, 0);
    // It stays, as the next link names it, until a truncation finds that one durable.
    let ends: Vec<_> = opened.recovered.segments.iter().map(|segment| segment.end).collect();
    assert_eq!(ends, [end]);
}

#[test]
fn bytes_that_went_bad_in_a_closed_log_are_not_summed_up() {
    // A spare of another size lies behind it, so the segment ends when the log is opened.
    let writer = Writer::new().segment().records(4, 50).spare().close();
    let rotten = writer.clone().flip(writer.records[1].0 + 20);
    for (image, whole) in [(&writer.image, true), (&rotten.image, false)] {
        let options = Options::new().segment_bytes(2 * BYTES).clone();
        let opened = open_with(image, &options).unwrap().checked();
        assert!(opened.recovered.start.active.is_none());
        assert_eq!(opened.recovered.last_checksum != 0, whole);
        let file = opened.image().get(&segment_name(0)).unwrap().to_vec();
        assert_eq!(file[file.len() - 4096..].iter().any(|byte| *byte != 0), whole);
    }
}
