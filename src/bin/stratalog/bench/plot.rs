//! [`draw`]: a run as a picture.
//!
//! Invariant: the picture is of bounded size, however long the run: slices, rows of the histogram and
//! marks all have a limit.
//!
//! From top to bottom, over the same axis of time: latencies of each slice (median, 99th part in a
//! hundred, longest; logarithmic) with a dashed line at each roll; syncs; throughput. Below stands the
//! histogram of the whole run.

use std::time::Duration;

use super::chart::{self, Row};
use super::measure::Taken;
use super::series::Slice;
use super::svg::{Anchor, Svg};
use crate::latencies::per_second;
use crate::output::{grouped, time};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 680.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 840.0;
/// More rolls than this would be a grey area.
const MOST_ROLLS: usize = 200;
/// Marks on an axis, about.
const TICKS: f64 = 6.0;

/// A rectangle to draw into: from `top` to `bottom`.
#[derive(Clone, Copy)]
struct Panel {
    top: f64,
    bottom: f64,
}

const LATENCY: Panel = Panel { top: 84.0, bottom: 280.0 };
const SYNCS: Panel = Panel { top: 296.0, bottom: 332.0 };
const THROUGHPUT: Panel = Panel { top: 368.0, bottom: 460.0 };
const HISTOGRAM: Panel = Panel { top: 534.0, bottom: 636.0 };

impl Panel {
    /// The height of a share of the panel.
    fn at(self, share: f64) -> f64 {
        self.bottom - share.clamp(0.0, 1.0) * (self.bottom - self.top)
    }
}

/// A number for a place in the picture.
#[expect(clippy::cast_precision_loss, reason = "a picture shows no more than three digits")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The axis of time.
struct Time {
    slice_ns: f64,
    end_ns: f64,
}

impl Time {
    fn x(&self, at_ns: f64) -> f64 {
        LEFT + (at_ns / self.end_ns).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }
}

/// The picture's text.
pub(super) fn draw(title: &str, taken: &Taken) -> String {
    let whole = taken.series.whole();
    let cut = taken.series.cut();
    let elapsed_ns = taken.series.ended_ns().max(1);
    let axis = Time { slice_ns: float(cut.slice_ns), end_ns: float(elapsed_ns) };
    let used = cut.slice_of(elapsed_ns) + 1;
    let slices = taken.series.slices().get(..used).unwrap_or_default();
    let syncs = taken.syncs_of_slice.get(..used).unwrap_or_default();

    let mut svg = Svg::new(WIDTH, HEIGHT, &format!("stratalog bench: {title}"));
    svg.text("h", Anchor::Start, (LEFT, 24.0), title);
    let nanoseconds = |number| time(Duration::from_nanos(number));
    let summary = format!(
        "{} records a second; p50 {}, p99 {}, max {}; {} syncs a second",
        grouped(per_second(whole.records, elapsed_ns)),
        nanoseconds(whole.latencies.quantile_ns(0.5)),
        nanoseconds(whole.latencies.quantile_ns(0.99)),
        nanoseconds(whole.latencies.longest_ns()),
        grouped(per_second(taken.syncs, elapsed_ns)),
    );
    svg.text("", Anchor::Start, (LEFT, 44.0), &summary);
    legend(&mut svg);
    latency(&mut svg, &axis, slices, &taken.series.rolls_ns());
    bars_of_syncs(&mut svg, &axis, syncs, cut.slice_ns);
    throughput(&mut svg, &axis, slices);
    histogram(&mut svg, &chart::fine_rows(&whole.latencies));
    svg.finish()
}

fn legend(svg: &mut Svg) {
    let mut x = LEFT;
    svg.text("s", Anchor::Start, (x, 68.0), "latency");
    for (class, name) in [("p50", "p50"), ("p99", "p99"), ("max", "longest"), ("roll", "roll")] {
        x += 76.0;
        svg.line(class, (x, 64.0), (x + 20.0, 64.0));
        svg.text("s", Anchor::Start, (x + 25.0, 68.0), name);
    }
}

