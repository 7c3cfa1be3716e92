//! `get`: one record.
//!
//! Invariant: what is shown was checked; an address at which no record begins is refused.

use std::path::PathBuf;

use stratalog::{Lsn, Options, ReadOptions};

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::payload::{self, Format};

/// Shows the record at an address
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog get data/wal 4144 --format raw > record")]
pub(crate) struct Get {
    /// The log's directory; another process may be writing it
    dir: PathBuf,
    /// The address that appending the record returned
    lsn: Lsn,
    /// How the payload is shown
    #[arg(long, default_value = "hex", value_enum)]
    format: Format,
}

pub(crate) fn run(arguments: &Get, output: &mut Output) -> Result<Outcome, Failure> {
    let reader = Options::new().open_read_only(&arguments.dir)?;
    let snapshot = reader.snapshot_with(ReadOptions::new().copy(true));
    let record = snapshot.get(arguments.lsn)?;
    let format = if output.is_json() { Format::Json } else { arguments.format };
    payload::show(&record, format, output)?;
    Ok(Outcome::Fine)
}
