//! A full disk, and code of the caller's that panics: neither does anything to the log.
//!
//! Invariant: a refused append leaves every watermark and every record as it was, and the next one
//! succeeds as soon as there is room, without reopening.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use stratalog::format::{FileKind, classify};
use stratalog::storage::{FileStorage, MemoryStorage};
use stratalog::{Error, Log};

use super::common::{Records, TINY, filled, records, tiny};
use super::faults::{Rig, is_create, is_temporary};
use super::tap::{Call, Event, Verdict};

/// Appends until there is no space; each refusal leaves everything as it was.
fn fill_up(log: &Log, expected: &mut Records) {
    loop {
        let payload = filled(expected.len() as u64, 700);
        match log.append(&payload) {
            Ok(lsn) => expected.push((lsn, payload)),
            Err(Error::NoSpace { .. }) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    let marks = [log.head(), log.committed(), log.tail()];
    for _ in 0..3 {
        let failure = log.append(&[0; 700]).unwrap_err();
        assert!(matches!(failure, Error::NoSpace { .. }), "{failure:?}");
        assert!(std::error::Error::source(&failure).is_some());
        let failure = log.append_batch(&[[0; 700]]).unwrap_err();
        assert!(matches!(failure, Error::NoSpace { .. }), "{failure:?}");
        assert_eq!([log.head(), log.committed(), log.tail()], marks, "the tail has not moved");
    }
    assert!(!log.stats().poisoned);
    assert_eq!(&records(log), expected);
    log.sync().unwrap();
}

#[test]
fn a_full_disk_is_an_error_that_goes_away() {
    for background in [false, true] {
        let disk = MemoryStorage::with_capacity(2 * 4096 + 3 * TINY);
        let log = tiny().background(background).open_with(disk.clone()).unwrap();
        let mut expected = Records::new();
        for more in 1..4 {
            fill_up(&log, &mut expected);
            disk.set_capacity(2 * 4096 + (3 + more) * TINY);
            let payload = filled(expected.len() as u64, 700);
            expected.push((log.append_durable(&payload).unwrap(), payload));
        }
        fill_up(&log, &mut expected);
        log.close().unwrap();
        // Opening needs no space for what is there.
        assert_eq!(records(&tiny().open_with(disk).unwrap()), expected);
    }
}

#[test]
fn a_quota_is_a_full_disk_too() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        let rig = Rig::new();
        let log = rig.open(false).unwrap();
        let mut expected = vec![(log.append(b"first").unwrap(), b"first".to_vec())];
        rig.plan(is_create, 1, u64::MAX, Verdict::Fail(kind));
        fill_up(&log, &mut expected);
        rig.plan(is_create, 0, 0, Verdict::Go);
        expected.push((log.append(&[1; 700]).unwrap(), vec![1; 700]));
        assert_eq!(records(&log), expected);
    }
}

#[test]
fn a_disk_that_fills_up_while_a_segment_is_made_is_a_full_disk_too() {
    for call in [Call::Write, Call::Sync] {
        let rig = Rig::new();
        let log = rig.open(false).unwrap();
        let mut expected = vec![(log.append(b"first").unwrap(), b"first".to_vec())];
        let applies: fn(&Event) -> bool = match call {
            Call::Write => |event| event.call == Call::Write && is_temporary(event),
            _ => |event| event.call == Call::Sync && is_temporary(event),
        };
        rig.plan(applies, 0, u64::MAX, Verdict::Fail(ErrorKind::StorageFull));
        fill_up(&log, &mut expected);
        let image = rig.disk.image();
        assert!(image.names().all(|name| classify(name) != FileKind::Temporary), "{image:?}");
        rig.plan(applies, 0, 0, Verdict::Go);
        expected.push((log.append(&[1; 700]).unwrap(), vec![1; 700]));
        log.close().unwrap();
        assert_eq!(records(&rig.open(false).unwrap()), expected);
    }
}

#[test]
fn a_panic_in_the_callers_code_leaves_the_log_untouched() {
    struct Bomb;
    impl AsRef<[u8]> for Bomb {
        fn as_ref(&self) -> &[u8] {
            panic!("no bytes")
        }
    }
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    log.append(b"before").unwrap();
    let marks = [log.durable(), log.committed(), log.tail()];
    for _ in 0..3 {
        let fill = || log.append_with(100, |_| panic!("no bytes"));
        assert!(catch_unwind(AssertUnwindSafe(fill)).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| log.append_batch(&[Bomb, Bomb]))).is_err());
        assert_eq!([log.durable(), log.committed(), log.tail()], marks);
    }
    let zeros = log.append_with(100, |bytes| assert_eq!(bytes, [0; 100])).unwrap();
    assert_eq!(log.snapshot().get(zeros).unwrap().payload(), [0; 100]);
    log.append_durable(b"after").unwrap();
    assert_eq!(records(&log).len(), 3);
}

/// A file system of its own, as large as asked; needs to be root.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(directory.path())
            .output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_real_full_disk_is_an_error_that_goes_away() {
    let Some(disk) = SmallDisk::mount(20 * TINY) else {
        println!("skipped: a small tmpfs can't be mounted here");
        return;
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 10 * TINY as usize]).unwrap();
    let storage = FileStorage::new(disk.0.path().join("log"));
    let mut expected = Records::new();
    {
        let log = tiny().background(true).open_with(storage.clone()).unwrap();
        fill_up(&log, &mut expected);
        std::fs::remove_file(&ballast).unwrap();
        expected.push((log.append(&[1; 700]).unwrap(), vec![1; 700]));
        fill_up(&log, &mut expected);
        log.close().unwrap();
    }
    let reopened = tiny().open_with(storage).unwrap();
    assert_eq!(records(&reopened), expected);
    assert!(reopened.recovery().clean);
}