fn latency(svg: &mut Svg, axis: &Time, slices: &[Slice], rolls_ns: &[u64]) {
    let panel = LATENCY;
    let busy = || slices.iter().filter(|slice| slice.latencies.count() > 0);
    let lowest = busy().map(|slice| slice.latencies.quantile_ns(0.5)).min().unwrap_or(1).max(1);
    let highest =
        busy().map(|slice| slice.latencies.longest_ns()).max().unwrap_or(10).max(lowest + 1);
    // Whole powers of ten.
    let (low, high) = (float(lowest).log10().floor(), float(highest).log10().ceil());
    let y = |ns: u64| panel.at((float(ns.max(1)).log10() - low) / (high - low));
    for (exponent, end_ns) in (0..12).map(|power| (f64::from(power), 10_u64.pow(power))) {
        if (low..=high).contains(&exponent) {
            svg.line("g", (LEFT, y(end_ns)), (RIGHT, y(end_ns)));
            let label = short_time(end_ns);
            svg.text("s", Anchor::End, (LEFT - 6.0, y(end_ns) + 4.0), &label);
        }
    }
    for at_ns in rolls_ns.iter().take(MOST_ROLLS) {
        let x = axis.x(float(*at_ns));
        svg.line("roll", (x, panel.top), (x, SYNCS.bottom));
    }
    let points = |value: &dyn Fn(&Slice) -> u64| -> Vec<(f64, f64)> {
        let middles = (0_u32..).map(|number| (f64::from(number) + 0.5) * axis.slice_ns);
        let busy = middles.zip(slices).filter(|(_, slice)| slice.latencies.count() > 0);
        busy.map(|(at_ns, slice)| (axis.x(at_ns), y(value(slice)))).collect()
    };
    svg.curve("max", &points(&|slice| slice.latencies.longest_ns()));
    svg.curve("p99", &points(&|slice| slice.latencies.quantile_ns(0.99)));
    svg.curve("p50", &points(&|slice| slice.latencies.quantile_ns(0.5)));
    svg.line("a", (LEFT, panel.bottom), (RIGHT, panel.bottom));
}

fn bars_of_syncs(svg: &mut Svg, axis: &Time, syncs: &[u64], slice_ns: u64) {
    let most = syncs.iter().copied().max().unwrap_or(0).max(1);
    bars_over_time(svg, "sync", axis, SYNCS, syncs.iter().map(|count| float(*count) / float(most)));
    svg.line("a", (LEFT, SYNCS.bottom), (RIGHT, SYNCS.bottom));
    svg.text("s", Anchor::End, (LEFT - 6.0, SYNCS.top + 8.0), "syncs a");
    svg.text("s", Anchor::End, (LEFT - 6.0, SYNCS.top + 21.0), "second, to");
    let highest = grouped(per_second(most, slice_ns));
    svg.text("s", Anchor::End, (LEFT - 6.0, SYNCS.top + 34.0), &highest);
}

fn bars_over_time(
    svg: &mut Svg,
    class: &str,
    axis: &Time,
    panel: Panel,
    shares: impl Iterator<Item = f64>,
) {
    for (number, share) in (0_u32..).zip(shares) {
        let from = axis.x(f64::from(number) * axis.slice_ns);
        let to = axis.x((f64::from(number) + 1.0) * axis.slice_ns);
        if share > 0.0 && to > from {
            let top = panel.at(share);
            // A hair of space, so that slices are told apart.
            svg.rectangle(class, (from, top), ((to - from - 0.5).max(0.5), panel.bottom - top));
        }
    }
}

fn throughput(svg: &mut Svg, axis: &Time, slices: &[Slice]) {
    let panel = THROUGHPUT;
    svg.text("s", Anchor::Start, (LEFT, panel.top - 10.0), "records a second");
    let lengths = (0_u32..).map(|number| {
        // The last slice may not be whole.
        let from = f64::from(number) * axis.slice_ns;
        (axis.end_ns.min(from + axis.slice_ns) - from).max(1.0) / 1e9
    });
    let rates = lengths.zip(slices).map(|(seconds, slice)| float(slice.records) / seconds);
    let rates: Vec<f64> = rates.collect();
    let most = rates.iter().copied().fold(1.0, f64::max);
    let step = round_step(most / 3.0);
    let top = (most / step).ceil() * step;
    let mut mark = 0.0;
    while mark <= top + step / 2.0 {
        let y = panel.at(mark / top);
        svg.line("g", (LEFT, y), (RIGHT, y));
        svg.text("s", Anchor::End, (LEFT - 6.0, y + 4.0), &short_number(mark));
        mark += step;
    }
    bars_over_time(svg, "area", axis, panel, rates.iter().map(|rate| rate / top));
    svg.line("a", (LEFT, panel.bottom), (RIGHT, panel.bottom));
    let step = round_step(axis.end_ns / 1e9 / TICKS);
    let mut second = 0.0;
    while second * 1e9 <= axis.end_ns * 1.001 {
        let x = axis.x(second * 1e9);
        svg.line("a", (x, panel.bottom), (x, panel.bottom + 4.0));
        let label = format!("{} s", trimmed(second));
        svg.text("s", Anchor::Middle, (x, panel.bottom + 17.0), &label);
        second += step;
    }
}

