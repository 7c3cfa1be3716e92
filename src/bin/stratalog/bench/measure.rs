//! [`measure`]: the run itself.
//!
//! Invariant: nothing that measures stands in the way of what is measured. A thread that appends
//! shares with the others only two cells that it reads; what the run looks like meanwhile is asked of
//! the log by a thread that appends nothing.
//!
//! 1. The caller has appended one record, so that the first segment is there; its making is no part
//!    of the run.
//! 2. All threads wait for the start, then append until the time is up or they are told to stop. The
//!    end of one append is the beginning of the next: one look at the clock for each. Where that
//!    would weigh too much, with buffered appends, one of sixteen is timed by itself, and the others
//!    together.
//! 3. The calling thread counts the syncs of each slice, shows progress, and looks for Ctrl-C. What
//!    waits for the disk, letting go of old segments, has a thread of its own.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{Log, Lsn};

use super::keeper::Keeper;
use super::plan::{Mode, Plan};
use super::series::{Cut, Series};
use crate::latencies::nanoseconds;

/// Of buffered appends one in so many is timed by itself.
pub(super) const TIMED_ONE_OF: u64 = 16;
/// Payloads begin at this many places of a pool of bytes in turn, so that no two neighbours are equal.
const POOL_BYTES: usize = 4096;
/// How often the calling thread looks at the log, at least.
const LONGEST_TICK: Duration = Duration::from_millis(50);

/// What a run gave.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) series: Series,
    /// How many syncs ended in each slice.
    pub(super) syncs_of_slice: Vec<u64>,
    pub(super) syncs: u64,
    pub(super) writes: u64,
    pub(super) segment_misses: u64,
    pub(super) interrupted: bool,
    /// How long it took to make the rest durable after the last append.
    pub(super) final_sync: Duration,
    /// What a look at the clock and noting a latency costs.
    pub(super) overhead_ns: u64,
}

/// What is known while the run goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    pub(super) elapsed: Duration,
    /// How far the log has grown since the start, in bytes.
    pub(super) grown_bytes: u64,
    pub(super) syncs: u64,
}

/// What appending threads are told.
#[derive(Debug, Default)]
struct Signals {
    start: OnceLock<Instant>,
    stop: OnceLock<()>,
}

