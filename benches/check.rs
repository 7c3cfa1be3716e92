//! The bench gate: ratios of the log's times to those of plain calls, or to its own, held to the
//! bounds in `bounds.toml`.
//!
//! Invariant: no time is compared with a number, only with another time of the same few
//! milliseconds; a row whose median is over its bound is measured once more, with twice the rounds,
//! and if it is over again, so also when all others have been: only what is over each time fails. Of
//! threads that wait for cores that other processes have, before or after, it is said, and does not
//! count.
//!
//! Arguments: `--quick`, the fewest rounds; `--row TEXT`, only rows whose name has that in it; `--bounds
//! FILE`, others than the recorded ones; `--record`, to measure all rows five times by themselves and
//! five times beside processes that compute, write and sync, and to print the file of bounds that
//! follows, or of some rows with `--row`.

mod common;

#[path = "check/bounds.rs"]
mod bounds;
#[path = "check/load.rs"]
mod load;
#[path = "check/rows.rs"]
#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark are small")]
mod rows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use bounds::{Bound, Bounds, Verdict, judge, median};
use common::raw::Raw;
use load::Load;
use rows::{Needs, ROWS, Row};

const ROUNDS: usize = 15;
const QUICK_ROUNDS: usize = 7;
/// How often all rows are measured by themselves, and beside a load, when bounds are recorded.
const RECORDED_RUNS: usize = 5;
/// How far a recorded bound lies at least beyond the worst median, by itself and beside a load.
const SLACK: f64 = 0.25;
const LOADED_SLACK: f64 = 0.1;
/// Threads that wake each other wait for cores that others have: where computing takes that much longer
/// than alone, what they take says nothing of the log.
const CROWDED: f64 = 1.25;
/// No disk syncs a write in less.
const FASTEST_SYNC: Duration = Duration::from_micros(5);

struct Arguments {
    rounds: usize,
    record: bool,
    row: String,
    bounds: PathBuf,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bounds.toml");
        let mut parsed =
            Self { rounds: ROUNDS, record: false, row: String::new(), bounds: file.into() };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--quick" => parsed.rounds = QUICK_ROUNDS,
                "--record" => parsed.record = true,
                "--row" => parsed.row = value()?,
                "--bounds" => parsed.bounds = value()?.into(),
                _ => return Err(format!("{argument} is not known")),
            }
        }
        Ok(parsed)
    }
}

/// Why a row means nothing here, if it does not.
struct Machine {
    syncs: bool,
    cores: bool,
}

impl Machine {
    fn new() -> Self {
        let mut raw = Raw::with_bytes(128, 1 << 20);
        let syncs = (0..16).map(|_| common::timed(1, || raw.append_durable()).as_secs_f64());
        let sync = median(&syncs.collect::<Vec<_>>());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let crowding = load::crowding();
        println!("a write and its sync take {:.1} us here", sync * 1e6);
        println!("{cores} cores; computing on all takes {crowding:.2} times as long as alone");
        Self { syncs: sync >= FASTEST_SYNC.as_secs_f64(), cores: cores > 1 }
    }

    fn lacks(&self, row: &Row) -> Option<&'static str> {
        match row.needs {
            Needs::Disk if !self.syncs => Some("a sync here reaches no disk; is it tmpfs?"),
            Needs::Cores if !self.cores => Some("there is one core"),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == load::ARGUMENT) {
        return load::run();
    }
    let outcome = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| {
        if arguments.record { record(&arguments.row) } else { check(&arguments) }
    });
    match outcome {
        Ok(code) => code,
        Err(message) => {
            eprintln!("bench-check: {message}");
            ExitCode::from(2)
        }
    }
}

