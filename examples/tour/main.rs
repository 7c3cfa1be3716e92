//! A tour of the log: four threads write what you give it, the process is killed while they do, and
//! everything that was acknowledged is looked for. Run it with
//!
//! ```text
//! cargo run --release --example tour [FILE|FOLDER]
//! ```
//!
//! Invariant: it exits with 0 only if every check held; else it says what did not, and keeps the log.
//!
//! 1. A child process appends the lines of the input, again and again, and says on a pipe what is in
//!    the log. It is killed in the middle.
//! 2. The log is opened again: recovery. All records are read and checked against the input.
//! 3. This process goes on appending where the other one was stopped, and closes the log.
//! 4. The log is opened a third time, checked, and read for speed from one thread and from two.

mod acks;
mod check;
mod input;
mod lanes;
mod picture;
mod replay;
mod screen;
mod writer;

use std::error::Error;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use stratalog::{Log, Options};

use acks::Acks;
use check::check;
use input::Input;
use screen::{Goal, Screen, grouped, speed, time};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: cargo run --release --example tour [FILE|FOLDER]";

/// Smaller than by default, so that there is more than one or two to see.
const SEGMENT_BYTES: u64 = 8 << 20;

pub(crate) fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(SEGMENT_BYTES);
    options
}

/// The result of a thread; a panic goes on here.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, Outcome<T>>) -> Outcome<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [writer, dir, input] if writer == writer::WRITER => {
            writer::write(Path::new(dir), Path::new(input))
        }
        [] => tour(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")),
        [path] if !path.to_string_lossy().starts_with('-') => tour(Path::new(path)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tour: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tour(path: &Path) -> Outcome<()> {
    let input = Input::collect(path)?;
    let folder = tempfile::tempdir()?;
    println!(
        "input: {} lines and {} KB in {} files, again and again{}",
        grouped(input.records() as u64),
        grouped(input.bytes().div_ceil(1000) as u64),
        input.files,
        if input.is_cut { " (there is more, which is left out)" } else { "" },
    );
    let input_file = folder.path().join("input");
    input.save(&input_file)?;
    let dir = folder.path().join("wal");
    match stops(&dir, &input_file, &input) {
        Ok(()) => Ok(()),
        Err(error) => {
            let kept: PathBuf = folder.keep();
            Err(format!("FAILED: {error}\n      the log is kept in {}", kept.display()).into())
        }
    }
}

fn stops(dir: &Path, input_file: &Path, input: &Input) -> Outcome<()> {
    let screen = &Screen::new();
    let temporary = std::env::temp_dir();
    println!("log:   a folder in {}, segments of {} MiB", temporary.display(), SEGMENT_BYTES >> 20);

    println!("\n1. A process writes, and is killed");
    println!("  three threads append batches of 64 lines and sync after every eighth batch,");
    println!("  one appends line by line and waits until each is durable");
    let (mut acks, killed_after) = writer::write_and_kill(dir, input_file, input, screen)?;
    println!("  killed after {}; acknowledged until then:", time(killed_after));
    println!("{}", speed("append, another process", acks.records, acks.bytes, killed_after));

    println!("\n2. The log is opened again");
    let began = Instant::now();
    let log = options().open(dir)?;
    println!("  opened in {}", time(began.elapsed()));
    print_recovery(&log, dir);
    let found = check(&log.snapshot(), input, &acks, screen)?;
    println!("  {} records are there, all as in the input,", grouped(found.records));
    println!("  among them all {} that were acknowledged\n", grouped(acks.records));
    picture::draw(&log);

    println!("\n3. Appending goes on, in this process");
    let added = go_on(&log, &found.next, input, &mut acks, screen)?;
    println!("{}", speed("append, four threads", added.records, added.bytes, added.took));
    let stats = log.stats();
    let (waits, syncs) = (grouped(added.waits), grouped(stats.syncs));
    println!("  {waits} times a thread waited for a sync; {syncs} syncs served them\n");
    picture::draw(&log);
    let began = Instant::now();
    log.close()?;
    println!("  closed in {}", time(began.elapsed()));

    println!("\n4. The log is opened after a clean close");
    let began = Instant::now();
    let log = options().open(dir)?;
    println!("  opened in {}", time(began.elapsed()));
    if !log.recovery().clean {
        return Err("the log was closed, but not found clean".into());
    }
    let found_now = check(&log.snapshot(), input, &acks, screen)?;
    if found_now.records != found.records + added.records {
        let expected = grouped(found.records + added.records);
        let found = grouped(found_now.records);
        return Err(format!("{found} records instead of {expected}").into());
    }
    println!("  {} records are there, all as in the input", grouped(found_now.records));
    replay_all(&log, found_now.records)?;
    log.close()?;
    println!("\nAll checks held.");
    Ok(())
}

/// What this process appended.
struct Added {
    records: u64,
    bytes: u64,
    /// How often a thread waited until something is durable.
    waits: u64,
    took: Duration,
}

/// Appends in all lanes from where they were stopped.
fn go_on(
    log: &Log,
    next: &[u64],
    input: &Input,
    acks: &mut Acks,
    screen: &Screen,
) -> Outcome<Added> {
    let (goal, bytes, records) = (&Goal::new(), &AtomicU64::new(0), &AtomicU64::new(0));
    let lanes = thread::scope(|scope| {
        let start = |number: &u64| {
            let number = *number;
            scope.spawn(move || {
                let mut lane = Vec::new();
                lanes::append(log, input, number, |ack| {
                    lane.push(ack);
                    let more = acks::bytes_of(&ack, input);
                    let bytes = bytes.fetch_add(more, Ordering::Relaxed) + more;
                    let records = records.fetch_add(ack.count, Ordering::Relaxed) + ack.count;
                    screen.update("this process", records, bytes);
                    Ok(if goal.is_reached(bytes) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    })
                })?;
                Ok(lane)
            })
        };
        let threads: Vec<_> = next.iter().map(start).collect();
        threads.into_iter().map(join).collect::<Outcome<Vec<_>>>()
    })?;
    let took = goal.elapsed();
    screen.clear();
    let waits = (0..).zip(&lanes).map(|(lane, acks)| lanes::waits(lane, acks.len() as u64)).sum();
    for ack in lanes.into_iter().flatten() {
        acks.add(ack, input);
    }
    let [records, bytes] = [records, bytes].map(|sum| sum.load(Ordering::Relaxed));
    Ok(Added { records, bytes, waits, took })
}

fn replay_all(log: &Log, records: u64) -> Outcome<()> {
    let (serial, took) = replay::replay(log)?;
    println!("{}", speed("replay, one thread", serial.records, serial.bytes, took));
    let (parallel, took) = replay::replay_in_parallel(log, 2)?;
    println!("{}", speed("replay, two threads", parallel.records, parallel.bytes, took));
    if serial != parallel || serial.records != records {
        return Err("the replays did not read the same".into());
    }
    Ok(())
}

/// What opening found and did, with file names instead of whole paths.
fn print_recovery(log: &Log, dir: &Path) {
    let folder = format!("{}{MAIN_SEPARATOR}", dir.display());
    for line in log.recovery().to_string().replace(&folder, "").lines() {
        println!("  {line}");
    }
}
