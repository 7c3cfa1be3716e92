//! [`Device`]: a disk with a volatile cache, that writes down what is done to it.
//!
//! Invariant: the entries stand in the order in which the device was told. Whatever was written
//! before an entry `Flush` is durable from that entry on; nothing else is.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pages::Pages;

/// What was done to a device.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Write(u64, Arc<[u8]>),
    Flush,
}

/// Which writes fail from now on, and how many of them before the device is well again.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    pub(crate) ranges: Vec<Range<u64>>,
    pub(crate) writes: u64,
}

struct State {
    pages: Pages,
    entries: Vec<Entry>,
    failing: Option<Failing>,
    failed: u64,
}

/// A device as it was when the power went: its content at the start, and all that was done since.
#[derive(Clone)]
pub(crate) struct Recording {
    pub(crate) base: Pages,
    pub(crate) entries: Arc<[Entry]>,
}

pub(crate) struct Device {
    base: Pages,
    state: Mutex<State>,
}

impl Device {
    pub(crate) fn new(pages: Pages) -> Self {
        let state = State { pages: pages.clone(), entries: Vec::new(), failing: None, failed: 0 };
        Self { base: pages, state: Mutex::new(state) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.base.bytes()
    }

    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        self.lock().pages.read(offset, len)
    }

    /// False: the write failed, and the device holds what it held.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut state = self.lock();
        if state.refuses(offset, bytes.len() as u64) {
            return false;
        }
        state.pages.write(offset, bytes);
        state.entries.push(Entry::Write(offset, bytes.into()));
        true
    }

    pub(crate) fn flush(&self) {
        self.lock().entries.push(Entry::Flush);
    }

    /// How many entries there are: a call that returned before this was taken had all its effects
    /// on the device among them.
    pub(crate) fn stamp(&self) -> usize {
        self.lock().entries.len()
    }

    /// What the device holds now, cached or not.
    pub(crate) fn pages(&self) -> Pages {
        self.lock().pages.clone()
    }

    pub(crate) fn recording(&self) -> Recording {
        Recording { base: self.base.clone(), entries: self.lock().entries.clone().into() }
    }

    pub(crate) fn fail(&self, failing: Failing) {
        self.lock().failing = Some(failing);
    }

    /// Ends whatever fails; returns how many writes failed since the start.
    pub(crate) fn heal(&self) -> u64 {
        let mut state = self.lock();
        state.failing = None;
        state.failed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuses(&mut self, offset: u64, len: u64) -> bool {
        let Some(failing) = &mut self.failing else { return false };
        let meets = |range: &Range<u64>| range.start < offset + len && offset < range.end;
        if !failing.ranges.iter().any(meets) {
            return false;
        }
        failing.writes -= 1;
        self.failed += 1;
        if failing.writes == 0 {
            self.failing = None;
        }
        true
    }
}
