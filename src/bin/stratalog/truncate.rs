//! `truncate`: drops the beginning of a log, or cuts its end off.
//!
//! Invariant: nothing is dropped that was not shown and confirmed before; with --dry-run nothing at
//! all.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use serde_json::json;
use stratalog::{LogReader, Lsn, Options, ReadOptions};

use crate::directory::{Directory, Writer};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Paint, counted, one_line, size};
use crate::writing;

/// Drops the records before an address, or those after one
///
/// Shows what would be dropped, and asks. No other process may be writing the
/// log. What is dropped is gone: archive first.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stratalog truncate data/wal --before 4144 --dry-run\n  \
    stratalog truncate data/wal --after 8200 --yes")]
pub(crate) struct Truncate {
    /// The log's directory
    dir: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Only show what would be dropped
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Drop everything before this address, and keep the record at it
    #[arg(long, value_name = "LSN")]
    before: Option<Lsn>,
    /// Keep the record at this address, and drop everything after it
    #[arg(long, value_name = "LSN")]
    after: Option<Lsn>,
}

/// What is dropped, and what is left.
struct Loss {
    dropped: u64,
    kept: u64,
    /// Whole segment files.
    segments: u64,
    bytes: u64,
}

pub(crate) fn run(arguments: &Truncate, output: &mut Output) -> Result<Outcome, Failure> {
    let reader = Options::new().open_read_only(&arguments.dir)?;
    let writer = Directory::list(&arguments.dir)?.writer();
    if !arguments.dry_run && matches!(writer, Writer::Process(_) | Writer::Somebody) {
        let dir = one_line(&arguments.dir);
        return Err(Failure::Usage(format!("{dir}: another process has the log open")));
    }
    let loss = Loss::of(&reader, &arguments.place)?;
    drop(reader);
    let is_done = !arguments.dry_run;
    if !output.is_json() {
        loss.tell(arguments, output)?;
    }
    if is_done {
        confirm(arguments, output)?;
        let log = writing::open(&arguments.dir)?;
        match (arguments.place.before, arguments.place.after) {
            (Some(before), _) => drop(log.truncate_before(before)?),
            (_, Some(after)) => log.truncate_after(after)?,
            (None, None) => {}
        }
        log.close()?;
    }
    if output.is_json() {
        output.json(&json!({
            "done": is_done,
            "dropped_records": loss.dropped,
            "kept_records": loss.kept,
            "dropped_segments": loss.segments,
            "freed_bytes": loss.bytes,
        }))?;
    } else {
        output.line(if is_done { "Done." } else { "Nothing was changed." })?;
    }
    Ok(Outcome::Fine)
}

impl Loss {
    /// Counts what a truncation would drop, and checks that it is possible.
    fn of(reader: &LogReader, place: &Place) -> Result<Self, Failure> {
        let snapshot = reader.snapshot_with(ReadOptions::new().copy(true));
        let is_dropped = |lsn: Lsn| match (place.before, place.after) {
            (Some(before), _) => lsn < before,
            (_, Some(after)) => lsn > after,
            (None, None) => false,
        };
        if let Some(before) = place.before {
            snapshot.iter_from(before)?;
        }
        if let Some(after) = place.after {
            snapshot.get(after)?;
        }
        let mut loss = Self { dropped: 0, kept: 0, segments: 0, bytes: 0 };
        for segment in reader.segments() {
            let is_whole = match (place.before, place.after) {
                (Some(before), _) => segment.end <= before,
                (_, Some(after)) => segment.start > after,
                (None, None) => false,
            };
            if is_whole {
                loss.segments += 1;
                loss.bytes += segment.bytes;
            }
        }
        for segment in snapshot.segments() {
            for record in segment {
                // What can't be read can't be counted, and goes all the same.
                let Ok(record) = record else { break };
                if is_dropped(record.lsn()) {
                    loss.dropped += 1;
                } else {
                    loss.kept += 1;
                }
            }
        }
        Ok(loss)
    }

    fn tell(&self, arguments: &Truncate, output: &mut Output) -> Result<(), Failure> {
        let (dropped, kept) = (counted(self.dropped, "record"), counted(self.kept, "record"));
        let place = match (arguments.place.before, arguments.place.after) {
            (Some(before), _) => format!("before lsn {before}"),
            (_, after) => format!("after lsn {}", after.unwrap_or_default()),
        };
        output.line(output.paint(Paint::Bold, one_line(&arguments.dir)))?;
        let dropped = output.paint(Paint::Warning, dropped);
        output.line(format_args!("  to be dropped: {dropped} {place}"))?;
        let segments = counted(self.segments, "whole segment");
        output.line(format_args!("  with them {segments}, {}", size(self.bytes)))?;
        output.line(format_args!("  to be kept: {kept}"))
    }
}

/// Asks, unless that is answered already.
fn confirm(arguments: &Truncate, output: &mut Output) -> Result<(), Failure> {
    if arguments.yes {
        return Ok(());
    }
    let refused = || Failure::Usage("not confirmed, nothing was changed: see --yes".to_owned());
    if !io::stdin().is_terminal() {
        return Err(refused());
    }
    output.flush()?;
    eprint!("Type yes to drop them: ");
    let mut answer = String::new();
    let asked = io::stderr().flush().and_then(|()| io::stdin().read_line(&mut answer));
    if asked.is_ok() && answer.trim() == "yes" { Ok(()) } else { Err(refused()) }
}
