//! [`System`]: a log under measurement, and [`Log`]: one of its logs, open.
//!
//! Invariant: an operation returns only when the system's own acknowledgement has been given, and
//! [`System::ack`] says what that is worth.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::thread;

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

    /// Why several threads can't do the work together, if they can't.
    fn refuses_threads(&self, _operation: Operation) -> Option<&'static str> {
        None
    }

    /// What a reader of the figures must know.
    fn note(&self, _plan: &Plan) -> Option<&'static str> {
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

    /// Reads every record with its checksum checked, and returns how many there are. With several
    /// `threads` each takes a share; the log was made by [`fill`](Self::fill) alone then, and holds
    /// as many records as the plan says.
    fn replay(&self, threads: usize) -> Outcome<u64>;

    /// Syncs of records since opening, where the system tells.
    fn syncs(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Outcome;
}

/// Runs `share` for each of `threads` shares of `records`, each in a thread of its own unless there is
/// only one, and adds up what they return.
pub(crate) fn in_shares(
    threads: usize,
    records: u64,
    share: impl Fn(Range<u64>) -> Outcome<u64> + Sync,
) -> Outcome<u64> {
    if threads == 1 {
        return share(0..records);
    }
    let (share, count) = (&share, threads as u64);
    thread::scope(|scope| {
        let start = |number| {
            let records = number * records / count..(number + 1) * records / count;
            scope.spawn(move || share(records))
        };
        let running: Vec<_> = (0..count).map(start).collect();
        running.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")?).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_records_once() {
        for (threads, records) in [(1, 7), (2, 7), (3, 2), (4, 0)] {
            let taken = in_shares(threads, records, |share| Ok(share.end - share.start)).unwrap();
            assert_eq!(taken, records, "{threads} threads");
        }
        assert!(in_shares(2, 2, |_| Err("damaged".into())).is_err());
    }
}
