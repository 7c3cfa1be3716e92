//! [`Locks`]: who holds which advisory lock on a disk in memory.
//!
//! Invariant: a name has either one exclusive holder or any number of shared ones.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::LockKind;

#[derive(Debug)]
enum Holders {
    Exclusive,
    Shared(usize),
}

#[derive(Debug, Default)]
pub(super) struct Locks {
    held: BTreeMap<String, Holders>,
}

impl Locks {
    /// Takes a lock. False where another holder excludes it.
    pub(super) fn take(&mut self, name: &str, kind: LockKind) -> bool {
        match (self.held.entry(name.to_owned()), kind) {
            (Entry::Vacant(free), LockKind::Exclusive) => {
                free.insert(Holders::Exclusive);
            }
            (Entry::Vacant(free), LockKind::Shared) => {
                free.insert(Holders::Shared(1));
            }
            (Entry::Occupied(mut held), LockKind::Shared) => match held.get_mut() {
                Holders::Exclusive => return false,
                Holders::Shared(holders) => *holders += 1,
            },
            (Entry::Occupied(_), LockKind::Exclusive) => return false,
        }
        true
    }

    /// Gives one holder's lock back.
    pub(super) fn give_back(&mut self, name: &str) {
        match self.held.get_mut(name) {
            Some(Holders::Shared(holders)) if *holders > 1 => *holders -= 1,
            _ => {
                self.held.remove(name);
            }
        }
    }
}
