//! Children under strace: what they ask of the system, how often, in which order, and what of it is
//! made to fail.
//!
//! Invariant: where strace can't trace, a test says so and is skipped. The order of calls is judged
//! from when a call was begun and when it was over, whatever thread made it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use stratalog::Options;
use stratalog::format::{FileKind, TEMPORARY_SUFFIX, classify};

use super::common::{Tag, without_hanging};
use super::process::{Task, acknowledge, end_of, say};

/// Whether children can be traced here; says why not.
pub(crate) fn can_trace() -> bool {
    let probe = ["-f", "-e", "trace=fsync", "-o", "/dev/null", "true"];
    let done = Command::new("strace").args(probe).output();
    let can = done.is_ok_and(|output| output.status.success());
    if !can {
        println!("skipped: strace does not run here, or may not trace");
    }
    can
}

/// The command line that traces some calls of a child into a file.
pub(crate) fn wrapper<'a>(output: &'a str, options: &[&'a str]) -> Vec<&'a str> {
    let mut wrapper = vec!["strace", "-f", "-y", "-s", "300", "-o", output];
    for option in options {
        wrapper.extend(["-e", option]);
    }
    wrapper
}

/// The child: appends durably and acknowledges each record. As a test of its own it does nothing.
#[test]
fn child_that_appends_durably() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap();
    let run = |writer| {
        for call in 0..task.calls {
            let payload = Tag::single(writer, call).payload(1500);
            let lsn = log.append_durable(&payload).unwrap();
            acknowledge(lsn, &[payload]);
        }
    };
    std::thread::scope(|scope| {
        for writer in 0..task.writers {
            scope.spawn(move || run(writer));
        }
    });
    log.close().unwrap();
}

/// How far the name of a file has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    #[default]
    Temporary,
    Renamed,
    /// The directory was synced after the renaming.
    Durable,
    /// The control file was written after that.
    Noted,
    /// And synced.
    Offered,
}

#[derive(Clone, Copy, Debug)]
struct Written {
    from: u64,
    to: u64,
    synced: bool,
}

#[derive(Debug, Default)]
struct File {
    name: Name,
    writes: Vec<Written>,
}

/// What a sync or renaming that is under way covers, as of its begin.
#[derive(Debug, Default)]
struct Begun {
    text: String,
    /// How many writes of the file there were.
    writes: usize,
    names: Vec<(String, Name)>,
}

/// Follows the calls of a child, and checks what has to come before what.
#[derive(Debug, Default)]
struct Order {
    files: BTreeMap<String, File>,
    begun: BTreeMap<String, Begun>,
    acks: u64,
    segments: u64,
}

/// The name of the file in a path.
fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// What `-y` tells of a call's descriptor: the file that it is open on.
fn described(text: &str) -> &str {
    let path = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    base_name(path.map_or("", |(path, _)| path))
}

/// The last two arguments of a positioned write.
fn range(text: &str) -> (u64, u64) {
    let arguments = text
        .strip_suffix(" <unfinished ...>")
        .or_else(|| text.rsplit_once(')').map(|(arguments, _)| arguments));
    let mut last = arguments.unwrap_or(text).rsplit(", ");
    let mut number = || last.next().unwrap().parse::<u64>().unwrap_or_else(|_| panic!("{text}"));
    let (offset, bytes) = (number(), number());
    (offset, offset + bytes)
}

