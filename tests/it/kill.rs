//! A process with eight appending threads is killed at a random moment, over and over in the same
//! directory; and so is one that recovers a long tail.
//!
//! Invariant: whatever an append acknowledged before the kill is there after reopening, with its
//! content and at its address; so is all that an earlier opening showed. A process that reads the
//! files meanwhile sees no byte of it change.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{Log, Lsn, Options};

use super::bystander::Bystander;
use super::common::{Random, Tag, number, records, seed};
use super::process::{History, Task, Told, open, say};

const WRITERS: u32 = 8;

/// The child: appends until it is killed. As a test of its own it does nothing.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap_or_else(|error| panic!("{error}: {error:?}"));
    task.work(&log);
    unreachable!("it appends until it is killed");
}

/// Runs a child until it has acknowledged `calls` calls, and kills it.
fn run_and_kill(task: &Task, calls: u64, bystander: &mut Bystander) -> Told {
    let mut child = task.start(&[], "kill::child_that_appends_until_it_is_killed");
    if calls == 0 {
        child.kill();
    }
    while child.told.acks < calls && child.hear() {
        if child.told.acks % 256 == 255 {
            bystander.look(child.told.end);
        }
    }
    if calls > 0 {
        child.kill();
    }
    let (told, status) = child.finish();
    assert!(!status.success() && told.acks >= calls, "the child ended by itself: {status}");
    told
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_reopening() {
    let first = seed("kill");
    let mut random = Random::new(first);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("log");
    let mut history = History::default();
    let mut bystander = Bystander::new(&directory);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(10) {
        // Some die while they open.
        let calls = if round % 5 == 4 { 0 } else { 1 + random.below(1200) };
        let task = Task::endless(first % 1000 * 1000 + round, WRITERS, &directory);
        let told = run_and_kill(&task, calls, &mut bystander);
        bystander.look(told.end);
        history.add(told);
        let log = open(&directory, round % 2 == 0)
            .unwrap_or_else(|error| panic!("round {round}: {error}: {error:?}"));
        history.check(&log);
        bystander.look(log.recovery().end.get());
        println!(
            "round {round}: {calls} calls, {} records, {}",
            history.kept.len(),
            log.recovery().scanned_bytes
        );
        if round % 3 == 0 {
            log.close().unwrap();
        }
    }
}

/// The child: appends, and drops what was durable a while ago, until it is killed. As a test of its
/// own it does nothing.
#[test]
fn child_that_truncates_until_it_is_killed() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap_or_else(|error| panic!("{error}: {error:?}"));
    thread::scope(|scope| {
        scope.spawn(|| task.work(&log));
        let mut marks = VecDeque::new();
        for turn in 0_u64.. {
            marks.push_back(log.sync().unwrap());
            if marks.len() > 8 {
                let mark = marks.pop_front().unwrap();
                let head = log.truncate_before(mark).unwrap();
                assert_eq!(head, mark);
                say(&format!("head {head}"));
                log.set_app_state(&turn.to_le_bytes()).unwrap();
                say(&format!("state {turn}"));
            }
        }
    });
}

/// The last number that was said behind a word.
fn last_said(told: &Told, word: &str) -> Option<u64> {
    told.lines.iter().rev().find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
}