/// Runs the plan on a log. `glance` is called now and then; where it returns false the run ends.
///
/// # Errors
///
/// The first of any append, and of the last sync.
pub(super) fn measure(
    log: &Log,
    plan: &Plan,
    mut glance: impl FnMut(Glance) -> bool,
) -> stratalog::Result<Taken> {
    let cut = Cut::new(plan.time, plan.threads);
    let begun = log.append_durable(&vec![0; plan.payload_bytes])?;
    let before = log.stats();
    let signals = Arc::new(Signals::default());
    let (done, threads_done) = mpsc::channel();
    let threads: Vec<_> = (0..plan.threads)
        .map(|number| {
            let (log, signals, done) = (log.clone(), Arc::clone(&signals), done.clone());
            let series = Series::new(cut, plan.segment_bytes, begun.get());
            let worker = Worker::new(log, plan, number, series);
            thread::spawn(move || worker.run(&signals, done))
        })
        .collect();
    drop(done);

    let mut syncs_of_slice = vec![0; cut.slices];
    let start = Instant::now();
    let _ = signals.start.set(start);
    let tick = LONGEST_TICK.min(Duration::from_nanos(cut.slice_ns));
    let (mut syncs, mut interrupted) = (before.syncs, false);
    let keeper = Keeper::start(log, plan.keep_bytes);
    let after = loop {
        let ended = threads_done.recv_timeout(tick) == Err(RecvTimeoutError::Disconnected);
        let (elapsed, stats) = (start.elapsed(), log.stats());
        if let Some(count) = syncs_of_slice.get_mut(cut.slice_of(nanoseconds(elapsed))) {
            *count += stats.syncs - syncs;
        }
        syncs = stats.syncs;
        if ended {
            break stats;
        }
        keeper.look_at(stats.bytes);
        let grown_bytes = stats.tail.get() - begun.get();
        let seen = Glance { elapsed, grown_bytes, syncs: syncs - before.syncs };
        interrupted |= !glance(seen);
        if interrupted || keeper.has_failed() {
            let _ = signals.stop.set(());
        }
    };
    let mut series = Series::new(cut, plan.segment_bytes, begun.get());
    let mut failed = None;
    for thread in threads {
        match thread.join() {
            Ok(Ok(part)) => series.merge(&part),
            Ok(Err(error)) => failed = failed.or(Some(error)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    let kept = keeper.end();
    failed.map_or(kept, Err)?;
    let rest = Instant::now();
    log.sync()?;
    Ok(Taken {
        series,
        syncs_of_slice,
        syncs: after.syncs - before.syncs,
        writes: after.writes - before.writes,
        segment_misses: after.segment_misses - before.segment_misses,
        interrupted,
        final_sync: rest.elapsed(),
        overhead_ns: overhead_ns(cut),
    })
}

/// One thread that appends.
struct Worker {
    log: Log,
    mode: Mode,
    time: Duration,
    payload_bytes: usize,
    pool: Vec<u8>,
    turn: usize,
    series: Series,
}

impl Worker {
    fn new(log: Log, plan: &Plan, number: usize, series: Series) -> Self {
        let pool = noise(plan.payload_bytes + POOL_BYTES, number as u64);
        let (mode, time, payload_bytes) = (plan.mode, plan.time, plan.payload_bytes);
        Self { log, mode, time, payload_bytes, pool, turn: 0, series }
    }

    /// Appends until the end. `_done` goes with the thread, which tells that it has ended.
    fn run(mut self, signals: &Signals, _done: Sender<()>) -> stratalog::Result<Series> {
        let result = match self.mode {
            Mode::Committed => self.each(signals, Log::append),
            Mode::Durable => self.each(signals, Log::append_durable),
            Mode::Batch { records, durable } => self.batches(signals, records, durable),
            Mode::Buffered => self.buffered(signals),
        };
        if result.is_err() {
            // One error is enough: the others need not run into it.
            let _ = signals.stop.set(());
        }
        result.map(|()| self.series)
    }

    /// One record at a time, each of them timed.
    fn each(
        &mut self,
        signals: &Signals,
        append: impl Fn(&Log, &[u8]) -> stratalog::Result<Lsn>,
    ) -> stratalog::Result<()> {
        let start = *signals.start.wait();
        let mut before = start.elapsed();
        loop {
            let lsn =
                append(&self.log, next_payload(&self.pool, &mut self.turn, self.payload_bytes))?;
            let after = start.elapsed();
            let ended_ns = nanoseconds(after);
            self.series.record(ended_ns, nanoseconds(after.saturating_sub(before)), 1);
            self.series.note_address(lsn.get(), ended_ns);
            before = after;
            if self.is_over(signals, after) {
                return Ok(());
            }
        }
    }

    /// Whole batches, each of them timed.
    fn batches(&mut self, signals: &Signals, count: usize, durable: bool) -> stratalog::Result<()> {
        let batch: Vec<Vec<u8>> = (0..count)
            .map(|_| next_payload(&self.pool, &mut self.turn, self.payload_bytes).to_vec())
            .collect();
        let start = *signals.start.wait();
        let mut before = start.elapsed();
        loop {
            let range = self.log.append_batch(&batch)?;
            if durable {
                // A batch is durable as a whole.
                self.log.sync_to(range.start)?;
            }
            let after = start.elapsed();
            let ended_ns = nanoseconds(after);
            let took_ns = nanoseconds(after.saturating_sub(before));
            self.series.record(ended_ns, took_ns, count as u64);
            self.series.note_address(range.start.get(), ended_ns);
            before = after;
            if self.is_over(signals, after) {
                return Ok(());
            }
        }
    }

    /// Buffered records: one is timed by itself, the next fifteen together.
    fn buffered(&mut self, signals: &Signals) -> stratalog::Result<()> {
        let start = *signals.start.wait();
        let mut before = start.elapsed();
        loop {
            let payload = next_payload(&self.pool, &mut self.turn, self.payload_bytes);
            self.log.append_buffered(payload)?;
            let middle = start.elapsed();
            let took_ns = nanoseconds(middle.saturating_sub(before));
            self.series.record(nanoseconds(middle), took_ns, 1);
            let mut lsn = Lsn::new(0);
            for _ in 1..TIMED_ONE_OF {
                let payload = next_payload(&self.pool, &mut self.turn, self.payload_bytes);
                lsn = self.log.append_buffered(payload)?;
            }
            let after = start.elapsed();
            let ended_ns = nanoseconds(after);
            let together_ns = nanoseconds(after.saturating_sub(middle));
            self.series.record_untimed(ended_ns, together_ns, TIMED_ONE_OF - 1);
            self.series.note_address(lsn.get(), ended_ns);
            before = after;
            if self.is_over(signals, after) {
                return Ok(());
            }
        }
    }

    /// Each thread appends at least once, however late it gets to it.
    #[inline]
    fn is_over(&self, signals: &Signals, elapsed: Duration) -> bool {
        elapsed >= self.time || signals.stop.get().is_some()
    }
}

/// The next piece of the pool.
#[inline]
fn next_payload<'a>(pool: &'a [u8], turn: &mut usize, bytes: usize) -> &'a [u8] {
    let at = *turn;
    *turn = (at + 64) % POOL_BYTES;
    pool.get(at..at + bytes).unwrap_or_default()
}

/// Bytes that no file system can compress: a xorshift generator's.
fn noise(bytes: usize, number: u64) -> Vec<u8> {
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut pool = Vec::with_capacity(bytes + 8);
    while pool.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pool.extend_from_slice(&state.to_le_bytes());
    }
    pool.truncate(bytes);
    pool
}

