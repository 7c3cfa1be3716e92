//! The model against its own rules: each outcome that they allow comes up, and no other.
//!
//! Invariant: outcomes are collected over the same seeds each time, so a test does not depend on
//! luck.

mod calls;
mod history;
mod names;
mod sectors;

use std::collections::BTreeSet;

use super::*;

/// How many seeds are tried where all outcomes are to come up.
const SEEDS: u64 = 3000;

/// A disk with one file of so many sectors of `a`, synced, with its name.
fn one_file(sectors: usize) -> (FaultStorage, Arc<dyn StorageFile>) {
    let disk = FaultStorage::new();
    let len = sectors * SECTOR_BYTES;
    let file = disk.create("f", len as u64).unwrap();
    assert_eq!(file.write_at(&vec![b'a'; len], 0).unwrap(), len);
    file.sync().unwrap();
    disk.sync_directory().unwrap();
    (disk, file)
}

/// Everything that a power cut can make of the disk.
fn outcomes(disk: &FaultStorage) -> Vec<Image> {
    (0..SEEDS).map(|seed| disk.crash(seed)).collect()
}

fn contents(disk: &FaultStorage, name: &str) -> Vec<u8> {
    let file = disk.open(name, Access::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn count(bytes: &[u8], letter: u8) -> usize {
    bytes.iter().map(|byte| usize::from(*byte == letter)).sum()
}

fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

/// The names on the disk, joined.
fn listed(image: &Image) -> String {
    image.names().collect::<Vec<_>>().join(" ")
}
