//! `dump`: records one after the other, or the frames of the files that hold them.
//!
//! Invariant: what is shown was checked. At damage it ends, and says so, unless damage is to be
//! skipped; how much was skipped is told, and is exit code 1 as well.

use std::path::PathBuf;

use stratalog::{Lsn, Options, ReadOptions};

use crate::dump_frames;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::output::{Output, size};
use crate::payload::{self, Format};

/// Shows the records of a log, or with --frames what its files are made of
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  stratalog dump data/wal --from 4144 --limit 10 --format hex\n  \
    stratalog dump data/wal --grep 'user=7' --json | jq .lsn\n  \
    stratalog dump data/wal --frames"
)]
pub(crate) struct Dump {
    /// The log's directory, or an archive's; with --frames also one segment file
    pub(crate) dir: PathBuf,
    /// Begin at this address: a record's, or the end of one
    #[arg(long, value_name = "LSN")]
    pub(crate) from: Option<Lsn>,
    /// End before this address
    #[arg(long, value_name = "LSN")]
    pub(crate) to: Option<Lsn>,
    /// Show at most so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// How payloads are shown
    #[arg(long, default_value = "text", value_enum, conflicts_with = "frames")]
    format: Format,
    /// Show only records that hold this text
    #[arg(long, value_name = "TEXT", conflicts_with = "frames")]
    grep: Option<String>,
    /// Pass damaged places instead of ending at the first one
    #[arg(long)]
    pub(crate) skip_damage: bool,
    /// Show headers, frames, paddings and trailers instead of records
    #[arg(long)]
    frames: bool,
}

pub(crate) fn run(arguments: &Dump, output: &mut Output) -> Result<Outcome, Failure> {
    if arguments.frames {
        return dump_frames::run(arguments, output);
    }
    let reader = Options::new().open_read_only(&arguments.dir)?;
    let options = ReadOptions::new().copy(true).skip_damage(arguments.skip_damage);
    let snapshot = reader.snapshot_with(options);
    let from = arguments.from.unwrap_or(snapshot.head());
    let format = if output.is_json() { Format::Json } else { arguments.format };
    let wanted = arguments.grep.as_deref().unwrap_or_default().as_bytes();
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut records = snapshot.iter_from(from)?;
    while left > 0
        && !interrupt::is_requested()
        && let Some(record) = records.next()
    {
        let record = record?;
        if arguments.to.is_some_and(|to| record.lsn() >= to) {
            break;
        }
        if holds(record.payload(), wanted) {
            payload::show(&record, format, output)?;
            left -= 1;
        }
    }
    let skipped = records.skipped_bytes();
    if skipped == 0 && (!arguments.skip_damage || reader.report().damage.is_empty()) {
        return Ok(Outcome::Fine);
    }
    output.flush()?;
    eprintln!("stratalog: damage was passed, {} of it on the way", size(skipped));
    Ok(Outcome::Damage)
}

fn holds(payload: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || payload.windows(wanted.len()).any(|window| window == wanted)
}
