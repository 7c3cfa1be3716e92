//! Slices never change, whatever is written: also what Miri runs.

use super::*;
use crate::sync::{AtomicBool, AtomicU32};

fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn bytes_that_were_handed_out_refuse_a_change_and_accept_themselves() {
    let bytes = SharedBytes::new(32).unwrap();
    bytes.write_at(b"0123456789abcdef", 0).unwrap();
    let region = bytes.region();
    let slice = region.slice(2..10).unwrap();
    assert_eq!(slice, b"23456789");

    assert_eq!(error_kind(bytes.write_at(b"X", 9)), io::ErrorKind::ResourceBusy);
    assert_eq!(error_kind(bytes.write_at(b"X", 0)), io::ErrorKind::ResourceBusy, "the prefix too");
    assert_eq!(error_kind(bytes.write_at(b"8XX", 8)), io::ErrorKind::ResourceBusy);
    assert_eq!(error_kind(bytes.write_at(b"0123456789Xbcdef!", 1)), io::ErrorKind::ResourceBusy);
    let mut all = [0; 32];
    assert_eq!(bytes.read_at(&mut all, 0).unwrap(), 32);
    assert_eq!(&all[..17], b"0123456789abcdef\0", "a refused write has changed nothing");

    assert_eq!(bytes.write_at(b"456", 4).unwrap(), 3);
    assert_eq!(bytes.write_at(b"89XYZ", 8).unwrap(), 5, "in place below the mark, new above it");
    assert_eq!(bytes.write_at(b"!", 31).unwrap(), 1);
    assert_eq!(slice, b"23456789");
    assert_eq!(region.slice(8..16).unwrap(), b"89XYZdef");
}

#[test]
fn a_slice_of_the_memory_itself_can_be_written_above_the_mark() {
    let bytes = SharedBytes::new(16).unwrap();
    bytes.write_at(b"abcdefgh", 0).unwrap();
    let region = bytes.region();
    let slice = region.slice(0..8).unwrap();
    assert_eq!(bytes.write_at(slice, 8).unwrap(), 8);
    assert_eq!(bytes.write_at(slice, 0).unwrap(), 8);
    assert_eq!(error_kind(bytes.write_at(slice, 4)), io::ErrorKind::ResourceBusy);
    assert_eq!(slice, b"abcdefgh");
    assert_eq!(region.slice(0..16).unwrap(), b"abcdefghabcdefgh");
}

#[test]
fn an_empty_slice_holds_nothing() {
    let bytes = SharedBytes::new(16).unwrap();
    let region = bytes.region();
    assert_eq!(region.slice(16..16).unwrap(), b"");
    assert_eq!(bytes.write_at(b"free", 0).unwrap(), 4);
}

#[test]
fn the_last_region_to_go_gives_the_bytes_free() {
    let bytes = SharedBytes::new(8).unwrap();
    let region = bytes.region();
    let clone = region.clone();
    let other = Region::from(&bytes);
    assert_eq!(region.slice(0..8).unwrap(), [0; 8]);
    drop(region);
    assert!(bytes.write_at(b"x", 0).is_err(), "a clone lives");
    drop(clone);
    assert!(bytes.write_at(b"x", 0).is_err(), "another region of the same bytes lives");
    drop(other);
    bytes.write_at(b"x", 0).unwrap();
    let region = bytes.clone().region();
    drop(bytes);
    assert_eq!(region.slice(0..2).unwrap(), b"x\0");
}

