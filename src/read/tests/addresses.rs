//! Addresses: what is said of each one, against a model that knows where every frame was put.

use std::sync::Arc;

use super::fixture::{Made, MadeFrame, Maker, payload_with_frame, usual};
use crate::format::{FRAME_HEADER_BYTES, Kind, MIN_SEGMENT_BYTES, frames_start};
use crate::storage::{MemoryStorage, Storage};
use crate::{Error, Lsn};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Found,
    Truncated,
    NotYet,
    Cut,
    NotARecord,
}

fn answer<T>(result: &crate::Result<T>) -> Answer {
    match result {
        Ok(_) => Answer::Found,
        Err(Error::Truncated { .. }) => Answer::Truncated,
        Err(Error::NotYet { .. }) => Answer::NotYet,
        Err(Error::Cut { .. }) => Answer::Cut,
        Err(Error::NotARecord { .. }) => Answer::NotARecord,
        Err(other) => panic!("{other}"),
    }
}

/// The model: it looks at every frame and every segment, one after the other.
struct Model<'a> {
    made: &'a Made,
    frames: Vec<MadeFrame>,
}

impl Model<'_> {
    fn get(&self, at: u64) -> Answer {
        if at < self.made.head {
            Answer::Truncated
        } else if at >= self.made.end {
            Answer::NotYet
        } else if self.frames.iter().any(|frame| frame.lsn == at && frame.kind == Kind::Record) {
            Answer::Found
        } else if self.is_cut(at) {
            Answer::Cut
        } else {
            Answer::NotARecord
        }
    }

    fn iter_from(&self, at: u64) -> Answer {
        let Made { head, end, segments } = self.made;
        let is_end = segments.iter().any(|segment| segment.end == at);
        if at < *head {
            Answer::Truncated
        } else if at > *end {
            Answer::NotYet
        } else if at == *head
            || at == *end
            || is_end
            || self.frames.iter().any(|frame| frame.lsn == at || frame.end == at)
        {
            Answer::Found
        } else if self.is_cut(at) {
            Answer::Cut
        } else {
            Answer::NotARecord
        }
    }

    /// Whether an address that could be a record's belongs to no segment, or to what was cut off one.
    fn is_cut(&self, at: u64) -> bool {
        let mut owner = None;
        let mut next_base = self.made.end - 4096;
        for segment in &self.made.segments {
            if frames_start(segment.maker.base) <= at {
                owner = Some(segment);
            } else {
                next_base = segment.maker.base;
                break;
            }
        }
        if !at.is_multiple_of(8) {
            return false;
        }
        let Some(owner) = owner else { return at < next_base };
        let was_cut = owner.maker.frames_end() - owner.end >= FRAME_HEADER_BYTES;
        let behind_file = owner.maker.base + owner.maker.bytes.len() as u64 <= at && at < next_base;
        (was_cut && owner.end <= at) || behind_file
    }
}

fn compare_all(made: &Made) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::from_image(made.image()));
    let model = Model { made, frames: made.frames() };
    let records = made.records();
    let snapshot = made.snapshot_on(Arc::clone(&storage));
    for at in (0..made.end + 32).rev().chain(0..made.end + 32) {
        let lsn = Lsn::new(at);
        // Every other one with nothing known yet, in between with whatever was learned so far.
        let fresh = made.snapshot_on(Arc::clone(&storage));
        let snapshot = if at / 8 % 2 == 0 { &fresh } else { &snapshot };
        let got = snapshot.get(lsn);
        assert_eq!(answer(&got), model.get(at), "get {at}: {got:?}");
        if let Ok(record) = got {
            let (_, payload) = records.iter().find(|(lsn, _)| *lsn == at).unwrap();
            assert_eq!((record.lsn(), record.payload()), (lsn, payload.as_slice()));
        }
        let from = snapshot.iter_from(lsn);
        assert_eq!(answer(&from), model.iter_from(at), "iter_from {at}: {from:?}");
        if let Ok(iter) = from {
            let read: Vec<u64> = iter.map(|record| record.unwrap().lsn().get()).collect();
            let expected = records.iter().map(|(lsn, _)| *lsn).filter(|lsn| *lsn >= at);
            assert!(expected.eq(read), "iter_from {at}");
        }
    }
}

#[test]
fn each_address_of_an_ordinary_log_is_answered_as_the_model_does() {
    compare_all(&usual());
}

#[test]
fn each_address_is_answered_as_the_model_does_wherever_the_head_is() {
    let whole = usual();
    let frames = whole.frames();
    let near_the_end = whole.segments[0].maker.frames.len() - 2;
    for head in [frames[1].lsn, frames[9].lsn, frames[near_the_end].end, 16384 + 4096 + 48] {
        compare_all(&Made { head, ..usual() });
    }
    // The segment that held the head's record is gone.
    let mut without_first = Made { head: whole.segments[0].end, ..usual() };
    without_first.segments.remove(0);
    compare_all(&without_first);
}

#[test]
fn each_address_is_answered_as_the_model_does_wherever_the_end_is() {
    let frames = usual().frames();
    for end in [frames[0].lsn, frames[0].end, frames[20].end, 16384 - 4096, 16384 + 4096] {
        compare_all(&Made { end, ..usual() });
    }
}

