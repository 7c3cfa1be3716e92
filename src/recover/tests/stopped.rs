//! Stops that lose nothing durable: new, closed, killed, torn.

use super::images::{BYTES, Writer, open, open_as, open_with};
use crate::format::{LINK_FRAME_BYTES, frames_end, frames_start, segment_name};
use crate::storage::Image;
use crate::{Error, NotALog, Options, RecoveryPolicy};

const FIRST: u64 = 4096 + LINK_FRAME_BYTES;

#[test]
fn a_log_is_made_where_there_is_none() {
    let opened = open(&Image::new()).unwrap().checked();
    let recovered = &opened.recovered;
    assert!(recovered.report.created);
    assert_eq!((recovered.head, recovered.tail), (4096, 4096));
    assert_eq!((recovered.start.previous_base, recovered.start.next_base), (u64::MAX, 0));
    assert_eq!(opened.image().names().collect::<Vec<_>>(), ["control"]);
    let other = open(&Image::new()).unwrap();
    assert_ne!(other.recovered.id, recovered.id);
}

#[test]
fn an_unfinished_creation_is_begun_anew() {
    let mut image = Image::new();
    image.insert("control.tmp", vec![7; 100]);
    image.insert("LOCK", Vec::new());
    let opened = open(&image).unwrap().checked();
    assert_eq!(opened.recovered.report.removed.len(), 1);
}

#[cfg(unix)]
#[test]
fn files_that_are_removed_are_kept_open_but_only_a_few() {
    for count in [0, 1, 20] {
        let mut image = Writer::new().segment().records(3, 100).spare().image;
        for number in 0..count {
            image.insert(format!("{}.tmp", segment_name((number + 2) * BYTES)), vec![0; 100]);
        }
        let opened = open(&image).unwrap().checked();
        let count = usize::try_from(count).unwrap();
        assert_eq!(opened.recovered.report.removed.len(), count + 1, "with the spare");
        assert_eq!(opened.recovered.doomed.len(), count.min(8) + 1);
    }
}

#[test]
fn no_log_is_made_against_the_options_or_to_save_a_damaged_one() {
    let nothing = |result| match result {
        Err(Error::NotALog { found: NotALog::Nothing, .. }) => {}
        other => panic!("{other:?}"),
    };
    nothing(open_with(&Image::new(), Options::new().create(false)));
    nothing(open_as(&Image::new(), RecoveryPolicy::SkipCorrupt));
}

#[test]
fn a_spare_that_was_given_up_and_then_damaged_is_not_missed() {
    // The opening that gave it up was interrupted before it removed it.
    let mut writer = Writer::new().spare().control(|state| state.newest = None);
    writer.image.get_mut("00000000000000000000.seg").unwrap()[..64].fill(7);
    let opened = open(&writer.image).unwrap().checked();
    assert_eq!(opened.recovered.report.set_aside.len(), 1);
    assert_eq!(opened.recovered.tail, frames_start(BYTES));
    assert_eq!(opened.recovered.head, opened.recovered.tail);
    let again = open(&opened.image()).unwrap().checked();
    assert_eq!(again.recovered.tail, frames_start(BYTES));
}

#[test]
fn a_new_log_that_was_never_used_opens_at_its_first_address() {
    for writer in [Writer::new(), Writer::new().close()] {
        let opened = open(&writer.image).unwrap().checked();
        assert_eq!(opened.recovered.tail, 4096);
        assert_eq!(opened.recovered.start.previous_base, u64::MAX);
        assert_eq!(opened.state().app_state, b"kept");
    }
    // A spare of a closed log is used; that of a killed one is not.
    let writer = Writer::new().spare().close();
    let opened = open(&writer.image).unwrap().checked();
    assert_eq!(opened.recovered.start.spares.len(), 1);
    assert_eq!(opened.recovered.tail, 4096);
    let writer = Writer::new().spare();
    let opened = open(&writer.image).unwrap().checked();
    assert!(opened.recovered.start.spares.is_empty());
    assert_eq!(opened.recovered.tail, frames_start(BYTES));
    assert_eq!(opened.recovered.start.previous_base, u64::MAX);
    let again = open(&opened.image()).unwrap().checked();
    assert_eq!(again.recovered.tail, frames_start(BYTES));
}

#[test]
fn a_closed_log_goes_on_where_it_ended_and_reads_no_payload() {
    let writer = Writer::new().segment().records(5, 100).spare().close();
    for policy in [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt]
    {
        let opened = open_as(&writer.image, policy).unwrap().checked();
        assert_eq!(opened.records(), writer.records);
        let recovered = &opened.recovered;
        assert!(recovered.report.clean);
        assert_eq!(recovered.report.scanned_bytes, 0);
        assert_eq!(recovered.tail, writer.at);
        assert_eq!(recovered.start.active.as_ref().unwrap().base, 0);
        assert_eq!(recovered.start.spares[0].base, BYTES);
        assert_eq!(recovered.start.previous_end, frames_end(0, BYTES));
        assert_eq!(opened.state().cut, None);
    }
}

