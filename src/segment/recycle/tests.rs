//! A file on its way from one segment to another, also where the power is cut.

use std::io;

use super::*;
use crate::format::{LogId, segment_name};
use crate::storage::{EventKind, Fault, FaultStorage};

const BYTES: u64 = 16 << 10;
const ID: LogId = LogId::new([7; 16]);
const BASE: u64 = 9 * BYTES;

/// A disk with a sealed segment that is full of ones, all of it durable.
fn disk() -> (FaultStorage, Arc<Segment>) {
    let disk = FaultStorage::new();
    disk.set_zero_fill(true);
    let file = disk.create(&segment_name(0), BYTES).unwrap();
    write_all_at(&*file, &vec![1; usize::try_from(BYTES).unwrap()], 0).unwrap();
    file.sync().unwrap();
    disk.sync_directory().unwrap();
    (disk, Segment::new((0, BYTES), BYTES - 4096, ID, None))
}

fn recycled(disk: &FaultStorage, segment: &Segment) -> Recycled {
    match set_aside(disk, segment) {
        Ok(SetAside::Recycled(recycled)) => recycled,
        other => panic!("{other:?}"),
    }
}

fn header() -> Vec<u8> {
    SegmentHeader { id: ID, base: BASE, segment_bytes: BYTES }.encode()
}

#[test]
fn nothing_is_left_of_what_a_recycled_file_held() {
    let (disk, segment) = disk();
    let recycled = recycled(&disk, &segment);
    let spare = prepare_recycled(&disk, recycled, &ID, BASE, |_| Some(BLOCK_BYTES))
        .unwrap()
        .expect("a spare");
    assert_eq!((spare.base, spare.bytes, spare.filled), (BASE, BYTES, BASE + BYTES - 4096));
    let image = disk.durable();
    let bytes = image.get(&segment_name(BASE)).expect("its name is durable");
    assert_eq!(bytes[..4096], header());
    assert!(bytes[4096..].iter().all(|byte| *byte == 0), "old bytes are left");
    assert!(!image.names().any(|name| name.starts_with(&segment_name(0))));
}

#[test]
fn a_power_cut_leaves_the_old_segment_as_it_was_or_the_new_one_as_it_is_to_be() {
    let (disk, segment) = disk();
    let began = disk.events();
    let recycled = recycled(&disk, &segment);
    prepare_recycled(&disk, recycled, &ID, BASE, |_| Some(BLOCK_BYTES)).unwrap().expect("a spare");
    for event in began..=disk.events() {
        for seed in 0..50 {
            let image = disk.crash_at(event, seed);
            if let Some(old) = image.get(&segment_name(0)) {
                assert!(old.iter().all(|byte| *byte == 1), "{event}/{seed}: it was written over");
            }
            if let Some(new) = image.get(&segment_name(BASE)) {
                let clean = new[..4096] == header() && new[4096..].iter().all(|byte| *byte == 0);
                assert!(clean, "{event}/{seed}: recovery would see old bytes");
            }
        }
    }
}

#[test]
fn a_file_is_given_up_where_someone_waits() {
    let (disk, segment) = disk();
    let recycled = recycled(&disk, &segment);
    let mut steps = 3;
    let made = prepare_recycled(&disk, recycled, &ID, BASE, |_| {
        steps -= 1;
        (steps > 0).then_some(BLOCK_BYTES)
    });
    assert!(matches!(made, Ok(None)));
    assert!(!disk.names().unwrap().iter().any(|name| name.contains(".seg")));
}

#[test]
fn a_segment_keeps_its_name_while_a_reader_may_map_it_or_zeros_cost_more_than_blocks() {
    let (disk, segment) = disk();
    let reader = disk.lock(READERS_NAME, LockKind::Shared).unwrap();
    assert!(matches!(set_aside(&disk, &segment), Ok(SetAside::No)));
    drop(reader);
    disk.set_zero_fill(false);
    assert!(matches!(set_aside(&disk, &segment), Ok(SetAside::No)));
    assert!(disk.names().unwrap().contains(&segment_name(0)));
}

#[test]
fn a_file_for_which_there_is_no_room_is_given_up_and_any_other_failure_is_told() {
    for (fault, told) in
        [(Fault::NoSpace, false), (Fault::Error(io::ErrorKind::PermissionDenied), true)]
    {
        let (disk, segment) = disk();
        let recycled = recycled(&disk, &segment);
        disk.fail_when(move |event| (event.kind == EventKind::Write).then_some(fault));
        let made = prepare_recycled(&disk, recycled, &ID, BASE, |_| Some(BLOCK_BYTES));
        assert_eq!(made.is_err(), told, "{made:?}");
        assert!(!matches!(made, Ok(Some(_))));
        let left = disk.names().unwrap().iter().any(|name| name.contains(".seg"));
        assert_eq!(left, told, "opening removes what is left");
    }
}
