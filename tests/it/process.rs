//! Children: this test binary again, told by an environment variable what to do, and what they say.
//!
//! Invariant: a child acknowledges a call after it returned, by one whole line on its standard
//! output; and none outlives the test that started it.
//!
//! The line is `ack`, then `lsn writer call part parts more` for each record. Any other line is kept
//! as it is.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

use stratalog::{Error, Log, Lsn, Options};

use super::common::{Random, Tag, check_tags, records};

const TASK: &str = "STRATALOG_TASK";

/// Segments of children: small, so that they roll often.
pub(crate) const SEGMENT: u64 = 64 << 10;

/// What a child is to do.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) seed: u64,
    pub(crate) writers: u32,
    /// How many calls each writer makes.
    pub(crate) calls: u32,
    pub(crate) directory: PathBuf,
}

impl Task {
    /// One that appends until it is killed.
    pub(crate) fn endless(seed: u64, writers: u32, directory: &Path) -> Self {
        Self { seed, writers, calls: u32::MAX, directory: directory.to_owned() }
    }

    /// The task of this process, if it is a child.
    pub(crate) fn given() -> Option<Self> {
        let text = env::var(TASK).ok()?;
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().expect("four words");
        let [seed, writers, calls] = [(); 3].map(|()| word().parse::<u64>().expect("a number"));
        let directory = PathBuf::from(word());
        // Ends the line that the test harness may have begun.
        say("");
        Some(Self { seed, writers: writers as u32, calls: calls as u32, directory })
    }

    /// The command that does it: `test` of this binary, run by `wrapper` if that is not empty.
    pub(crate) fn command(&self, wrapper: &[&str], test: &str) -> Command {
        let binary = env::current_exe().unwrap();
        let mut command = match wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        let Self { seed, writers, calls, directory } = self;
        command
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(TASK, format!("{seed} {writers} {calls} {}", directory.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        command
    }

    /// Starts a child that does it.
    pub(crate) fn start(&self, wrapper: &[&str], test: &str) -> Running {
        Running::new(&mut self.command(wrapper, test))
    }

    /// Opens the log as a child does; every fourth seed with a thread of the log's own.
    pub(crate) fn open(&self) -> stratalog::Result<Log> {
        open(&self.directory, self.seed.is_multiple_of(4))
    }

    /// Has every writer make its calls; returns how each of them ended early.
    pub(crate) fn work(&self, log: &Log) -> Vec<Error> {
        // A writer's number tells the child too, so that no two payloads are the same.
        let number = |writer| (self.seed as u32) << 4 | writer;
        let run = |log: &Log, writer| -> Result<(), Error> {
            (0..self.calls).try_for_each(|call| {
                match append(log, number(writer), call, self.seed) {
                    // Another thread has cut it off.
                    Err(Error::Cut { .. }) => Ok(()),
                    appended => appended,
                }
            })
        };
        if self.writers == 1 {
            return run(log, 0).err().into_iter().collect();
        }
        thread::scope(|scope| {
            let started: Vec<_> =
                (0..self.writers).map(|writer| scope.spawn(move || run(log, writer))).collect();
            started.into_iter().filter_map(|writer| writer.join().unwrap().err()).collect()
        })
    }
}

pub(crate) fn open(directory: &Path, background: bool) -> stratalog::Result<Log> {
    let mut options = Options::new();
    options.segment_bytes(SEGMENT).write_buffer_bytes(16 << 10).background(background);
    options.open(directory)
}

/// Appends in a way that the seed chooses, and acknowledges what was committed.
fn append(log: &Log, writer: u32, call: u32, seed: u64) -> stratalog::Result<()> {
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
        0..40 => log.append_batch(&payloads)?.start,
        40..70 => log.append(&payloads[0])?,
        70..80 => return log.append_buffered(&payloads[0]).map(drop),
        80..98 => log.append_durable(&payloads[0])?,
        _ => return log.sync().map(drop),
    };
    acknowledge(first, &payloads);
    Ok(())
}

/// Says that these tagged records, side by side, are committed.
pub(crate) fn acknowledge(first: Lsn, payloads: &[Vec<u8>]) {
    let (mut line, mut at) = (String::from("ack"), first.get());
    for payload in payloads {
        let Tag { writer, call, part, parts } = Tag::of(payload);
        write!(line, " {at} {writer} {call} {part} {parts} {}", payload.len() - 24).unwrap();
        at = end_of(at, payload);
    }
    say(&line);
}

/// Where the frame of a payload at `at` ends.
pub(crate) fn end_of(at: u64, payload: &[u8]) -> u64 {
    at + 16 + payload.len().next_multiple_of(8) as u64
}

/// Tells the parent a line; ends this process if nobody listens.
pub(crate) fn say(line: &str) {
    if std::io::stdout().lock().write_all(format!("{line}\n").as_bytes()).is_err() {
        std::process::exit(1);
    }
}

/// What children have said.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) acknowledged: BTreeMap<Lsn, Vec<u8>>,
    /// How many calls were acknowledged, and the highest end of any.
    pub(crate) acks: u64,
    pub(crate) end: u64,
    /// The lines that are no acknowledgements.
    pub(crate) lines: Vec<String>,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let Some(records) = line.strip_prefix("ack ") else {
            self.lines.push(line.to_owned());
            return;
        };
        let fields: Vec<u64> = records.split(' ').map(|field| field.parse().unwrap()).collect();
        let (records, []) = fields.as_chunks::<6>() else { panic!("{line}") };
        for [lsn, fields @ .., more] in records {
            let [writer, call, part, parts] = fields.map(|field| field as u32);
            let payload = Tag { writer, call, part, parts }.payload(*more as usize);
            self.end = self.end.max(end_of(*lsn, &payload));
            let before = self.acknowledged.insert(Lsn::new(*lsn), payload);
            assert!(before.is_none(), "{lsn} was returned twice");
        }
        self.acks += 1;
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.lines.iter().any(|told| told == line)
    }
}

