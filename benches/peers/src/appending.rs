//! One round of a work that appends.
//!
//! Invariant: nothing is timed but the appends. The time is that from the first thread's start to the
//! last one's end. Each takes its own: on few cores the thread that waits for them comes late to both.

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::{Round, nanos_each, payload};
use crate::statistics::{float, percentiles};
use crate::stillness::settle;
use crate::system::{Log, Operation, Outcome, Plan, System};
use crate::works::BATCH_RECORDS;

pub(crate) fn round(system: &dyn System, place: &Path, plan: &Plan) -> Outcome<Round> {
    if place.exists() {
        fs::remove_dir_all(place)?;
    }
    fs::create_dir_all(place)?;
    let each = plan.records / plan.threads as u64;
    let warm_up = warm_up(plan);
    let room = Plan { records: (each + warm_up) * plan.threads as u64, ..*plan };
    let log = system.open(place, &room)?;
    let round = timed(log.as_ref(), plan, (warm_up, each), place)?;
    log.close()?;
    Ok(round)
}

/// How many records each thread appends before the clock starts.
fn warm_up(plan: &Plan) -> u64 {
    (plan.records / plan.threads as u64 / 20).max(BATCH_RECORDS as u64)
}

/// What one thread did.
struct Span {
    start: Instant,
    end: Instant,
    /// Of each single append, in nanoseconds, where they are told.
    latencies: Vec<u64>,
}

/// The system's preparations are waited for after the warm-up, since the first append of a log may
/// be what sets them going.
fn timed(log: &dyn Log, plan: &Plan, (warm_up, each): (u64, u64), place: &Path) -> Outcome<Round> {
    let barrier = &Barrier::new(plan.threads + 1);
    let mut syncs_before = None;
    let spans = thread::scope(|scope| -> Outcome<Vec<Span>> {
        let start = |number| {
            scope.spawn(move || {
                let mut task =
                    Task { log, plan, thread: number, payload: payload(plan.record_bytes) };
                let warmed = task.repeat(warm_up);
                let room = task.room_for_latencies(each);
                barrier.wait();
                barrier.wait();
                warmed?;
                task.timed(each, room)
            })
        };
        let threads: Vec<_> = (0..plan.threads).map(start).collect();
        barrier.wait();
        let settled = settle(place);
        syncs_before = log.syncs();
        barrier.wait();
        settled?;
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).collect()
    })?;
    let syncs = log.syncs().zip(syncs_before).map(|(after, before)| after - before);
    let records = each * plan.threads as u64;
    Ok(Round {
        nanos: nanos_each(whole(&spans)?, records),
        records_per_sync: syncs
            .filter(|syncs| *syncs > 0)
            .map(|syncs| float(records) / float(syncs)),
        percentiles: tells_latencies(plan)
            .then(|| percentiles(spans.into_iter().flat_map(|span| span.latencies).collect())),
    })
}

fn whole(spans: &[Span]) -> Outcome<Duration> {
    let start = spans.iter().map(|span| span.start).min().ok_or("no threads")?;
    let end = spans.iter().map(|span| span.end).max().ok_or("no threads")?;
    Ok(end - start)
}

/// Where threads share syncs, the rate does not tell how long one of them waits.
pub(crate) fn tells_latencies(plan: &Plan) -> bool {
    plan.timed == Operation::Durable && plan.threads > 1
}

/// One thread's appends.
struct Task<'a> {
    log: &'a dyn Log,
    plan: &'a Plan,
    thread: usize,
    payload: Vec<u8>,
}

impl Task<'_> {
    /// Memory that has been written, so that no page of it is missing when the clock runs.
    fn room_for_latencies(&self, records: u64) -> Vec<u64> {
        let records = usize::try_from(records).unwrap_or(usize::MAX);
        if tells_latencies(self.plan) { vec![1; records] } else { Vec::new() }
    }

    fn timed(&mut self, records: u64, mut latencies: Vec<u64>) -> Outcome<Span> {
        let start = Instant::now();
        if latencies.is_empty() {
            self.repeat(records)?;
            return Ok(Span { start, end: Instant::now(), latencies });
        }
        // One reading of the clock for each append: an append begins where the last one ended.
        let mut last = start;
        for (number, latency) in (0..).zip(&mut latencies) {
            self.append(number)?;
            let now = Instant::now();
            *latency = u64::try_from((now - last).as_nanos())?;
            last = now;
        }
        Ok(Span { start, end: last, latencies })
    }

    fn repeat(&mut self, records: u64) -> Outcome {
        if self.plan.timed == Operation::Batch {
            let payloads = [self.payload.as_slice(); BATCH_RECORDS];
            for _ in 0..records / BATCH_RECORDS as u64 {
                self.log.append_batch(&payloads)?;
            }
            return Ok(());
        }
        for number in 0..records {
            self.append(number)?;
        }
        if self.plan.timed == Operation::Buffered { self.log.write_out() } else { Ok(()) }
    }

    fn append(&mut self, number: u64) -> Outcome {
        self.payload[..8].copy_from_slice(&number.to_le_bytes());
        match self.plan.timed {
            Operation::Append => self.log.append(self.thread, &self.payload),
            Operation::Buffered => self.log.append_buffered(&self.payload),
            _ => self.log.append_durable(self.thread, &self.payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Counts appends, and syncs once for every four.
    struct Counted(AtomicU64);

    impl Log for Counted {
        fn append_durable(&self, _thread: usize, payload: &[u8]) -> Outcome {
            assert_eq!(payload.len(), 32);
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn fill(&self, _payload: &[u8], _records: u64) -> Outcome {
            Err("not offered".into())
        }

        fn replay(&self, _threads: usize) -> Outcome<u64> {
            Err("not offered".into())
        }

        fn syncs(&self) -> Option<u64> {
            Some(self.0.load(Ordering::Relaxed) / 4)
        }

        fn close(self: Box<Self>) -> Outcome {
            Ok(())
        }
    }

    #[test]
    fn the_warm_up_is_in_no_figure() {
        let directory = tempfile::tempdir().unwrap();
        for threads in [1, 3] {
            let log = Counted(AtomicU64::new(0));
            let plan = Plan { record_bytes: 32, records: 0, threads, timed: Operation::Durable };
            let round = timed(&log, &plan, (8, 40), directory.path()).unwrap();
            assert_eq!(log.0.into_inner(), 48 * threads as u64);
            assert!((round.records_per_sync.unwrap() - 4.0).abs() < f64::EPSILON);
            assert_eq!(round.percentiles.is_some(), threads > 1);
        }
    }
}
