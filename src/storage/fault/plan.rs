//! [`Fault`]: how a call fails, and [`Plan`]: which calls do.
//!
//! Invariant: a fault is injected at most once for each time it was asked for, and counted.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use super::journal::{Event, EventKind};

/// How an event of a [`FaultStorage`](super::FaultStorage) fails. A fault that does not fit the event
/// is an error of kind [`Other`](io::ErrorKind::Other), and nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The call does nothing and says so. A sync that fails like this can still be tried again.
    Error(io::ErrorKind),
    /// The disk is full: an error of kind [`StorageFull`](io::ErrorKind::StorageFull).
    NoSpace,
    /// A write takes so many bytes at most, and says how many.
    Short(usize),
    /// A write takes so many bytes at most, and then fails.
    Torn(usize),
    /// The call does everything, and then says that it failed. Not for a file that is to be made:
    /// there an error means that it is not there.
    Late(io::ErrorKind),
    /// A sync fails as Linux has it fail: what was to be written counts as written from now on. Reads
    /// go on seeing it, a later sync says `Ok` and does nothing about it, and it is not durable unless
    /// it is written again.
    LostSync {
        /// `None`: nothing was written back. A seed: some sectors were.
        seed: Option<u64>,
    },
}

impl Fault {
    /// What the caller is told.
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Error(kind) | Self::Late(kind) => injected(kind),
            Self::NoSpace => injected(io::ErrorKind::StorageFull),
            Self::Short(_) | Self::Torn(_) | Self::LostSync { .. } => {
                injected(io::ErrorKind::Other)
            }
        }
    }

    /// How many of `len` bytes a write takes.
    pub(super) fn taken(self, len: usize) -> usize {
        match self {
            Self::Short(bytes) | Self::Torn(bytes) => bytes.min(len),
            Self::Late(_) => len,
            Self::Error(_) | Self::NoSpace | Self::LostSync { .. } => 0,
        }
    }

    /// Whether the event happens although it fails.
    pub(super) fn is_late(self, kind: EventKind) -> bool {
        matches!(self, Self::Late(_)) && kind != EventKind::Create
    }
}

pub(super) fn injected(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "injected")
}

type Rule = Box<dyn FnMut(&Event) -> Option<Fault> + Send>;

#[derive(Default)]
pub(super) struct Plan {
    by_number: BTreeMap<u64, Fault>,
    rule: Option<Rule>,
    reads_by_number: BTreeMap<u64, io::ErrorKind>,
    injected: u64,
    reads: u64,
}

impl Plan {
    pub(super) fn fail(&mut self, event: u64, fault: Fault) {
        self.by_number.insert(event, fault);
    }

    pub(super) fn fail_when(&mut self, rule: Rule) {
        self.rule = Some(rule);
    }

    pub(super) fn fail_read(&mut self, read: u64, kind: io::ErrorKind) {
        self.reads_by_number.insert(read, kind);
    }

    /// Forgets all faults; the counts go on.
    pub(super) fn heal(&mut self) {
        *self = Self { injected: self.injected, reads: self.reads, ..Self::default() };
    }

    pub(super) fn injected(&self) -> u64 {
        self.injected
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// The fault of an event that is about to happen.
    pub(super) fn of_event(&mut self, event: &Event) -> Option<Fault> {
        let by_number = self.by_number.remove(&event.number);
        let fault = by_number.or_else(|| self.rule.as_mut().and_then(|rule| rule(event)));
        self.injected += u64::from(fault.is_some());
        fault
    }

    /// Counts a read, and fails it if it is to fail.
    pub(super) fn read(&mut self) -> io::Result<()> {
        let kind = self.reads_by_number.remove(&self.reads);
        self.reads += 1;
        self.injected += u64::from(kind.is_some());
        kind.map_or(Ok(()), |kind| Err(injected(kind)))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("by_number", &self.by_number)
            .field("has_rule", &self.rule.is_some())
            .field("reads_by_number", &self.reads_by_number)
            .field("injected", &self.injected)
            .finish_non_exhaustive()
    }
}
