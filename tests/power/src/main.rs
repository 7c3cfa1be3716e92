//! Power cuts on real file systems: ext4, xfs and btrfs on a device whose writes and flushes are
//! recorded, with a log on it.
//!
//! Invariant: an exit code of 0 means that every promise was kept after every cut that was counted,
//! or that a reason was printed why nothing could be tested.
//!
//! 1. A device is a file in memory, served over FUSE ([`served`]), under a loop device. Each write
//!    and each flush of the file system above is an entry of its recording ([`device`]).
//! 2. Threads work on a log there ([`workload`]). Each call that returned is noted with the number
//!    of entries that there were ([`history`]).
//! 3. A power cut is a number of entries, and a choice of what of the unflushed writes got through
//!    ([`cut`]). The image is mounted, the log opened, and held to what it had promised by then
//!    ([`check`]); then the recovery itself is cut, and the recovery from that.
//! 4. Three more nets stand on the same floor: a process that is killed before the power goes
//!    ([`killed`]), a disk that fails writes and is well again ([`failing`], [`unwritten`]), and the file
//!    system's own shutdown ([`shutdown`]).
//!
//! What no cut here can show: a trailer that reached the disk before its frames. Its block was
//! reserved and never written, so ext4 and xfs show zeros there until their journal says otherwise,
//! and that comes after a flush; btrfs never writes in place. The simulated storage shows it.

mod arguments;
mod check;
#[path = "../../it/common.rs"]
#[allow(dead_code, reason = "shared with the integration tests, which use all of it")]
mod common;
mod cut;
mod cuts;
mod device;
mod extents;
mod failing;
mod history;
mod killed;
mod kind;
mod os;
mod pages;
mod served;
mod shutdown;
mod unwritten;
mod workload;
mod workplace;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arguments::{Arguments, HELP, Net};
use check::{Broken, Checker, Count};
use cuts::Cuts;
use kind::Kind;
use pages::Pages;
use workplace::Workplace;

/// A round that is not over so long after the time is a hang.
const LONGEST: Duration = Duration::from_secs(300);
/// A file system whose disk fails in so many rounds without a write of the log that notices has none.
const FAILING_ROUNDS: u64 = 80;
/// After fewer rounds, as where one is repeated, nothing is said of that.
const FEWEST_ROUNDS: u64 = 10;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == killed::CHILD) {
        return exit(killed::child(std::env::args().skip(2)));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = now.as_millis() as u64 % 1_000_000_000;
    let arguments = match arguments::parse(std::env::args().skip(1), seed) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    exit(run(&arguments))
}