/// What timing one append costs: a look at the clock, and noting it.
fn overhead_ns(cut: Cut) -> u64 {
    const ROUNDS: u64 = 20_000;
    let mut series = Series::new(cut, 1 << 20, 0);
    let start = Instant::now();
    let mut before = start.elapsed();
    for _ in 0..ROUNDS {
        let after = start.elapsed();
        series.record(nanoseconds(after), nanoseconds(after.saturating_sub(before)), 1);
        before = after;
    }
    std::hint::black_box(series.ended_ns());
    nanoseconds(start.elapsed()) / ROUNDS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use stratalog::Options;
    use stratalog::storage::MemoryStorage;

    use super::*;

    fn plan(mode: Mode) -> Plan {
        Plan {
            mode,
            threads: 2,
            payload_bytes: 100,
            time: Duration::from_millis(200),
            segment_bytes: 16 << 10,
            keep_bytes: 64 << 10,
        }
    }

    fn run(plan: &Plan, glance: impl FnMut(Glance) -> bool) -> (Log, Taken) {
        let mut options = Options::new();
        options.segment_bytes(plan.segment_bytes).write_buffer_bytes(4096);
        let log = options.open_with(MemoryStorage::new()).expect("a log in memory");
        let taken = measure(&log, plan, glance).expect("memory does not fail");
        (log, taken)
    }

    #[test]
    fn every_record_that_was_counted_was_appended() {
        let batch = Mode::Batch { records: 7, durable: true };
        for mode in [Mode::Committed, Mode::Durable, batch, Mode::Buffered] {
            let mut plan = plan(mode);
            // Nothing is dropped, so all of them can be counted.
            plan.keep_bytes = u64::MAX;
            plan.time = Duration::from_millis(20);
            let (log, taken) = run(&plan, |_| true);
            let whole = taken.series.whole();
            assert_eq!(log.snapshot().iter().count() as u64, whole.records + 1, "{mode:?}");
            assert!(whole.latencies.count() > 0 && whole.latencies.longest_ns() > 0, "{mode:?}");
            assert_eq!(taken.syncs_of_slice.iter().sum::<u64>(), taken.syncs, "{mode:?}");
        }
    }

    #[test]
    fn old_segments_go_while_it_runs() {
        let mut plan = plan(Mode::Durable);
        // Until it has rolled a good many times, however slow the machine.
        plan.time = Duration::from_secs(3600);
        let (log, taken) = run(&plan, |seen| seen.grown_bytes < 20 * plan.segment_bytes);
        assert!(log.head() > Lsn::new(0), "nothing was dropped");
        assert!(!taken.series.rolls_ns().is_empty());
    }

    #[test]
    fn a_run_ends_when_it_is_told_to() {
        let mut plan = plan(Mode::Committed);
        plan.time = Duration::from_secs(3600);
        plan.keep_bytes = 1 << 20;
        let (_, taken) = run(&plan, |seen| seen.grown_bytes < 10_000);
        assert!(taken.interrupted && taken.series.whole().records > 0);
    }

    #[test]
    fn payloads_that_follow_each_other_differ() {
        let pool = noise(100 + POOL_BYTES, 3);
        let mut turn = 0;
        let payloads: HashSet<&[u8]> =
            (0..64).map(|_| next_payload(&pool, &mut turn, 100)).collect();
        assert_eq!(payloads.len(), 64);
        assert!(payloads.iter().all(|payload| payload.len() == 100));
    }
}
