//! [`Journal`]: every event since the disk was as it began, so that it can be made again as it was
//! before any of them.
//!
//! Invariant: the disk at an event is the first one with all changes before that event applied, in
//! order. Asking for events in ascending order applies each change once.

use super::disk::{Change, Disk};

/// What an event of a [`FaultStorage`](super::FaultStorage) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The directory is made.
    CreateDirectory,
    /// A file is made.
    Create,
    /// Bytes of a file are written.
    Write,
    /// Bytes of a file are set to zero, and their blocks given back.
    Discard,
    /// A file is synced.
    Sync,
    /// A file is renamed.
    Rename,
    /// A file is removed.
    Remove,
    /// The directory is synced.
    SyncDirectory,
    /// [`drop_caches`](super::FaultStorage::drop_caches) was called.
    DropCaches,
}

/// A call that changes a [`FaultStorage`](super::FaultStorage), or what of it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// How many events there were before it.
    pub number: u64,
    /// What it does.
    pub kind: EventKind,
    /// The file, by the name that it had then; empty for the directory.
    pub name: String,
    /// The new name; empty but for a rename.
    pub to: String,
    /// Where a write or discard begins, in bytes; else 0.
    pub offset: u64,
    /// How many bytes a write or discard was asked for, or the size of a file that is made; else 0.
    pub len: u64,
    /// Whether the call said `Ok`. True for an event that is still to come.
    pub ok: bool,
}

#[derive(Debug)]
pub(super) struct Journal {
    first: Disk,
    /// How many events came before the first of `entries`.
    begins_at: u64,
    entries: Vec<(Event, Change)>,
    /// The disk that was asked for last, and the event that it was asked for.
    reached: (u64, Disk),
}

impl Journal {
    /// Begins with a disk after `number` events.
    pub(super) fn new(disk: &Disk, number: u64) -> Self {
        let reached = (number, disk.clone());
        Self { first: disk.clone(), begins_at: number, entries: Vec::new(), reached }
    }

    pub(super) fn push(&mut self, event: Event, change: Change) {
        self.entries.push((event, change));
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.entries.iter().map(|(event, _)| event)
    }

    /// The disk before that event; `None` if it is not kept.
    pub(super) fn before(&mut self, number: u64) -> Option<&Disk> {
        if number < self.reached.0 {
            self.reached = (self.begins_at, self.first.clone());
        }
        let index = |number: u64| usize::try_from(number.checked_sub(self.begins_at)?).ok();
        let missing = self.entries.get(index(self.reached.0)?..index(number)?)?;
        for (event, change) in missing {
            self.reached.1.apply(event.number, change);
        }
        self.reached.0 = number;
        Some(&self.reached.1)
    }
}