/// A child at work; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) told: Told,
}

impl Running {
    pub(crate) fn new(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, told: Told::default() }
    }

    /// Hears one more line; false if there is none. A last line may be torn, and does not count.
    pub(crate) fn hear(&mut self) -> bool {
        let mut line = Vec::new();
        self.output.read_until(b'\n', &mut line).unwrap();
        let Some(line) = line.strip_suffix(b"\n") else { return false };
        self.told.hear(&String::from_utf8_lossy(line));
        true
    }

    /// Hears until the child says this line; false if it never does.
    pub(crate) fn hear_until(&mut self, line: &str) -> bool {
        while !self.told.has(line) {
            if !self.hear() {
                return false;
            }
        }
        true
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Lets a child go on that waits for the end of its input.
    pub(crate) fn release(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Hears all there is, also what the pipe holds after a kill, and the end.
    pub(crate) fn finish(mut self) -> (Told, ExitStatus) {
        while self.hear() {}
        let status = self.child.wait().unwrap();
        (std::mem::take(&mut self.told), status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that a log has to hold: what was acknowledged, and what an opening showed.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) kept: BTreeMap<Lsn, Vec<u8>>,
}

impl History {
    pub(crate) fn add(&mut self, told: Told) {
        for (lsn, payload) in told.acknowledged {
            let before = self.kept.insert(lsn, payload);
            assert!(before.is_none(), "{lsn} had other bytes before");
        }
    }

    /// Where the last of it ends.
    pub(crate) fn end(&self) -> u64 {
        self.kept.last_key_value().map_or(0, |(lsn, payload)| end_of(lsn.get(), payload))
    }

    /// Checks that an opened log holds all of it, and takes over what else it holds.
    pub(crate) fn check(&mut self, log: &Log) {
        let seen = records(log);
        check_tags(&seen);
        let snapshot = log.snapshot();
        for (lsn, payload) in &self.kept {
            let found = snapshot.get(*lsn).unwrap_or_else(|error| panic!("{lsn}: {error}"));
            assert!(found.payload() == payload, "{lsn} has other bytes");
        }
        self.kept = seen.into_iter().collect();
    }
}
