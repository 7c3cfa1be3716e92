//! A log whose writer drops segments while it is read.
//!
//! Invariant: what a snapshot has come to stays; what it has not is `Truncated`.

use stratalog::format::{ControlState, segment_name, winner};
use stratalog::storage::{Access, MemoryStorage, Storage};
use stratalog::{Error, Lsn, ReadOptions};

use super::switch::Switch;
use super::{append, open, seen};
use crate::common::{TINY, read, records, tiny};

/// Does to the files what a writer does that truncates: raises the head in the control file, then
/// removes what lies below.
fn truncate(disk: &MemoryStorage, head: Lsn) {
    let image = disk.image();
    let control = image.get("control").unwrap();
    let slots = [&control[..4096], &control[4096..]].map(ControlState::decode);
    let newest = winner(slots).unwrap();
    let state = ControlState { head: head.get(), ..newest.state };
    let (sequence, slot) = (newest.sequence + 1, 1 - newest.slot as u64);
    let file = disk.open("control", Access::ReadWrite).unwrap();
    file.write_at(&state.encode(sequence), slot * 4096).unwrap();
    for base in (0..head.get() / TINY).map(|index| index * TINY) {
        let _ = disk.remove(&segment_name(base));
    }
}

#[test]
fn a_reader_moves_its_head_with_the_writers() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 120, 700);
    log.sync().unwrap();
    log.close().unwrap();
    let reader = open(disk.clone());
    let all = seen(&reader);
    let (late, half) = (reader.snapshot(), reader.snapshot());
    let mut iter = half.iter();
    iter.next().unwrap().unwrap();
    let mut follower = reader.follow(reader.head()).unwrap();
    follower.try_next().unwrap().unwrap();
    let mut ahead = reader.follow(all[80].0).unwrap();
    let head = all[70].0;
    truncate(&disk, head);
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.head(), head);
    assert_eq!(seen(&reader), all[70..]);
    assert!(reader.report().damage.is_empty());
    assert!(matches!(reader.snapshot().get(all[0].0), Err(Error::Truncated { .. })));
    assert!(matches!(reader.follow(all[3].0), Err(Error::Truncated { .. })));
    // What was dropped before it was read is gone; what was read is there.
    match read(&late) {
        (records, Some(Error::Truncated { lsn, head: found, .. })) => {
            assert!(all.starts_with(&records) && lsn < found && found == head);
        }
        other => panic!("{:?}", other.1),
    }
    let rest = iter.take_while(Result::is_ok).count();
    assert!((1..70).contains(&rest), "{rest}");
    assert_eq!(half.get(all[1].0).unwrap().payload(), all[1].1);
    let overtaken = std::iter::repeat_with(|| follower.try_next().map(|it| it.is_some()));
    let last = overtaken.take(200).find(|it| !matches!(it, Ok(true)));
    assert!(matches!(last, Some(Err(Error::Truncated { .. }))), "{last:?}");
    assert_eq!(ahead.try_next().unwrap().unwrap().lsn(), all[80].0);
    // One that begins now sees the same.
    assert_eq!(seen(&open(disk.clone())), all[70..]);
    let log = tiny().open_with(disk.clone()).unwrap();
    assert_eq!(records(&log), all[70..]);
    append(&log, 10, 100);
    reader.refresh().unwrap();
    assert_eq!(seen(&reader), records(&log));
}

/// Without the lock nothing but the name says that the bytes are still the segment's.
#[test]
fn a_segment_that_is_put_to_other_use_while_it_is_read_is_not_shown() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 120, 700);
    log.close().unwrap();
    let all = records(&tiny().open_with(disk.clone()).unwrap());
    disk.remove("READERS").unwrap();
    let switch = Switch::default();
    switch.to(disk.image());
    let reader = open(switch.clone());
    let snapshot = reader.snapshot_with(ReadOptions::new().verify(false));
    let moved = MemoryStorage::from_image(disk.image());
    truncate(&moved, all[70].0);
    let mut image = disk.image();
    image.insert("control", moved.image().get("control").unwrap().to_vec());
    switch.to(image);
    switch.take_away(&segment_name(TINY));
    let (records, error) = read(&snapshot);
    assert!(matches!(error, Some(Error::Truncated { .. })), "{error:?}");
    assert!(all.starts_with(&records) && records.last().unwrap().0.get() < TINY);
}
