//! How soon followers see a committed record, and how fast one catches up.
//!
//! Invariant: a latency is the time from before the append to after the follower's call, so the append
//! is in it. Between two appends everybody has fallen asleep, or the appender computes for so long.
//! Beside each stands what waking as many threads costs that do nothing else: `unpark`.
//!
//! Prints percentiles, since a mean hides what a follower feels.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts of a benchmark are small and known"
)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use common::rounds::{interleave, median, median_ratio};
use common::{MIB, fill, folder, full_or_quick, payload, timed_by};
use stratalog::{Error, Follower, Log, Options};

/// How long after an append the next one comes: so late that everybody sleeps; about as late as a thread
/// takes to be woken; and about when the follower has the record.
const GAP: Duration = Duration::from_micros(500);
const GAPS: [(&str, Duration); 3] =
    [("asleep", GAP), ("often", Duration::from_micros(30)), ("busy", Duration::from_micros(2))];

/// How many appends there are to a figure: as long as a scheduler takes to spread threads, many times.
fn appends(gap: Duration) -> u32 {
    full_or_quick(if gap < GAP { 10_000 } else { 2_000 }, 100)
}

fn main() {
    println!("{:<34} {:>9} {:>9} {:>9}", "microseconds", "p50", "p90", "p99");
    for count in [1, 16] {
        report(&format!("unpark, {count} threads"), unpark(count));
        for (name, gap) in GAPS {
            let (appends, seen) = follow(count, gap);
            report(&format!("append beside {count}, {name}"), appends);
            report(&format!("seen by {count}, {name}"), seen);
        }
    }
    let (appends, _) = follow(0, GAP);
    report("append beside none", appends);
    idle();
    throughput();
    catch_up();
}

fn report(name: &str, mut nanos: Vec<u64>) {
    nanos.sort_unstable();
    let percentile = |percent: usize| nanos[(nanos.len() * percent / 100).min(nanos.len() - 1)];
    let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(percent) as f64 / 1000.0);
    println!("{name:<34} {p50:>9.2} {p90:>9.2} {p99:>9.2}");
}

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).expect("a benchmark is short")
}

fn pause(gap: Duration) {
    if gap >= GAP {
        thread::sleep(gap);
        return;
    }
    let start = Instant::now();
    while start.elapsed() < gap {
        std::hint::spin_loop();
    }
}

/// The times of appends, and how long after their beginning `count` followers had the record.
fn follow(count: usize, gap: Duration) -> (Vec<u64>, Vec<u64>) {
    let folder = folder();
    let log = Options::new().segment_bytes(16 * MIB).open(folder.path()).expect("a log is made");
    log.append_durable(b"the first").expect("there is room");
    common::settle();
    let start = Instant::now();
    let ready = Arc::new(Barrier::new(count + 1));
    let followers: Vec<_> = (0..count)
        .map(|_| {
            let (follower, ready) = (log.follow(log.committed()), Arc::clone(&ready));
            let follower = follower.expect("the end is a place to follow from");
            thread::spawn(move || {
                ready.wait();
                latencies(follower, start, gap)
            })
        })
        .collect();
    ready.wait();
    let appends = (0..appends(gap)).map(|_| {
        pause(gap);
        let began = nanos(start);
        log.append(&began.to_le_bytes()).expect("there is room");
        nanos(start) - began
    });
    let appends = appends.collect();
    log.close().expect("the log closes");
    let seen = followers.into_iter().flat_map(|follower| follower.join().expect("no panic"));
    (appends, seen.collect())
}

fn latencies(mut follower: Follower, start: Instant, gap: Duration) -> Vec<u64> {
    let mut latencies = Vec::with_capacity(appends(gap) as usize);
    loop {
        match follower.next() {
            Ok(record) => {
                let now = nanos(start);
                let began = record.payload().try_into().expect("a time is in it");
                latencies.push(now - u64::from_le_bytes(began));
            }
            Err(Error::Closed) => return latencies,
            Err(error) => panic!("{error}"),
        }
    }
}

