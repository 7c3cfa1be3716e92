//! [`Row`]: a histogram in steps that a reader can name, and how it is drawn in a terminal.
//!
//! Invariant: the rows together hold each latency once. Steps grow like the latencies do, by a
//! constant factor; so do the bars, or a tail of one in a thousand could not be seen.

use std::time::Duration;

use crate::latencies::Latencies;
use crate::output::{grouped, time};

/// The fine steps within a power of ten, in tenths; and coarser ones, where there would be too many.
const STEPS: [&[u64]; 3] = [&[10, 15, 20, 30, 50, 70], &[10, 20, 50], &[10]];
const MOST_ROWS: usize = 24;
const BAR_COLUMNS: u32 = 44;

/// All latencies up to an end, and beyond that of the row before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) up_to_ns: u64,
    pub(super) count: u64,
}

/// The rows from the shortest to the longest latency, in fine steps.
pub(super) fn fine_rows(latencies: &Latencies) -> Vec<Row> {
    rows(latencies, STEPS[0])
}

/// As [`fine_rows`], in steps of which there are not too many for a terminal.
fn terminal_rows(latencies: &Latencies) -> Vec<Row> {
    let mut candidates = STEPS.iter().map(|steps| rows(latencies, steps));
    candidates.find(|rows| rows.len() <= MOST_ROWS).unwrap_or_else(|| rows(latencies, &[10]))
}

fn rows(latencies: &Latencies, steps: &[u64]) -> Vec<Row> {
    let mut ends = ends(steps);
    let mut rows: Vec<Row> = Vec::new();
    let Some(mut up_to_ns) = ends.next() else { return rows };
    let mut count = 0;
    for (value_ns, times) in latencies.values() {
        while value_ns > up_to_ns {
            if count > 0 || !rows.is_empty() {
                rows.push(Row { up_to_ns, count });
            }
            count = 0;
            let Some(next) = ends.next() else { break };
            up_to_ns = next;
        }
        count += times;
    }
    if count > 0 {
        rows.push(Row { up_to_ns, count });
    }
    rows
}

/// Where the rows end: 10 ns, 15 ns, .., beyond the longest latency that a histogram holds.
fn ends(steps: &[u64]) -> impl Iterator<Item = u64> {
    (0..12).flat_map(move |power| steps.iter().map(move |step| step * 10_u64.pow(power)))
}

/// The histogram as lines of text, without a heading.
pub(super) fn draw(latencies: &Latencies) -> Vec<String> {
    let rows = terminal_rows(latencies);
    let total: u64 = rows.iter().map(|row| row.count).sum();
    let most = rows.iter().map(|row| row.count).max().unwrap_or(0);
    let line = |row: &Row| {
        let end = time(Duration::from_nanos(row.up_to_ns));
        let bar = "#".repeat(bar_columns(row.count, most));
        let text =
            format!("{end:>10} {:>13} {:>8}  {bar}", grouped(row.count), share(row.count, total));
        text.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// As many columns as the count has powers of two, scaled so that the largest fills the width; at
/// least one where there is anything.
fn bar_columns(count: u64, most: u64) -> usize {
    if count == 0 {
        return 0;
    }
    // A thousandth of a power of two is enough for a bar.
    let size = |number: u64| {
        let power = number.ilog2();
        let rest = (number - (1 << power)) * 1000 / (1 << power).max(1);
        u64::from(power) * 1000 + rest + 1000
    };
    let columns =
        size(count.min(1 << 50)) * u64::from(BAR_COLUMNS) / size(most.min(1 << 50)).max(1);
    usize::try_from(columns.clamp(1, u64::from(BAR_COLUMNS))).unwrap_or(1)
}

/// A part of a whole: `12.3 %`, `0.01 %`, `<0.01 %`.
fn share(part: u64, whole: u64) -> String {
    let parts = u128::from(part) * 10_000 / u128::from(whole.max(1));
    match parts {
        0 if part > 0 => "<0.01 %".to_owned(),
        0 => String::new(),
        parts => format!("{}.{:02} %", parts / 100, parts % 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(counts: &[(u64, u64)]) -> Latencies {
        let mut latencies = Latencies::new();
        for (value_ns, count) in counts {
            (0..*count).for_each(|_| latencies.record(*value_ns));
        }
        latencies
    }

    #[test]
    fn rows_begin_at_the_shortest_and_end_at_the_longest() {
        let latencies = with(&[(12, 3), (15, 1), (40, 2)]);
        let expected =
            [(15, 4), (20, 0), (30, 0), (50, 2)].map(|(up_to_ns, count)| Row { up_to_ns, count });
        assert_eq!(fine_rows(&latencies), expected);
        assert_eq!(fine_rows(&with(&[])), []);
    }

    #[test]
    fn no_latency_is_lost_however_far_they_are_apart() {
        let latencies = with(&[(1, 1), (90, 100), (1_000_000, 5), (99_000_000_000, 2)]);
        for rows in [fine_rows(&latencies), terminal_rows(&latencies)] {
            assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 108);
        }
        assert!(draw(&latencies).len() <= MOST_ROWS);
    }

    #[test]
    fn it_fits_into_eighty_columns_and_reads_without_colour() {
        let latencies = with(&[(150_000, 1_000_000), (180_000, 30), (900_000, 1)]);
        let lines = draw(&latencies);
        assert!(lines.iter().all(|line| line.len() <= 80), "{lines:#?}");
        let first = lines.first().expect("a line");
        assert_eq!(first.trim_end_matches('#'), "  150.0 us     1,000,000  99.99 %  ");
        assert!(first.ends_with(&"#".repeat(44)), "{first}");
        assert!(
            lines.last().expect("a line").ends_with("             1  <0.01 %  ##"),
            "{lines:#?}"
        );
    }
}
