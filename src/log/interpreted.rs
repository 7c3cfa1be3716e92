//! The whole log over memory, in so few steps that an interpreter gets through them: see
//! `scripts/miri.sh`.
//!
//! Invariant: every way to append, and reading beside it, is here once, with segments and a ring as
//! small as can be.

use std::sync::Arc;
use std::thread;

use crate::storage::MemoryStorage;
use crate::sync::{AtomicBool, Ordering};
use crate::{Log, Lsn, Options, Snapshot};

fn open(disk: &MemoryStorage, background: bool) -> Log {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).write_buffer_bytes(4096).background(background);
    options.open_with(disk.clone()).unwrap()
}

fn read(snapshot: &Snapshot) -> Vec<(Lsn, &[u8])> {
    let records = snapshot.iter().map(Result::unwrap);
    records.map(|record| (record.lsn(), record.payload())).collect()
}

fn payloads(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    read(snapshot).into_iter().map(|(_, payload)| payload.to_vec()).collect()
}

#[test]
fn each_way_to_append_is_read_back_from_memory() {
    let disk = MemoryStorage::new();
    let log = open(&disk, false);
    let first = log.append(b"one").unwrap();
    let early = log.snapshot();
    let early_records = read(&early);
    log.append_batch(&["two", "three"]).unwrap();
    log.append_buffered(b"four").unwrap();
    log.append_with(4, |bytes| bytes.copy_from_slice(b"five")).unwrap();
    // Larger than half of the ring: written straight from the slice.
    let large = [6; 2100];
    log.append(&large).unwrap();
    let durable = log.append_durable(b"seven").unwrap();
    assert!(log.sync_to(durable).unwrap() > durable);
    log.append_buffered(b"eight").unwrap();
    log.commit().unwrap();
    log.roll().unwrap();
    // More than one lap of the ring.
    let lap = [9; 1500];
    let of_lap = [(); 3].map(|()| log.append(&lap).unwrap());
    log.sync().unwrap();
    let expected: [&[u8]; 11] =
        [b"one", b"two", b"three", b"four", b"five", &large, b"seven", b"eight", &lap, &lap, &lap];
    let snapshot = log.snapshot();
    assert_eq!(payloads(&snapshot), expected);
    assert_eq!(snapshot.get(of_lap[1]).unwrap().payload(), lap);
    assert_eq!(snapshot.last().unwrap().unwrap().lsn(), of_lap[2]);
    assert_eq!(early_records, [(first, &b"one"[..])]);
    drop(snapshot);
    drop(early);
    log.close().unwrap();
    let again = open(&disk, false);
    assert!(again.recovery().clean);
    assert_eq!(payloads(&again.snapshot()), expected);
}

#[test]
fn a_log_in_memory_is_recovered_from_the_image_of_a_crash() {
    let disk = MemoryStorage::new();
    let log = open(&disk, false);
    log.append_durable(b"one").unwrap();
    let torn = log.append(b"two").unwrap();
    log.append_buffered(b"three").unwrap();
    let mut image = disk.image();
    drop(log);
    let at = usize::try_from(torn.get()).unwrap();
    image.get_mut(&crate::format::segment_name(0)).unwrap()[at + 17] ^= 1;
    let disk = MemoryStorage::from_image(image);
    let log = open(&disk, false);
    assert_eq!(log.recovery().cut.as_ref().unwrap().lsn, torn);
    log.append(b"four").unwrap();
    assert_eq!(payloads(&log.snapshot()), [b"one".to_vec(), b"four".to_vec()]);
}

/// Two threads append in all ways while a third reads and keeps what it has read.
fn append_beside_reading(background: bool) {
    const CALLS: u8 = 4;
    let disk = MemoryStorage::new();
    let log = open(&disk, background);
    let ended = Arc::new(AtomicBool::new(false));
    let threads = [1, 2].map(|writer| {
        let log = log.clone();
        thread::spawn(move || {
            for call in 0..CALLS {
                let payload = [writer, call, 7];
                match call % 4 {
                    0 => drop(log.append(&payload).unwrap()),
                    1 => drop(log.append_batch(&[payload, payload]).unwrap()),
                    2 => drop(log.append_buffered(&payload).unwrap()),
                    _ => drop(log.append_durable(&payload).unwrap()),
                }
            }
        })
    });
    let reader = {
        let (log, ended) = (log.clone(), Arc::clone(&ended));
        thread::spawn(move || {
            let mut before = log.snapshot();
            while !ended.load(Ordering::Acquire) {
                let held = read(&before);
                let now = log.snapshot();
                assert!(read(&now).starts_with(&held), "a snapshot is a prefix of the next");
                before = now;
            }
        })
    };
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    ended.store(true, Ordering::Release);
    reader.join().unwrap();
    for writer in [1, 2] {
        let seen = payloads(&log.snapshot());
        let calls = seen.iter().filter(|payload| payload[0] == writer).map(|payload| payload[1]);
        assert_eq!(calls.collect::<Vec<_>>(), [0, 1, 1, 2, 3]);
    }
    log.close().unwrap();
}

#[test]
fn two_threads_append_to_memory_beside_a_reader() {
    append_beside_reading(false);
}

#[test]
fn two_threads_and_the_maintenance_thread_share_a_log_in_memory() {
    append_beside_reading(true);
}
