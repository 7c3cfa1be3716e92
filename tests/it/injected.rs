//! Real files on which strace makes system calls fail, be interrupted, or kill the process.
//!
//! Invariant: what was acknowledged is there when the log is opened without strace afterwards; a
//! failure is told to whoever met it, sticks for every thread, and makes nobody wait for ever. Only
//! calls that were begun count: strace counts them for each thread by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;

use stratalog::{Error, Log};

use super::bystander::Bystander;
use super::common::{Random, Tag, number, read, seed, without_hanging};
use super::process::{History, SEGMENT, Task, Told, acknowledge, open, say};
use super::strace::{can_trace, wrapper};

pub(crate) const MEETS_A_FAULT: &str = "injected::child_that_meets_a_fault";

/// Tells the parent of an error: when, its variant, what the system said, and the file.
pub(crate) fn tell(when: &str, error: &Error) {
    let (variant, op, path) = match error {
        Error::Io { op, path, .. } => ("Io", Some(*op), path),
        Error::Poisoned { op, path, .. } => ("Poisoned", Some(*op), path),
        Error::NoSpace { path, .. } => ("NoSpace", None, path),
        other => panic!("{when}: {other:?}"),
    };
    let source = std::error::Error::source(error).expect("what the system said");
    let code = source.downcast_ref().and_then(std::io::Error::raw_os_error).unwrap_or(0);
    let op = op.map_or_else(|| "None".to_owned(), |op| format!("{op:?}"));
    say(&format!("error {when} {variant} {op} {code} {}", path.display()));
}

/// Every call that changes something is refused now, in every thread, and names the first cause.
fn assert_poisoned(log: &Log) {
    let tail = log.tail();
    let refused = |log: &Log| {
        let failures = [
            log.append(b"more").unwrap_err(),
            log.append_buffered(b"more").unwrap_err(),
            log.append_durable(b"more").unwrap_err(),
            log.append_batch(&["more"]).unwrap_err(),
            log.commit().unwrap_err(),
            log.sync().unwrap_err(),
            log.roll().unwrap_err(),
        ];
        failures.map(|failure| match failure {
            Error::Poisoned { op, path, .. } => (op, path),
            other => panic!("not sticky: {other:?}"),
        })
    };
    let causes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| refused(log))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(causes.iter().all(|cause| *cause == causes[0]), "{causes:?}");
    assert_eq!(log.tail(), tail);
    // What was read before can still be read.
    let (_, error) = read(&log.snapshot());
    assert!(matches!(error, None | Some(Error::Poisoned { .. })), "{error:?}");
}

/// Opens, works until something fails, sees what may still be done, and closes.
fn meet(task: &Task) {
    let log = match task.open() {
        Ok(log) => log,
        Err(error) => return tell("opening", &error),
    };
    say("opened");
    let failures = task.work(&log);
    for failure in &failures {
        tell("working", failure);
    }
    let poisoned = failures.iter().any(|failure| !matches!(failure, Error::NoSpace { .. }));
    if poisoned {
        assert_poisoned(&log);
    } else if !failures.is_empty() && !log.stats().poisoned {
        // There is room again, or there is none: the tail moves by what was acknowledged, or not.
        let payload = Tag::single(task.seed as u32, u32::MAX).payload(SEGMENT as usize / 2);
        let (tail, marks) = (log.tail(), [log.durable(), log.committed()]);
        match log.append(&payload) {
            Ok(lsn) => acknowledge(lsn, &[payload]),
            Err(error @ Error::NoSpace { .. }) => {
                tell("again", &error);
                assert_eq!((log.tail(), marks), (tail, [log.durable(), log.committed()]));
            }
            Err(error) => tell("again", &error),
        }
    }
    match log.close() {
        Ok(()) if poisoned => panic!("a poisoned log closes as if nothing were"),
        Ok(()) => say("closed"),
        Err(error) => tell("closing", &error),
    }
}

/// The child: as a test of its own it does nothing.
#[test]
fn child_that_meets_a_fault() {
    let Some(task) = Task::given() else { return };
    without_hanging("the child", move || meet(&task));
    say("end");
}

/// Runs a child under strace to its end; returns what it told and what strace noted.
pub(crate) fn run(task: &Task, options: &[&str], test: &str, trace: &Path) -> (Told, String) {
    let wrapper = wrapper(trace.to_str().unwrap(), options);
    let child = task.start(&wrapper, test);
    let (told, status) = without_hanging("a child", || child.finish());
    let noted = fs::read_to_string(trace).unwrap();
    assert!(status.success() && told.has("end"), "{options:?}: {status}: {:?}", told.lines);
    (told, noted)
}

