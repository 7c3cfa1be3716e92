//! Measuring one work: interleaved rounds over all systems of its class.
//!
//! Invariant: nothing is timed but the work. Before the clock starts, what earlier rounds left
//! dirty is synced, and the system's own preparations are waited for, as long as they take: until
//! this process has written nothing for [`QUIET`].

use std::fs;
use std::io::IsTerminal;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::arguments::Arguments;
use crate::child;
use crate::system::{Log, Operation, Outcome, Plan, System};
use crate::works::{BATCH_RECORDS, Work};

/// Longer than a background thread that prepares a segment is held up by one sync.
const QUIET: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(20);
/// A system that goes on writing for so long would never stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The rounds of one system, in nanoseconds for each unit of the work.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) system: &'static str,
    pub(crate) nanos: Vec<f64>,
    /// The log was smaller by this, and the figure is scaled.
    pub(crate) scaled: u64,
}

/// True where the system belongs into the work's table.
pub(crate) fn compares(system: &dyn System, work: &Work) -> bool {
    let ack = system.ack(work.plan.timed);
    let class = work.plan.timed.class();
    ack.is_some() && (class.is_none() || ack == class) && work.plan.threads <= system.max_threads()
}

pub(crate) fn work(
    work: &Work,
    systems: &[Box<dyn System>],
    arguments: &Arguments,
    directory: &Path,
) -> Outcome<Vec<Row>> {
    let compared: Vec<&dyn System> =
        systems.iter().map(AsRef::as_ref).filter(|system| compares(*system, work)).collect();
    let mut rows: Vec<Row> = compared
        .iter()
        .map(|system| Row {
            system: system.name(),
            nanos: Vec::new(),
            scaled: system.scale_down(work.plan.timed),
        })
        .collect();
    for round in 0..arguments.rounds {
        for turn in 0..compared.len() {
            let index = (round + turn) % compared.len();
            let (system, row) = (compared[index], &mut rows[index]);
            let place = directory.join(format!("{}-{}", work.name, system.name()));
            progress(&format!(
                "{}: round {} of {}: {}",
                work.name,
                round + 1,
                arguments.rounds,
                row.system
            ));
            let nanos = one(work, system, &place, row.scaled)
                .map_err(|error| format!("{} of {}: {error}", work.name, system.name()))?;
            row.nanos.push(nanos);
        }
    }
    progress("");
    for system in compared {
        let place = directory.join(format!("{}-{}", work.name, system.name()));
        fs::remove_dir_all(place)?;
    }
    Ok(rows)
}

/// Shows what is being done, where someone is watching.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{text:<72}\r");
    }
}

fn one(work: &Work, system: &dyn System, place: &Path, scaled: u64) -> Outcome<f64> {
    let mut plan = work.plan;
    plan.records /= scaled;
    match work.plan.timed {
        Operation::Replay => replay(system, place, &plan),
        Operation::Open => {
            let nanos = open(system, place, &plan, work.killed)?;
            // The whole log would take as much longer as it is longer.
            #[expect(clippy::cast_precision_loss, reason = "the factor is small")]
            let scaled = scaled as f64;
            Ok(nanos * scaled)
        }
        _ => append(system, place, &plan),
    }
}

#[expect(clippy::cast_precision_loss, reason = "times and counts here are below 2^52")]
fn nanos_each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// Waits for the system's own threads, and syncs the whole file system, so that no one pays for what
/// another wrote.
fn settle(place: &Path) -> Outcome {
    let directory = fs::File::open(place)?;
    let mut written = bytes_written()?;
    let begun = Instant::now();
    let mut changed = begun;
    while changed.elapsed() < QUIET {
        thread::sleep(LOOK);
        let now = bytes_written()?;
        if now != written {
            (written, changed) = (now, Instant::now());
        }
        if begun.elapsed() > PATIENCE {
            return Err("the system's preparations do not end".into());
        }
    }
    // SAFETY: the descriptor is open for the length of the call, which takes no memory.
    let result = unsafe { libc::syncfs(directory.as_raw_fd()) };
    if result != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    thread::sleep(LOOK);
    Ok(())
}

/// How much this process has written since it began.
fn bytes_written() -> Outcome<u64> {
    let counts = fs::read_to_string("/proc/self/io")?;
    let line = counts.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.ok_or("/proc/self/io has no wchar")?.parse()?)
}