fn check(arguments: &Arguments) -> Result<ExitCode, String> {
    let path = arguments.bounds.display();
    let text = std::fs::read_to_string(&arguments.bounds).map_err(|e| format!("{path}: {e}"))?;
    let bounds = Bounds::parse(&text).map_err(|error| format!("{path}: {error}"))?;
    let mismatches = bounds.mismatches(&ROWS.map(|row| row.name));
    if !mismatches.is_empty() {
        return Err(format!("{path}: {}", mismatches.join("; ")));
    }
    let (begin, machine) = (Instant::now(), Machine::new());
    let (mut measured, mut late) = (0, Vec::new());
    for row in ROWS.iter().filter(|row| row.name.contains(&arguments.row)) {
        let Some(bound) = bounds.of(row.name) else { continue };
        if let Some(lack) = machine.lacks(row) {
            println!("left out  {}: {lack}", row.name);
            continue;
        }
        if row.is_gain != matches!(bound, Bound::AtLeast(_)) {
            return Err(format!("{path}: the bound of \"{}\" is of the wrong kind", row.name));
        }
        measured += 1;
        if !measure(row, bound, arguments.rounds) {
            late.push((row, bound));
        }
    }
    // What slowed a row down then, a disk that wrote back or a neighbour, may be over by now.
    let (mut unjudged, mut over) = (0, Vec::new());
    for (row, bound) in late {
        let before = if row.is_threaded { load::crowding() } else { 1.0 };
        println!("once more {}", row.name);
        if measure(row, bound, arguments.rounds) {
            continue;
        }
        let crowding = if row.is_threaded { load::crowding().max(before) } else { 1.0 };
        if crowding > CROWDED {
            unjudged += 1;
            println!("unjudged  {}: others have the cores ({crowding:.1})", row.name);
        } else {
            over.push(row.name);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{measured} rows in {seconds:.0} s, {} over, {unjudged} unjudged", over.len());
    if measured == 0 {
        return Err("no row was measured".to_owned());
    }
    for name in &over {
        eprintln!("bench-check: over its bound: {name}");
    }
    Ok(if over.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures a row, with files of its own, and tells; whether it held its bound.
fn measure(row: &Row, bound: Bound, rounds: usize) -> bool {
    let mut round = (row.prepare)();
    round();
    let verdict = judge(bound, rounds, round);
    report(row, bound, &verdict);
    verdict.held
}

fn report(row: &Row, bound: Bound, verdict: &Verdict) {
    let Verdict { first, again, held } = verdict;
    if let Some(again) = again {
        let (before, count) = (median(first), again.len());
        println!("again     {}: {before:.2}, so {count} rounds more", row.name);
    }
    let word = if *held { "held" } else { "OVER" };
    println!("{word}      {}: {:.2}, {bound}", row.name, verdict.median());
    if !held {
        println!("          rounds: {}", listed(first));
        println!("          again:  {}", listed(again.as_deref().unwrap_or_default()));
    }
}

fn listed(figures: &[f64]) -> String {
    let figures: Vec<String> = figures.iter().map(|figure| format!("{figure:.2}")).collect();
    figures.join(" ")
}

/// The medians of a row, by themselves and beside a load.
#[derive(Default)]
struct Recorded {
    quiet: Vec<f64>,
    loaded: Vec<f64>,
}

/// Measures runs of all rows. What is told goes to standard error: standard output is the file.
fn record(rows: &str) -> Result<ExitCode, String> {
    let mut recorded: [Recorded; ROWS.len()] = std::array::from_fn(|_| Recorded::default());
    for run in 0..2 * RECORDED_RUNS {
        let load = (run >= RECORDED_RUNS).then(Load::start);
        let chosen = |(row, _): &(&Row, _)| row.name.contains(rows);
        for (row, recorded) in ROWS.iter().zip(&mut recorded).filter(chosen) {
            let mut round = (row.prepare)();
            round();
            // Measured as the gate does, with a bound that follows from the first run.
            let bound = recorded.quiet.first().map(|first| row.bound(*first).widened(SLACK));
            let median = judge(bound.unwrap_or(row.any()), QUICK_ROUNDS, round).median();
            eprintln!("run {run}  {}: {median:.3}", row.name);
            let medians = if load.is_some() { &mut recorded.loaded } else { &mut recorded.quiet };
            medians.push(median);
        }
    }
    if recorded.iter().all(|recorded| recorded.quiet.is_empty()) {
        return Err("no row has such a name".to_owned());
    }
    print_bounds(&recorded);
    Ok(ExitCode::SUCCESS)
}

const HEAD: &str = "\
# The bounds of the bench gate, benches/check.rs: medians of ratios. Written anew by
#
#     scripts/bench-check.sh --record > benches/bounds.toml
#
# which measures each row in runs of 7 rounds as the gate does, five by themselves and five beside one
# process a core that computes, writes and syncs, with a lower priority. A bound lies a quarter beyond
# the worst median of the first five, and a tenth beyond that of the others, whichever is further.
# Above it: the best and the worst, by themselves; beside the load.";

fn print_bounds(recorded: &[Recorded]) {
    println!("{HEAD}");
    for (table, is_gain) in [("at_most", false), ("at_least", true)] {
        println!("\n[{table}]");
        for (row, Recorded { quiet, loaded }) in ROWS.iter().zip(recorded) {
            if row.is_gain != is_gain || quiet.is_empty() {
                continue;
            }
            let bound = |medians: &[f64], slack| {
                row.bound(best_and_worst(medians, is_gain).1).widened(slack)
            };
            let (quiet_bound, bound) = (bound(quiet, SLACK), bound(loaded, LOADED_SLACK));
            let bound = if bound.holds(quiet_bound.figure()) { bound } else { quiet_bound };
            let bound = bound.figure();
            println!("# {}; {}", span(quiet, is_gain), span(loaded, is_gain));
            println!("\"{}\" = {bound:.2}", row.name);
        }
    }
}

fn best_and_worst(medians: &[f64], is_gain: bool) -> (f64, f64) {
    let least = medians.iter().copied().fold(f64::MAX, f64::min);
    let most = medians.iter().copied().fold(0.0, f64::max);
    if is_gain { (most, least) } else { (least, most) }
}

fn span(medians: &[f64], is_gain: bool) -> String {
    let (best, worst) = best_and_worst(medians, is_gain);
    format!("{best:.2} to {worst:.2}")
}
