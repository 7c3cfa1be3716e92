//! `bench`: what a log reaches on a disk: throughput, latencies, and how many records share a sync.
//!
//! Invariant: it appends to a log of its own, in a folder of its own, and removes both; a log that is
//! there is not touched.

mod chart;
mod keeper;
mod measure;
mod plan;
mod plot;
mod report;
mod series;
mod svg;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stratalog::Options;

use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::latencies::{nanoseconds, per_second};
use crate::output::{Output, grouped, size};
use crate::progress::Bar;
use crate::quantity;
use crate::scratch::Scratch;
use measure::{Glance, measure};
use plan::{Mode, Plan};
use report::Report;

/// Measures what a log of its own reaches on the disk of a directory
///
/// A log is made in a new folder inside DIR, or beside DIR if that is a log
/// itself, and removed at the end, also after Ctrl-C, which ends the run early.
/// Each thread appends its next record as soon as the last one is in.
#[derive(clap::Args)]
#[command(after_help = "\
Without --durable, --batch or --buffered each append waits until its record is
committed: in the operating system's hands.

Example:
  stratalog bench data --durable --threads 8 --seconds 10 --plot bench.svg")]
pub(crate) struct Bench {
    /// A directory on the disk in question
    dir: PathBuf,
    /// How many threads append
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,
    /// The size of a record
    #[arg(long, default_value = "100", value_name = "BYTES", value_parser = quantity::bytes)]
    size: u64,
    /// How long to append
    #[arg(long, default_value = "5", value_name = "TIME", value_parser = quantity::seconds)]
    seconds: Duration,
    /// Each append waits until its record, or its batch, is durable
    #[arg(long)]
    durable: bool,
    /// Append N records at once, wholly or not at all
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Each append leaves its record in memory
    #[arg(long, conflicts_with_all = ["durable", "batch"])]
    buffered: bool,
    /// The size of a segment file
    #[arg(long, default_value = "64MiB", value_name = "BYTES", value_parser = quantity::bytes)]
    segment_bytes: u64,
    /// How large the log becomes, about, before its oldest segments go
    #[arg(long, default_value = "512MiB", value_name = "BYTES", value_parser = quantity::bytes)]
    keep: u64,
    /// Draw a picture of the run into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

impl Bench {
    fn plan(&self) -> Result<Plan, Failure> {
        let mode = match (self.batch, self.durable, self.buffered) {
            (Some(records), durable, _) => Mode::Batch { records, durable },
            (None, true, _) => Mode::Durable,
            (None, false, true) => Mode::Buffered,
            (None, false, false) => Mode::Committed,
        };
        let plan = Plan {
            mode,
            threads: self.threads,
            payload_bytes: usize::try_from(self.size).unwrap_or(usize::MAX),
            time: self.seconds,
            segment_bytes: self.segment_bytes,
            keep_bytes: self.keep,
        };
        plan.check().map_err(Failure::Usage)?;
        Ok(plan)
    }
}

pub(crate) fn run(arguments: &Bench, output: &mut Output) -> Result<Outcome, Failure> {
    let plan = arguments.plan()?;
    if let Some(picture) = &arguments.plot {
        check_folder_of(picture)?;
    }
    let scratch = Scratch::new(&arguments.dir, "bench")?;
    let report = Report::begin(plan, scratch.path());
    if !output.is_json() {
        report.heading(output)?;
        output.flush()?;
    }
    let mut options = Options::new();
    options.segment_bytes(plan.segment_bytes);
    let log = options.open(scratch.path().join("wal"))?;
    let progress = Progress::new(&plan, output);
    let taken = measure(&log, &plan, |seen| {
        progress.show(seen);
        !interrupt::is_requested()
    });
    progress.bar.finish();
    let taken = taken?;
    log.close()?;
    scratch.remove()?;
    if let Some(picture) = &arguments.plot {
        let text = plot::draw(&report.title(), &taken);
        fs::write(picture, text).map_err(|error| Failure::io("write", picture, error))?;
    }
    report.end(&taken, output)?;
    Ok(Outcome::Fine)
}

/// Refuses a picture that can't be written before the disk is kept busy for it.
fn check_folder_of(picture: &Path) -> Result<(), Failure> {
    let folder = picture.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::read_dir(folder).map(drop).map_err(|error| Failure::io("write into", folder, error))
}

/// What is shown of a run on a terminal.
struct Progress {
    bar: Bar,
    framed_bytes: u64,
    records: u64,
}

impl Progress {
    fn new(plan: &Plan, output: &Output) -> Self {
        let bar = Bar::steps(output, milliseconds(plan.time));
        Self { bar, framed_bytes: plan.framed_bytes(), records: plan.mode.records() as u64 }
    }

    fn show(&self, seen: Glance) {
        let elapsed_ns = nanoseconds(seen.elapsed);
        let rate = |number| per_second(number, elapsed_ns);
        self.bar.at(milliseconds(seen.elapsed), || {
            // As many as would make the log grow like that.
            let records = seen.grown_bytes / self.framed_bytes * self.records;
            format!(
                "{} records/s, {}/s, {} syncs/s",
                grouped(rate(records)),
                size(rate(seen.grown_bytes)),
                grouped(rate(seen.syncs))
            )
        });
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