/// The lines of the trace as calls that begin and end: process, text so far, and the result.
impl Order {
    fn line(&mut self, line: &str) {
        let Some((pid, rest)) = line.split_once(' ') else { return };
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            return;
        }
        if let Some((_, result)) = rest.split_once(" resumed>") {
            if let Some(begun) = self.begun.remove(pid) {
                self.end(&begun, result.contains(" = ") && !result.contains("= -1"));
            }
            return;
        }
        let begun = self.begin(rest);
        if rest.ends_with("<unfinished ...>") {
            self.begun.insert(pid.to_owned(), begun);
        } else {
            self.end(&begun, !rest.contains("= -1"));
        }
    }

    fn begin(&mut self, text: &str) -> Begun {
        let mut begun = Begun { text: text.to_owned(), ..Begun::default() };
        if text.starts_with("write(") {
            self.acknowledged(text);
        } else if text.starts_with("pwrite64(") {
            let name = described(text);
            let (from, to) = range(text);
            if matches!(classify(name), FileKind::Segment(_)) {
                let state = self.files.get(name).map(|file| file.name);
                assert_eq!(state, Some(Name::Offered), "written too early: {text}");
            }
            let file = self.files.entry(name.to_owned()).or_default();
            file.writes.push(Written { from, to, synced: false });
        } else if text.starts_with("fdatasync(") {
            begun.writes = self.files.get(described(text)).map_or(0, |file| file.writes.len());
        }
        begun.names = self.files.iter().map(|(name, file)| (name.clone(), file.name)).collect();
        begun
    }

    fn end(&mut self, begun: &Begun, ok: bool) {
        let text = begun.text.as_str();
        if !ok {
            return;
        }
        if text.starts_with("fdatasync(") {
            let name = described(text);
            let file = self.files.entry(name.to_owned()).or_default();
            file.writes[..begun.writes].iter_mut().for_each(|write| write.synced = true);
            if name == "control" {
                self.advance(begun, Name::Noted, Name::Offered);
            }
        } else if text.starts_with("pwrite64(") && described(text) == "control" {
            self.advance(begun, Name::Durable, Name::Noted);
        } else if text.starts_with("fsync(") {
            self.advance(begun, Name::Renamed, Name::Durable);
        } else if text.starts_with("rename") {
            self.renamed(text);
        }
    }

    /// Every file whose name was so far when the call began is a step further now.
    fn advance(&mut self, begun: &Begun, from: Name, to: Name) {
        for (name, _) in begun.names.iter().filter(|(_, state)| *state == from) {
            if let Some(file) = self.files.get_mut(name).filter(|file| file.name == from) {
                file.name = to;
            }
        }
    }

    fn renamed(&mut self, text: &str) {
        let mut paths = text.split('"').skip(1).step_by(2).map(base_name);
        let (from, to) = (paths.next().unwrap(), paths.next().unwrap());
        assert!(from.strip_suffix(TEMPORARY_SUFFIX) == Some(to), "{text}");
        let mut file = self.files.remove(from).unwrap_or_default();
        assert!(!file.writes.is_empty(), "renamed before anything is written: {text}");
        assert!(file.writes.iter().all(|write| write.synced), "renamed before a sync: {text}");
        file.name = Name::Renamed;
        self.files.insert(to.to_owned(), file);
        if to != "control" {
            self.segments += 1;
            let control = self.files.get("control").expect("a control file comes first");
            assert!(control.name >= Name::Durable, "a segment before the control file's name");
        }
    }

    fn acknowledged(&mut self, text: &str) {
        let Some(ack) = text.split('"').nth(1).and_then(|line| line.strip_prefix("ack ")) else {
            return;
        };
        let fields: Vec<&str> = ack.trim_end_matches("\\n").split(' ').collect();
        let [lsn, more] = [fields[0], fields[5]].map(|field| field.parse::<u64>().unwrap());
        let end = end_of(lsn, &vec![0; 24 + more as usize]);
        let holds = |name: &str| matches!(classify(name), FileKind::Segment(base) if base <= lsn);
        let (name, file) = self.files.iter().rfind(|(name, _)| holds(name)).expect("a segment");
        let FileKind::Segment(base) = classify(name) else { unreachable!("it is one") };
        let touching = file.writes.iter().filter(|w| w.from < end - base && lsn - base < w.to);
        assert!(touching.clone().any(|w| w.to >= end - base), "{lsn} was never written");
        assert!(touching.clone().all(|w| w.synced), "{lsn} is acknowledged before it is synced");
        self.acks += 1;
    }
}

fn in_order(writers: u32, seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let task =
        Task { seed, writers, calls: 120 / writers, directory: directory.path().join("log") };
    let options = ["trace=pwrite64,fdatasync,fsync,/^rename,write"];
    let wrapper = wrapper(trace.to_str().unwrap(), &options);
    let child = task.start(&wrapper, "strace::child_that_appends_durably");
    let (told, status) = without_hanging("a traced child", || child.finish());
    assert!(status.success(), "{:?}", told.lines);
    let mut order = Order::default();
    fs::read_to_string(&trace).unwrap().lines().for_each(|line| order.line(line));
    assert_eq!([order.acks, told.acks], [u64::from(120 / writers * writers); 2]);
    assert!(order.segments >= 4, "{} segments", order.segments);
    assert!(Path::new(&task.directory).join("control").exists());
}

#[test]
fn a_lone_appenders_calls_are_in_the_order_that_durability_takes() {
    if can_trace() {
        in_order(1, 1);
    }
}

#[test]
fn the_calls_of_several_threads_are_in_the_order_that_durability_takes() {
    if can_trace() {
        in_order(4, 4);
    }
}

const REPLAYED: usize = 100_000;

/// The child: replays records of a log that it has opened. As a test of its own it does nothing.
#[test]
fn child_that_replays() {
    let Some(task) = Task::given() else { return };
    let log = Options::new().background(false).open(&task.directory).unwrap();
    let snapshot = log.snapshot();
    say("replay begins");
    let records = snapshot.iter().flatten().count();
    say("replay ends");
    assert_eq!(records, REPLAYED);
}

#[test]
fn a_replay_asks_the_system_for_stretches_and_not_for_records() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (trace, path) = (directory.path().join("trace"), directory.path().join("log"));
    let log = Options::new().background(false).open(&path).unwrap();
    for _ in 0..REPLAYED {
        log.append_buffered(&[7; 16]).unwrap();
    }
    log.close().unwrap();
    let task = Task { seed: 0, writers: 0, calls: 0, directory: path };
    let child = task.start(&wrapper(trace.to_str().unwrap(), &[]), "strace::child_that_replays");
    let (told, status) = without_hanging("a traced child", || child.finish());
    assert!(status.success(), "{:?}", told.lines);
    let trace = fs::read_to_string(&trace).unwrap();
    let from = trace.split_once("replay begins").expect("it began").1;
    let calls = from.split_once("replay ends").expect("it ended").0.lines().count();
    // Of 3.2 MB one for each mebibyte, the file and its map.
    assert!((3..20).contains(&calls), "{calls} calls for {REPLAYED} records");
}
