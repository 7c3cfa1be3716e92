//! Typed records and handles to payloads: each feature by itself, and what holds for all.
//!
//! Invariant: whatever a payload holds, reading it as a type gives the value that was appended as
//! that type, or `NotOfType`.

mod alignment;
#[cfg(feature = "rkyv")]
mod archived;
#[cfg(feature = "bytes")]
mod handles;
#[cfg(feature = "zerocopy")]
mod in_place;
#[cfg(feature = "serde")]
mod postcard;
#[cfg(all(feature = "rkyv", feature = "serde", feature = "zerocopy"))]
mod together;

use stratalog::storage::{FaultStorage, MemoryStorage};
use stratalog::{Log, ReadOptions, Snapshot};

use super::common::tiny;

/// Does the same with a log in files, one in memory, and one on a disk that could fail.
fn everywhere(work: impl Fn(&Log)) {
    let directory = tempfile::tempdir().unwrap();
    let files = tiny().open(directory.path()).unwrap();
    let memory = tiny().open_with(MemoryStorage::new()).unwrap();
    let faulty = tiny().open_with(FaultStorage::new()).unwrap();
    for log in [files, memory, faulty] {
        work(&log);
        log.close().unwrap();
    }
}

/// The log read in place, and from a copy.
fn readings(log: &Log) -> [Snapshot; 2] {
    [false, true].map(|copy| log.snapshot_with(ReadOptions::new().copy(copy)))
}

/// Appends bytes as they are, and gives the record that they make to `check`.
#[cfg(any(feature = "rkyv", feature = "serde", feature = "zerocopy"))]
fn with_record<T>(payload: &[u8], check: impl Fn(stratalog::Record<'_>) -> T) -> T {
    use std::cell::OnceCell;
    thread_local! {
        static LOG: OnceCell<Log> = const { OnceCell::new() };
    }
    LOG.with(|log| {
        let log = log.get_or_init(|| tiny().open_with(MemoryStorage::new()).unwrap());
        let lsn = log.append(payload).unwrap();
        check(log.snapshot().get(lsn).unwrap())
    })
}

/// Why a record is not of the type that it was read as.
#[cfg(any(feature = "rkyv", feature = "serde", feature = "zerocopy"))]
fn reason<T>(result: stratalog::Result<T>) -> stratalog::WrongType {
    match result.map(drop) {
        Err(stratalog::Error::NotOfType { reason, .. }) => reason,
        other => panic!("expected a record of another type, found {other:?}"),
    }
}
