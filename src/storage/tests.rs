//! What every storage promises, asked of all that are here through the object-safe traits alone;
//! and the loops that go on after short reads and writes.

use std::sync::Arc;

use super::*;
use crate::sync::Mutex;

/// A storage, with what has to live as long.
struct Subject {
    storage: Box<dyn Storage>,
    _directory: Option<tempfile::TempDir>,
}

fn subjects() -> Vec<Subject> {
    let in_memory = |storage| Subject { storage, _directory: None };
    let mut subjects =
        vec![in_memory(Box::<MemoryStorage>::default()), in_memory(Box::<FaultStorage>::default())];
    // Miri has neither files nor maps.
    if !cfg!(miri) {
        let directory = tempfile::tempdir().unwrap();
        let storage = Box::new(FileStorage::new(directory.path()));
        subjects.push(Subject { storage, _directory: Some(directory) });
    }
    subjects
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 31 + seed * 7 + 1) % 251).unwrap()).collect()
}

fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn bytes_come_back_from_odd_offsets_through_every_way_of_reading() {
    for Subject { storage, .. } in subjects() {
        let file = storage.create("f", 8192).unwrap();
        assert_eq!(file.size().unwrap(), 8192);
        let region = file.map().unwrap().expect("all of them map");
        assert_eq!(region.len(), 8192);
        let mut expected = vec![0; 8192];
        for (seed, (offset, len)) in
            [(0, 1), (1, 7), (9, 4096), (4095, 2), (4103, 0), (8191, 1), (5001, 999)]
                .iter()
                .enumerate()
        {
            let bytes = pattern(*len, seed);
            write_all_at(&*file, &bytes, *offset as u64).unwrap();
            expected[*offset..*offset + *len].copy_from_slice(&bytes);
        }
        file.sync().unwrap();
        storage.sync_directory().unwrap();
        let again = storage.open("f", Access::Read).unwrap();
        for (offset, len) in [(0, 8192), (3, 5), (4095, 3), (8191, 1), (8192, 0)] {
            let mut buffer = vec![0xEE; len];
            read_exact_at(&*again, &mut buffer, offset as u64).unwrap();
            assert_eq!(buffer, expected[offset..offset + len]);
            let range = offset as u64..(offset + len) as u64;
            region.populate(range.clone()).unwrap();
            assert_eq!(region.slice(range).unwrap(), &expected[offset..offset + len]);
        }
        assert!(region.slice(0..8193).is_none());
        assert!(region.slice(8193..8193).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "that is the point")]
        let backwards = 5..4;
        assert!(region.slice(backwards).is_none());
        assert!(region.slice(u64::MAX - 1..u64::MAX).is_none());
        assert_eq!(error_kind(region.populate(8000..8193)), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_region_is_8_byte_aligned_and_so_are_payloads_at_aligned_addresses() {
    for Subject { storage, .. } in subjects() {
        for bytes in [1, 7, 8, 4097] {
            let file = storage.create(&bytes.to_string(), bytes).unwrap();
            let region = file.map().unwrap().unwrap();
            assert_eq!(region.slice(0..1).unwrap().as_ptr().addr() % 8, 0);
        }
        let region = storage.open("4097", Access::Read).unwrap().map().unwrap().unwrap();
        assert_eq!(region.slice(4096..4097).unwrap().as_ptr().addr() % 8, 0);
    }
}

#[test]
fn an_empty_file_has_no_map() {
    for Subject { storage, .. } in subjects() {
        let file = storage.create("empty", 0).unwrap();
        assert_eq!(file.size().unwrap(), 0);
        assert!(file.map().unwrap().is_none());
        assert_eq!(file.read_at(&mut [0; 4], 0).unwrap(), 0);
    }
}

#[test]
fn a_new_file_is_all_zero_and_does_not_replace_another() {
    for Subject { storage, .. } in subjects() {
        let file = storage.create("f", 5000).unwrap();
        let mut bytes = vec![1; 5000];
        read_exact_at(&*file, &mut bytes, 0).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        write_all_at(&*file, b"kept", 0).unwrap();
        assert_eq!(error_kind(storage.create("f", 1)), io::ErrorKind::AlreadyExists);
        assert_eq!(storage.open("f", Access::Read).unwrap().size().unwrap(), 5000);
    }
}

#[test]
fn a_file_too_large_for_any_disk_is_an_error_that_leaves_nothing_behind() {
    for Subject { storage, .. } in subjects() {
        assert!(storage.create("huge", u64::MAX).is_err());
        assert_eq!(storage.names().unwrap(), [""; 0]);
        assert_eq!(error_kind(storage.open("huge", Access::Read)), io::ErrorKind::NotFound);
    }
}

#[test]
fn names_change_by_create_rename_and_remove() {
    for Subject { storage, .. } in subjects() {
        let names = || {
            let mut names = storage.names().unwrap();
            names.sort();
            names
        };
        for (name, byte) in [("a", b"A"), ("b", b"B"), ("c", b"C")] {
            storage.create(name, 1).unwrap().write_at(byte, 0).unwrap();
        }
        assert_eq!(names(), ["a", "b", "c"]);
        storage.rename("a", "b").unwrap();
        storage.rename("c", "c").unwrap();
        assert_eq!(names(), ["b", "c"]);
        let mut byte = [0];
        storage.open("b", Access::Read).unwrap().read_at(&mut byte, 0).unwrap();
        assert_eq!(&byte, b"A");
        storage.remove("b").unwrap();
        assert_eq!(names(), ["c"]);
        assert_eq!(error_kind(storage.remove("b")), io::ErrorKind::NotFound);
        assert_eq!(error_kind(storage.rename("b", "d")), io::ErrorKind::NotFound);
        assert_eq!(error_kind(storage.open("b", Access::ReadWrite)), io::ErrorKind::NotFound);
    }
}

#[test]
fn a_removed_or_replaced_file_stays_readable_for_whoever_has_it() {
    for Subject { storage, .. } in subjects() {
        for way in ["remove", "replace"] {
            let file = storage.create("f", 16).unwrap();
            write_all_at(&*file, b"sixteen letters!", 0).unwrap();
            let region = file.map().unwrap().unwrap();
            if way == "remove" {
                storage.remove("f").unwrap();
            } else {
                storage.create("g", 3).unwrap();
                storage.rename("g", "f").unwrap();
            }
            let mut bytes = [0; 16];
            read_exact_at(&*file, &mut bytes, 0).unwrap();
            drop(file);
            assert_eq!(&bytes, b"sixteen letters!");
            assert_eq!(region.slice(0..16).unwrap(), b"sixteen letters!");
        }
    }
}

#[test]
fn a_file_that_is_open_for_reading_refuses_a_write() {
    for Subject { storage, .. } in subjects() {
        storage.create("f", 8).unwrap();
        let file = storage.open("f", Access::Read).unwrap();
        assert!(file.write_at(b"x", 0).is_err());
        assert!(storage.open("f", Access::ReadWrite).unwrap().write_at(b"x", 0).is_ok());
    }
}

#[test]
fn locks_exclude_each_other_as_their_kinds_say_and_end_with_their_value() {
    use LockKind::{Exclusive, Shared};
    for Subject { storage, .. } in subjects() {
        let lock = |kind| storage.lock("LOCK", kind).unwrap();
        let only = lock(Exclusive).expect("free");
        assert!(lock(Exclusive).is_none());
        assert!(lock(Shared).is_none());
        assert!(storage.lock("READERS", Exclusive).unwrap().is_some(), "another name is free");
        drop(only);
        let one = lock(Shared).expect("released");
        let two = lock(Shared).expect("shared with the first");
        assert!(lock(Exclusive).is_none());
        drop(one);
        assert!(lock(Exclusive).is_none(), "the second still holds it");
        drop(two);
        assert!(lock(Exclusive).is_some());
        let mut names = storage.names().unwrap();
        names.sort();
        assert_eq!(names, ["LOCK", "READERS"], "the files stay");
    }
}

#[test]
fn a_full_disk_is_told_from_other_errors() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        assert!(is_no_space(&kind.into()));
    }
    assert!(!is_no_space(&io::ErrorKind::WriteZero.into()));
    #[cfg(unix)]
    for (code, expected) in [(libc::ENOSPC, true), (libc::EDQUOT, true), (libc::EIO, false)] {
        assert_eq!(is_no_space(&io::Error::from_raw_os_error(code)), expected);
    }
}