/// The errors that a child told: when, variant, operation, code, path.
pub(crate) fn errors(told: &Told) -> Vec<[&str; 5]> {
    let lines = told.lines.iter().filter(|line| line.starts_with("error "));
    lines
        .map(|line| {
            let mut words = line.splitn(6, ' ').skip(1);
            [(); 5].map(|()| words.next().expect("five words"))
        })
        .collect()
}

/// Which of a thread's calls is chosen. Opening comes first, and takes few of them.
fn which(random: &mut Random, calls: &str) -> u64 {
    let most = match calls {
        "pwrite64" | "fdatasync" if random.chance(60) => 60,
        "pwrite64" | "fdatasync" => 8,
        // Only recovery removes anything.
        "/^unlink" => 1,
        _ => 4,
    };
    1 + random.below(most)
}

struct Fault {
    calls: &'static str,
    outcome: &'static str,
    /// What the log may say has failed, and the system's code.
    ops: &'static [&'static str],
    code: &'static str,
    /// Whether it may be a full disk, which poisons nothing.
    may_be_full: bool,
}

const FAULTS: [Fault; 8] = [
    fault("fdatasync", "error=EIO", &["Sync"], "5", false),
    fault("pwrite64", "error=EIO", &["Write"], "5", false),
    fault("pwrite64", "error=ENOSPC", &["Write"], "28", true),
    fault("pwrite64", "retval=0", &["Write"], "0", false),
    fault("fsync", "error=EIO", &["SyncDirectory", "OpenDirectory"], "5", false),
    fault("fallocate", "error=ENOSPC", &[], "28", true),
    fault("fallocate", "error=EIO", &["Create"], "5", false),
    fault("/^rename", "error=EIO", &["Rename"], "5", false),
];

const fn fault(
    calls: &'static str,
    outcome: &'static str,
    ops: &'static [&'static str],
    code: &'static str,
    may_be_full: bool,
) -> Fault {
    Fault { calls, outcome, ops, code, may_be_full }
}

/// Checks that what failed was told as it is to be told.
fn check_told(told: &Told, noted: &str, fault: &Fault, directory: &Path) {
    let errors = errors(told);
    let injected = noted.contains("(INJECTED)");
    assert!(injected || errors.is_empty(), "nothing was made to fail: {errors:?}");
    // A thread that keeps a spare ready leaves a full disk to whoever needs the segment.
    assert!(!injected || fault.may_be_full || !errors.is_empty(), "nobody heard of it: {noted}");
    for [when, variant, op, code, path] in &errors {
        assert_eq!(*code, fault.code, "{errors:?}");
        assert!(Path::new(path).starts_with(directory), "{errors:?}");
        match *variant {
            "NoSpace" => assert!(fault.may_be_full, "{errors:?}"),
            "Io" | "Poisoned" => assert!(fault.ops.contains(op), "{errors:?}"),
            other => panic!("{when}: {other}"),
        }
    }
    assert_eq!(told.has("closed"), !errors.iter().any(|error| error[1] != "NoSpace"), "{errors:?}");
}

#[test]
fn whatever_call_fails_is_told_and_sticks_and_loses_nothing() {
    if !can_trace() {
        return;
    }
    let mut random = Random::new(seed("injected"));
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let (mut failed, mut full) = (BTreeMap::<_, u64>::new(), 0);
    let mut history = History::default();
    let log = directory.path().join("log");
    let mut bystander = Bystander::new(&log);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(2) {
        for (index, fault) in FAULTS.iter().enumerate() {
            // Some fail while the log is opened, some later, some for good.
            let nth = which(&mut random, fault.calls);
            let more = if random.chance(25) { "+" } else { "" };
            let inject = format!("inject={}:{}:when={nth}{more}", fault.calls, fault.outcome);
            let seed = round * 100 + index as u64;
            let writers = if random.chance(40) { 1 } else { 4 };
            let task = Task { seed, writers, calls: 60, directory: log.clone() };
            let options = [&format!("trace={}", fault.calls), inject.as_str()];
            let options = options.map(|option| option as &str);
            let (told, noted) = run(&task, &options, MEETS_A_FAULT, &trace);
            println!("{inject}, {writers} writers: {:?}", errors(&told));
            check_told(&told, &noted, fault, directory.path());
            let told_any = errors(&told).len() as u64;
            *failed.entry((fault.calls, fault.outcome)).or_default() += told_any.min(1);
            full += u64::from(errors(&told).iter().any(|error| error[1] == "NoSpace"));
            bystander.look(told.end);
            history.add(told);
            let log = open(&log, false).unwrap_or_else(|error| panic!("{inject}: {error:?}"));
            history.check(&log);
            bystander.look(log.recovery().end.get());
        }
    }
    println!("{failed:?}, {full} times full");
    assert!(failed.values().sum::<u64>() > 0, "nothing was ever made to fail");
}

