//! [`Series`]: what one thread of `bench` measures, in memory that was bounded before it began.
//!
//! Invariant: recording takes no lock, makes no system call and shares nothing with other threads;
//! the time of a run is cut into slices, and each slice has a histogram of its own.
//!
//! 1. Each thread records into a series of its own: a latency goes into the slice it ended in.
//! 2. Afterwards the series of all threads are merged, slice by slice.
//! 3. The histogram of the whole run is the sum of the slices', so a latency is recorded once.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::latencies::{Latencies, nanoseconds};

/// How many changes of segment a thread notes.
const MAX_ROLLS: usize = 4096;

/// How a run is cut up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) slices: usize,
    pub(super) slice_ns: u64,
}

impl Cut {
    const MOST: usize = 100;
    const FEWEST: usize = 20;
    /// Of all threads together: some 100 MiB of histograms.
    const MOST_TOGETHER: usize = 6400;
    const SHORTEST_NS: u64 = 5_000_000;

    pub(super) fn new(run: Duration, threads: usize) -> Self {
        let run_ns = nanoseconds(run).max(1);
        let most = (Self::MOST_TOGETHER / threads.max(1)).clamp(Self::FEWEST, Self::MOST);
        let slice_ns = run_ns.div_ceil(most as u64).max(Self::SHORTEST_NS);
        let slices = usize::try_from(run_ns.div_ceil(slice_ns)).unwrap_or(most).max(1);
        Self { slices, slice_ns }
    }

    /// The slice of a moment; the last takes what came after the end.
    pub(super) fn slice_of(&self, at_ns: u64) -> usize {
        usize::try_from(at_ns / self.slice_ns).unwrap_or(usize::MAX).min(self.slices - 1)
    }
}

/// What happened within one slice of the run.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) latencies: Latencies,
    pub(super) records: u64,
}

impl Slice {
    fn new() -> Self {
        Self { latencies: Latencies::new(), records: 0 }
    }

    fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.records += other.records;
    }
}

/// What one thread, or all of them, measured.
#[derive(Clone, Debug)]
pub(super) struct Series {
    cut: Cut,
    slices: Vec<Slice>,
    /// Segment by its number, and when the first record was seen in it.
    rolls: BTreeMap<u64, u64>,
    segment_bytes: u64,
    /// The first address beyond the segment that was appended to last.
    segment_end: u64,
    /// When the last append ended.
    ended_ns: u64,
}

impl Series {
    /// A series that has recorded nothing. The last record before it began was at `lsn`.
    pub(super) fn new(cut: Cut, segment_bytes: u64, lsn: u64) -> Self {
        let slices = (0..cut.slices).map(|_| Slice::new()).collect();
        let segment_end = (lsn / segment_bytes + 1) * segment_bytes;
        Self { cut, slices, rolls: BTreeMap::new(), segment_bytes, segment_end, ended_ns: 0 }
    }

    /// An append of `records` ended `ended_ns` after the start; it took `took_ns`.
    #[inline]
    pub(super) fn record(&mut self, ended_ns: u64, took_ns: u64, records: u64) {
        let at = self.cut.slice_of(ended_ns);
        if let Some(slice) = self.slices.get_mut(at) {
            slice.latencies.record(took_ns);
            slice.records += records;
        }
        self.ended_ns = ended_ns;
    }

    /// `records` were appended up to `ended_ns` without a look at the clock between them. None of
    /// them took longer than `together_ns`.
    #[inline]
    pub(super) fn record_untimed(&mut self, ended_ns: u64, together_ns: u64, records: u64) {
        let at = self.cut.slice_of(ended_ns);
        if let Some(slice) = self.slices.get_mut(at) {
            slice.latencies.raise_longest(together_ns);
            slice.records += records;
        }
        self.ended_ns = ended_ns;
    }

    /// A record lies at `lsn`: notes the moment if it is the first that this thread sees there.
    #[inline]
    pub(super) fn note_address(&mut self, lsn: u64, at_ns: u64) {
        if lsn >= self.segment_end {
            self.note_roll(lsn / self.segment_bytes, at_ns);
        }
    }

