//! Interleaved rounds: every contestant once a round, so that what a machine does at the time falls on
//! all of them alike.
//!
//! Invariant: what is compared is compared within a round. A ratio is the median of the ratios of the
//! rounds, never the ratio of two medians. Each round begins with another contestant.

/// Has each of `count` contestants run once in each round; returns what they returned, for each
/// contestant in the order of the rounds.
pub(crate) fn interleave<T>(
    rounds: usize,
    count: usize,
    mut run: impl FnMut(usize) -> T,
) -> Vec<Vec<T>> {
    let mut results: Vec<Vec<T>> = (0..count).map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..rounds {
        for turn in 0..count {
            let contestant = (round + turn) % count;
            results[contestant].push(run(contestant));
        }
    }
    results
}

/// The middle one; of an even number the lower of the two. Not a number for none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The median of the ratios of the rounds.
pub(crate) fn median_ratio(figures: &[f64], to: &[f64]) -> f64 {
    median(figures.iter().zip(to).map(|(figure, base)| figure / base))
}
