//! Group commit: durable appends of 256 B by 1 to 256 threads, and by one thread that waits for 10,000
//! of them at a time, through futures and through callbacks.
//!
//! Invariant: a rate is that of all records from the first call to the last return; a latency is that
//! of one append as its thread sees it. `x raw` is the rate against the syncs that one thread makes in
//! the same round with plain writes and nothing beside it, so it says how many records there are to
//! what would be one sync. No segment ends meanwhile.
//!
//! Those of one thread are appended buffered. Beside them stands the least that can be done for as
//! many: to append them all and sync once.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts of a benchmark are small and known"
)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use common::executor::Tasks;
use common::latencies::Latencies;
use common::raw::Raw;
use common::rounds::{interleave, median, median_ratio};
use common::{MIB, Supply, frame_bytes, full_or_quick, is_wanted, payload, settle};
use stratalog::{Log, Stats};

const PAYLOAD_BYTES: usize = 256;
const THREADS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// What the appends of one point may take of the log.
const ROOM_BYTES: u64 = 16 * MIB;
const OUTSTANDING: usize = 10_000;

fn main() {
    let segment_bytes = full_or_quick(64 * MIB, ROOM_BYTES + MIB);
    let mut supply = Supply::new(segment_bytes);
    if is_wanted("threads") {
        threads(&mut supply);
    }
    if is_wanted("outstanding") {
        outstanding(&mut supply);
    }
}

/// What was measured of one contestant in one round.
#[derive(Default)]
struct Point {
    records: usize,
    time: Duration,
    latencies: Latencies,
    syncs: u64,
    writes: u64,
}

impl Point {
    /// Thousands in a second.
    fn rate(&self) -> f64 {
        self.records as f64 / self.time.as_secs_f64() / 1e3
    }

    fn counted(mut self, before: &Stats, after: &Stats) -> Self {
        self.syncs = after.syncs - before.syncs;
        self.writes = after.writes - before.writes;
        self
    }
}

fn threads(supply: &mut Supply) {
    let time = full_or_quick(Duration::from_millis(400), Duration::from_millis(20));
    let mut raw = Raw::new(PAYLOAD_BYTES);
    let rounds = interleave(full_or_quick(7, 1), THREADS.len() + 1, |number| {
        let Some(threads) = number.checked_sub(1).and_then(|number| THREADS.get(number)) else {
            settle();
            return raw_syncs(&mut raw, time);
        };
        let log = supply.with_room(ROOM_BYTES);
        settle();
        let before = log.stats();
        let point = appends(log, *threads, time);
        point.counted(&before, &log.stats())
    });
    println!("append_durable of 256 B; latencies in microseconds");
    println!(
        "{:<12} {:>8} {:>7} {:>8} {:>8} {:>8} {:>12} {:>12}",
        "", "K/s", "x raw", "p50", "p99", "p99.9", "records/sync", "writes/sync"
    );
    let rates = |points: &[Point]| points.iter().map(Point::rate).collect::<Vec<_>>();
    let raw_rates = rounds.first().map(|points| rates(points)).unwrap_or_default();
    let names = THREADS.iter().map(|threads| match threads {
        1 => "1 thread".to_owned(),
        _ => format!("{threads} threads"),
    });
    for (name, points) in ["raw".to_owned()].into_iter().chain(names).zip(rounds) {
        let rates = rates(&points);
        let ratio = median_ratio(&rates, &raw_rates);
        let total = |count: fn(&Point) -> f64| points.iter().map(count).sum::<f64>();
        let syncs = total(|point| point.syncs as f64);
        let records = total(|point| point.records as f64) / syncs;
        let writes = total(|point| point.writes as f64) / syncs;
        let mut latencies = Latencies::new();
        for point in points {
            latencies.append(point.latencies);
        }
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| latencies.percentile(share));
        println!(
            "{name:<12} {:>8.2} {ratio:>7.2} {p50:>8.0} {p99:>8.0} {p999:>8.0} {records:>12.2} {writes:>12.2}",
            median(rates),
        );
    }
}

fn raw_syncs(raw: &mut Raw, time: Duration) -> Point {
    let mut point = Point::default();
    let start = Instant::now();
    while start.elapsed() < time {
        point.latencies.time(|| raw.append_durable());
    }
    point.time = start.elapsed();
    point.records = point.latencies.count();
    point.syncs = point.records as u64;
    point.writes = point.syncs;
    point
}