fn histogram(svg: &mut Svg, rows: &[Row]) {
    let panel = HISTOGRAM;
    let heading =
        "latencies of the whole run, each bar up to its label; heights grow with the logarithm";
    svg.text("s", Anchor::Start, (LEFT, panel.top - 18.0), heading);
    let most = rows.iter().map(|row| row.count).max().unwrap_or(1).max(1);
    let height = float(most).log10() + 0.5;
    for power in 0..=most.ilog10() {
        let y = panel.at((f64::from(power) + 0.5) / height);
        svg.line("g", (LEFT, y), (RIGHT, y));
        // Labels of many powers would run into each other.
        if most.ilog10() < 5 || power % 2 == 0 {
            let label = short_number(10_f64.powi(i32::try_from(power).unwrap_or(0)));
            svg.text("s", Anchor::End, (LEFT - 6.0, y + 4.0), &label);
        }
    }
    let width = (RIGHT - LEFT) / float(rows.len().max(1) as u64);
    let every = rows.len().div_ceil(14).max(1);
    for (number, row) in rows.iter().enumerate() {
        let x = LEFT + float(number as u64) * width;
        if row.count > 0 {
            let top = panel.at((float(row.count).log10() + 0.5) / height);
            svg.rectangle("bar", (x + 0.5, top), (width - 1.0, panel.bottom - top));
        }
        if number % every == 0 {
            let label = short_time(row.up_to_ns);
            svg.text("s", Anchor::Middle, (x + width / 2.0, panel.bottom + 17.0), &label);
        }
    }
    svg.line("a", (LEFT, panel.bottom), (RIGHT, panel.bottom));
}

/// The next of 1, 2, 5, 10, .. times a power of ten.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= least * 0.999).unwrap_or(10.0 * power)
}

/// A number without zeros behind its point.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `150 K`, `1.5 M`.
fn short_number(number: f64) -> String {
    match number {
        1e9.. => format!("{} G", trimmed(number / 1e9)),
        1e6.. => format!("{} M", trimmed(number / 1e6)),
        1e3.. => format!("{} K", trimmed(number / 1e3)),
        _ => trimmed(number),
    }
}

/// `150 us`, without a fraction where there is none.
fn short_time(ns: u64) -> String {
    time(Duration::from_nanos(ns)).replace(".0 ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::series::{Cut, Series};

    fn taken(slices: usize, rolls: u64, per_slice: u64) -> Taken {
        let cut = Cut { slices, slice_ns: 50_000_000 };
        let mut series = Series::new(cut, 16384, 0);
        for slice in 0..slices as u64 {
            for number in 0..per_slice {
                series.record(slice * cut.slice_ns + number * 1000, 100_000 + number * 977, 1);
            }
        }
        for roll in 1..=rolls {
            series.note_address(roll * 16384, roll * 1_000_000);
        }
        Taken {
            series,
            syncs_of_slice: vec![7; slices],
            syncs: 7 * slices as u64,
            writes: 1,
            segment_misses: 0,
            interrupted: false,
            final_sync: Duration::ZERO,
            overhead_ns: 40,
        }
    }

    #[test]
    fn a_picture_is_below_sixty_kilobytes_however_much_happened() {
        let text = draw("durable", &taken(100, 4000, 200));
        assert!(text.len() < 60_000, "{} bytes", text.len());
        assert_eq!(text.matches("class=\"roll\"").count(), MOST_ROLLS + 1, "with the legend's");
        assert_eq!(text.matches("class=\"sync\"").count(), 100);
        assert_eq!(text.matches("class=\"area\"").count(), 100);
        for class in ["p50", "p99", "max", "bar"] {
            assert!(text.contains(&format!("class=\"{class}\"")), "{class}");
        }
    }

    #[test]
    fn no_place_in_a_picture_is_beyond_it_or_no_number() {
        for (slices, per_slice) in [(1, 0), (1, 1), (3, 0), (100, 50)] {
            let mut taken = taken(slices, 2, per_slice);
            taken.syncs = 0;
            let text = draw("", &taken);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
            let (_, drawn) = text.split_once("</style>").expect("a style");
            for number in drawn.split(|c: char| !c.is_ascii_digit() && c != '.') {
                let fits = number.parse::<f64>().map_or(true, |number| number <= WIDTH);
                assert!(fits, "{number} in {text}");
            }
        }
    }

    #[test]
    fn steps_of_an_axis_are_round() {
        let steps = [0.9, 1.0, 1.1, 3.0, 7.0, 0.011].map(|least| trimmed(round_step(least)));
        assert_eq!(steps, ["1", "1", "2", "5", "10", "0.02"]);
        assert_eq!([1.0, 1500.0, 2e6].map(short_number), ["1", "1.5 K", "2 M"]);
    }
}