/// How long after the first call `count` parked threads run that are unparked one after the other.
fn unpark(count: usize) -> Vec<u64> {
    let start = Instant::now();
    let word = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let word = Arc::clone(&word);
            thread::spawn(move || {
                let (mut latencies, mut last) = (Vec::with_capacity(appends(GAP) as usize), 0);
                while last != u64::MAX {
                    thread::park();
                    let now = word.load(Ordering::Acquire);
                    if now != last && now != u64::MAX {
                        latencies.push(nanos(start) - now);
                    }
                    last = now;
                }
                latencies
            })
        })
        .collect();
    let wake = |value| {
        word.store(value, Ordering::Release);
        for thread in &threads {
            thread.thread().unpark();
        }
    };
    for _ in 0..appends(GAP) {
        thread::sleep(GAP);
        wake(nanos(start));
    }
    thread::sleep(GAP);
    wake(u64::MAX);
    threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
}

/// Appends without a pause, with and without a follower that waits for each.
fn throughput() {
    let calls = full_or_quick(40_000, 100);
    for threads in [1, 2, 4] {
        let rounds = interleave(full_or_quick(9, 1), 2, |followers| {
            let folder = folder();
            let log = Options::new().segment_bytes(64 * MIB).open(folder.path());
            let log = log.expect("a log is made");
            log.append_durable(b"the first").expect("there is room");
            common::settle();
            let followers: Vec<_> = (0..followers)
                .map(|_| log.follow(log.committed()).expect("the end is a place to follow from"))
                .map(|mut follower| thread::spawn(move || while follower.next().is_ok() {}))
                .collect();
            let payload = payload(128);
            let time = timed_by(threads, calls, || log.append(&payload).expect("there is room"));
            log.close().expect("the log closes");
            for follower in followers {
                follower.join().expect("no panic");
            }
            time.as_nanos() as f64 / calls as f64
        });
        let medians: Vec<_> = rounds.iter().map(|round| median(round.clone())).collect();
        println!(
            "{threads} threads append 128 B: {:.0} ns, beside a follower {:.0} ns, {:.2} x",
            medians[0],
            medians[1],
            median_ratio(&rounds[1], &rounds[0])
        );
    }
}

/// What a follower computes while records come often, and once none comes any more. Linux only.
fn idle() {
    let folder = folder();
    let log = Options::new().segment_bytes(16 * MIB).open(folder.path()).expect("a log is made");
    let mut follower = log.follow(log.committed()).expect("the end is a place to follow from");
    let (tell, told) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        tell.send(std::fs::read_link("/proc/thread-self")).expect("it is waited for");
        while follower.next().is_ok() {}
    });
    let computed = |thread: &Path| {
        let path = Path::new("/proc").join(thread).join("schedstat");
        let figures = std::fs::read_to_string(path).ok()?;
        figures.split(' ').next()?.parse::<u64>().ok()
    };
    if let Ok(path) = told.recv().expect("it tells") {
        for (name, gap) in GAPS {
            let (before, start) = (computed(&path), Instant::now());
            for _ in 0..appends(gap) {
                pause(gap);
                log.append(&[1; 8]).expect("there is room");
            }
            let wait = full_or_quick(Duration::from_millis(200), GAP);
            let (between, appended) = (computed(&path), start.elapsed());
            thread::sleep(wait);
            if let (Some(before), Some(between), Some(after)) = (before, between, computed(&path)) {
                println!(
                    "a follower computes, {name:<8} {:>8.1} % of the time; {:.3} % of {wait:?} after that",
                    (between - before) as f64 / appended.as_nanos() as f64 * 100.0,
                    (after - between) as f64 / wait.as_nanos() as f64 * 100.0,
                );
            }
        }
    }
    log.close().expect("the log closes");
    thread.join().expect("no panic");
}

/// A record of 256 B, by a follower that begins at the head, beside a snapshot's iterator.
fn catch_up() {
    let records = full_or_quick(400_000, 10_000);
    let folder = folder();
    let log: Log = fill(&folder.path().join("log"), 16 * MIB, 256, records);
    let each = |time: Duration| time.as_nanos() as f64 / records as f64;
    for _ in 0..2 {
        let start = Instant::now();
        assert_eq!(log.snapshot().iter().flatten().count() as u64, records);
        let iterated = start.elapsed();
        let mut follower = log.follow(log.head()).expect("the head is there");
        let start = Instant::now();
        let mut count = 0;
        while follower.try_next().expect("the log is whole").is_some() {
            count += 1;
        }
        assert_eq!(count, records);
        println!(
            "catching up: {:.1} ns a record, iterating {:.1} ns",
            each(start.elapsed()),
            each(iterated)
        );
    }
}
