//! `import`: appends what `export` wrote.
//!
//! Invariant: only records whose checksums are right are appended, in order; and how far it came is told
//! whatever happens, so that it can go on there.

use std::collections::VecDeque;

use serde_json::json;
use stratalog::Lsn;

use crate::failure::{Failure, Outcome};
use crate::input::{Input, Taken};
use crate::output::Output;
use crate::stream::{self, Part};
use crate::writing::{Durable, Target, Writing};

/// Appends the records of a stream that `export` wrote, from standard input
///
/// They get addresses of this log's own; --print shows both. What was imported
/// is durable, also where the stream ends too early: then the address of the
/// last record is told, with which --after goes on.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog import data/copy --create < records")]
pub(crate) struct Import {
    #[command(flatten)]
    target: Target,
    /// Pass the records up to and including this one's old address
    #[arg(long, value_name = "LSN")]
    after: Option<Lsn>,
    /// Print each record's old and new address instead of a summary
    #[arg(long)]
    print: bool,
}

const BATCH_RECORDS: usize = 64;

pub(crate) fn run(arguments: &Import, output: &mut Output) -> Result<Outcome, Failure> {
    let mut stream = Stream(Input::begin());
    // Nothing is made before it is known to be a stream.
    stream.begin()?;
    let mut writing = Writing::open(&arguments.target, Durable::End, BATCH_RECORDS)?;
    let mut last = arguments.after;
    let ended = import_all(arguments, &mut stream, &mut writing, &mut last, output);
    let report = writing.close()?;
    if !arguments.print {
        report.tell(output)?;
    }
    ended.map_err(|failure| match (failure, last) {
        (Failure::Damage(text), Some(last)) => {
            Failure::Damage(format!("{text}; go on with --after {last}"))
        }
        (Failure::Usage(text), Some(last)) => {
            Failure::Usage(format!("{text}; go on with --after {last}"))
        }
        (failure, _) => failure,
    })?;
    Ok(Outcome::Fine)
}

/// `last` is the old address of the last record that is appended.
fn import_all(
    arguments: &Import,
    stream: &mut Stream,
    writing: &mut Writing,
    last: &mut Option<Lsn>,
    output: &mut Output,
) -> Result<(), Failure> {
    // The old addresses of what is to be appended.
    let (mut waiting, print) = (VecDeque::new(), arguments.print);
    let mut told = |waiting: &mut VecDeque<Lsn>, new: Lsn| {
        let before = waiting.pop_front();
        *last = before.or(*last);
        match before {
            Some(before) if print && output.is_json() => {
                output.json(&json!({ "old": before.get(), "new": new.get() }))
            }
            Some(before) if print => output.line(format_args!("{before} {new}")),
            _ => Ok(()),
        }
    };
    let mut count = 0;
    let ended = loop {
        match stream.next() {
            Ok(Some((lsn, payload))) => {
                count += 1;
                if arguments.after.is_none_or(|after| lsn > after) {
                    waiting.push_back(lsn);
                    writing.add(payload, &mut |new| told(&mut waiting, new))?;
                }
            }
            Ok(None) => break stream.end(count),
            Err(failure) => break Err(failure),
        }
    };
    writing.append(&mut |new| told(&mut waiting, new))?;
    ended
}

/// A stream on standard input.
struct Stream(Input);

impl Stream {
    fn take(&mut self, len: usize) -> Result<Vec<u8>, Failure> {
        loop {
            match self.0.exactly(len)? {
                Taken::Bytes(bytes) => return Ok(bytes),
                Taken::Idle => {}
                Taken::End(_) => {
                    return Err(Failure::Damage("the stream ends too early".to_owned()));
                }
                Taken::Interrupted => return Err(Failure::Usage("stopped".to_owned())),
            }
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let is_stream = match self.take(stream::BEGINNING_BYTES) {
            Ok(bytes) => stream::is_beginning(&bytes),
            Err(Failure::Damage(_)) => false,
            Err(failure) => return Err(failure),
        };
        let text = "standard input: expected a stream that export wrote, found other bytes";
        if is_stream { Ok(()) } else { Err(Failure::Usage(text.to_owned())) }
    }

    fn next(&mut self) -> Result<Option<(Lsn, Vec<u8>)>, Failure> {
        let damaged = || Failure::Damage("the stream is damaged".to_owned());
        let part = stream::part(&self.take(stream::HEADER_BYTES)?).ok_or_else(damaged)?;
        let Part::Record { lsn, len } = part else { return Ok(None) };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let mut bytes = self.take(len.saturating_add(stream::CHECKSUM_BYTES))?;
        let len = stream::payload(&bytes).ok_or_else(damaged)?.len();
        bytes.truncate(len);
        Ok(Some((Lsn::new(lsn), bytes)))
    }

    /// Checks that there were as many records as the end says.
    fn end(&mut self, records: u64) -> Result<(), Failure> {
        let count = stream::count(&self.take(stream::COUNT_BYTES)?);
        let text = "the stream is damaged: its end names another number of records";
        if count == Some(records) { Ok(()) } else { Err(Failure::Damage(text.to_owned())) }
    }
}
