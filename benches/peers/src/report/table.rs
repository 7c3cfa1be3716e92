//! The tables: one for each work, and at the end the medians of all of them.
//!
//! Invariant: a ratio is that of the same round, and stands in no table without its counterpart.

use std::fmt::Write as _;

use super::grid::Grid;
use super::words::{rate, ratio, time};
use super::{FLOOR, OWN};
use crate::measure::{Measured, Row};
use crate::statistics::{self, PER_MILLE, median, range};
use crate::system::System;
use crate::works::Work;

/// The table of one work, with its heading and its notes.
pub(crate) fn table(measured: &Measured, markdown: bool) -> String {
    let Measured { work, rows, notes } = measured;
    let class = work.plan.timed.class().map_or(String::new(), |ack| format!(", {ack}"));
    let (before, after) = if markdown { ("### ", "\n") } else { ("", "") };
    let mut text = format!("\n{before}{}: {}{class}\n{after}", work.name, work.title);
    if !rows.is_empty() {
        text += &grid(work, rows).render(markdown);
        text += after;
    }
    for note in notes {
        let _ = writeln!(text, "{}{note}", if markdown { "- " } else { "  " });
    }
    text
}

fn grid(work: &Work, rows: &[Row]) -> Grid {
    let mut grid = Grid::default();
    let median = format!("median / {}", work.unit());
    let mut head =
        ["system", &median, "min", "rate", "x raw", "x stratalog"].map(ToOwned::to_owned).to_vec();
    let has_percentiles = rows.iter().any(|row| row.percentiles().is_some());
    let tells_syncs = rows.iter().any(|row| row.records_per_sync().is_some());
    if has_percentiles {
        head.extend(PER_MILLE.map(|(_, name)| name.to_owned()));
    }
    if tells_syncs {
        head.push("records / sync".to_owned());
    }
    grid.push(head);
    for row in rows {
        let mut line = cells(row, rows);
        if has_percentiles {
            let parts = row.percentiles().map(|parts| parts.map(time));
            line.extend(parts.unwrap_or(PER_MILLE.map(|_| "-".to_owned())));
        }
        if tells_syncs {
            line.push(row.records_per_sync().map_or("-".to_owned(), |count| format!("{count:.1}")));
        }
        grid.push(line);
    }
    grid
}

fn cells(row: &Row, rows: &[Row]) -> Vec<String> {
    let nanos = row.nanos();
    let middle = median(&nanos);
    let to = |name: &str| {
        let other = rows.iter().find(|row| row.system == name)?;
        statistics::ratio(&nanos, &other.nanos())
    };
    let mark = if row.scaled > 1 { "*" } else { "" };
    vec![
        format!("{}{mark}", row.system),
        time(middle),
        time(range(&nanos).0),
        rate(middle),
        ratio(to(FLOOR)),
        ratio(to(OWN)),
    ]
}

/// All works and systems, the best log of each work in bold where there is such a thing.
pub(crate) fn summary(all: &[Measured], systems: &[Box<dyn System>], markdown: bool) -> String {
    let names: Vec<&str> = systems.iter().map(|system| system.name()).collect();
    let mut grid = Grid::default();
    let head = std::iter::once("work").chain(names.iter().copied());
    grid.push(head.map(ToOwned::to_owned).collect());
    for measured in all {
        let bests = measured.rows.iter().filter(|row| row.system != FLOOR);
        let best = bests.map(|row| median(&row.nanos())).fold(f64::INFINITY, f64::min);
        let cell = |name: &&str| {
            let Some(row) = measured.rows.iter().find(|row| row.system == *name) else {
                return "-".to_owned();
            };
            let nanos = median(&row.nanos());
            let figure = if measured.work.is_shared() { rate(nanos) } else { time(nanos) };
            let is_best = markdown && *name != FLOOR && nanos <= best;
            if is_best { format!("**{figure}**") } else { figure }
        };
        let mut line = vec![measured.work.name.to_owned()];
        line.extend(names.iter().map(cell));
        grid.push(line);
    }
    let (before, after) = if markdown { ("### ", "\n") } else { ("", "") };
    format!("\n{before}All medians\n{after}{}", grid.render(markdown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Round;
    use crate::systems;
    use crate::works::Choice;

    fn row(system: &'static str, nanos: [f64; 3], scaled: u64) -> Row {
        Row { system, rounds: nanos.map(Round::new).to_vec(), scaled }
    }

    fn measured(name: &str, rows: Vec<Row>) -> Measured {
        let choice = Choice { patterns: vec![name.to_owned()], all: false };
        let work = choice.works(false).unwrap()[0];
        Measured { work, rows, notes: vec!["a note".to_owned()] }
    }

    #[test]
    fn ratios_stand_beside_the_figures() {
        let rows = vec![
            row("raw", [100.0, 1000.0, 10.0], 1),
            row("stratalog", [200.0, 2000.0, 20.0], 1),
            row("wal-db", [100.0, 8000.0, 80.0], 4),
        ];
        let line = |index: usize| cells(&rows[index], &rows);
        assert_eq!(line(1), ["stratalog", "200 ns", "20 ns", "5.00 M/s", "2.00", "1.00"]);
        assert_eq!(line(2), ["wal-db*", "100 ns", "80 ns", "10.00 M/s", "8.00", "4.00"]);
        let alone = vec![row("wal-db", [1.0; 3], 1)];
        assert_eq!(cells(&alone[0], &alone)[4..], ["-", "-"]);
    }

    #[test]
    fn percentiles_and_syncs_are_told_where_there_are_any() {
        let mut rows = vec![row("raw", [1.0; 3], 1), row("stratalog", [1.0; 3], 1)];
        for round in &mut rows[1].rounds {
            (round.percentiles, round.records_per_sync) = (Some([1e3, 2e3, 3e3]), Some(7.25));
        }
        let text = table(&measured("durable-8", rows), true);
        assert!(text.contains("| p50 | p99 | p99.9 | records / sync |\n|---|---:|"), "{text}");
        assert!(text.contains("| 1000 ns | 2000 ns | 3000 ns | 7.2 |"), "{text}");
        assert!(text.contains("| - | - | - | - |") && text.ends_with("- a note\n"), "{text}");
    }

    #[test]
    fn a_work_that_was_skipped_has_no_table() {
        let text = table(&measured("replay-cold", Vec::new()), true);
        assert!(!text.contains('|') && text.contains("- a note"), "{text}");
    }

    #[test]
    fn the_best_log_is_bold_and_raw_is_no_log() {
        let rows = || vec![row("raw", [1.0; 3], 1), row("stratalog", [2e4; 3], 1)];
        let all = [measured("append-1", rows()), measured("durable-8", rows())];
        let text = summary(&all, &systems::all(), true);
        assert!(text.contains("| append-1 | 1 ns | **20.0 us** | - |"), "{text}");
        assert!(text.contains("| durable-8 | 1000.00 M/s | **50.0 K/s** | - |"), "{text}");
        assert!(!summary(&all, &systems::all(), false).contains('*'));
    }
}
