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

/// Set for the child that runs one test under strace.
const TRACED: &str = "STRATALOG_TRACED";

/// Runs one test of this binary under strace, in which [`TRACED`] is set, and returns its system
/// calls; `None` where nothing can be traced. The test has to succeed there.
fn trace(test: &str, options: &[&str]) -> Option<String> {
    let strace = |arguments: &[&str], program: &Path| {
        Command::new("strace").args(arguments).arg(program).status()
    };
    if !strace(&["-o", "/dev/null"], Path::new("true")).is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace does not run here");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("calls");
    let mut child = Command::new("strace");
    child.args(["-f", "-y", "-o"]).arg(&output).args(options).arg(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("storage::file::tests::linux::{test}"), "--test-threads=1"]);
    // Under AddressSanitizer: looking for leaks does not work under ptrace, and ends the process.
    child.env("ASAN_OPTIONS", "detect_leaks=0");
    let done = child.env(TRACED, "1").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    Some(fs::read_to_string(output).unwrap())
}

fn is_traced() -> bool {
    std::env::var_os(TRACED).is_some()
}

fn assert_in_order(text: &str, expected: &[&str]) {
    let mut rest = text;
    for call in expected {
        let at = rest.find(call).unwrap_or_else(|| panic!("{call} is not next in:\n{text}"));
        rest = &rest[at + call.len()..];
    }
}

#[test]
fn making_a_file_and_its_directory_durable_takes_the_calls_that_do_it() {
    if is_traced() {
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
    let test = "making_a_file_and_its_directory_durable_takes_the_calls_that_do_it";
    let calls = "trace=/mkdir|fsync|fdatasync|fallocate|pwrite64|rename";
    let Some(traced) = trace(test, &["-e", calls]) else { return };
    let lines: Vec<&str> = traced.lines().filter(|line| !line.contains("+++")).collect();
    let expected = [
        ("mkdir", ""),    // the directory of the test
        ("fsync(", ">)"), // it was found, not made, so the name of the deepest such is synced
        ("mkdir", "/outer\""),
        ("fsync(", ">)"),
        ("mkdir", "/outer/inner\""),
        ("fsync(", "/outer>)"),
        ("fallocate(", "/inner/file>, 0, 0, 8192)"),
        ("pwrite64(", "/inner/file>, \"durable\""),
        ("fdatasync(", "/inner/file>)"),
        ("rename", "/inner/renamed\""),
        ("fsync(", "/inner>)"),
        ("fsync(", "/outer>)"), // found, not made, by the second call
    ];
    assert_eq!(lines.len(), expected.len(), "{traced}");
    for (line, (call, target)) in lines.iter().zip(expected) {
        assert!(line.contains(call) && line.contains(target), "expected {call} {target}: {line}");
        assert!(line.ends_with("= 0") || line.ends_with("= 7"), "{line}");
    }
}

#[test]
fn where_blocks_cannot_be_reserved_zeros_are_written_and_synced() {
    if is_traced() {
        let (directory, storage) = storage();
        let file = storage.create("file", 10_000).unwrap();
        let facts = fs::metadata(directory.path().join("file")).unwrap();
        assert_eq!(facts.len(), 10_000);
        assert!(facts.blocks() * 512 >= 10_000, "{} blocks", facts.blocks());
        let mut bytes = vec![1; 10_000];
        crate::storage::read_exact_at(&*file, &mut bytes, 0).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
        file.discard(0, 4096).unwrap();
        return;
    }
    let test = "where_blocks_cannot_be_reserved_zeros_are_written_and_synced";
    let refuse = "inject=fallocate:error=EOPNOTSUPP";
    let interrupt = "inject=pwrite64:error=EINTR:when=2";
    let options = ["-e", "trace=fallocate,pwrite64,fdatasync", "-e", refuse, "-e", interrupt];
    let Some(traced) = trace(test, &options) else { return };
    let zeros = ["= 4096\n", "EINTR", "4096) = 4096\n", "8192) = 1808\n", "fdatasync("];
    assert_in_order(&traced, &[&["fallocate("], &zeros[..], &["fallocate("]].concat());
}

#[test]
fn a_reservation_that_fails_leaves_nothing_behind() {
    if is_traced() {
        let (_directory, storage) = storage();
        storage.create("first", 4096).unwrap();
        assert!(is_no_space(&storage.create("second", 4096).unwrap_err()));
        assert_eq!(storage.names().unwrap(), ["first"]);
        return;
    }
    for error in ["ENOSPC", "EDQUOT"] {
        let refuse = format!("inject=fallocate:error={error}:when=2");
        trace("a_reservation_that_fails_leaves_nothing_behind", &["-e", &refuse]);
    }
}

#[test]
fn an_interrupted_reservation_is_tried_again() {
    if is_traced() {
        let (_directory, storage) = storage();
        storage.create("file", 4096).unwrap();
        return;
    }
    let test = "an_interrupted_reservation_is_tried_again";
    let options = ["-e", "trace=fallocate", "-e", "inject=fallocate:error=EINTR:when=1"];
    let Some(traced) = trace(test, &options) else { return };
    assert_in_order(&traced, &["EINTR", "fallocate(", "= 0"]);
}