#[test]
fn writes_and_reads_stop_at_the_end() {
    let bytes = SharedBytes::new(10).unwrap();
    assert_eq!((bytes.len(), bytes.is_empty()), (10, false));
    assert_eq!(bytes.write_at(b"abcdef", 7).unwrap(), 3);
    for offset in [10, 11, u64::MAX] {
        assert_eq!(bytes.write_at(b"abc", offset).unwrap(), 0);
        assert_eq!(bytes.read_at(&mut [0; 3], offset).unwrap(), 0);
    }
    let mut buffer = [b'.'; 5];
    assert_eq!(bytes.read_at(&mut buffer, 8).unwrap(), 2);
    assert_eq!(&buffer, b"bc...");
    let region = bytes.region();
    assert_eq!(region.slice(0..10).unwrap(), b"\0\0\0\0\0\0\0abc");
    assert!(region.slice(0..16).is_none(), "what was allocated to fill a word is not part of it");
}

#[test]
fn memory_of_every_small_size_is_aligned_zero_and_freed() {
    for size in 0..40_u64 {
        let bytes = SharedBytes::new(size).unwrap();
        let region = bytes.region();
        let slice = region.slice(0..size).unwrap();
        assert_eq!(slice.as_ptr().addr() % 8, 0);
        assert!(slice.iter().all(|byte| *byte == 0));
        assert_eq!((region.len(), region.is_empty()), (size, size == 0));
    }
}

#[test]
fn more_memory_than_there_is_is_an_error() {
    for size in [u64::MAX, u64::MAX - 7, i64::MAX.unsigned_abs()] {
        assert_eq!(error_kind(SharedBytes::new(size)), io::ErrorKind::OutOfMemory);
        let copied = Region::copied(size, |_| Ok(()));
        assert_eq!(error_kind(copied), io::ErrorKind::OutOfMemory);
    }
}

#[test]
fn a_copied_region_holds_what_it_was_filled_with() {
    for size in [0, 1, 8, 13] {
        let region = Region::copied(size, |bytes| {
            assert_eq!(bytes.len() as u64, size);
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(7);
            Ok(())
        });
        let region = region.unwrap();
        let slice = region.slice(0..size).unwrap();
        assert_eq!(slice.as_ptr().addr() % 8, 0);
        assert!(slice.iter().all(|byte| *byte == 7));
        region.populate(0..size).unwrap();
    }
    let failed = Region::copied(8, |_| Err(io::ErrorKind::UnexpectedEof.into()));
    assert_eq!(error_kind(failed), io::ErrorKind::UnexpectedEof);
}

#[test]
fn shared_bytes_are_made_of_a_slice() {
    let bytes = SharedBytes::from(b"thirteen byte".as_slice());
    assert_eq!(bytes.region().slice(0..13).unwrap(), b"thirteen byte");
    assert!(SharedBytes::from([].as_slice()).is_empty());
}

#[test]
fn debug_shows_sizes_and_no_bytes() {
    let bytes = SharedBytes::from(b"secret".as_slice());
    assert_eq!(format!("{bytes:?}"), "SharedBytes { len: 6, .. }");
    assert_eq!(format!("{:?}", bytes.region()), "Region { kind: \"shared\", len: 6 }");
}

#[test]
fn readers_of_what_is_written_see_it_whole_while_a_writer_goes_on() {
    const STEPS: u64 = if cfg!(miri) { 40 } else { 4000 };
    let bytes = SharedBytes::new(STEPS * 8).unwrap();
    let region = bytes.region();
    std::thread::scope(|scope| {
        let (told, hear) = std::sync::mpsc::sync_channel(4);
        let (bytes, region) = (&bytes, &region);
        scope.spawn(move || {
            for step in 0..STEPS {
                let written = bytes.write_at(&(step ^ 0xABCD).to_le_bytes(), step * 8).unwrap();
                assert_eq!(written, 8);
                told.send(step).unwrap();
            }
        });
        let mut kept = Vec::new();
        for step in hear {
            kept.push((step, region.slice(step * 8..step * 8 + 8).unwrap()));
            assert!(bytes.write_at(&[0xFF; 8], step * 8).is_err());
        }
        for (step, slice) in kept {
            assert_eq!(slice, (step ^ 0xABCD).to_le_bytes());
        }
    });
}

