//! The tables: median, minimum and the ratio to `raw`.

use crate::arguments::Arguments;
use crate::measure::{Row, compares};
use crate::system::System;
use crate::works::Work;

const BASELINE: &str = "raw";

pub(crate) fn preamble(arguments: &Arguments, systems: &[Box<dyn System>]) {
    let names: Vec<&str> = systems.iter().map(|system| system.name()).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("Systems: {}. Rounds: {}. Cores: {cores}.", names.join(", "), arguments.rounds);
    println!("{}", load("at the start"));
    println!("x raw: the median over the rounds of the ratio to `raw` in the same round.");
    if arguments.quick {
        println!("Quick: works and logs are 32 times smaller, and their figures mean little.");
    }
}

/// What else the machine did: figures from a busy one are those of all its work together.
pub(crate) fn load(when: &str) -> String {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let averages: Vec<&str> = averages.split(' ').take(3).collect();
    format!("Load average {when}, over 1, 5 and 15 minutes: {}.", averages.join(" "))
}

/// The middle one of `values`, or the mean of the middle two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

fn time(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 10_000.0 => format!("{nanos:.0} ns"),
        nanos if nanos < 1_000_000.0 => format!("{:.1} us", nanos / 1e3),
        nanos => format!("{:.2} ms", nanos / 1e6),
    }
}

fn rate(nanos: f64) -> String {
    match 1e9 / nanos {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} K/s", rate / 1e3),
        rate => format!("{rate:.1} /s"),
    }
}

fn cells(row: &Row, baseline: Option<&Row>) -> [String; 5] {
    let middle = median(&row.nanos);
    let least = row.nanos.iter().copied().fold(f64::INFINITY, f64::min);
    let ratio = baseline.map_or("-".to_owned(), |baseline| {
        let pairs = row.nanos.iter().zip(&baseline.nanos);
        let ratios: Vec<f64> = pairs.map(|(own, raw)| own / raw).collect();
        format!("{:.2}", median(&ratios))
    });
    let mark = if row.scaled > 1 { "*" } else { "" };
    [format!("{}{mark}", row.system), time(middle), time(least), rate(middle), ratio]
}

pub(crate) fn print(work: &Work, rows: &[Row], systems: &[Box<dyn System>], markdown: bool) {
    let class = work.plan.timed.class().map_or(String::new(), |ack| format!(", {ack}"));
    let heading = format!("{}: {}{class}", work.name, work.title);
    println!(
        "\n{}{heading}{}",
        if markdown { "### " } else { "" },
        if markdown { "\n" } else { "" }
    );
    let baseline = rows.iter().find(|row| row.system == BASELINE);
    let head = ["system", &format!("median / {}", work.unit()), "min", "rate", "x raw"];
    let mut lines = vec![head.map(ToOwned::to_owned)];
    lines.extend(rows.iter().map(|row| cells(row, baseline)));
    for (number, line) in lines.iter().enumerate() {
        let [system, middle, least, rate, ratio] = line;
        if markdown {
            println!("| {} |", line.join(" | "));
            if number == 0 {
                println!("|---|---:|---:|---:|---:|");
            }
        } else {
            println!("  {system:<14}{middle:>16}{least:>12}{rate:>14}{ratio:>8}");
        }
    }
    notes(work, rows, systems, markdown);
}

/// What the figures rest on, and who is not among them and why.
fn notes(work: &Work, rows: &[Row], systems: &[Box<dyn System>], markdown: bool) {
    let mut notes = Vec::new();
    for row in rows.iter().filter(|row| row.scaled > 1) {
        notes.push(format!("{}*: measured on a log {} times smaller", row.system, row.scaled));
    }
    for system in systems {
        let name = system.name();
        if compares(system.as_ref(), work) {
            notes.extend(system.note(work.plan.timed).map(|note| format!("{name}: {note}")));
        } else if let Some(ack) = system.ack(work.plan.timed) {
            let reason = if work.plan.threads > system.max_threads() {
                "takes one writer only".to_owned()
            } else {
                format!("acknowledges {ack}")
            };
            notes.push(format!("{name} is left out: it {reason}"));
        } else {
            notes.push(format!("{name} is left out: it has no such operation"));
        }
    }
    if markdown && !notes.is_empty() {
        println!();
    }
    for note in notes {
        println!("{}{note}", if markdown { "- " } else { "  " });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted() {
        assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[9.0, 1.0, 2.0, 4.0]) - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let row = |system, nanos: [f64; 3]| Row { system, nanos: nanos.to_vec(), scaled: 1 };
        let raw = row("raw", [100.0, 1000.0, 10.0]);
        let log = row("log", [200.0, 2000.0, 20.0]);
        assert_eq!(cells(&log, Some(&raw)), ["log", "200 ns", "20 ns", "5.00 M/s", "2.00"]);
    }

    #[test]
    fn times_and_rates_have_fitting_units() {
        assert_eq!(
            [time(75.4), time(12_340.0), time(4_560_000.0)],
            ["75 ns", "12.3 us", "4.56 ms"]
        );
        assert_eq!([rate(100.0), rate(50_000.0), rate(2e9)], ["10.00 M/s", "20.0 K/s", "0.5 /s"]);
    }
}
