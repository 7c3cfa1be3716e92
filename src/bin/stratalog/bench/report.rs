//! [`Report`]: what a run gave, as text and as JSON.
//!
//! Invariant: both say the same, from the same figures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::chart;
use super::measure::{TIMED_ONE_OF, Taken};
use super::plan::{Mode, Plan};
use super::series::Slice;
use crate::failure::Failure;
use crate::latencies::{nanoseconds, per_second};
use crate::output::{Output, Paint, counted, grouped, one_line, size, time};

/// The parts of all latencies at which one is told.
const QUANTILES: [(&str, &str, f64); 4] = [
    ("p50", "p50_ns", 0.5),
    ("p90", "p90_ns", 0.9),
    ("p99", "p99_ns", 0.99),
    ("p99.9", "p999_ns", 0.999),
];

/// A run that is told of.
#[derive(Debug)]
pub(super) struct Report {
    plan: Plan,
    place: PathBuf,
}

fn text_ns(nanoseconds: u64) -> String {
    time(Duration::from_nanos(nanoseconds))
}

impl Report {
    pub(super) fn begin(plan: Plan, place: &Path) -> Self {
        Self { plan, place: place.to_path_buf() }
    }

    /// What is done, in one line.
    pub(super) fn title(&self) -> String {
        let Plan { mode, threads, payload_bytes, .. } = self.plan;
        let appends = match mode {
            Mode::Batch { records, durable } => {
                let kind = if durable { "durable" } else { "committed" };
                format!("{kind} batches of {}", counted(records as u64, "record"))
            }
            _ => format!("{} appends", mode.name()),
        };
        format!(
            "{appends}, {} a record, {}",
            size(payload_bytes as u64),
            counted(threads as u64, "thread")
        )
    }

    pub(super) fn heading(&self, output: &mut Output) -> Result<(), Failure> {
        let title = output.paint(Paint::Bold, self.title());
        output.line(format_args!("{title}, {}", text_ns(nanoseconds(self.plan.time))))?;
        output.line(format_args!("in {}, which is removed afterwards", one_line(&self.place)))
    }

    pub(super) fn end(&self, taken: &Taken, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() { output.json(&self.json(taken)) } else { self.text(taken, output) }
    }

    fn text(&self, taken: &Taken, output: &mut Output) -> Result<(), Failure> {
        let whole = taken.series.whole();
        let elapsed_ns = taken.series.ended_ns().max(1);
        let rate = |number| grouped(per_second(number, elapsed_ns));
        if taken.interrupted {
            let elapsed = text_ns(elapsed_ns);
            output.line(output.paint(Paint::Warning, format!("interrupted after {elapsed}")))?;
        }
        output.line("")?;
        let bytes = whole.records * self.plan.payload_bytes as u64;
        let mut row = |name: &str, total: String, more: String| {
            output.line(format!("  {name:<14} {total:>16}  {more}").trim_end())
        };
        row("records", grouped(whole.records), format!("{} a second", rate(whole.records)))?;
        row("payload", size(bytes), format!("{} a second", size(per_second(bytes, elapsed_ns))))?;
        let shared = tenths(whole.records, taken.syncs)
            .map_or(String::new(), |each| format!(", {each} records each"));
        row("syncs", grouped(taken.syncs), format!("{} a second{shared}", rate(taken.syncs)))?;
        let written = tenths(whole.records, taken.writes)
            .map_or(String::new(), |each| format!("{each} records each"));
        row("writes", grouped(taken.writes), written)?;
        let misses = match taken.segment_misses {
            0 => "no append waited for a segment".to_owned(),
            number => format!("{} for a segment", counted(number, "wait")),
        };
        row("rolls", grouped(taken.series.rolls_ns().len() as u64), misses)?;
        row(
            "last sync",
            text_ns(nanoseconds(taken.final_sync)),
            "after the last append".to_owned(),
        )?;
        output.line("")?;
        self.latencies(&whole, taken, output)
    }