fn exit(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Why nothing can be tested here.
fn missing() -> Option<String> {
    if !os::is_root() {
        return Some("not root".into());
    }
    let needed = ["/dev/fuse", "/dev/loop-control", "/proc/self/mountinfo"];
    let absent = needed.into_iter().find(|path| !Path::new(path).exists());
    absent.map(|path| format!("there is no {path}"))
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let skip = |what: &str, reason: &str| {
        println!("{what}: skipped: {reason}");
        if arguments.require { Err(format!("{what} is required")) } else { Ok(()) }
    };
    if let Some(reason) = missing() {
        return skip("power cuts", &reason);
    }
    let mut kinds = Vec::new();
    for kind in &arguments.kinds {
        match kind.missing() {
            Some(reason) => skip(kind.name(), &reason)?,
            None => kinds.push(*kind),
        }
    }
    let place = Workplace::new().map_err(|error| format!("no place to work: {error}"))?;
    place.end_after(arguments.time + LONGEST);
    println!("seed {}, {} s", arguments.seed, arguments.time.as_secs());
    // At the same time, as mounting is mostly waiting.
    let stop = AtomicBool::new(false);
    let ended: Vec<Result<(), String>> = thread::scope(|scope| {
        let start = |kind| {
            let (place, stop) = (&place, &stop);
            scope.spawn(move || {
                let result = test(place, kind, arguments, stop);
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                result
            })
        };
        let running: Vec<_> = kinds.into_iter().map(start).collect();
        let panicked = |_| Err("the harness panicked".into());
        running.into_iter().map(|test| test.join().unwrap_or_else(panicked)).collect()
    });
    let broken: Vec<String> = ended.into_iter().filter_map(Result::err).collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

/// Runs the nets in turn on one file system until the time is over, each at least once.
fn test(
    place: &Workplace,
    kind: Kind,
    arguments: &Arguments,
    stop: &AtomicBool,
) -> Result<(), String> {
    let start = Instant::now();
    let empty = place.make(kind)?;
    let deadline = start + arguments.time;
    let mut checker = Checker { place, kind, count: Count::default(), deadline };
    let is_over = || Instant::now() >= deadline || stop.load(Ordering::Relaxed);
    let mut seed = arguments.seed;
    while seed == arguments.seed || !is_over() {
        for net in [Net::Failing, Net::Killed, Net::Shutdown, Net::Cuts] {
            if arguments.includes(net) && (seed == arguments.seed || !is_over()) {
                told(&mut checker, &empty, net, seed, arguments)?;
            }
        }
        seed += 1;
    }
    // A write meets the failing disk in one of some four rounds, so now and then in none of so few.
    let expects = seed - arguments.seed >= FEWEST_ROUNDS
        && arguments.includes(Net::Failing)
        && kind.writes_in_place();
    let is_idle = |checker: &Checker<'_>| {
        expects && checker.count.failures == 0 && !stop.load(Ordering::Relaxed)
    };
    while is_idle(&checker) && seed - arguments.seed < FAILING_ROUNDS {
        told(&mut checker, &empty, Net::Failing, seed, arguments)?;
        seed += 1;
    }
    summary(&checker.count, kind, start.elapsed());
    if is_idle(&checker) {
        let rounds = seed - arguments.seed;
        return Err(format!("{kind}: in {rounds} rounds no write of the log met a failing disk"));
    }
    Ok(())
}

/// One round of a net, of which is told what was asked for; a broken promise with all that repeats it.
fn told(
    checker: &mut Checker<'_>,
    empty: &Pages,
    net: Net,
    seed: u64,
    arguments: &Arguments,
) -> Result<(), String> {
    let (kind, before) = (checker.kind, checker.count.cuts);
    match one(checker, empty, net, seed, arguments) {
        Ok(what) => {
            if arguments.verbose && !what.is_empty() {
                println!("{kind}, seed {seed}: {what}");
            }
            Ok(())
        }
        Err(broken) => {
            let count = checker.count.cuts;
            let what = format!(
                "{kind}, {net:?}, seed {seed}, cut {} of this round, {count} in all",
                count - before
            );
            Err(report(arguments, kind, &what, seed, broken))
        }
    }
}

fn summary(count: &Count, kind: Kind, time: Duration) {
    let Count { cuts, deeper, torn, rewritten, created, failures } = count;
    println!(
        "{kind}: {cuts} cuts in {:.0} s ({:.1} a second), {deeper} of them in or after a recovery; \
         {torn} tails cut, {rewritten} rewritten, {created} logs not yet there, {failures} disks \
         failed; all promises kept",
        time.as_secs_f64(),
        *cuts as f64 / time.as_secs_f64(),
    );
}

fn one(
    checker: &mut Checker<'_>,
    empty: &Pages,
    net: Net,
    seed: u64,
    arguments: &Arguments,
) -> Result<String, Broken> {
    let in_place = checker.kind.writes_in_place();
    match net {
        Net::Cuts => {
            let cuts = match arguments.cuts {
                0 => Cuts::Every,
                count => Cuts::Some(count),
            };
            cuts::round(checker, empty, seed, cuts)
        }
        Net::Killed => killed::round(checker, empty, seed, 4),
        Net::Failing if in_place => {
            let unwritten = unwritten::round(checker, empty, seed)?;
            let done = failing::round(checker, empty, seed, 4)?;
            let done = done.map(|done| format!("{done}; {unwritten}"));
            checker.count.failures += u64::from(done.is_some());
            Ok(done.unwrap_or_else(|| "nothing failed".into()))
        }
        Net::Shutdown if in_place => {
            let records = shutdown::round(checker, empty, seed, 4)?;
            Ok(format!("shut down 4 times, {records} records"))
        }
        Net::Failing | Net::Shutdown => Ok(String::new()),
    }
}

/// Says what was broken and how to see it, and keeps the image.
fn report(arguments: &Arguments, kind: Kind, what: &str, seed: u64, broken: Broken) -> String {
    let mut text = format!("{what}: A PROMISE WAS BROKEN\n  {}", broken.what);
    if let (Some(folder), Some(image)) = (&arguments.keep, broken.image) {
        let path = folder.join(format!("{kind}-{seed}.img"));
        let path_text = path.display();
        text = match keep(&path, &image) {
            Ok(()) => format!("{text}\n  the image is {path_text}"),
            Err(error) => format!("{text}\n  the image could not be kept: {error}"),
        };
    }
    text
}

fn keep(path: &Path, image: &Pages) -> std::io::Result<()> {
    let file = File::create(path)?;
    file.set_len(image.bytes())?;
    let step = 1 << 20;
    for offset in (0..image.bytes()).step_by(step) {
        let bytes = image.read(offset, step);
        if bytes.iter().any(|byte| *byte != 0) {
            file.write_all_at(&bytes, offset)?;
        }
    }
    Ok(())
}
