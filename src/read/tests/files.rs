//! Files and maps: the same records as from memory, and a map that fails is not a signal.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::fixture::{Made, Maker, read, usual};
use crate::format::segment_name;
use crate::read::ReadOptions;
use crate::storage::{
    Access, FileStorage, LockKind, Region, Storage, StorageFile, StorageLock, write_all_at,
};
use crate::sync::schedule;

/// Writes a log's segments into a directory.
pub(super) fn write(made: &Made, directory: &tempfile::TempDir) -> FileStorage {
    let storage = FileStorage::new(directory.path());
    let image = made.image();
    for name in image.names() {
        let bytes = image.get(name).unwrap();
        let file = storage.create(name, bytes.len() as u64).unwrap();
        write_all_at(&*file, bytes, 0).unwrap();
    }
    storage
}

#[test]
fn files_are_read_mapped_and_copied() {
    let directory = tempfile::tempdir().unwrap();
    let made = usual();
    let snapshot = made.snapshot_on(Arc::new(write(&made, &directory)));
    let copy = snapshot.with(ReadOptions::new().copy(true));
    for snapshot in [&snapshot, &copy] {
        assert_eq!(read(snapshot).unwrap(), made.records());
        for (lsn, payload) in made.records() {
            let record = snapshot.get(crate::Lsn::new(lsn)).unwrap();
            assert_eq!(record.payload(), payload);
            assert_eq!(record.payload().as_ptr() as usize % 8, 0);
        }
    }
}

#[test]
fn records_stay_readable_when_their_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let made = usual();
    let storage = write(&made, &directory);
    let snapshot = made.snapshot_on(Arc::new(storage.clone()));
    let records: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
    for name in storage.names().unwrap() {
        storage.remove(&name).unwrap();
    }
    let again: Vec<_> = snapshot.iter().map(Result::unwrap).collect();
    assert_eq!(records, again);
}

/// As many records of a size as fit in a segment of 256 KiB.
fn full_of(payload: &[u8]) -> Made {
    let mut maker = Maker::new(0, 256 << 10);
    while maker.room() >= payload.len() as u64 + 64 {
        maker.record(payload);
    }
    Made::of([maker.fill()])
}

#[test]
fn no_lock_is_taken_and_no_atomic_is_touched_for_a_record() {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    schedule::run(1, move || {
        // Both have as many bytes, but one has thirty times as many records.
        let mades = [full_of(&[7; 8]), full_of(&[7; 800])];
        assert!(mades[0].records().len() > 10_000);
        let snapshots = [0, 1].map(|n| {
            let files = Arc::new(write(&mades[n], &directories[n]));
            [mades[n].snapshot(), mades[n].snapshot_on(files)]
        });
        for which in [0, 1] {
            for options in [ReadOptions::new(), ReadOptions::new().verify(false)] {
                let cost = |snapshot: &crate::Snapshot| {
                    let snapshot = snapshot.with(options);
                    assert!(snapshot.iter().all(|record| record.is_ok()));
                    schedule::cost(|| assert!(snapshot.iter().all(|record| record.is_ok())))
                };
                let [many, few] = [&snapshots[0], &snapshots[1]].map(|them| cost(&them[which]));
                // Each makes some more windows readable than the other.
                println!("{many} {few}");
                assert!(many < few + 100, "{many} for many records, {few} for few");
            }
        }
    });
}

/// Files that are mapped from one directory and read from another.
#[derive(Debug)]
struct Split {
    mapped: FileStorage,
    read: FileStorage,
}

#[derive(Debug)]
struct SplitFile {
    mapped: Arc<dyn StorageFile>,
    read: Arc<dyn StorageFile>,
}

impl StorageFile for SplitFile {
    fn size(&self) -> io::Result<u64> {
        self.read.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read.read_at(buffer, offset)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn map(&self) -> io::Result<Option<Region>> {
        self.mapped.map()
    }
}

impl Storage for Split {
    fn names(&self) -> io::Result<Vec<String>> {
        self.read.names()
    }
    fn create_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn create(&self, _: &str, _: u64) -> io::Result<Arc<dyn StorageFile>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let [mapped, read] = [&self.mapped, &self.read].map(|storage| storage.open(name, access));
        Ok(Arc::new(SplitFile { mapped: mapped?, read: read? }))
    }
    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _: &str, _: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        Ok(None)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.read.path(name)
    }
}

pub(super) fn shorten(storage: &FileStorage, bytes: u64) -> File {
    let file = OpenOptions::new().write(true).open(storage.path(&segment_name(0))).unwrap();
    file.set_len(bytes).unwrap();
    file
}

/// A map whose file has shrunk can't be populated, as one whose disk fails. Not even the test loads
/// a byte from it: that would be the signal.
#[cfg(target_os = "linux")]
#[test]
fn where_a_map_fails_plain_reads_go_on() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let made = usual();
    let [mapped, read_from] = [&directories[0], &directories[1]].map(|at| write(&made, at));
    let storage = Split { mapped: mapped.clone(), read: read_from };
    let snapshot = made.snapshot_on(Arc::new(storage));
    let mut iter = snapshot.iter();
    let mut count = 0;
    while count < 3 {
        let record = iter.next().unwrap().unwrap();
        assert_eq!(record.lsn().get(), made.records()[count].0);
        count += 1;
    }
    shorten(&mapped, 8192);
    for (lsn, payload) in &made.records()[3..] {
        let record = iter.next().unwrap().unwrap();
        assert_eq!((record.lsn().get(), record.payload()), (*lsn, payload.as_slice()));
    }
    assert!(iter.next().is_none());
    assert_eq!(read(&snapshot).unwrap(), made.records(), "from the copy");
}

#[cfg(target_os = "linux")]
#[test]
fn where_plain_reads_fail_too_it_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let made = usual();
    let storage = write(&made, &directory);
    let snapshot = made.snapshot_on(Arc::new(storage.clone()));
    let mut iter = snapshot.iter();
    iter.next().unwrap().unwrap();
    shorten(&storage, 8192);
    let error = iter.find_map(Result::err).unwrap();
    assert!(matches!(error, crate::Error::Io { op: crate::Op::Read, .. }), "{error}");
    assert!(iter.next().is_none());
}
