//! Payloads that outlive their snapshot.

use std::sync::Arc;

use super::fixture::usual;
use crate::read::{ReadOptions, Snapshot};
use crate::storage::{MemoryStorage, Storage};

#[test]
fn a_pinned_payload_pins_its_segment_and_no_other() {
    let made = usual();
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::from_image(made.image()));
    let snapshot = made.snapshot_on(Arc::clone(&storage));
    let segments = snapshot.set().segments.clone();
    let record = snapshot.iter().last().unwrap().unwrap();
    let (lsn, payload) = (record.lsn().get(), record.payload().to_vec());
    let pin = snapshot.pin(&record).unwrap();
    drop(snapshot);
    let mut removed = 0;
    for mut segment in segments {
        let holds_it = (segment.start()..segment.end).contains(&lsn);
        assert_eq!(segment.is_pinned(), holds_it);
        let name = segment.name();
        segment.drop_later(&storage).unwrap();
        drop(segment);
        let left = storage.names().unwrap();
        assert!(!left.contains(&name));
        removed += usize::from(!left.iter().any(|left| left.starts_with(&name)));
    }
    assert_eq!(removed + 1, made.segments.len());
    assert_eq!(pin.payload(), payload);
    drop(pin);
    assert!(storage.names().unwrap().iter().all(|name| !name.contains(".seg")));
}

#[test]
fn a_record_above_the_watermark_is_not_pinned() {
    let made = usual();
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::from_image(made.image()));
    let set = made.set();
    // The same memory, so that nothing but the watermark tells them apart.
    let until = |end| {
        let (storage, set) = (Arc::clone(&storage), Arc::clone(&set));
        Snapshot::new(storage, set, end, None, ReadOptions::new())
    };
    let longer = until(made.end);
    let last = longer.iter().last().unwrap().unwrap();
    for (end, pinned) in [(last.next_lsn().get(), true), (last.lsn().get(), false)] {
        let shorter = until(end);
        let records: Vec<_> = shorter.iter().map(Result::unwrap).collect();
        assert!(records.iter().all(|record| shorter.pin(record).is_some()));
        assert_eq!(shorter.pin(&last).is_some(), pinned);
    }
}
