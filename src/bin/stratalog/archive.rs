//! `archive`: verified copies of sealed segments.
//!
//! Invariant: of the log nothing is changed, unless its last segment is to be sealed.

use std::path::{Path, PathBuf};

use serde_json::json;
use stratalog::storage::FileStorage;
use stratalog::{ArchiveReport, Options};

use crate::failure::{Failure, Outcome};
use crate::output::{Output, counted, one_line, size};
use crate::progress::Bar;
use crate::writing;

/// Copies sealed segments into an archive, each verified while it is copied
///
/// Runs beside the process that writes the log. Running it again copies what is
/// new. The archive is verified by verify, read by dump, and made a log again by
/// restore.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog archive data/wal /backup/wal")]
pub(crate) struct Archive {
    /// The log's directory
    dir: PathBuf,
    /// The archive's directory; made if it is not there
    dest: PathBuf,
    /// Seal the last segment first, so that all records are archived: opens the
    /// log, so no other process may be writing it
    #[arg(long)]
    roll: bool,
}

pub(crate) fn run(arguments: &Archive, output: &mut Output) -> Result<Outcome, Failure> {
    let bar = Bar::segments(output);
    let dest = FileStorage::new(&arguments.dest);
    let (report, end) = if arguments.roll {
        let log = writing::open(&arguments.dir)?;
        log.roll()?;
        let report = log.archive_with(&dest, |progress| bar.follow(progress))?;
        log.close()?;
        let end = report.end;
        (report, end)
    } else {
        let reader = Options::new().open_read_only(&arguments.dir)?;
        let report = reader.archive_with(&dest, |progress| bar.follow(progress))?;
        (report, reader.end())
    };
    bar.finish();
    tell(&report, end.get(), &arguments.dest, output)?;
    Ok(Outcome::Fine)
}

fn tell(report: &ArchiveReport, end: u64, dest: &Path, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let copied = report.copied.iter().map(|path| path.to_string_lossy().into_owned());
        return output.json(&json!({
            "copied": copied.collect::<Vec<_>>(),
            "copied_bytes": report.copied_bytes,
            "present": report.present,
            "start": report.start.get(),
            "end": report.end.get(),
            "log_end": end,
        }));
    }
    let copied = counted(report.copied.len() as u64, "segment");
    let bytes = size(report.copied_bytes);
    output.line(format_args!("{}: {copied} copied, {bytes}", one_line(dest)))?;
    let (present, start, to) = (report.present, report.start, report.end);
    output.line(format_args!("{present} were there already; archived: lsn {start} to {to}"))?;
    if to.get() < end {
        output.line(format_args!(
            "Not archived: lsn {to} to {end}, which is not sealed yet; see --roll"
        ))?;
    }
    Ok(())
}
