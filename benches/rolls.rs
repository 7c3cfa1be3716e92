//! What appends cost where a segment ends and while the next spare is made, against all others.
//!
//! Invariant: a latency is that of one append of 1 KiB as its caller sees it, and belongs to one class:
//!
//! - `roll`: up to 64 records before and behind the first record of a segment;
//! - `filling`: from there until as many spares are ready as before;
//! - `elsewhere`.
//!
//! Committed appends run at a pace that leaves time to make spares, and flat out, where they use up
//! segments faster than any are made and so wait for them. Beside them stands the same number of plain
//! writes into a file of zeros at the same pace: what this machine does to a thread now and then.

#![expect(clippy::indexing_slicing, reason = "counts of a benchmark are small and known")]

mod common;

use std::fs::File;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::latencies::{Latencies, nanos};
use common::raw::{Raw, write_zeros};
use common::rounds::{interleave, median};
use common::{MIB, folder, frame_bytes, full_or_quick, is_wanted, payload, settle};
use stratalog::{Log, Lsn, Options};
use tempfile::TempDir;

const PAYLOAD_BYTES: usize = 1 << 10;
/// How near to a segment's first record an append counts to the roll.
const NEAR: usize = 64;
/// Time between the starts of two paced appends: 51 MB/s. No tick of a clock is a multiple of it.
const PACE: Duration = Duration::from_nanos(20_299);
const THREADS: usize = 8;
const LONG: Duration = Duration::from_micros(100);
const VERY_LONG: Duration = Duration::from_millis(1);
const SLICE: Duration = Duration::from_millis(50);

const CLASSES: [&str; 4] = ["roll", "filling", "elsewhere", "all"];

#[derive(Clone, Copy)]
struct Sample {
    lsn: Lsn,
    /// Nanoseconds from the run's start to the call, and to its return.
    called: u64,
    returned: u64,
}

/// How many spares there were, from so many nanoseconds after the run's start.
type Seen = (u64, usize);

/// One run of one contestant.
#[derive(Default)]
struct Run {
    classes: [Latencies; 4],
    rolls: usize,
    misses: u64,
    /// Of each slice: its start after the last roll before it, in slices, and its p99.
    slices: Vec<(Option<u64>, f64)>,
}

fn main() {
    println!("appends of 1 KiB, microseconds");
    if is_wanted("committed") {
        committed();
    }
    if is_wanted("durable") {
        durable();
    }
}

fn committed() {
    let paced = full_or_quick(48_000, 1_000);
    let flat_out = full_or_quick(250_000, 4_000);
    let large = full_or_quick(64 * MIB, MIB);
    let small = full_or_quick(4 * MIB, MIB / 4);
    let contestants: [(&str, u64, Duration, usize); 6] = [
        ("raw, paced", 0, PACE, paced),
        ("64 MiB segments, paced", large, PACE, paced),
        ("4 MiB segments, paced", small, PACE, paced),
        ("raw, flat out", 0, Duration::ZERO, flat_out),
        ("64 MiB segments, flat out", large, Duration::ZERO, flat_out),
        ("4 MiB segments, flat out", small, Duration::ZERO, flat_out),
    ];
    let rounds = interleave(full_or_quick(5, 1), contestants.len(), |number| {
        let (_, segment_bytes, pace, appends) = contestants[number];
        if segment_bytes == 0 { raw(pace, appends) } else { single(segment_bytes, pace, appends) }
    });
    println!("\ncommitted, 1 thread");
    for ((name, ..), runs) in contestants.iter().zip(rounds) {
        report(name, runs, LONG);
    }
}

fn durable() {
    let large = full_or_quick(64 * MIB, MIB);
    let contestants = [
        ("raw, 1 thread, a file of zeros made beside it", 0, true),
        ("64 MiB segments, no roll", large, false),
        ("64 MiB segments", large, true),
        ("4 MiB segments", full_or_quick(4 * MIB, MIB / 4), true),
    ];
    let time = full_or_quick(Duration::from_millis(1500), Duration::from_millis(50));
    let rounds = interleave(full_or_quick(5, 1), contestants.len(), |number| {
        let (_, segment_bytes, roll) = contestants[number];
        if segment_bytes == 0 {
            raw_beside_zeros(large, time)
        } else {
            several(segment_bytes, roll, time)
        }
    });
    println!("\ndurable, {THREADS} threads");
    for ((name, ..), runs) in contestants.iter().zip(rounds) {
        slices(&runs);
        report(name, runs, VERY_LONG);
    }
}

/// A log whose segment ends after `room` bytes, and which has its spare.
fn log(segment_bytes: u64, room: u64) -> (Log, TempDir) {
    let folder = folder();
    let log = Options::new().segment_bytes(segment_bytes).open(folder.path());
    let log = log.expect("a log can be made");
    let step = usize::try_from((room / 4).min(64 << 10)).expect("a step is small");
    let step = payload(step);
    while log.tail().get() + room + frame_bytes(step.len()) < segment_bytes {
        log.append_buffered(&step).expect("there is room");
    }
    log.sync().expect("the disk works");
    while log.stats().spares == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    settle();
    (log, folder)
}