/// A file whose every second call is interrupted and which takes or gives one byte at a time.
#[derive(Debug)]
struct Grudging {
    inner: Arc<dyn StorageFile>,
    turn: Mutex<u64>,
}

impl Grudging {
    fn interrupted(&self) -> bool {
        let mut turn = self.turn.lock();
        *turn += 1;
        *turn % 2 == 1
    }
}

impl StorageFile for Grudging {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let few = buffer.len().min(1);
        self.inner.read_at(&mut buffer[..few], offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.interrupted() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.inner.write_at(&bytes[..bytes.len().min(1)], offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

#[test]
fn short_and_interrupted_calls_are_continued_to_the_end() {
    for Subject { storage, .. } in subjects() {
        let inner = storage.create("f", 64).unwrap();
        let file = Grudging { inner, turn: Mutex::new(0) };
        let bytes = pattern(41, 3);
        write_all_at(&file, &bytes, 7).unwrap();
        assert_eq!(*file.turn.lock(), 82);
        let mut back = vec![0; 41];
        read_exact_at(&file, &mut back, 7).unwrap();
        assert_eq!(back, bytes);
        let past = read_exact_at(&file, &mut [0; 5], 60);
        assert_eq!(error_kind(past), io::ErrorKind::UnexpectedEof);
        assert!(file.map().unwrap().is_none(), "the default has no map");
        assert!(!file.wants_zero_fill());
        file.discard(0, 64).unwrap();
    }
}

/// A file that answers every call in one way.
#[derive(Debug)]
struct Answers(Option<io::ErrorKind>, usize);

impl Answers {
    fn answer(&self) -> io::Result<usize> {
        self.0.map_or(Ok(self.1), |kind| Err(kind.into()))
    }
}

impl StorageFile for Answers {
    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        self.answer()
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        self.answer()
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_takes_nothing_fails_or_lies_ends_the_loops() {
    let mut buffer = [0; 4];
    for (file, read, write) in [
        (Answers(None, 0), io::ErrorKind::UnexpectedEof, io::ErrorKind::WriteZero),
        (Answers(None, 5), io::ErrorKind::InvalidData, io::ErrorKind::InvalidData),
        (
            Answers(Some(io::ErrorKind::StorageFull), 0),
            io::ErrorKind::StorageFull,
            io::ErrorKind::StorageFull,
        ),
    ] {
        assert_eq!(error_kind(read_exact_at(&file, &mut buffer, 0)), read);
        assert_eq!(error_kind(write_all_at(&file, &buffer, 0)), write);
    }
}
