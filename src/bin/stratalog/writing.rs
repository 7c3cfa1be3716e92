//! [`Writing`]: a log that is open for appending, for the commands that append to it.
//!
//! Invariant: a log keeps the size of its segments unless another one is asked for, and is made only
//! where that is asked for.

use std::path::{Path, PathBuf};

use serde_json::json;
use stratalog::format::{frame_bytes, max_record_bytes};
use stratalog::{Log, Lsn, Options};

use crate::failure::Failure;
use crate::output::{Output, counted, one_line, size};

/// The most bytes of a batch, so that it takes little memory.
const BATCH_BYTES: u64 = 256 << 10;

/// How a log is opened for writing.
#[derive(clap::Args)]
pub(crate) struct Target {
    /// The log's directory; no other process may be writing it
    pub(crate) dir: PathBuf,
    /// Make the log if it is not there
    #[arg(long)]
    create: bool,
    /// The size of new segment files; by default that of the newest one
    #[arg(long, value_name = "BYTES")]
    segment_bytes: Option<u64>,
}

/// Opens the log in a directory that holds one.
pub(crate) fn open(dir: &Path) -> Result<Log, Failure> {
    open_with(dir, false, None).map(|(log, _)| log)
}

fn open_with(dir: &Path, create: bool, bytes: Option<u64>) -> Result<(Log, u64), Failure> {
    let mut options = Options::new();
    let newest = options.open_read_only(dir).ok();
    let newest = newest.and_then(|reader| reader.segments().last().map(|last| last.bytes));
    let segment_bytes = bytes.or(newest).unwrap_or(64 << 20);
    // One thread appends: it makes its segments itself, and only those it needs.
    options.create(create).segment_bytes(segment_bytes).background(false);
    let log = options.open(dir)?;
    if let Some(cut) = &log.recovery().cut {
        let (bytes, lsn) = (size(cut.bytes), cut.lsn);
        eprintln!("stratalog: {}: {bytes} of leftovers cut off at lsn {lsn}", one_line(dir));
    }
    Ok((log, segment_bytes))
}

/// When what was appended is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Durable {
    /// Each record before the next one is appended
    Each,
    /// Each batch
    Batch,
    /// All of them at the end
    End,
}

/// A log that records are appended to, in batches.
pub(crate) struct Writing {
    log: Log,
    durable: Durable,
    batch_records: usize,
    batch_bytes: u64,
    batch: Vec<Vec<u8>>,
    /// The bytes of the batch's frames.
    bytes: u64,
    report: Report,
}

/// What was appended.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) records: u64,
    bytes: u64,
    first: Option<Lsn>,
    last: Option<Lsn>,
}

impl Writing {
    pub(crate) fn open(target: &Target, durable: Durable, batch: usize) -> Result<Self, Failure> {
        let (log, segment_bytes) = open_with(&target.dir, target.create, target.segment_bytes)?;
        Ok(Self {
            log,
            durable,
            batch_records: if durable == Durable::Each { 1 } else { batch.max(1) },
            batch_bytes: BATCH_BYTES.min(max_record_bytes(segment_bytes)),
            batch: Vec::new(),
            bytes: 0,
            report: Report::default(),
        })
    }

    /// Appends a record, with the others of its batch once that is full. `told` gets each record's
    /// address, in order.
    pub(crate) fn add(
        &mut self,
        record: Vec<u8>,
        told: &mut dyn FnMut(Lsn) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let bytes = u32::try_from(record.len()).map_or(u64::MAX, frame_bytes);
        if self.bytes.saturating_add(bytes) > self.batch_bytes {
            self.append(told)?;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.batch.push(record);
        if self.batch.len() >= self.batch_records { self.append(told) } else { Ok(()) }
    }

    /// Appends what has been added.
    pub(crate) fn append(
        &mut self,
        told: &mut dyn FnMut(Lsn) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut lsn = match self.batch.as_slice() {
            [] => return Ok(()),
            [one] if self.durable == Durable::Each => self.log.append_durable(one)?,
            [one] => self.log.append(one)?,
            batch => self.log.append_batch(batch)?.start,
        };
        if self.durable == Durable::Batch {
            self.log.sync()?;
        }
        self.bytes = 0;
        self.report.first = self.report.first.or(Some(lsn));
        // The records of a batch lie side by side.
        for record in self.batch.drain(..) {
            self.report.records += 1;
            self.report.bytes += record.len() as u64;
            self.report.last = Some(lsn);
            told(lsn)?;
            let len = u32::try_from(record.len()).unwrap_or(0);
            lsn = Lsn::new(lsn.get() + frame_bytes(len));
        }
        Ok(())
    }

    /// Closes the log, with everything durable.
    pub(crate) fn close(self) -> Result<Report, Failure> {
        self.log.close()?;
        Ok(self.report)
    }
}

impl Report {
    pub(crate) fn tell(&self, output: &mut Output) -> Result<(), Failure> {
        if output.is_json() {
            return output.json(&json!({
                "records": self.records,
                "bytes": self.bytes,
                "first": self.first.map(Lsn::get),
                "last": self.last.map(Lsn::get),
                "durable": true,
            }));
        }
        let records = counted(self.records, "record");
        match (self.first, self.last) {
            (Some(first), Some(last)) => {
                output.line(format_args!("{records}, lsn {first} to {last}, all durable"))
            }
            _ => output.line("no records"),
        }
    }
}
