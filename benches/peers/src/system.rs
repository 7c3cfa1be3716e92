//! [`System`]: a log under measurement, and [`Log`]: one of its logs, open.
//!
//! Invariant: an operation returns only when the system's own acknowledgement has been given, and
//! [`System::ack`] says what that is worth.

use std::error::Error;
use std::fmt;
use std::path::Path;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is safe once an operation has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// Nothing outlives the process.
    Memory,
    /// The operating system has the bytes: they outlive the process, not the machine.
    PageCache,
    /// The bytes outlive a loss of power.
    Disk,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "in memory",
            Self::PageCache => "in the page cache",
            Self::Disk => "on disk",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// One record, [`Ack::PageCache`].
    Append,
    /// One record, [`Ack::Memory`].
    Buffered,
    /// Many records in one call, [`Ack::PageCache`].
    Batch,
    /// One record, [`Ack::Disk`].
    Durable,
    /// Opening and reading every record, with its checksum checked.
    Replay,
    /// Opening until appends are possible.
    Open,
}

impl Operation {
    /// The class that a system must be of to be compared.
    pub(crate) fn class(self) -> Option<Ack> {
        match self {
            Self::Append | Self::Batch => Some(Ack::PageCache),
            Self::Buffered => Some(Ack::Memory),
            Self::Durable => Some(Ack::Disk),
            Self::Replay | Self::Open => None,
        }
    }
}

/// What a log will be used for, for systems that prepare room ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) record_bytes: usize,
    pub(crate) records: u64,
    pub(crate) threads: usize,
    /// What will be timed. Where it is appends, room may be prepared at any cost before.
    pub(crate) timed: Operation,
}

impl Plan {
    /// Room for all records with `overhead` bytes each, and some more.
    pub(crate) fn log_bytes(&self, overhead: usize) -> u64 {
        self.records * (self.record_bytes + overhead).next_multiple_of(8) as u64 + (1 << 20)
    }
}

pub(crate) trait System: Sync {
    fn name(&self) -> &'static str;

    /// What the system's nearest operation acknowledges; `None` where it has no such thing. Where
    /// that is not the operation's class, the system is left out of the work.
    fn ack(&self, operation: Operation) -> Option<Ack>;

    /// How many threads may append to one log.
    fn max_threads(&self) -> usize {
        usize::MAX
    }

    /// What a reader of the figures must know.
    fn note(&self, _operation: Operation) -> Option<&'static str> {
        None
    }

    /// By how much the logs that are only opened or replayed are made smaller, for systems whose
    /// opening costs so much for each record that a whole one would take minutes. The figure is
    /// scaled back, and marked.
    fn scale_down(&self, _operation: Operation) -> u64 {
        1
    }

    /// Opens the log in `directory`, which is there, or makes one.
    fn open(&self, directory: &Path, plan: &Plan) -> Outcome<Box<dyn Log>>;
}

pub(crate) trait Log: Send + Sync {
    /// [`Operation::Append`]. Each thread has a number, from 0.
    fn append(&self, _thread: usize, _payload: &[u8]) -> Outcome {
        Err("not offered".into())
    }

    fn append_buffered(&self, _payload: &[u8]) -> Outcome {
        Err("not offered".into())
    }

    /// Hands what was buffered to the operating system. It belongs to the time of the buffered work.
    fn write_out(&self) -> Outcome {
        Err("not offered".into())
    }

    fn append_batch(&self, _payloads: &[&[u8]]) -> Outcome {
        Err("not offered".into())
    }

    fn append_durable(&self, thread: usize, payload: &[u8]) -> Outcome;

    /// Appends `payload` as `records` single records, the cheapest way there is, and makes all
    /// durable.
    fn fill(&self, payload: &[u8], records: u64) -> Outcome;

    /// Reads every record with its checksum checked, and returns how many there are.
    fn replay(&self) -> Outcome<u64>;

    fn close(self: Box<Self>) -> Outcome;
}
