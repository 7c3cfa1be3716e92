//! `salvage`: what is left of a damaged log becomes a log.
//!
//! Invariant: the damaged log is only read, and what could not be saved is told by address.

use std::path::PathBuf;

use serde_json::json;
use stratalog::salvage_with;
use stratalog::storage::FileStorage;

use crate::damage::{self, Finding};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, counted, one_line};
use crate::progress::Bar;

/// Writes what is left of a damaged log into a new one
///
/// Records keep their addresses. What is missing is listed, and is exit code 1.
/// The damaged log is only read; no other process may be writing it.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog salvage data/wal data/saved")]
pub(crate) struct Salvage {
    /// The damaged log's directory
    dir: PathBuf,
    /// The new log's directory: empty, or not there yet
    new: PathBuf,
}

pub(crate) fn run(arguments: &Salvage, output: &mut Output) -> Result<Outcome, Failure> {
    let bar = Bar::segments(output);
    let [dir, new] = [&arguments.dir, &arguments.new].map(FileStorage::new);
    let report = salvage_with(&dir, &new, |progress| bar.follow(progress))?;
    bar.finish();
    let missing: Vec<_> = report.missing.iter().map(Finding::of).collect();
    if output.is_json() {
        let ignored = report.ignored.iter().map(|path| path.to_string_lossy().into_owned());
        output.json(&json!({
            "log_id": report.id.to_string(),
            "head": report.head.get(),
            "end": report.end.get(),
            "segments": report.segments,
            "records": report.records,
            "missing": damage::as_json(&missing),
            "ignored": ignored.collect::<Vec<_>>(),
        }))?;
    } else {
        damage::tell(&missing, output)?;
        for path in &report.ignored {
            let path = one_line(path);
            output.line(format_args!("not proven to belong to the log, left out: {path}"))?;
        }
        let (new, records) = (one_line(&arguments.new), counted(report.records, "record"));
        let segments = counted(report.segments as u64, "segment");
        output.line(format_args!("{new}: {records} saved, {segments}"))?;
        output.line(format_args!("lsn {} to {}, log {}", report.head, report.end, report.id))?;
    }
    Ok(if report.missing.is_empty() { Outcome::Fine } else { Outcome::Damage })
}
