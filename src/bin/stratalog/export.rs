//! `export`: a log as a stream that another machine can read back.
//!
//! Invariant: a stream has its end mark only if all records that were asked for are in it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use stratalog::format::LogId;
use stratalog::{Lsn, Options, ReadOptions};

use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::output::{Output, counted, size};
use crate::stream;

/// Writes records to standard output as a stream that `import` reads
///
/// Damage ends it, and then the stream has no end mark, which `import` notices.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  stratalog export data/wal | ssh host stratalog import data/copy --create"
)]
pub(crate) struct Export {
    /// The log's directory, or an archive's; another process may be writing it
    dir: PathBuf,
    /// Begin at this address: a record's, or the end of one
    #[arg(long, value_name = "LSN")]
    from: Option<Lsn>,
    /// End before this address
    #[arg(long, value_name = "LSN")]
    to: Option<Lsn>,
    /// Pass damaged places instead of ending at the first one
    #[arg(long)]
    skip_damage: bool,
}

pub(crate) fn run(arguments: &Export, output: &mut Output) -> Result<Outcome, Failure> {
    if io::stdout().is_terminal() {
        let text = "export writes bytes, which are not for a terminal: use > FILE or a pipe";
        return Err(Failure::Usage(text.to_owned()));
    }
    let reader = Options::new().open_read_only(&arguments.dir)?;
    let options = ReadOptions::new().copy(true).skip_damage(arguments.skip_damage);
    let snapshot = reader.snapshot_with(options);
    let id = reader.segments().last().map_or(LogId::default(), |last| last.id);
    let mut records = snapshot.iter_from(arguments.from.unwrap_or(snapshot.head()))?;
    output.bytes(&stream::beginning(id))?;
    let mut count = 0;
    for record in records.by_ref() {
        let record = record?;
        if arguments.to.is_some_and(|to| record.lsn() >= to) {
            break;
        }
        if interrupt::is_requested() {
            return Err(Failure::Usage("stopped: the stream is not whole".to_owned()));
        }
        let payload = record.payload();
        // A record's length has 32 bits on disk too.
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        output.bytes(&stream::header(record.lsn().get(), len))?;
        output.bytes(payload)?;
        output.bytes(&stream::payload_checksum(payload))?;
        count += 1;
    }
    let skipped = records.skipped_bytes();
    output.bytes(&stream::end(count))?;
    output.flush()?;
    if skipped == 0 {
        return Ok(Outcome::Fine);
    }
    let (skipped, count) = (size(skipped), counted(count, "record"));
    eprintln!("stratalog: {skipped} of damage was passed; {count} exported");
    Ok(Outcome::Damage)
}
