//! [`Latencies`]: the times of single calls, all of them kept, and their percentiles.
//!
//! Invariant: a percentile is the time of a call that was made; nothing is put into classes.

use std::time::{Duration, Instant};

/// In nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    nanos: Vec<u64>,
    is_sorted: bool,
}

impl Latencies {
    pub(crate) const fn new() -> Self {
        Self { nanos: Vec::new(), is_sorted: false }
    }

    pub(crate) fn with_capacity(calls: usize) -> Self {
        Self { nanos: Vec::with_capacity(calls), is_sorted: false }
    }

    pub(crate) fn push(&mut self, time: Duration) {
        self.nanos.push(nanos(time));
        self.is_sorted = false;
    }

    /// Makes the call and keeps its time.
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        self.push(start.elapsed());
        result
    }

    pub(crate) fn append(&mut self, mut others: Self) {
        self.nanos.append(&mut others.nanos);
        self.is_sorted = false;
    }

    pub(crate) fn count(&self) -> usize {
        self.nanos.len()
    }

    /// How many calls took longer.
    pub(crate) fn above(&self, time: Duration) -> usize {
        self.nanos.iter().filter(|nanos| **nanos > self::nanos(time)).count()
    }

    /// In microseconds. Not a number where there were no calls.
    pub(crate) fn mean(&self) -> f64 {
        self.nanos.iter().sum::<u64>() as f64 / self.nanos.len() as f64 / 1e3
    }

    /// The time, in microseconds, that `share` of the calls did not exceed: 0.5 is the median, 1.0 the
    /// longest. Not a number where there were no calls.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        if !self.is_sorted {
            self.nanos.sort_unstable();
            self.is_sorted = true;
        }
        let last = self.nanos.len().saturating_sub(1);
        // A share is never negative.
        #[allow(clippy::cast_sign_loss, reason = "a share is never negative")]
        let at = (last as f64 * share).round() as usize;
        self.nanos.get(at).map_or(f64::NAN, |nanos| *nanos as f64 / 1e3)
    }
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a benchmark is short")
}
