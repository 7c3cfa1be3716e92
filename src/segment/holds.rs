//! [`Holds`]: the addresses from which on nothing may be dropped.
//!
//! Invariant: whoever raises the head looks at the lowest hold, and whoever adds one looks at the
//! head, under the one lock of truncation; so none is ever added below a head that is being raised.
//! Moving a hold up, or giving it up, needs no such care.

use std::collections::BTreeMap;

use crate::sync::Mutex;

/// One hold: its address, and what its owner calls it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) lsn: u64,
    pub(crate) label: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<u64, Held>,
    next: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<State>);

impl Holds {
    /// Adds a hold and returns its number. The caller holds the lock of truncation.
    pub(crate) fn add(&self, held: Held) -> u64 {
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.held.insert(number, held);
        number
    }

    /// Moves a hold up; never down.
    pub(crate) fn advance(&self, number: u64, lsn: u64) {
        if let Some(held) = self.0.lock().held.get_mut(&number) {
            held.lsn = held.lsn.max(lsn);
        }
    }

    pub(crate) fn lsn(&self, number: u64) -> Option<u64> {
        self.0.lock().held.get(&number).map(|held| held.lsn)
    }

    pub(crate) fn remove(&self, number: u64) {
        self.0.lock().held.remove(&number);
    }

    pub(crate) fn lowest(&self) -> Option<u64> {
        self.0.lock().held.values().map(|held| held.lsn).min()
    }

    /// All holds, the lowest first.
    pub(crate) fn list(&self) -> Vec<Held> {
        let mut all: Vec<_> = self.0.lock().held.values().cloned().collect();
        all.sort_by_key(|held| held.lsn);
        all
    }
}
