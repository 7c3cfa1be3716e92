//! Opening and reading real files on which strace makes system calls fail, or kill the process.
//!
//! Invariant: an opening that fails or is killed loses nothing, at whichever call of recovery; one
//! that fails while it still finds out what is there has changed no byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stratalog::ReadOptions;

use super::bystander::Bystander;
use super::common::{number, read, seed, without_hanging};
use super::injected::{MEETS_A_FAULT, errors, run, tell};
use super::process::{History, Task, Told, open, say};
use super::strace::{can_trace, wrapper};

/// All files of a directory with their contents.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// The child: opens the log and reads all of it, in two ways. As a test of its own it does nothing.
#[test]
fn child_that_reads_a_log() {
    let Some(task) = Task::given() else { return };
    match open(&task.directory, false) {
        Err(error) => tell("opening", &error),
        Ok(log) => {
            for options in [ReadOptions::new(), ReadOptions::new().copy(true)] {
                let (records, error) = read(&log.snapshot_with(options));
                say(&format!("read {}", records.len()));
                if let Some(error) = error {
                    tell("reading", &error);
                }
            }
        }
    }
    say("end");
}

/// A log that was killed, what it holds, and the options that make strace touch its files alone.
fn unclean(directory: &Path) -> (PathBuf, BTreeMap<PathBuf, Vec<u8>>, History) {
    let (live, log) = (directory.join("live"), directory.join("log"));
    let task = Task::endless(3, 1, &live);
    let mut child = task.start(&[], MEETS_A_FAULT);
    while child.told.acks < 60 && child.hear() {}
    child.kill();
    let (told, _) = child.finish();
    fs::rename(&live, &log).unwrap();
    let mut history = History::default();
    history.add(told);
    let before = contents(&log);
    (log, before, history)
}

fn put_back(log: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(log).unwrap();
    fs::create_dir(log).unwrap();
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

/// Runs the reading child with faults in its calls on the log's own files only.
fn read_with(log: &Path, trace: &Path, options: &[&str]) -> (Told, String) {
    let mut wrapper = wrapper(trace.to_str().unwrap(), options);
    let paths: Vec<_> = contents(log).into_keys().collect();
    let paths: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    for path in &paths {
        wrapper.extend(["-P", path]);
    }
    let task = Task { seed: 0, writers: 0, calls: 0, directory: log.to_owned() };
    let (told, status) = task.start(&wrapper, "reopened::child_that_reads_a_log").finish();
    assert!(status.success() && told.has("end"), "{options:?}: {status}: {:?}", told.lines);
    (told, fs::read_to_string(trace).unwrap())
}

/// The calls that change something, as strace names them.
const CHANGING: [&str; 3] = ["pwrite64(", "rename", "unlink"];

#[test]
fn a_log_whose_opening_meets_a_failing_read_is_untouched() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let (log, before, mut history) = unclean(directory.path());
    let calls = "trace=pread64,pwrite64,/^rename,/^unlink";
    let (_, noted) = read_with(&log, &trace, &[calls]);
    let is_change = |line: &&str| CHANGING.iter().any(|call| line.contains(call));
    // How many reads there are before opening begins to change anything.
    let looking = noted.lines().take_while(|line| !is_change(line)).count();
    assert!(looking >= 5 && looking < noted.lines().count(), "{looking} reads");
    let mut failed = 0;
    for nth in 1.. {
        put_back(&log, &before);
        let inject = format!("inject=pread64:error=EIO:when={nth}");
        let (told, noted) = read_with(&log, &trace, &[calls, &inject]);
        let errors = errors(&told);
        if !noted.contains("(INJECTED)") {
            assert!(errors.is_empty() && nth > looking, "{errors:?} at {nth}");
            break;
        }
        for [_, variant, op, code, _] in &errors {
            assert_eq!([*variant, *op, *code], ["Io", "Read", "5"], "{errors:?}");
        }
        failed += u64::from(errors.iter().any(|error| error[0] == "opening"));
        if nth <= looking {
            assert_eq!(errors.len(), 1, "read {nth} failed and the log was opened");
            assert!(contents(&log) == before, "read {nth} failed, and the files have changed");
        }
        history.check(&open(&log, false).unwrap());
    }
    println!("{failed} openings failed, {looking} of them before anything was changed");
}

