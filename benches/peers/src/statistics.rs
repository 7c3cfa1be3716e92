//! Medians, ratios and percentiles.
//!
//! Invariant: rounds are compared with rounds of the same number only, which ran side by side.

/// Which parts in a thousand of the single appends are told, and how they are called.
pub(crate) const PER_MILLE: [(usize, &str); 3] = [(500, "p50"), (990, "p99"), (999, "p99.9")];

/// The middle one of `values`, or the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The median of each round's ratio; `None` where there are no rounds in common.
pub(crate) fn ratio(own: &[f64], other: &[f64]) -> Option<f64> {
    let ratios: Vec<f64> = own.iter().zip(other).map(|(own, other)| own / other).collect();
    (!ratios.is_empty()).then(|| median(&ratios))
}

/// The least and the greatest.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// The smallest of `sorted` that `per_mille` parts in a thousand of them do not exceed.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// [`PER_MILLE`] of the latencies, in nanoseconds.
pub(crate) fn percentiles(mut latencies: Vec<u64>) -> [f64; PER_MILLE.len()] {
    latencies.sort_unstable();
    PER_MILLE.map(|(per_mille, _)| float(percentile(&latencies, per_mille)))
}

#[expect(clippy::cast_precision_loss, reason = "times and counts here are below 2^52")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_median_is_the_middle_of_the_sorted() {
        assert!(close(median(&[9.0, 1.0, 2.0]), 2.0));
        assert!(close(median(&[9.0, 1.0, 2.0, 4.0]), 3.0));
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let raw = [100.0, 1000.0, 10.0];
        assert!(close(ratio(&[200.0, 3000.0, 10.0], &raw).unwrap(), 2.0));
        // The ratio of the medians would be 1.
        assert!(close(ratio(&[10.0, 100.0, 1000.0], &raw).unwrap(), 0.1));
        assert_eq!(ratio(&[1.0], &[]), None);
    }

    #[test]
    fn a_percentile_is_the_value_of_its_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(
            [500, 990, 999, 1000].map(|part| percentile(&hundred, part)),
            [50, 99, 100, 100]
        );
        let thousand: Vec<u64> = (1..=1000).collect();
        assert_eq!([1, 500, 990, 999].map(|part| percentile(&thousand, part)), [1, 500, 990, 999]);
        assert_eq!(percentile(&[7], 1), 7);
        assert_eq!(percentile(&[], 500), 0);
    }

    #[test]
    fn latencies_need_not_come_sorted() {
        let found = percentiles((1..=1000).rev().collect());
        assert!(close(found[0], 500.0) && close(found[1], 990.0) && close(found[2], 999.0));
    }

    #[test]
    fn the_range_holds_all() {
        assert_eq!(range(&[3.0, 1.0, 2.0]), (1.0, 3.0));
    }
}
