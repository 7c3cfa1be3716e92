//! [`Latencies`]: how long something took, many times over.
//!
//! Invariant: memory is bounded before anything is recorded, and recording allocates nothing. Values
//! are kept to one part in a hundred, the longest exactly.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer ones count as so many nanoseconds, but for the longest.
const MOST_NS: u64 = 100_000_000_000;
const DIGITS: u8 = 2;

/// How long something took, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    histogram: Histogram<u32>,
    longest_ns: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, MOST_NS, DIGITS);
        Self { histogram: histogram.expect("the bounds are in range"), longest_ns: 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, took_ns: u64) {
        self.histogram.saturating_record(took_ns);
        self.longest_ns = self.longest_ns.max(took_ns);
    }

    /// One that is known only to be no longer than this.
    #[inline]
    pub(crate) fn raise_longest(&mut self, at_most_ns: u64) {
        self.longest_ns = self.longest_ns.max(at_most_ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so there is nothing that would not fit.
        let _ = self.histogram.add(&other.histogram);
        self.longest_ns = self.longest_ns.max(other.longest_ns);
    }

    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// What this part of all does not exceed; 0 if there is none.
    pub(crate) fn quantile_ns(&self, quantile: f64) -> u64 {
        // The histogram rounds up, beyond the longest there was.
        self.histogram.value_at_quantile(quantile).min(self.longest_ns)
    }

    pub(crate) fn longest_ns(&self) -> u64 {
        self.longest_ns
    }

    /// All values and how often each was there, ascending; rounded down as they are kept.
    pub(crate) fn values(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let recorded = self.histogram.iter_recorded();
        recorded.map(|value| {
            let lowest_ns = self.histogram.lowest_equivalent(value.value_iterated_to());
            (lowest_ns, u64::from(value.count_at_value()))
        })
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How many come in a second, if so many came in a time.
pub(crate) fn per_second(number: u64, time_ns: u64) -> u64 {
    let rate = u128::from(number) * 1_000_000_000 / u128::from(time_ns.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_all_is_known_to_one_in_a_hundred() {
        let mut latencies = Latencies::new();
        (1..=10_000).for_each(|number| latencies.record(number * 1000));
        for (quantile, expected) in [(0.5, 5_000_000), (0.99, 9_900_000), (1.0, 10_000_000)] {
            let found = latencies.quantile_ns(quantile);
            assert!(found.abs_diff(expected) <= expected / 100, "{quantile}: {found}");
        }
        assert_eq!((latencies.count(), latencies.longest_ns()), (10_000, 10_000_000));
        assert_eq!(Latencies::new().quantile_ns(0.5), 0);
    }

    #[test]
    fn one_beyond_all_bounds_is_kept_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(3 * MOST_NS);
        assert_eq!((latencies.count(), latencies.longest_ns()), (1, 3 * MOST_NS));
    }

    #[test]
    fn a_rate_is_right_at_the_edges() {
        assert_eq!(per_second(5, 500_000_000), 10);
        assert_eq!(per_second(5, 0), 5_000_000_000);
        assert_eq!(per_second(u64::MAX, 1), u64::MAX);
    }
}