fn pause(start: Instant, number: usize, pace: Duration) {
    let due = pace * u32::try_from(number).expect("there are few");
    while start.elapsed() < due {
        std::hint::spin_loop();
    }
}

fn raw(pace: Duration, appends: usize) -> Run {
    let mut raw = Raw::new(PAYLOAD_BYTES);
    settle();
    let mut latencies = Latencies::with_capacity(appends);
    let start = Instant::now();
    for number in 0..appends {
        pause(start, number, pace);
        latencies.time(|| raw.append());
    }
    let classes = [Latencies::default(), Latencies::default(), latencies.clone(), latencies];
    Run { classes, ..Run::default() }
}

/// Plain writes and syncs of one thread. After a third of the time another one fills a file with
/// zeros as a segment is filled that is wanted soon: 64 KiB at a time, with a sync after each MiB.
fn raw_beside_zeros(bytes: u64, time: Duration) -> Run {
    let mut raw = Raw::new(PAYLOAD_BYTES);
    let folder = folder();
    settle();
    let begun = Instant::now();
    let mut run = Run::default();
    thread::scope(|scope| {
        let zeros = scope.spawn(|| {
            thread::sleep(time / 3);
            let start = begun.elapsed();
            let file = File::create_new(folder.path().join("zeros")).expect("a file can be made");
            for step in 0..bytes / MIB {
                write_zeros(&file, step * MIB, MIB, 64 << 10);
                file.sync_data().expect("the disk works");
            }
            (start, begun.elapsed())
        });
        let mut calls = Vec::new();
        while begun.elapsed() < time {
            let called = begun.elapsed();
            raw.append_durable();
            calls.push((called, begun.elapsed()));
        }
        let (start, end) = zeros.join().expect("no thread panics");
        for (called, returned) in calls {
            let class = if returned >= start && called <= end { 1 } else { 2 };
            run.classes[class].push(returned.saturating_sub(called));
            run.classes[3].push(returned.saturating_sub(called));
        }
    });
    run
}

fn single(segment_bytes: u64, pace: Duration, appends: usize) -> Run {
    let (log, _folder) = log(segment_bytes, segment_bytes / 8);
    let payload = payload(PAYLOAD_BYTES);
    let (mut samples, mut seen) = (Vec::with_capacity(appends), vec![(0, log.stats().spares)]);
    let start = Instant::now();
    let mut next = log.tail().get();
    for number in 0..appends {
        pause(start, number, pace);
        let called = nanos(start.elapsed());
        let lsn = log.append(&payload).expect("there is space");
        samples.push(Sample { lsn, called, returned: nanos(start.elapsed()) });
        if lsn.get() != next || number % 16 == 0 {
            look(&log, start, &mut seen);
        }
        next = lsn.get() + frame_bytes(PAYLOAD_BYTES);
    }
    classify(&log, &samples, &seen)
}

fn look(log: &Log, start: Instant, seen: &mut Vec<Seen>) {
    let spares = log.stats().spares;
    if seen.last().is_none_or(|last| last.1 != spares) {
        seen.push((nanos(start.elapsed()), spares));
    }
}

/// Durable appends of several threads for `time`; the first of them looks at the spares.
fn several(segment_bytes: u64, roll: bool, time: Duration) -> Run {
    let room = if roll { segment_bytes / 10 } else { segment_bytes - segment_bytes / 16 };
    let (log, _folder) = log(segment_bytes, room);
    let payload = payload(PAYLOAD_BYTES);
    let barrier = Barrier::new(THREADS);
    let begun = Instant::now();
    let work = |looks: bool| {
        let (mut samples, mut seen) = (Vec::new(), vec![(0, log.stats().spares)]);
        barrier.wait();
        let start = Instant::now();
        while start.elapsed() < time {
            let called = nanos(begun.elapsed());
            let lsn = log.append_durable(&payload).expect("the disk works");
            samples.push(Sample { lsn, called, returned: nanos(begun.elapsed()) });
            if looks {
                look(&log, begun, &mut seen);
            }
        }
        (samples, seen)
    };
    let (mut samples, seen) = thread::scope(|scope| {
        let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(|| work(false))).collect();
        let (mut samples, seen) = work(true);
        for other in others {
            samples.append(&mut other.join().expect("no thread panics").0);
        }
        (samples, seen)
    });
    samples.sort_unstable_by_key(|sample| sample.lsn);
    classify(&log, &samples, &seen)
}