/// Appends of all threads together. They are there before the clock starts.
fn appends(log: &Log, threads: usize, time: Duration) -> Point {
    let payload = payload(PAYLOAD_BYTES);
    let most = usize::try_from(ROOM_BYTES / frame_bytes(PAYLOAD_BYTES)).expect("few") / threads;
    let barrier = Barrier::new(threads);
    let work = || {
        let mut latencies = Latencies::with_capacity(most);
        barrier.wait();
        let start = Instant::now();
        while start.elapsed() < time && latencies.count() < most {
            latencies.time(|| log.append_durable(&payload).expect("the disk works"));
        }
        (start, Instant::now(), latencies)
    };
    let parts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let start = parts.iter().map(|part| part.0).min().expect("there are threads");
    let end = parts.iter().map(|part| part.1).max().expect("there are threads");
    let mut point = Point { time: end - start, ..Point::default() };
    for (.., latencies) in parts {
        point.latencies.append(latencies);
    }
    point.records = point.latencies.count();
    point
}

/// Appends so many records and returns when they are durable.
type Way = fn(&Log, usize);

/// One thread's ways to wait for many.
const WAYS: [(&str, Way); 4] = [
    ("all appended, one sync", one_sync),
    ("futures", futures),
    ("callbacks", callbacks),
    ("futures, ten of each place", flow),
];

fn outstanding(supply: &mut Supply) {
    let outstanding = full_or_quick(OUTSTANDING, 200);
    let records = |number: usize| if number == 3 { 10 * outstanding } else { outstanding };
    let repeats = full_or_quick(4, 1);
    let rounds = interleave(full_or_quick(9, 1), WAYS.len(), |number| {
        let mut point = Point::default();
        for _ in 0..if number == 3 { 1 } else { repeats } {
            let log = supply.with_room(records(number) as u64 * frame_bytes(PAYLOAD_BYTES) + MIB);
            settle();
            let before = log.stats();
            let start = Instant::now();
            WAYS[number].1(log, outstanding);
            let time = start.elapsed();
            point.latencies.push(time);
            point.time += time;
            point.records += records(number);
            point.syncs += log.stats().syncs - before.syncs;
        }
        point
    });
    println!("{outstanding} durable records of 256 B outstanding on one thread");
    println!(
        "{:<28} {:>8} {:>10} {:>10} {:>12}",
        "", "K/s", "x one sync", "all, ms", "records/sync"
    );
    let rates = |points: &[Point]| points.iter().map(Point::rate).collect::<Vec<_>>();
    let least = rounds.first().map(|points| rates(points)).unwrap_or_default();
    for ((name, _), points) in WAYS.iter().zip(rounds) {
        let rates = rates(&points);
        let ratio = median_ratio(&rates, &least);
        let records: usize = points.iter().map(|point| point.records).sum();
        let syncs: u64 = points.iter().map(|point| point.syncs).sum();
        let mut times = Latencies::new();
        for point in points {
            times.append(point.latencies);
        }
        println!(
            "{name:<28} {:>8.0} {ratio:>10.2} {:>10.2} {:>12.0}",
            median(rates),
            times.percentile(0.5) / 1e3,
            records as f64 / syncs as f64
        );
    }
}

fn one_sync(log: &Log, outstanding: usize) {
    let payload = payload(PAYLOAD_BYTES);
    for _ in 0..outstanding {
        log.append_buffered(&payload).expect("there is room");
    }
    log.sync().expect("the disk works");
}

fn futures(log: &Log, outstanding: usize) {
    let payload = payload(PAYLOAD_BYTES);
    let mut tasks = Tasks::new();
    for _ in 0..outstanding {
        tasks.push(log.durable_at(log.append_buffered(&payload).expect("there is room")));
    }
    tasks.run(|durable| {
        durable.expect("the disk works");
        None
    });
}

/// Whenever a record is durable another one is appended in its place.
fn flow(log: &Log, outstanding: usize) {
    let payload = payload(PAYLOAD_BYTES);
    let append = || log.durable_at(log.append_buffered(&payload).expect("there is room"));
    let mut tasks = Tasks::new();
    let mut left = 9 * outstanding;
    for _ in 0..outstanding {
        tasks.push(append());
    }
    tasks.run(|durable| {
        durable.expect("the disk works");
        left = left.checked_sub(1)?;
        Some(append())
    });
}

fn callbacks(log: &Log, outstanding: usize) {
    let payload = payload(PAYLOAD_BYTES);
    let left = Arc::new(AtomicUsize::new(outstanding));
    let waiting = thread::current();
    for _ in 0..outstanding {
        let (left, waiting) = (Arc::clone(&left), waiting.clone());
        let lsn = log.append_buffered(&payload).expect("there is room");
        log.on_durable(lsn, move |durable| {
            durable.expect("the disk works");
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                waiting.unpark();
            }
        });
    }
    while left.load(Ordering::Acquire) > 0 {
        thread::park();
    }
}