#[test]
fn interrupted_calls_are_made_again_and_short_ones_carried_on() {
    if !can_trace() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (log, trace) = (directory.path().join("log"), directory.path().join("trace"));
    let interrupt = "inject=pwrite64,fdatasync,fsync,fallocate,flock:error=EINTR:when=1+2";
    let (mut history, mut all) = (History::default(), String::new());
    for seed in 0..2 {
        let task = Task { seed, writers: 1 + seed as u32, calls: 60, directory: log.clone() };
        let options = ["trace=pwrite64,fdatasync,fsync,fallocate,flock", interrupt];
        let (told, noted) = run(&task, &options, MEETS_A_FAULT, &trace);
        assert!(told.has("closed") && errors(&told).is_empty(), "{:?}", told.lines);
        all += &noted;
        history.add(told);
        history.check(&open(&log, false).unwrap());
    }
    for call in ["pwrite64(", "fdatasync(", "fsync(", "fallocate(", "flock("] {
        let mut interrupted = all.lines().filter(|line| line.contains("EINTR"));
        assert!(interrupted.any(|line| line.contains(call)), "{call} was never interrupted");
    }
    // strace makes a call return a number without doing it, so a short write can be told honestly
    // only of zeros over zeros: the first pages of a segment that is being prepared.
    let log = directory.path().join("short");
    let short = "inject=pwrite64:retval=100:when=1..3";
    let path = format!("{}/{}.tmp", log.display(), stratalog::format::segment_name(0));
    let mut wrapper = wrapper(trace.to_str().unwrap(), &["trace=pwrite64", short]);
    wrapper.extend(["-P", path.as_str()]);
    let task = Task { seed: 1, writers: 1, calls: 60, directory: log.clone() };
    let (told, status) = task.start(&wrapper, MEETS_A_FAULT).finish();
    assert!(status.success() && told.has("closed"), "{:?}", told.lines);
    let noted = fs::read_to_string(&trace).unwrap();
    assert_eq!(noted.matches("= 100 (INJECTED)").count(), 3, "{noted}");
    for carried_on in [", 4196)", ", 4296)", ", 4396)"] {
        assert!(noted.contains(carried_on), "{carried_on}: {noted}");
    }
    let mut history = History::default();
    history.add(told);
    history.check(&open(&log, false).unwrap());
}

/// The calls at which a process is killed, as strace names them.
const CALLS: [&str; 6] = ["pwrite64", "fdatasync", "fsync", "/^rename", "fallocate", "/^unlink"];

#[test]
fn a_kill_at_any_system_call_loses_nothing() {
    if !can_trace() {
        return;
    }
    let mut random = Random::new(seed("killed at a call"));
    let directory = tempfile::tempdir().unwrap();
    let (log, trace) = (directory.path().join("log"), directory.path().join("trace"));
    let mut history = History::default();
    let mut bystander = Bystander::new(&log);
    let mut killed = BTreeMap::<_, u64>::new();
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(3) * CALLS.len() as u64 {
        let call = CALLS[(round % CALLS.len() as u64) as usize];
        let nth = which(&mut random, call);
        let kill = format!("inject={call}:signal=KILL:when={nth}");
        let writers = if random.chance(40) { 1 } else { 4 };
        let task = Task { seed: round, writers, calls: 60, directory: log.clone() };
        let options = [format!("trace={call}"), kill.clone()];
        let options = [options[0].as_str(), options[1].as_str()];
        let child = task.start(&wrapper(trace.to_str().unwrap(), &options), MEETS_A_FAULT);
        let (told, status) = without_hanging("a child", || child.finish());
        assert!(!status.success() || told.has("end"), "{kill}: {:?}", told.lines);
        assert!(errors(&told).is_empty(), "{kill}: {:?}", told.lines);
        *killed.entry(call).or_default() += u64::from(!status.success());
        bystander.look(told.end);
        history.add(told);
        // Every other kill is met by the next child's own recovery.
        if round % 2 == 1 {
            let log = open(&log, false).unwrap_or_else(|error| panic!("{kill}: {error:?}"));
            history.check(&log);
            bystander.look(log.recovery().end.get());
            drop(log);
        }
    }
    println!("killed at: {killed:?}");
    assert!(killed.values().sum::<u64>() > 0, "nothing was killed");
}
