//! `append`: records from standard input.
//!
//! Invariant: whatever ends the command, it says how many records are appended, and they are durable.

use crate::failure::{Failure, Outcome};
use crate::input::{Input, Taken};
use crate::output::{Output, one_line};
use crate::writing::{Durable, Target, Writing};

/// Appends records from standard input
///
/// A pause in the input ends a batch, so that records can be read while the
/// next ones are awaited. Prints how many were appended, and where.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  echo 'x = 1' | stratalog append data/wal\n  \
    tail -F app.log | stratalog append data/wal --create --durable batch\n  \
    find . -print0 | stratalog append data/wal --by nul --print")]
pub(crate) struct Append {
    #[command(flatten)]
    target: Target,
    /// What ends a record
    #[arg(long, default_value = "line", value_enum)]
    by: By,
    /// When records are made durable
    #[arg(long, default_value = "end", value_enum)]
    durable: Durable,
    /// So many records are appended at once, all or none
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch: usize,
    /// Print each record's address instead of a summary
    #[arg(long)]
    print: bool,
}

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// A line feed, which is not part of it; the last one may be missing
    Line,
    /// A zero byte, which is not part of it; the last one may be missing
    Nul,
    /// Its length, before it: 4 bytes, little endian
    Length,
}

pub(crate) fn run(arguments: &Append, output: &mut Output) -> Result<Outcome, Failure> {
    let mut writing = Writing::open(&arguments.target, arguments.durable, arguments.batch)?;
    let ended = append_all(arguments, &mut writing, output);
    let closed = writing.close();
    // The first failure is the one that matters; without it all is durable.
    if let Ok(report) = &closed
        && !arguments.print
    {
        report.tell(output)?;
    }
    ended?;
    closed?;
    Ok(Outcome::Fine)
}

fn append_all(
    arguments: &Append,
    writing: &mut Writing,
    output: &mut Output,
) -> Result<(), Failure> {
    let is_print = arguments.print;
    let mut input = Input::begin();
    loop {
        let mut told = |lsn| if is_print { output.line(lsn) } else { Ok(()) };
        match record(&mut input, arguments.by)? {
            Taken::Bytes(record) => writing.add(record, &mut told)?,
            Taken::Idle => {
                writing.append(&mut told)?;
                // Who reads a pipe has the addresses before the wait.
                output.flush()?;
            }
            Taken::End(rest) if arguments.by == By::Length && !rest.is_empty() => {
                writing.append(&mut told)?;
                let text = format!("the input ends within a record, {} bytes of it", rest.len());
                return Err(Failure::Usage(text));
            }
            Taken::End(rest) => {
                if !rest.is_empty() {
                    writing.add(rest, &mut told)?;
                }
                return writing.append(&mut told);
            }
            Taken::Interrupted => {
                writing.append(&mut told)?;
                let dir = one_line(&arguments.target.dir);
                return Err(Failure::Usage(format!("{dir}: stopped before the input ended")));
            }
        }
    }
}

fn record(input: &mut Input, by: By) -> Result<Taken, Failure> {
    match by {
        By::Line => input.until(b'\n'),
        By::Nul => input.until(0),
        By::Length => input.prefixed(),
    }
}
