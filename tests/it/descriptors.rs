//! A log of hundreds of segments in a process that may have few files open.
//!
//! Invariant: appending with rolls, reading everything, closing, and recovering after a kill hold a
//! bounded number of descriptors, however many segments there are; and opening takes no more than it
//! needs where few are left.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use stratalog::Log;
use stratalog::format::{TEMPORARY_SUFFIX, segment_name};

use super::common::{Tag, records, tiny};
use super::process::{History, Task, acknowledge, say};

/// What the child may have open, and what it may need of that: its three streams and those of the
/// harness, a directory or segment that is being looked at, the lock, the control file, unsealed
/// segments, spares.
const LIMIT: usize = 64;
const BOUND: usize = 32;
const SEGMENTS: usize = 300;

/// How many files this process has open.
fn open_files() -> usize {
    // Without the directory that is read for it.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Ends the looking, also where the work panics.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Calls `work` while another thread looks; returns the most files that were open.
fn most_open<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(open_files());
                thread::yield_now();
            }
            most
        });
        let working = Done(&done);
        let result = work();
        let here = open_files();
        drop(working);
        (result, watch.join().unwrap().max(here))
    })
}

fn append_segments(log: &Log, segments: usize, seed: u64) {
    let before = log.segments().len();
    for call in 0.. {
        let payload = Tag::single(seed as u32, call).payload(7900);
        let lsn = log.append(&payload).unwrap();
        acknowledge(lsn, &[payload]);
        if call % 64 == 63 {
            log.sync().unwrap();
            // All segments are mapped at once, and read while the log goes on.
            assert!(records(log).len() > call as usize);
        }
        if log.segments().len() >= before + segments {
            return;
        }
    }
}

/// The child: writes or reads a log of many segments. As a test of its own it does nothing.
#[test]
fn child_that_may_open_few_files() {
    let Some(task) = Task::given() else { return };
    assert!(fs::read_to_string("/proc/self/limits").unwrap().lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.starts_with(&["Max", "open", "files"]) && words[3] == LIMIT.to_string()
    }));
    let background = task.seed.is_multiple_of(2);
    let (log, most) = most_open(|| {
        let log = tiny().background(background).open(&task.directory).unwrap();
        let snapshot = log.snapshot();
        let all = records(&log);
        for (lsn, payload) in all.iter().step_by(7) {
            assert_eq!(snapshot.get(*lsn).unwrap().payload(), payload);
        }
        append_segments(&log, task.calls as usize, task.seed);
        log
    });
    say(&format!("most {most}"));
    if task.writers == 0 {
        say("to be killed");
        loop {
            thread::park();
            assert!(log.stats().segments > 0);
        }
    }
    let ((), most) = most_open(|| log.close().unwrap());
    say(&format!("most {most}"));
    say("end");
}

/// Runs a child with few descriptors; it is killed if it has no writers.
fn run(directory: &Path, seed: u64, segments: u32, history: &mut History) -> usize {
    let shell = ["sh", "-c", "ulimit -n 64 && exec \"$0\" \"$@\""];
    let killed = seed != 2;
    let writers = u32::from(!killed);
    let task = Task { seed, writers, calls: segments, directory: directory.to_owned() };
    let mut child = task.start(&shell, "descriptors::child_that_may_open_few_files");
    let last = if killed { "to be killed" } else { "end" };
    assert!(child.hear_until(last), "{:?}", child.told.lines);
    if killed {
        child.kill();
    }
    let (told, status) = child.finish();
    assert_eq!(status.success(), !killed);
    let most = told.lines.iter().filter_map(|line| line.strip_prefix("most "));
    let most = most.map(|most| most.parse::<usize>().unwrap()).max().unwrap();
    history.add(told);
    most
}

#[test]
fn a_log_of_hundreds_of_segments_needs_few_descriptors() {
    // In memory where there is such a place: it is not about what survives.
    let memory = tempfile::tempdir_in("/dev/shm");
    let directory = memory.or_else(|_| tempfile::tempdir()).unwrap();
    let log = directory.path().join("log");
    let mut history = History::default();
    // With a thread of the log's own and without; each but the last is recovered after a kill.
    let counts = [(0, SEGMENTS as u32), (1, 30), (2, 10)];
    let most: Vec<_> =
        counts.map(|(seed, segments)| run(&log, seed, segments, &mut history)).to_vec();
    println!("at most {most:?} descriptors");
    assert!(most.iter().all(|most| (4..=BOUND).contains(most)), "{most:?} descriptors");
    let log = tiny().open(&log).unwrap();
    assert!(log.recovery().clean && log.segments().len() > SEGMENTS, "{}", log.recovery());
    history.check(&log);
}

/// The child: opens a log while it may open few more files. As a test of its own it does nothing.
#[test]
fn child_that_has_few_descriptors_left() {
    let Some(task) = Task::given() else { return };
    let mut taken = Vec::new();
    while let Ok(file) = fs::File::open("/dev/null") {
        taken.push(file);
    }
    taken.truncate(taken.len() - task.calls as usize);
    let log = tiny().background(task.seed == 1).open(&task.directory).unwrap();
    assert_eq!(log.recovery().removed.len(), LEFTOVERS);
    say(&format!("records {}", records(&log).len()));
    // The log's own thread may close what was removed after that.
    drop(taken);
    log.close().unwrap();
    say("end");
}

const LEFTOVERS: usize = 20;

#[test]
fn opening_keeps_no_removed_file_open_where_few_descriptors_are_left() {
    // The lock and the control file, and in turn the directory, a segment, a slot of it.
    for (left, background) in [(10, 0), (11, 1), (16, 0), (24, 1)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = tiny().open(&path).unwrap();
        log.append_durable(b"kept").unwrap();
        log.close().unwrap();
        for number in 1..=LEFTOVERS as u64 {
            let name = format!("{}{TEMPORARY_SUFFIX}", segment_name(number << 14));
            fs::write(path.join(name), [0; 100]).unwrap();
        }
        let task = Task { seed: background, writers: 0, calls: left, directory: path };
        let shell = ["sh", "-c", "ulimit -n 64 && exec \"$0\" \"$@\""];
        let mut child = task.start(&shell, "descriptors::child_that_has_few_descriptors_left");
        assert!(child.hear_until("end"), "{left}: {:?}", child.told.lines);
        assert!(child.told.has("records 1"));
        assert!(child.finish().1.success());
    }
}
