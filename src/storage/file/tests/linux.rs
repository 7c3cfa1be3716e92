//! What only Linux lets a test see: blocks given back, full disks, and the system calls that
//! durability rests on.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::*;
use crate::storage::is_no_space;

#[test]
fn a_discarded_range_gives_its_blocks_back_and_leaves_the_size() {
    let (directory, storage) = storage();
    let file = storage.create("f", 1 << 20).unwrap();
    let blocks = || fs::metadata(directory.path().join("f")).unwrap().blocks();
    let before = blocks();
    file.write_at(b"kept", 0).unwrap();
    file.discard(1 << 19, 0).unwrap();
    assert_eq!(blocks(), before);
    file.discard(1 << 19, 1 << 19).unwrap();
    assert!(blocks() <= before / 2 + 16, "{} of {before} blocks are left", blocks());
    assert_eq!(file.size().unwrap(), 1 << 20);
    let mut bytes = [0; 4];
    file.read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"kept");
}

/// A small file system in memory, for as long as the value lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(directory.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: mounting a tmpfs takes root");
        }
        mounted.then(|| Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_file_that_does_not_fit_on_the_disk_is_a_full_disk_and_leaves_nothing_behind() {
    let Some(disk) = SmallDisk::mount(64 << 10) else { return };
    let storage = FileStorage::new(disk.0.path());
    storage.create("fits", 32 << 10).unwrap();
    let error = storage.create("too-large", 48 << 10).unwrap_err();
    assert!(is_no_space(&error), "{error:?}");
    assert_eq!(storage.names().unwrap(), ["fits"]);
    storage.remove("fits").unwrap();
    let file = storage.create("too-large", 48 << 10).unwrap();
    assert!(!file.wants_zero_fill(), "memory is not made cheaper by writing it twice");
}

/// Runs one test of this binary under strace and returns the system calls, or `None` where that
/// cannot be done. The marks in the output are the files that the test touches.
fn trace(test: &str, calls: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("calls");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-e", &format!("trace={calls}"), "-o"]).arg(&output);
    strace.arg(std::env::current_exe().unwrap());
    strace.args(["--exact", &format!("storage::file::tests::linux::{test}"), "--test-threads=1"]);
    let ran = strace.env("STRATALOG_TRACED", "1").output();
    if !ran.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace does not run here");
        return None;
    }
    fs::read_to_string(output).ok()
}

fn assert_in_order(text: &str, calls: &[&str]) {
    let mut rest = text;
    for call in calls {
        let at = rest.find(call).unwrap_or_else(|| panic!("{call} is not next in:\n{text}"));
        rest = &rest[at + call.len()..];
    }
}

#[test]
fn making_a_file_and_its_directory_durable_takes_the_calls_that_do_it() {
    let test = "making_a_file_and_its_directory_durable_takes_the_calls_that_do_it";
    if std::env::var_os("STRATALOG_TRACED").is_some() {
        let (directory, _) = storage();
        let storage = FileStorage::new(directory.path().join("outer/inner"));
        storage.create_directory().unwrap();
        let file = storage.create("file", 8192).unwrap();
        file.write_at(b"durable", 0).unwrap();
        file.sync().unwrap();
        storage.rename("file", "renamed").unwrap();
        storage.sync_directory().unwrap();
        storage.create_directory().unwrap();
        return;
    }
    let calls = "mkdir,mkdirat,fsync,fdatasync,fallocate,pwrite64,rename,renameat,renameat2";
    let Some(text) = trace(test, calls) else { return };
    let expected = [
        // The test's own directory was found, so its parent is synced first.
        "mkdir(", // the test's own directory
        "fsync(",
        "outer\"",
        "fsync(",
        "outer/inner\"",
        "fsync(",
        "outer>)",
        "fallocate(",
        "inner/file>, 0, 0, 8192)",
        "pwrite64(",
        "fdatasync(",
        "inner/file>)",
        "rename(",
        "fsync(",
        "inner>)",
        // Found, not made: its parent is synced again.
        "fsync(",
        "outer>)",
    ];
    assert_in_order(&text, &expected);
}
