//! `restore`: an archive becomes a log again.
//!
//! Invariant: what is made is a whole log or none; the archive is only read.

use std::path::PathBuf;

use serde_json::json;
use stratalog::storage::FileStorage;
use stratalog::{Lsn, restore_with};

use crate::failure::{Failure, Outcome};
use crate::output::{Output, counted, one_line, size};
use crate::progress::Bar;

/// Makes a log of an archive, whole or up to a record
///
/// Records keep their addresses. The log goes on under an id of its own.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog restore /backup/wal data/wal --until 4144")]
pub(crate) struct Restore {
    /// The archive's directory
    src: PathBuf,
    /// The new log's directory: empty, or not there yet
    dir: PathBuf,
    /// The last record that is restored, with the batch that it is part of
    #[arg(long, value_name = "LSN")]
    until: Option<Lsn>,
}

pub(crate) fn run(arguments: &Restore, output: &mut Output) -> Result<Outcome, Failure> {
    let bar = Bar::segments(output);
    let [src, dir] = [&arguments.src, &arguments.dir].map(FileStorage::new);
    let report = restore_with(&src, &dir, arguments.until, |progress| bar.follow(progress))?;
    bar.finish();
    if output.is_json() {
        output.json(&json!({
            "log_id": report.id.to_string(),
            "head": report.head.get(),
            "end": report.end.get(),
            "segments": report.segments,
            "records": report.records,
            "bytes": report.bytes,
        }))?;
        return Ok(Outcome::Fine);
    }
    let (dir, records) = (one_line(&arguments.dir), counted(report.records, "record"));
    let segments = counted(report.segments as u64, "segment");
    output.line(format_args!("{dir}: {records}, {segments}, {}", size(report.bytes)))?;
    output.line(format_args!("lsn {} to {}, log {}", report.head, report.end, report.id))?;
    Ok(Outcome::Fine)
}