/// Runs the reading child with a fault in its `nth` call of a kind. False if it has fewer calls.
fn opens_with(log: &Path, trace: &Path, call: &str, fault: &str, nth: u64) -> bool {
    let (calls, inject) = (format!("trace={call}"), format!("inject={call}:{fault}:when={nth}"));
    let wrapper = wrapper(trace.to_str().unwrap(), &[&calls, &inject]);
    let task = Task { seed: 0, writers: 0, calls: 0, directory: log.to_owned() };
    let child = task.start(&wrapper, "reopened::child_that_reads_a_log");
    let (told, status) = without_hanging("a child", || child.finish());
    let noted = fs::read_to_string(trace).unwrap();
    let fired = noted.contains("(INJECTED)") || !status.success();
    assert_ne!(status.success(), noted.contains("killed by SIGKILL"), "{inject}: {:?}", told.lines);
    for [when, variant, _, code, path] in errors(&told) {
        assert_eq!([when, variant, code], ["opening", "Io", "5"], "{inject}: {path}");
    }
    fired
}

#[test]
fn a_kill_or_failure_at_every_call_of_recovery_loses_nothing() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let (log, before, history) = unclean(directory.path());
    let end = history.end();
    let (seed, both) = (seed("recovery"), number("STRATALOG_ROUNDS").is_some());
    let mut swept = BTreeMap::new();
    for call in ["pwrite64", "fdatasync", "fsync", "/^rename", "/^unlink", "fallocate"] {
        for nth in 1.. {
            let faults = ["signal=KILL", "error=EIO"];
            let chosen =
                if both { &faults[..] } else { &faults[((seed + nth) % 2) as usize..][..1] };
            let mut fired = false;
            for fault in chosen {
                put_back(&log, &before);
                fired |= opens_with(&log, &trace, call, fault, nth);
                let opened = open(&log, false);
                let opened =
                    opened.unwrap_or_else(|error| panic!("{call} {nth} {fault}: {error:?}"));
                let mut history = History { kept: history.kept.clone() };
                history.check(&opened);
                let mut bystander = Bystander::new(&log);
                bystander.look(end);
            }
            if !fired {
                break;
            }
            *swept.entry(call).or_insert(0) += 1;
        }
    }
    println!("failed or killed at: {swept:?}");
    assert!(swept["pwrite64"] > 3 && swept["fdatasync"] > 3 && swept["fsync"] > 0, "{swept:?}");
}

#[test]
fn a_map_that_fails_is_read_by_copying() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let (log, before, mut history) = unclean(directory.path());
    history.check(&open(&log, false).unwrap());
    let all = format!("read {}", history.kept.len());
    for fault in ["mmap:error=ENOMEM", "mmap:error=EIO"] {
        put_back(&log, &before);
        let inject = format!("inject={fault}");
        let (told, noted) = read_with(&log, &trace, &["trace=mmap", &inject]);
        assert!(noted.contains("(INJECTED)"), "{noted}");
        assert!(told.has(&all) && errors(&told).is_empty(), "{all}: {:?}", told.lines);
    }
    // Populating a map is what tells of a failing disk. Its call names no file.
    let task = Task { seed: 0, writers: 0, calls: 0, directory: log.clone() };
    for fault in ["madvise:error=EIO", "madvise:error=EFAULT", "madvise:error=EINVAL"] {
        put_back(&log, &before);
        let inject = format!("inject={fault}");
        let options = ["trace=madvise", &inject];
        let (told, noted) = run(&task, &options, "reopened::child_that_reads_a_log", &trace);
        assert!(noted.contains("MADV_POPULATE_READ") || noted.contains("0x16"), "{noted}");
        assert!(told.has(&all) && errors(&told).is_empty(), "{all}: {:?}", told.lines);
    }
}
