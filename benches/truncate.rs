//! Dropping 1 GiB, 16 segments of 64 MiB, beside a thread that appends: how long the call takes, how
//! long it takes until the files are gone, and what the appends cost until then.
//!
//! Invariant: a figure is the time of a call as its caller sees it. Latencies are of single appends of
//! 128 bytes, one after the other.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{MIB, folder, full_or_quick};
use stratalog::{Log, Options};

const SEGMENTS: u64 = 16;

fn segment_bytes() -> u64 {
    full_or_quick(64 * MIB, 2 * MIB)
}

/// Fills so many segments, syncs, and returns where the next one begins.
fn fill_segments(log: &Log) {
    let payload = vec![7; 1 << 20];
    let first = log.tail().get();
    while log.tail().get() < first + SEGMENTS * segment_bytes() {
        log.append(&payload).expect("there is space");
    }
    log.sync().expect("the disk works");
}

/// Appends until it is told to end; the latencies, ascending.
fn append_until(log: &Log, done: &AtomicBool) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        log.append(&[1; 128]).expect("the disk works");
        latencies.push(start.elapsed());
    }
    latencies.sort_unstable();
    latencies
}

fn show(what: &str, latencies: &[Duration]) {
    // Of a thousand.
    let at = |share: usize| latencies.get((latencies.len().max(1) - 1) * share / 1000).copied();
    let [p50, p99, p999, max] = [500, 990, 999, 1000].map(|share| at(share).unwrap_or_default());
    println!(
        "{what}: {} appends, p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}, max {max:?}",
        latencies.len()
    );
}

fn main() {
    let folder = folder();
    let log = Options::new().segment_bytes(segment_bytes()).open(folder.path().join("log"));
    let log = log.expect("the log opens");
    for round in 0..full_or_quick(3, 1) {
        fill_segments(&log);
        let to = log.durable();
        let (before, done) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let appender = scope.spawn(|| (append_until(&log, &before), append_until(&log, &done)));
            thread::sleep(Duration::from_millis(200));
            before.store(true, Ordering::Relaxed);
            let start = Instant::now();
            log.truncate_before(to).expect("it is durable");
            let taken = start.elapsed();
            while log.stats().unremoved > 0 {
                thread::sleep(Duration::from_millis(1));
            }
            let gone = start.elapsed();
            done.store(true, Ordering::Relaxed);
            let (before, beside) = appender.join().expect("no panic");
            println!(
                "round {round}: {} MiB dropped in {taken:?}, gone after {gone:?}",
                SEGMENTS * segment_bytes() / MIB
            );
            show("  before", &before);
            show("  beside", &beside);
        });
    }
    println!("{} segments recycled", log.stats().segments_recycled);
}