    fn latencies(&self, whole: &Slice, taken: &Taken, output: &mut Output) -> Result<(), Failure> {
        let of = if self.plan.mode.records() == 1 { "an append" } else { "a batch" };
        output.line(output.paint(Paint::Bold, format!("Latency of {of}")))?;
        let heading = QUANTILES.map(|(name, ..)| format!("{name:>12}")).concat();
        let value = |quantile| format!("{:>12}", text_ns(whole.latencies.quantile_ns(quantile)));
        let values = QUANTILES.map(|(.., quantile)| value(quantile)).concat();
        output.line(format_args!("  {heading}{:>12}", "max"))?;
        output.line(format_args!("  {values}{:>12}", text_ns(whole.latencies.longest_ns())))?;
        output.line("")?;
        output.line("     up to         count    share  (bars grow with the logarithm)")?;
        for line in chart::draw(&whole.latencies) {
            output.line(line)?;
        }
        output.line("")?;
        let timed = match self.plan.mode {
            Mode::Buffered => format!("One append of {TIMED_ONE_OF} was timed by itself, at"),
            _ => "Each was timed, at".to_owned(),
        };
        output.line(format_args!("{timed} about {} a time.", text_ns(taken.overhead_ns)))
    }

    /// The promise is in the user's manual of the tool: names stay, new ones may come.
    fn json(&self, taken: &Taken) -> Value {
        let whole = taken.series.whole();
        let elapsed_ns = taken.series.ended_ns().max(1);
        let Plan { mode, threads, payload_bytes, segment_bytes, keep_bytes, .. } = self.plan;
        let bytes = whole.records * payload_bytes as u64;
        let mut latency = quantiles(&whole);
        latency.insert("max_ns".to_owned(), whole.latencies.longest_ns().into());
        let rows = chart::fine_rows(&whole.latencies);
        let rows: Vec<Value> =
            rows.iter().map(|row| json!({"up_to_ns": row.up_to_ns, "count": row.count})).collect();
        json!({
            "mode": mode.name(),
            "threads": threads,
            "record_bytes": payload_bytes,
            "records_per_append": mode.records(),
            "segment_bytes": segment_bytes,
            "keep_bytes": keep_bytes,
            "interrupted": taken.interrupted,
            "elapsed_ns": elapsed_ns,
            "records": whole.records,
            "records_per_second": per_second(whole.records, elapsed_ns),
            "payload_bytes": bytes,
            "payload_bytes_per_second": per_second(bytes, elapsed_ns),
            "syncs": taken.syncs,
            "writes": taken.writes,
            "segment_misses": taken.segment_misses,
            "last_sync_ns": nanoseconds(taken.final_sync),
            "timed": whole.latencies.count(),
            "timing_costs_ns": taken.overhead_ns,
            "latency": latency,
            "histogram": rows,
            "rolls_ns": taken.series.rolls_ns(),
            "slices": slices(taken),
        })
    }
}

fn quantiles(slice: &Slice) -> serde_json::Map<String, Value> {
    let each = QUANTILES
        .map(|(_, key, quantile)| (key.to_owned(), slice.latencies.quantile_ns(quantile).into()));
    each.into_iter().collect()
}

/// The run over time. Slices after its end, where it was interrupted, are left out.
fn slices(taken: &Taken) -> Vec<Value> {
    let cut = taken.series.cut();
    let used = cut.slice_of(taken.series.ended_ns()) + 1;
    let slices = taken.series.slices().iter().zip(&taken.syncs_of_slice).take(used);
    (0_u64..)
        .zip(slices)
        .map(|(number, (slice, syncs))| {
            let mut values = quantiles(slice);
            values.insert("start_ns".to_owned(), (number * cut.slice_ns).into());
            values.insert("records".to_owned(), slice.records.into());
            values.insert("syncs".to_owned(), (*syncs).into());
            values.insert("max_ns".to_owned(), slice.latencies.longest_ns().into());
            Value::Object(values)
        })
        .collect()
}

/// How many come on one: `12.3`. None where there is nothing to share them.
fn tenths(number: u64, of: u64) -> Option<String> {
    let tenths = number.saturating_mul(10).checked_div(of)?;
    Some(format!("{}.{}", grouped(tenths / 10), tenths % 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_one_decimal() {
        assert_eq!(tenths(10, 0), None);
        assert_eq!(tenths(25, 10).as_deref(), Some("2.5"));
    }
}