    #[cold]
    fn note_roll(&mut self, segment: u64, at_ns: u64) {
        self.segment_end = (segment + 1) * self.segment_bytes;
        if self.rolls.len() < MAX_ROLLS {
            self.rolls.insert(segment, at_ns);
        }
    }

    /// Takes over what another thread measured in the same run.
    pub(super) fn merge(&mut self, other: &Self) {
        for (slice, others) in self.slices.iter_mut().zip(&other.slices) {
            slice.add(others);
        }
        for (segment, at_ns) in &other.rolls {
            let first = self.rolls.entry(*segment).or_insert(*at_ns);
            *first = (*first).min(*at_ns);
        }
        self.ended_ns = self.ended_ns.max(other.ended_ns);
    }

    /// The sum of all slices.
    pub(super) fn whole(&self) -> Slice {
        let mut whole = Slice::new();
        self.slices.iter().for_each(|slice| whole.add(slice));
        whole
    }

    pub(super) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    pub(super) fn cut(&self) -> Cut {
        self.cut
    }

    /// When the log went on in another segment, ascending.
    pub(super) fn rolls_ns(&self) -> Vec<u64> {
        let mut rolls: Vec<u64> = self.rolls.values().copied().collect();
        rolls.sort_unstable();
        rolls
    }

    /// When the last append ended.
    pub(super) fn ended_ns(&self) -> u64 {
        self.ended_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: Cut = Cut { slices: 4, slice_ns: 1000 };

    #[test]
    fn a_latency_counts_in_the_slice_it_ended_in() {
        let mut series = Series::new(CUT, 16384, 0);
        series.record(999, 100, 1);
        series.record(1000, 200, 1);
        series.record(1_000_000, 300, 5);
        let records: Vec<u64> = series.slices().iter().map(|slice| slice.records).collect();
        assert_eq!(records, [1, 1, 0, 5]);
        let longest: Vec<u64> =
            series.slices().iter().map(|slice| slice.latencies.longest_ns()).collect();
        assert_eq!(longest, [100, 200, 0, 300]);
        assert_eq!(series.ended_ns(), 1_000_000);
    }

    #[test]
    fn the_whole_is_the_sum_of_all_threads() {
        let (mut one, mut other) = (Series::new(CUT, 16384, 0), Series::new(CUT, 16384, 0));
        for at in 0..100 {
            one.record(at * 40, 10, 1);
            other.record(at * 40, 1000, 1);
        }
        other.record_untimed(3999, 5000, 15);
        one.merge(&other);
        let whole = one.whole();
        assert_eq!(
            (whole.records, whole.latencies.count(), whole.latencies.longest_ns()),
            (215, 200, 5000)
        );
        assert_eq!(whole.latencies.quantile_ns(0.25), 10);
        assert!((990..=1010).contains(&whole.latencies.quantile_ns(0.99)));
    }

    #[test]
    fn a_roll_is_noted_once_at_the_moment_the_first_thread_saw_it() {
        let (mut one, mut other) = (Series::new(CUT, 16384, 4120), Series::new(CUT, 16384, 4120));
        one.note_address(16383, 5);
        one.note_address(16384 + 4096, 20);
        one.note_address(16384 + 5000, 21);
        other.note_address(16384 + 4200, 10);
        other.note_address(3 * 16384, 30);
        one.merge(&other);
        assert_eq!(one.rolls_ns(), [10, 30]);
    }

    #[test]
    fn however_long_the_run_and_many_the_threads_memory_is_bounded() {
        for (seconds, threads) in [(0, 1), (1, 1), (5, 4), (86_400, 64), (3600, 256)] {
            let cut = Cut::new(Duration::from_secs(seconds), threads);
            assert!((1..=Cut::MOST).contains(&cut.slices), "{cut:?}");
            assert!(cut.slices * threads <= Cut::MOST_TOGETHER, "{cut:?}");
            assert!(cut.slices as u64 * cut.slice_ns >= seconds * 1_000_000_000, "{cut:?}");
        }
    }
}
