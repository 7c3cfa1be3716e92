//! `tail`: the last records, and with `-f` those that another process appends from now on.
//!
//! Invariant: with `-f` every record is shown once and in order; what was dropped or cut away before it
//! could be shown is told.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use stratalog::{Error, LogReader, Lsn, Options, ReadOptions, ReaderFollower, Snapshot};

use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::output::Output;
use crate::payload::{self, Format};

/// How long nothing is done between two looks for new records.
const PAUSE: Duration = Duration::from_millis(20);

/// Shows the last records, and with -f those that are appended from now on
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog tail -f data/wal --json | jq .text")]
pub(crate) struct Tail {
    /// The log's directory; another process may be writing it
    dir: PathBuf,
    /// Go on with what is appended, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Begin with so many records from the end
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    records: usize,
    /// How payloads are shown
    #[arg(long, default_value = "text", value_enum)]
    format: Format,
}

pub(crate) fn run(arguments: &Tail, output: &mut Output) -> Result<Outcome, Failure> {
    let reader = Options::new().open_read_only(&arguments.dir)?;
    let format = if output.is_json() { Format::Json } else { arguments.format };
    let snapshot = reader.snapshot_with(ReadOptions::new().copy(true));
    for lsn in last(&snapshot, arguments.records)? {
        payload::show(&snapshot.get(lsn)?, format, output)?;
    }
    let end = snapshot.end();
    drop(snapshot);
    if arguments.follow {
        follow(&reader, end, format, output)?;
    }
    Ok(Outcome::Fine)
}

/// Where the last records lie, ascending.
fn last(snapshot: &Snapshot, count: usize) -> Result<VecDeque<Lsn>, Failure> {
    let mut found = VecDeque::new();
    let segments: Vec<_> = snapshot.segments().collect();
    for segment in segments.into_iter().rev() {
        let wanted = count - found.len();
        if wanted == 0 {
            break;
        }
        let mut here = VecDeque::new();
        for record in segment {
            if here.len() == wanted {
                here.pop_front();
            }
            here.push_back(record?.lsn());
        }
        here.append(&mut found);
        found = here;
    }
    Ok(found)
}

fn follow(
    reader: &LogReader,
    from: Lsn,
    format: Format,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut follower = reader.follow(from)?;
    while !interrupt::is_requested() {
        let position = follower.position();
        match follower.try_next() {
            Ok(Some(record)) => payload::show(&record, format, output)?,
            Ok(None) => {
                // Who reads a pipe has everything before the wait.
                output.flush()?;
                thread::sleep(PAUSE);
            }
            Err(error) => {
                output.flush()?;
                follower = anew(reader, position, error)?;
            }
        }
    }
    Ok(())
}

/// Goes on where the log does, after what was to be shown next has gone.
fn anew(reader: &LogReader, position: Lsn, error: Error) -> Result<ReaderFollower, Failure> {
    match error {
        Error::Truncated { head, .. } => {
            eprintln!("stratalog: records from lsn {position} to {head} were dropped unseen");
            Ok(reader.follow(head)?)
        }
        Error::Cut { .. } => {
            eprintln!("stratalog: the log was cut before lsn {position}");
            let snapshot = reader.snapshot();
            let behind = snapshot.segments().map(|segment| segment.range().start);
            let next = behind.into_iter().find(|start| *start >= position);
            Ok(reader.follow(next.unwrap_or(snapshot.end()))?)
        }
        error => Err(error.into()),
    }
}