#[test]
fn a_closed_log_of_several_segments_goes_on() {
    let writer = Writer::new().segment().records(3, 900).roll().records(3, 900).roll();
    let writer = writer.records(2, 50).sync().close();
    // Trailers that the closed log did not come to write are written now.
    let opened = open(&writer.image).unwrap().checked();
    assert_eq!(opened.records(), writer.records);
    assert_ne!(opened.recovered.last_checksum, 0);
    let sealed = writer.clone().seal(0).seal(BYTES);
    assert_eq!(opened.image().get(&segment_name(0)), sealed.image.get(&segment_name(0)));
    assert_eq!(opened.image().get(&segment_name(BYTES)), sealed.image.get(&segment_name(BYTES)));
    let again = open(&sealed.image).unwrap().checked();
    assert_eq!(again.recovered.report.scanned_bytes, 0);
    assert_eq!(again.recovered.last_checksum, opened.recovered.last_checksum);
}

#[test]
fn a_log_closed_with_a_full_segment_goes_on_in_the_next() {
    let full = Writer::new().segment().records(3, 900).pad();
    for writer in [full.clone().close(), full.clone().spare().close()] {
        let opened = open(&writer.image).unwrap().checked();
        assert_eq!(opened.records(), writer.records);
        assert_eq!(opened.recovered.tail, frames_start(BYTES));
        assert!(opened.recovered.start.active.is_none());
        assert_eq!(opened.recovered.start.previous_end, frames_end(0, BYTES));
        assert_eq!(opened.state().cut, None);
    }
    // Closed right at the beginning of the spare.
    let mut writer = full.seal(0).spare();
    writer.at = frames_start(BYTES);
    let opened = open(&writer.close().image).unwrap().checked();
    assert_eq!(opened.recovered.tail, frames_start(BYTES));
    assert_eq!(opened.recovered.start.spares.len(), 1);
}

#[test]
fn a_killed_log_keeps_every_valid_frame_and_goes_on_at_a_fresh_base() {
    let writer = Writer::new().segment().records(5, 100).spare();
    for policy in [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt]
    {
        let opened = open_as(&writer.image, policy).unwrap().checked();
        assert_eq!(opened.records(), writer.records);
        let recovered = &opened.recovered;
        assert!(!recovered.report.clean && recovered.report.cut.is_none());
        assert_eq!(recovered.report.rewritten_bytes, writer.at - 4096);
        assert_eq!(recovered.tail, frames_start(2 * BYTES));
        assert!(recovered.start.active.is_none() && recovered.start.spares.is_empty());
        assert_eq!(recovered.start.previous_end, writer.at);
        assert_eq!(opened.state().cut.unwrap().fresh, 2 * BYTES);
        assert!(opened.image().get(&segment_name(BYTES)).is_none());
        let sealed = writer.clone().seal_at(0, writer.at);
        assert_eq!(opened.image().get(&segment_name(0)), sealed.image.get(&segment_name(0)));
    }
}

#[test]
fn only_what_nothing_proves_durable_is_written_again() {
    let writer = Writer::new().segment().records(5, 100).sync();
    let proven = writer.at;
    let writer = writer.records(3, 100);
    let opened = open(&writer.image).unwrap().checked();
    assert_eq!(opened.recovered.report.rewritten_bytes, writer.at - proven);
    assert_eq!(opened.records(), writer.records);
    // A trailer proves it of all segments up to its own, also of one that lost its own.
    let sealed = Writer::new().segment().records(3, 50).roll().records(2, 50).roll().seal(BYTES);
    let opened = open(&sealed.image).unwrap().checked();
    assert_eq!(opened.recovered.report.rewritten_bytes, sealed.at - frames_start(2 * BYTES));
    assert_eq!(opened.records(), sealed.records);
}

#[test]
fn a_log_torn_at_any_byte_is_cut_at_the_frame_before() {
    let writer = Writer::new().segment().records(2, 40).batch(3, 20).records(2, 33);
    let ends: Vec<u64> = {
        // A batch ends where its last record does.
        let mut ends: Vec<u64> = writer.records.iter().map(|(lsn, _)| *lsn).collect();
        ends.push(writer.at);
        ends.drain(3..5);
        ends
    };
    for at in FIRST..writer.at {
        let torn = writer.clone().zero(at..writer.at);
        let opened = open(&torn.image).unwrap().checked();
        // A frame whose lost bytes were zero anyway is whole.
        let end = opened.recovered.report.end.get();
        assert!(ends.contains(&end), "torn at {at}: {end}");
        assert!(end <= at.next_multiple_of(8), "torn at {at}: {end}");
        assert!(ends.iter().all(|other| *other <= end || at < *other), "torn at {at}: {end}");
        assert_eq!(opened.records(), writer.records_below(end));
        let again = open(&opened.image()).unwrap().checked();
        assert_eq!(again.records(), writer.records_below(end));
        assert_eq!(again.recovered.tail, opened.recovered.tail);
    }
}

#[test]
fn a_trailer_is_later_than_a_clean_mark_only_if_it_ends_later() {
    let full = Writer::new().segment().records(3, 50).pad().close().seal(0);
    assert!(open(&full.image).unwrap().checked().recovered.report.clean);
    let later = Writer::new().segment().records(3, 50).close().records(1, 50).pad().seal(0);
    let opened = open(&later.image).unwrap().checked();
    assert!(!opened.recovered.report.clean);
    assert_eq!(opened.records(), later.records);
}

#[test]
fn both_halves_of_an_id_are_drawn() {
    let id = open(&Image::new()).unwrap().recovered.id.to_string();
    let (high, low) = id.split_at(id.len() / 2);
    let zeros = |half: &str| half.chars().all(|digit| digit == '0');
    assert!(!zeros(high) && !zeros(low), "{id}");
}
