//! Measuring one work: interleaved rounds over all systems of its class.
//!
//! Invariant: each round does the work once on every system, and the next one begins with another.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use crate::statistics::{PER_MILLE, float, median};
use crate::stillness::can_drop_caches;
use crate::system::{Operation, Outcome, Plan, System};
use crate::works::Work;
use crate::{appending, reading};

/// What one round of one system was.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// For each unit of the work.
    pub(crate) nanos: f64,
    /// Of single appends, in nanoseconds, where there are threads that share syncs.
    pub(crate) percentiles: Option<[f64; PER_MILLE.len()]>,
    /// Where the system tells.
    pub(crate) records_per_sync: Option<f64>,
}

impl Round {
    pub(crate) fn new(nanos: f64) -> Self {
        Self { nanos, percentiles: None, records_per_sync: None }
    }
}

/// The rounds of one system.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) system: &'static str,
    pub(crate) rounds: Vec<Round>,
    /// The log was smaller by this, and the figure is scaled.
    pub(crate) scaled: u64,
}

impl Row {
    /// The rounds' times for each unit of the work.
    pub(crate) fn nanos(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.nanos).collect()
    }

    /// The median of the rounds' percentiles.
    pub(crate) fn percentiles(&self) -> Option<[f64; PER_MILLE.len()]> {
        let of_rounds: Option<Vec<_>> = self.rounds.iter().map(|round| round.percentiles).collect();
        let of_rounds = of_rounds.filter(|rounds| !rounds.is_empty())?;
        Some(std::array::from_fn(|index| {
            median(&of_rounds.iter().map(|parts| parts[index]).collect::<Vec<f64>>())
        }))
    }

    pub(crate) fn records_per_sync(&self) -> Option<f64> {
        let of_rounds: Option<Vec<f64>> =
            self.rounds.iter().map(|round| round.records_per_sync).collect();
        of_rounds.filter(|rounds| !rounds.is_empty()).map(|rounds| median(&rounds))
    }
}

/// The figures of one work.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) work: Work,
    pub(crate) rows: Vec<Row>,
    /// What a reader of the figures must know, and why systems, or all, are left out.
    pub(crate) notes: Vec<String>,
}

/// Why the system is left out of the work's table, if it is.
pub(crate) fn left_out(system: &dyn System, work: &Work) -> Option<String> {
    let operation = work.plan.timed;
    let Some(ack) = system.ack(operation) else {
        return Some("has no such operation".to_owned());
    };
    if operation.class().is_some_and(|class| class != ack) {
        return Some(format!("acknowledges {ack}"));
    }
    let refused = system.refuses_threads(operation).filter(|_| work.plan.threads > 1);
    refused.map(ToOwned::to_owned)
}

pub(crate) fn work(
    work: &Work,
    systems: &[Box<dyn System>],
    rounds: usize,
    directory: &Path,
) -> Outcome<Measured> {
    let mut measured = Measured { work: *work, rows: Vec::new(), notes: Vec::new() };
    if work.cold && !can_drop_caches(directory)? {
        measured.notes.push("skipped: the page cache can't be dropped here".to_owned());
        return Ok(measured);
    }
    let is_in = |system: &&dyn System| left_out(*system, work).is_none();
    let compared: Vec<&dyn System> = systems.iter().map(AsRef::as_ref).filter(is_in).collect();
    measured.rows = compared.iter().map(|system| empty_row(*system, work)).collect();
    for round in 0..rounds {
        for turn in 0..compared.len() {
            let index = (round + turn) % compared.len();
            let (system, row) = (compared[index], &mut measured.rows[index]);
            let (name, number) = (system.name(), round + 1);
            progress(&format!("{}: round {number} of {rounds}: {name}", work.name));
            let place = directory.join(format!("{}-{name}", work.name));
            let done = one(work, system, &place, row.scaled)
                .map_err(|error| format!("{} of {name}: {error}", work.name))?;
            row.rounds.push(done);
        }
    }
    progress("");
    for system in compared {
        fs::remove_dir_all(directory.join(format!("{}-{}", work.name, system.name())))?;
    }
    measured.notes = notes(work, &measured.rows, systems);
    Ok(measured)
}

fn empty_row(system: &dyn System, work: &Work) -> Row {
    let scaled = system.scale_down(work.plan.timed);
    Row { system: system.name(), rounds: Vec::new(), scaled }
}

/// Shows what is being done, where someone is watching.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{text:<72}\r");
    }
}

fn one(work: &Work, system: &dyn System, place: &Path, scaled: u64) -> Outcome<Round> {
    let plan = Plan { records: work.plan.records / scaled, ..work.plan };
    match work.plan.timed {
        Operation::Replay => reading::replay(work, system, place, &plan),
        Operation::Open => {
            let mut round = reading::open(work, system, place, &plan)?;
            // The whole log would take as much longer as it is longer.
            round.nanos *= float(scaled);
            Ok(round)
        }
        _ => appending::round(system, place, &plan),
    }
}

/// What the figures rest on, and who is not among them and why.
fn notes(work: &Work, rows: &[Row], systems: &[Box<dyn System>]) -> Vec<String> {
    let scaled = rows.iter().filter(|row| row.scaled > 1);
    let mut notes: Vec<String> = scaled
        .map(|row| format!("{}*: measured on a log {} times smaller", row.system, row.scaled))
        .collect();
    for system in systems {
        let name = system.name();
        match left_out(system.as_ref(), work) {
            Some(reason) => notes.push(format!("{name} is left out: it {reason}")),
            None => {
                notes.extend(system.note(&work.plan).map(|note| format!("{name}: {note}")));
            }
        }
    }
    notes
}

#[expect(clippy::cast_precision_loss, reason = "times and counts here are below 2^52")]
pub(crate) fn nanos_each(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// Bytes that do not compress well, the same in every run.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems;

    fn round(percentiles: [f64; 3], records_per_sync: Option<f64>) -> Round {
        Round { nanos: 1.0, percentiles: Some(percentiles), records_per_sync }
    }

    #[test]
    fn a_rows_percentiles_are_medians_of_its_rounds() {
        let rounds = vec![
            round([1.0, 20.0, 300.0], Some(8.0)),
            round([2.0, 30.0, 100.0], Some(4.0)),
            round([3.0, 10.0, 200.0], Some(5.0)),
        ];
        let mut row = Row { system: "log", rounds, scaled: 1 };
        assert_eq!(row.percentiles(), Some([2.0, 20.0, 200.0]));
        assert_eq!(row.records_per_sync(), Some(5.0));
        row.rounds.push(Round::new(1.0));
        assert_eq!((row.percentiles(), row.records_per_sync()), (None, None));
        row.rounds.clear();
        assert_eq!((row.percentiles(), row.records_per_sync()), (None, None));
    }

    #[test]
    fn systems_are_compared_within_a_class_only() {
        let works = crate::works::Choice { patterns: vec![], all: true }.works(true).unwrap();
        for work in works {
            for system in systems::all() {
                let is_in = left_out(system.as_ref(), &work).is_none();
                let same = work
                    .plan
                    .timed
                    .class()
                    .is_none_or(|class| system.ack(work.plan.timed) == Some(class));
                assert!(same || !is_in, "{} in {}", system.name(), work.name);
            }
        }
    }
}