#[test]
fn whoever_finds_bytes_frozen_already_sees_what_was_written_there_before() {
    // In each round the mark may be found raised, without the lock.
    const ROUNDS: u64 = if cfg!(miri) { 8 } else { 100 };
    for round in 1..=ROUNDS {
        let bytes = SharedBytes::new(8).unwrap();
        let (first, second) = (bytes.region(), bytes.region());
        let frozen = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                bytes.write_at(&round.to_le_bytes(), 0).unwrap();
                first.slice(0..8).unwrap();
                // Relaxed: it tells the time, and orders nothing. That is what the mark is for.
                frozen.store(true, Ordering::Relaxed);
            });
            scope.spawn(|| {
                while !frozen.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                assert_eq!(second.slice(0..8).unwrap(), round.to_le_bytes());
            });
        });
    }
}

#[test]
fn a_write_reaches_whoever_only_the_lock_orders_behind_it() {
    let bytes = SharedBytes::new(8).unwrap();
    let region = bytes.region();
    // Relaxed throughout: turns tell the time, and order nothing.
    let turn = AtomicU32::new(0);
    let wait_for = |wanted| {
        while turn.load(Ordering::Relaxed) != wanted {
            std::thread::yield_now();
        }
    };
    let next = || turn.fetch_add(1, Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(bytes.write_at(&[1; 8], 0).unwrap(), 8);
            next();
            wait_for(2);
            assert_eq!(bytes.write_at(&[3; 8], 0).unwrap(), 8);
            next();
        });
        scope.spawn(|| {
            wait_for(1);
            let mut seen = [0; 8];
            bytes.read_at(&mut seen, 0).unwrap();
            assert_eq!(seen, [1; 8]);
            assert_eq!(bytes.write_at(&[2; 8], 0).unwrap(), 8);
            next();
            wait_for(3);
            assert_eq!(region.slice(0..8).unwrap(), [3; 8]);
        });
    });
}

#[test]
fn regions_that_come_and_go_on_other_threads_never_let_a_slice_change() {
    const ROUNDS: u64 = if cfg!(miri) { 60 } else { 20_000 };
    let bytes = SharedBytes::new(8).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let region = bytes.region();
                    let slice = region.slice(0..8).unwrap();
                    let before = slice.to_vec();
                    std::thread::yield_now();
                    assert_eq!(slice, before);
                }
            });
        }
        for round in 0..ROUNDS {
            // Refused or not, as it happens: what matters is above.
            let _ = bytes.write_at(&round.to_le_bytes(), 0);
        }
    });
}

/// A file of one page and a half in a directory of its own.
#[cfg(not(miri))]
fn file_of_6000_bytes() -> (tempfile::TempDir, File) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    std::fs::write(&path, vec![5; 6000]).unwrap();
    (directory, File::options().read(true).write(true).open(path).unwrap())
}

#[cfg(not(miri))]
#[test]
fn a_map_never_reaches_beyond_its_file() {
    let (_directory, file) = file_of_6000_bytes();
    assert_eq!(error_kind(Region::map_log_file(&file, 6001)), io::ErrorKind::UnexpectedEof);
    let region = Region::map_log_file(&file, 6000).unwrap();
    assert!(region.slice(5999..6001).is_none());
    assert_eq!(region.slice(5999..6000).unwrap(), [5]);
}

#[cfg(all(not(miri), target_os = "linux"))]
#[test]
fn populate_reports_what_would_be_a_signal() {
    let (_directory, file) = file_of_6000_bytes();
    let region = Region::map_log_file(&file, 6000).unwrap();
    region.populate(0..6000).unwrap();
    region.populate(5000..5000).unwrap();
    region.populate(4097..4098).unwrap();
    // What no log does, and the nearest thing to a failing disk: the second page is gone. No slice
    // of this region is ever taken.
    file.set_len(100).unwrap();
    region.populate(0..4096).unwrap();
    let error = region.populate(4000..6000).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
}