fn append(system: &dyn System, place: &Path, plan: &Plan) -> Outcome<f64> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::create_dir_all(place)?;
    let each = plan.records / plan.threads as u64;
    let warm_up = (each / 20).max(BATCH_RECORDS as u64);
    let room = Plan { records: (each + warm_up) * plan.threads as u64, ..*plan };
    let log = system.open(place, &room)?;
    let time = timed_threads(log.as_ref(), plan, (warm_up, each), place)?;
    log.close()?;
    Ok(nanos_each(time, each * plan.threads as u64))
}

/// The time from the first thread's start to the last one's end. Each takes its own: on few cores
/// the thread that waits for them comes late to both.
///
/// The system's preparations are waited for after the warm-up, since the first append of a log may
/// be what sets them going.
fn timed_threads(
    log: &dyn Log,
    plan: &Plan,
    (warm_up, each): (u64, u64),
    place: &Path,
) -> Outcome<Duration> {
    let barrier = Barrier::new(plan.threads + 1);
    let spans = thread::scope(|scope| -> Outcome<Vec<(Instant, Instant)>> {
        let mut threads = Vec::new();
        for number in 0..plan.threads {
            let barrier = &barrier;
            threads.push(scope.spawn(move || -> Outcome<(Instant, Instant)> {
                let warmed = repeat(plan.timed, log, number, plan.record_bytes, warm_up);
                barrier.wait();
                barrier.wait();
                warmed?;
                let start = Instant::now();
                repeat(plan.timed, log, number, plan.record_bytes, each)?;
                Ok((start, Instant::now()))
            }));
        }
        barrier.wait();
        let settled = settle(place);
        barrier.wait();
        settled?;
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect()
    })?;
    let start = spans.iter().map(|span| span.0).min().ok_or("no threads")?;
    let end = spans.iter().map(|span| span.1).max().ok_or("no threads")?;
    Ok(end - start)
}

/// Appends `records` records from one thread.
fn repeat(
    operation: Operation,
    log: &dyn Log,
    thread: usize,
    record_bytes: usize,
    records: u64,
) -> Outcome {
    let mut payload = payload(record_bytes);
    if operation == Operation::Batch {
        let payloads = [payload.as_slice(); BATCH_RECORDS];
        for _ in 0..records / BATCH_RECORDS as u64 {
            log.append_batch(&payloads)?;
        }
        return Ok(());
    }
    for number in 0..records {
        payload[..8].copy_from_slice(&number.to_le_bytes());
        match operation {
            Operation::Append => log.append(thread, &payload)?,
            Operation::Buffered => log.append_buffered(&payload)?,
            _ => log.append_durable(thread, &payload)?,
        }
    }
    if operation == Operation::Buffered { log.write_out() } else { Ok(()) }
}

/// Bytes that do not compress well, the same in every run.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

/// The log is filled once, and opened in every round.
fn replay(system: &dyn System, place: &Path, plan: &Plan) -> Outcome<f64> {
    if !place.exists() {
        fs::create_dir_all(place)?;
        let log = system.open(place, plan)?;
        log.fill(&payload(plan.record_bytes), plan.records)?;
        log.close()?;
    }
    settle(place)?;
    let start = Instant::now();
    let log = system.open(place, plan)?;
    let found = log.replay()?;
    let time = start.elapsed();
    log.close()?;
    if found != plan.records {
        return Err(format!("{found} records were replayed, {} were appended", plan.records).into());
    }
    Ok(nanos_each(time, found))
}

/// The log is filled by a child process, which closes it or is killed. Only the first opening after
/// a kill is one, so that log is filled in every round.
fn open(system: &dyn System, place: &Path, plan: &Plan, killed: bool) -> Outcome<f64> {
    if killed && place.exists() {
        fs::remove_dir_all(place)?;
    }
    if !place.exists() {
        fs::create_dir_all(place)?;
        settle(place)?;
        child::fill(system.name(), place, plan, killed)?;
    }
    if !killed {
        settle(place)?;
    }
    let start = Instant::now();
    let log = system.open(place, plan)?;
    let time = start.elapsed();
    log.close()?;
    Ok(nanos_each(time, 1))
}