#[test]
fn a_head_that_was_acknowledged_before_a_kill_stays_and_nothing_above_it_is_lost() {
    let first = seed("kill and truncate");
    let mut random = Random::new(first);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("log");
    let mut history = History::default();
    let mut moved = 0;
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(8) {
        let calls = 200 + random.below(1500);
        // Every other child has a thread of the log's own, which makes spares of what was dropped.
        let task = Task::endless((first % 1000 * 1000 + round) * 2, 4, &directory);
        let mut child = task.start(&[], "kill::child_that_truncates_until_it_is_killed");
        while child.told.acks < calls && child.hear() {}
        child.kill();
        let (told, status) = child.finish();
        assert!(!status.success(), "the child ended by itself: {status}");
        let (head, state) = (last_said(&told, "head "), last_said(&told, "state "));
        history.add(told);
        let log = open(&directory, round % 2 == 0)
            .unwrap_or_else(|error| panic!("round {round}: {error}: {error:?}"));
        assert!(head.is_none_or(|head| log.head().get() >= head), "the head went back");
        moved += u64::from(head.is_some());
        if let Some(state) = state {
            let found = u64::from_le_bytes(log.app_state().try_into().unwrap());
            assert!(found == state || found == state + 1, "{found} after {state}");
        }
        history.kept = history.kept.split_off(&log.head());
        history.check(&log);
        let below = log.segments().iter().filter(|segment| segment.end < log.head()).count();
        assert!(below <= 1, "{below} segments below the head");
    }
    assert!(moved > 0, "nothing was ever dropped");
}

const TAIL_BYTES: u64 = 6 << 20;

/// Opens with segments that hold a long tail.
fn open_long(directory: &Path) -> stratalog::Result<Log> {
    let mut options = Options::new();
    options.segment_bytes(4 << 20).background(false);
    options.open(directory)
}

/// The child: recovers, says so, and waits to be killed. As a test of its own it does nothing.
#[test]
fn child_that_recovers_a_long_tail() {
    let Some(task) = Task::given() else { return };
    say("opening");
    let log = open_long(&task.directory).unwrap_or_else(|error| panic!("{error}: {error:?}"));
    say("opened");
    loop {
        thread::park();
        assert!(log.stats().segments > 0);
    }
}

/// Copies a directory as a kill at this moment leaves it.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // A lock is nobody's in a copy, and some systems let nobody read what is locked.
        if entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Makes a log whose tail was never synced, but for one record at its begin, and keeps a copy.
fn long_tail(live: &Path, kept: &Path) -> History {
    let log = open_long(live).unwrap();
    let mut history = History::default();
    let mut call = 0;
    while log.tail().get() < TAIL_BYTES {
        let payload = Tag::single(1, call).payload(300);
        let lsn = if call == 0 { log.append_durable(&payload) } else { log.append(&payload) };
        history.kept.insert(lsn.unwrap(), payload);
        call += 1;
    }
    copy(live, kept);
    history
}

#[test]
fn a_kill_at_any_time_of_recovering_a_long_tail_loses_nothing() {
    let mut random = Random::new(seed("recovery killed"));
    let directory = tempfile::tempdir().unwrap();
    let [live, tail, work, checked] =
        ["live", "tail", "work", "checked"].map(|name| directory.path().join(name));
    let history = long_tail(&live, &tail);
    let end = history.end();
    copy(&tail, &work);
    let started = Instant::now();
    drop(open_long(&work).unwrap());
    // Longer than it takes, as a child competes with others for the processor.
    let whole = started.elapsed().as_micros() as u64 * 2;
    copy(&tail, &work);
    let (mut killed, mut through) = (0, 0);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(8) {
        let task = Task::endless(round, 1, &work);
        let mut child = task.start(&[], "kill::child_that_recovers_a_long_tail");
        assert!(child.hear_until("opening"));
        // No synchronisation: the moment of the kill is what is random.
        thread::sleep(Duration::from_micros(random.below(whole)));
        child.kill();
        let (told, _) = child.finish();
        copy(&work, &checked);
        let log = open_long(&checked).unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(records(&log), history.kept.clone().into_iter().collect::<Vec<_>>());
        assert!(log.recovery().cut.is_none(), "{}", log.recovery());
        assert!(log.append(b"more").unwrap() >= Lsn::new(end));
        let mut bystander = Bystander::new(&checked);
        bystander.look(end);
        if told.has("opened") {
            through += 1;
            copy(&tail, &work);
        } else {
            killed += 1;
        }
    }
    println!("{killed} killed while they recovered, {through} after it");
}
