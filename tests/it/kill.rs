//! A process with eight appending threads is killed at a random moment, over and over in the same
//! directory.
//!
//! Invariant: whatever an append acknowledged before the kill is there after reopening, with its
//! content and at its address; and so is all that an earlier opening showed.
//!
//! The child is this test binary again, told by an environment variable. It acknowledges each call
//! after it returned, by one line on its standard output: `ack`, then `lsn writer call part parts
//! more` for each record.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use stratalog::{Log, Lsn, Options};

use super::common::{Random, Tag, check_tags, number, records, seed};

const CHILD: &str = "STRATALOG_KILL_CHILD";
const WRITERS: u32 = 8;
const SEGMENT: u64 = 64 << 10;

fn open(directory: &Path, background: bool) -> Log {
    let mut options = Options::new();
    options.segment_bytes(SEGMENT).write_buffer_bytes(16 << 10).background(background);
    options.open(directory).unwrap_or_else(|error| panic!("{error}: {error:?}"))
}

/// The child: appends until it is killed. As a test of its own it does nothing.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(task) = env::var(CHILD) else { return };
    let (seed, directory) = task.split_once(' ').expect("a seed and a directory");
    let seed: u64 = seed.parse().expect("a seed");
    let log = open(Path::new(directory), seed.is_multiple_of(4));
    for writer in 0..WRITERS {
        let log = log.clone();
        // A writer's number tells the round too, so that no two payloads are the same.
        let number = (seed as u32) << 4 | writer;
        thread::spawn(move || {
            for call in 0..u32::MAX {
                append(&log, number, call, seed);
            }
        });
    }
    loop {
        thread::park();
    }
}

fn append(log: &Log, writer: u32, call: u32, seed: u64) {
    let mut random = Random::new(seed ^ u64::from(writer) << 40 ^ u64::from(call));
    let (parts, choice) = (1 + random.below(8) as u32, random.below(100));
    let parts = if choice < 40 { parts } else { 1 };
    let bound = if random.chance(2) { 30_000 } else { 500 };
    let mores: Vec<_> =
        (0..parts).map(|_| random.below(bound / u64::from(parts)) as usize).collect();
    let tag = |part| Tag { writer, call, part, parts };
    let payloads: Vec<_> =
        (0..parts).zip(&mores).map(|(part, more)| tag(part).payload(*more)).collect();
    let first = match choice {
        0..40 => log.append_batch(&payloads).unwrap().start,
        40..70 => log.append(&payloads[0]).unwrap(),
        70..80 => {
            log.append_buffered(&payloads[0]).unwrap();
            return;
        }
        80..98 => log.append_durable(&payloads[0]).unwrap(),
        _ => {
            log.sync().unwrap();
            return;
        }
    };
    let (mut line, mut at) = (String::from("ack"), first.get());
    for ((part, more), payload) in (0..parts).zip(mores).zip(payloads) {
        write!(line, " {at} {writer} {call} {part} {parts} {more}").unwrap();
        at += 16 + payload.len().next_multiple_of(8) as u64;
    }
    line.push('\n');
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

/// Runs a child until it has acknowledged `calls` calls, and kills it. Returns all it acknowledged.
fn run_and_kill(directory: &Path, seed: u64, calls: u64) -> BTreeMap<Lsn, Vec<u8>> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_appends_until_it_is_killed", "--nocapture"])
        .env(CHILD, format!("{seed} {}", directory.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut acknowledged, mut acks, mut line) = (BTreeMap::new(), 0, String::new());
    if calls == 0 {
        child.kill().unwrap();
    }
    // What the pipe holds after the kill counts too. The last line may be torn.
    while output.read_line(&mut line).unwrap() > 0 {
        if let Some(records) = line.strip_suffix('\n').and_then(|line| line.strip_prefix("ack ")) {
            let fields: Vec<u64> = records.split(' ').map(|field| field.parse().unwrap()).collect();
            let (records, []) = fields.as_chunks::<6>() else { panic!("{line}") };
            for [lsn, fields @ .., more] in records {
                let [writer, call, part, parts] = fields.map(|field| field as u32);
                let payload = Tag { writer, call, part, parts }.payload(*more as usize);
                let before = acknowledged.insert(Lsn::new(*lsn), payload);
                assert!(before.is_none(), "{lsn} was returned twice");
            }
            acks += 1;
            if acks == calls {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    let status = child.wait().unwrap();
    assert!(
        !status.success() && (calls == 0 || acks >= calls),
        "the child ended by itself: {status}"
    );
    acknowledged
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_reopening() {
    let first = seed("kill");
    let mut random = Random::new(first);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("log");
    let mut kept: BTreeMap<Lsn, Vec<u8>> = BTreeMap::new();
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(10) {
        // Some die while they open.
        let calls = if round % 5 == 4 { 0 } else { 1 + random.below(1200) };
        let acknowledged = run_and_kill(&directory, first % 1000 * 1000 + round, calls);
        for (lsn, payload) in acknowledged {
            let before = kept.insert(lsn, payload);
            assert!(before.is_none(), "round {round}: {lsn} had other bytes before");
        }
        let log = open(&directory, round % 2 == 0);
        let seen = records(&log);
        check_tags(&seen);
        let snapshot = log.snapshot();
        for (lsn, payload) in &kept {
            let found = snapshot.get(*lsn).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(found.payload() == payload, "round {round}: {lsn} has other bytes");
        }
        kept = seen.into_iter().collect();
        println!(
            "round {round}: {calls} calls, {} records, {}",
            kept.len(),
            log.recovery().scanned_bytes
        );
        if round % 3 == 0 {
            log.close().unwrap();
        }
    }
}