#[test]
fn each_address_of_a_log_that_was_cut_is_answered_as_the_model_does() {
    let with = |base, records: usize| {
        let mut maker = Maker::small(base);
        for n in 0..records {
            maker.record(&[1; 100][..n * 7 % 100]);
        }
        maker
    };
    let size = MIN_SEGMENT_BYTES;
    let makers = [with(0, 40), with(size, 5), with(3 * size, 0), with(4 * size + 24, 3)];
    compare_all(&Made::of(makers).cut(0).cut(1).cut(2));
    // After a cut the next segment is not there yet, and the end is where its first frame will lie.
    let mut made = Made::of([with(0, 10)]).cut(0);
    for base in [size, 2 * size] {
        made.end = frames_start(base);
        compare_all(&made);
    }
    made.segments.clear();
    compare_all(&made);
}

#[test]
fn each_address_of_a_new_log_is_answered_as_the_model_does() {
    compare_all(&Made::of([]));
}

#[test]
fn the_error_names_what_is_there() {
    let made = Made { head: usual().frames()[3].lsn, ..usual() };
    let snapshot = made.snapshot();
    let below = Lsn::new(8);
    match snapshot.get(below) {
        Err(Error::Truncated { lsn, head }) => {
            assert_eq!((lsn, head.get()), (below, made.head));
        }
        other => panic!("{other:?}"),
    }
    match snapshot.get(snapshot.end()) {
        Err(Error::NotYet { lsn, end }) => assert_eq!((lsn, end), (snapshot.end(), lsn)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_frame_inside_a_payload_is_no_record_though_it_is_valid_where_it_lies() {
    let mut maker = Maker::small(0);
    maker.record(b"before");
    let (payload, inside) = payload_with_frame(maker.at, 40, b"made to deceive");
    let outer = maker.record(&payload);
    maker.record(b"after");
    let made = Made::of([maker]);
    let frames = &made.segments[0].maker.bytes[4096..];
    let salt = crate::format::Salt::new(&super::fixture::ID);
    assert!(crate::format::frame_at(frames, 4096, inside, salt).is_ok(), "it is valid there");
    let snapshot = made.snapshot();
    let inside = Lsn::new(inside);
    for _ in 0..2 {
        assert!(matches!(snapshot.get(inside), Err(Error::NotARecord { .. })));
        assert!(matches!(snapshot.iter_from(inside), Err(Error::NotARecord { .. })));
    }
    assert_eq!(snapshot.get(Lsn::new(outer)).unwrap().payload(), payload);
}

#[test]
fn a_damaged_length_that_leads_to_a_frame_inside_a_payload_is_damage() {
    let mut maker = Maker::small(0);
    let (payload, inside) = payload_with_frame(maker.at, 64, b"made to deceive");
    let outer = maker.record(&payload);
    maker.record(b"after");
    let mut made = Made::of([maker]);
    // The length becomes that of the 64 bytes before the frame inside.
    made.flip(outer + 4, u8::try_from(payload.len()).unwrap() ^ 64);
    let snapshot = made.snapshot();
    let inside = Lsn::new(inside);
    for result in [snapshot.get(inside).map(drop), snapshot.iter_from(inside).map(drop)] {
        match result {
            Err(Error::Corrupt { lsn, .. }) => assert_eq!(lsn, Some(Lsn::new(outer))),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_checked_is_remembered_from_boundary_to_boundary() {
    let made = usual();
    let snapshot = made.snapshot();
    let last = made.records().last().unwrap().0;
    snapshot.get(Lsn::new(last)).unwrap();
    snapshot.last().unwrap();
    let ends: Vec<u64> = made.frames().iter().flat_map(|frame| [frame.lsn, frame.end]).collect();
    let set = snapshot.set();
    let checked = set.segments.last().unwrap().checked().lock().clone();
    assert!(checked.len() > 2, "{checked:?}");
    assert!(checked.iter().all(|stretch| ends.contains(&stretch.start)));
    assert!(checked.iter().all(|stretch| ends.contains(&stretch.end)));
    assert!(checked.windows(2).all(|pair| pair[0].end == pair[1].start), "{checked:?}");
    assert_eq!(checked.last().unwrap().end, made.end);
}

#[test]
fn what_is_checked_is_remembered_in_short_stretches_also_behind_a_long_record() {
    let mut maker = Maker::small(0);
    maker.record(&[1; 2000]);
    for _ in 0..40 {
        maker.record(&[2; 8]);
    }
    let made = Made::of([maker]);
    let snapshot = made.snapshot();
    snapshot.last().unwrap();
    let frames = made.frames();
    for stretch in &*snapshot.set().segments[0].checked().lock() {
        let last = frames.iter().find(|frame| frame.end == stretch.end).unwrap();
        // Each ends with the frame that makes it long enough.
        assert!(last.lsn - stretch.start < 512, "{stretch:?}");
    }
}

#[test]
fn several_threads_may_look_up_addresses_at_once() {
    let made = usual();
    for _ in 0..20 {
        let snapshot = made.snapshot();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (snapshot, records) = (&snapshot, made.records());
                scope.spawn(move || {
                    for (n, _) in records.iter().enumerate() {
                        let (lsn, payload) = &records[(n * 37 + thread * 11) % records.len()];
                        assert_eq!(snapshot.get(Lsn::new(*lsn)).unwrap().payload(), payload);
                    }
                });
            }
        });
    }
}