/// Puts samples, in order of their addresses, into their classes.
fn classify(log: &Log, samples: &[Sample], seen: &[Seen]) -> Run {
    let bases: Vec<u64> = log.segments().iter().map(|segment| segment.base).collect();
    let first_of = |base: &u64| samples.partition_point(|sample| sample.lsn.get() < *base);
    let rolls: Vec<usize> = bases.iter().map(first_of).collect();
    let rolls = rolls.into_iter().filter(|first| (1..samples.len()).contains(first));
    let rolls: Vec<usize> = rolls.collect();
    let filling: Vec<(u64, u64)> =
        rolls.iter().map(|roll| until_filled(samples[*roll].called, seen)).collect();
    let mut run = Run { rolls: rolls.len(), misses: log.stats().segment_misses, ..Run::default() };
    for (number, sample) in samples.iter().enumerate() {
        let near = |roll: &usize| roll.abs_diff(number) <= NEAR;
        let meets = |span: &(u64, u64)| sample.returned >= span.0 && sample.called <= span.1;
        let class = match () {
            () if rolls.iter().any(near) => 0,
            () if filling.iter().any(meets) => 1,
            () => 2,
        };
        let latency = Duration::from_nanos(sample.returned - sample.called);
        run.classes[class].push(latency);
        run.classes[3].push(latency);
    }
    let rolls: Vec<u64> = rolls.iter().map(|roll| samples[*roll].called).collect();
    run.slices = cut(samples, &rolls);
    run
}

/// The time from a roll until there are as many spares as before it, or one.
fn until_filled(roll: u64, seen: &[Seen]) -> (u64, u64) {
    let before = seen.partition_point(|(at, _)| *at <= roll);
    let wanted = seen[before - 1].1.max(1);
    let mut later = seen[before..].iter().skip_while(|(_, spares)| *spares >= wanted);
    // It fell, unless a spare was there so soon that nobody saw it.
    if later.next().is_none() {
        return (roll, roll);
    }
    let filled = later.find(|(_, spares)| *spares >= wanted);
    (roll, filled.map_or(u64::MAX, |(at, _)| *at))
}

fn cut(samples: &[Sample], rolls: &[u64]) -> Vec<(Option<u64>, f64)> {
    let slice = nanos(SLICE);
    let mut slices: Vec<Latencies> = Vec::new();
    for sample in samples {
        let number = usize::try_from(sample.returned / slice).expect("a run is short");
        slices.resize(slices.len().max(number + 1), Latencies::default());
        slices[number].push(Duration::from_nanos(sample.returned - sample.called));
    }
    // Beginnings and ends are not whole.
    let whole = (0..).zip(slices).filter(|(_, latencies)| latencies.count() > 100);
    let placed = whole.map(|(number, mut latencies)| {
        let last = rolls.iter().rfind(|roll| **roll / slice <= number);
        (last.map(|roll| number - roll / slice), latencies.percentile(0.99))
    });
    placed.collect()
}

/// Prints the slices' median and the worst of all rounds, with its place.
fn slices(runs: &[Run]) {
    let all = || runs.iter().flat_map(|run| &run.slices);
    let worst = all().max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((place, p99)) = worst else { return };
    let place = place
        .map_or("before any roll".to_owned(), |slices| format!("{} ms after a roll", slices * 50));
    let usual = median(all().map(|slice| slice.1));
    println!("p99 of a slice of 50 ms: median {usual:.0}, worst {p99:.0} ({place})");
}

/// Prints a contestant's rounds as one table, and the ratios of the rounds.
fn report(name: &str, runs: Vec<Run>, long: Duration) {
    let rolls: usize = runs.iter().map(|run| run.rolls).sum();
    let misses: u64 = runs.iter().map(|run| run.misses).sum();
    println!("{name}: {rolls} rolls, {misses} misses of a spare");
    println!(
        "  {:<10} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "",
        "appends",
        "p50",
        "p99",
        "p99.9",
        "max",
        format!("> {long:?}")
    );
    let mut ratios: [Vec<f64>; 2] = [const { Vec::new() }; 2];
    let mut classes: [Latencies; 4] = [const { Latencies::new() }; 4];
    for mut run in runs {
        let [roll, filling, elsewhere, _] =
            [0, 1, 2, 3].map(|class| run.classes[class].percentile(0.99));
        for (ratios, p99) in ratios.iter_mut().zip([roll, filling]) {
            ratios.extend(Some(p99 / elsewhere).filter(|ratio| ratio.is_finite()));
        }
        for (class, latencies) in classes.iter_mut().zip(run.classes) {
            class.append(latencies);
        }
    }
    for (class, latencies) in CLASSES.iter().zip(&mut classes) {
        if latencies.count() == 0 || (rolls == 0 && *class == "all") {
            continue;
        }
        let [p50, p99, p999, max] =
            [0.5, 0.99, 0.999, 1.0].map(|share| latencies.percentile(share));
        println!(
            "  {class:<10} {:>8} {p50:>9.2} {p99:>9.2} {p999:>9.2} {max:>9.1} {:>9}",
            latencies.count(),
            latencies.above(long)
        );
    }
    let names = ["roll", "filling"].iter().zip(ratios).filter(|(_, ratios)| !ratios.is_empty());
    let names: Vec<_> =
        names.map(|(name, ratios)| format!("{name} {:.2} x", median(ratios))).collect();
    if !names.is_empty() {
        println!("  p99 against elsewhere, median of the rounds: {}", names.join(", "));
    }
}
