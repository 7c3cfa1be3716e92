//! Feature `bytes`.
//!
//! Invariant: a handle shows the same bytes for as long as it lives, whatever becomes of the rest.

use std::thread;

use bytes::Bytes;
use stratalog::storage::MemoryStorage;
use stratalog::{Error, Log, ReadOptions, Snapshot};

use super::super::common::{Random, Records, records, seed, tiny};
use super::{everywhere, readings};

fn fill(log: &Log, random: &mut Random) -> Records {
    for _ in 0..100 {
        log.append(&random.bytes(900)).unwrap();
    }
    records(log)
}

fn handles(snapshot: &Snapshot) -> Vec<Bytes> {
    snapshot.iter().map(|record| snapshot.bytes(&record.unwrap()).unwrap()).collect()
}

fn assert_same(handles: &[Bytes], expected: &Records) {
    assert_eq!(handles.len(), expected.len());
    for (bytes, (lsn, payload)) in handles.iter().zip(expected) {
        assert!(bytes == payload, "{lsn}");
    }
}

#[test]
fn a_handle_is_the_payload_itself() {
    let mut random = Random::new(seed("handles"));
    let seed = random.next();
    everywhere(|log| {
        let expected = fill(log, &mut Random::new(seed));
        for snapshot in readings(log) {
            assert_same(&handles(&snapshot), &expected);
            for record in snapshot.iter().map(|record| record.unwrap()) {
                let bytes = snapshot.bytes(&record).unwrap();
                assert_eq!(bytes.as_ptr(), record.payload().as_ptr());
                let again = snapshot.get(record.lsn()).unwrap();
                assert_eq!(snapshot.clone().bytes(&again).unwrap(), bytes);
            }
        }
    });
}

#[test]
fn handles_outlive_snapshot_log_and_file() {
    let seed = seed("outliving");
    for copy in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let log = tiny().open(directory.path()).unwrap();
        let expected = fill(&log, &mut Random::new(seed));
        let handles = handles(&log.snapshot_with(ReadOptions::new().copy(copy)));
        // What is appended now does not show, nor where the file ends.
        fill(&log, &mut Random::new(seed + 1));
        log.close().unwrap();
        assert_same(&handles, &expected);
        // Elsewhere a file that is mapped can't be removed.
        if cfg!(unix) {
            directory.close().unwrap();
        }
        let parts: Vec<_> = handles.iter().map(|bytes| bytes.slice(bytes.len() / 2..)).collect();
        let sent = thread::spawn(move || {
            assert_same(&handles, &expected);
            expected
        });
        let expected = sent.join().unwrap();
        for (part, (lsn, payload)) in parts.iter().zip(expected) {
            assert!(part == &payload[payload.len() / 2..], "{lsn}");
        }
    }
}

#[test]
fn a_handle_in_memory_outlives_the_storage() {
    let storage = MemoryStorage::new();
    let log = tiny().open_with(storage.clone()).unwrap();
    let expected = fill(&log, &mut Random::new(seed("storage")));
    let handles = handles(&log.snapshot());
    drop((log, storage));
    assert_same(&handles, &expected);
}

#[test]
fn a_record_of_elsewhere_has_no_handle() {
    let log = || tiny().open_with(MemoryStorage::new()).unwrap();
    let (one, other) = (log(), log());
    let lsn = one.append(b"record").unwrap();
    assert_eq!(other.append(b"record").unwrap(), lsn);
    let later = one.append(b"later").unwrap();
    let (ours, theirs) = (one.snapshot(), other.snapshot());
    // Nothing of ours was read yet, or all.
    for _ in 0..2 {
        for record in
            [theirs.get(lsn).unwrap(), ours.with(ReadOptions::new().copy(true)).get(lsn).unwrap()]
        {
            let error = ours.bytes(&record).unwrap_err();
            assert!(
                matches!(error, Error::NotARecord { lsn: found, .. } if found == lsn),
                "{error:?}"
            );
        }
        assert!(theirs.bytes(&ours.get(later).unwrap()).is_err());
        assert_eq!(ours.iter().count(), 2);
    }
}
