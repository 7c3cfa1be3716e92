//! [`Ledger`]: what callers were told, and so what a log must hold after a crash and what it may.
//!
//! Invariant: it knows every record that was ever appended in this history, by address. The calls of
//! a life all end, as the power is cut only afterwards and in hindsight; so nothing is in doubt but
//! when a caller was told what. That is counted in events of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::format::frame_bytes;

/// Records as they were read: address and payload.
pub(super) type Records = Vec<(u64, Vec<u8>)>;

#[derive(Clone, Debug)]
struct Entry {
    payload: Arc<[u8]>,
    /// How many events there were when its append began; none if it is of an earlier life.
    began: Option<u64>,
    /// How many there were when someone first learned of it.
    told: Option<u64>,
    /// The address of the last record of its batch.
    batch_end: u64,
}

impl Entry {
    fn end(&self, at: u64) -> u64 {
        at + frame_bytes(u32::try_from(self.payload.len()).unwrap())
    }
}

/// What a caller was told, and after how many events.
#[derive(Debug)]
pub(super) enum Note {
    /// An append returned: its records lie side by side from `at` on.
    Appended { began: u64, told: u64, at: u64, payloads: Vec<Arc<[u8]>> },
    /// Everything below survives the loss of power.
    Durable { told: u64, below: u64 },
    /// Everything below survives the end of the process.
    Committed { told: u64, below: u64 },
    /// A snapshot that was taken when everything below `committed` was.
    Read { told: u64, committed: u64, found: Records },
    /// What a follower handed out that began at `from`; if it came to an end, then all below `kept`.
    Followed { told: u64, from: u64, kept: u64, found: Records },
    /// Closing the log succeeded.
    Closed { told: u64 },
}

/// What an opened log shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) found: Records,
    pub(super) durable: u64,
    pub(super) committed: u64,
    pub(super) tail: u64,
    /// Whether it says that it was closed.
    pub(super) clean: bool,
}

/// A moment at which a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The power goes; everything that no sync covered is up to the seed.
    Power { event: u64, seed: u64 },
    /// The process goes; what it wrote is in the cache.
    Process { event: u64 },
}

#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<u64, Entry>,
    /// Watermarks by the number of events at which they were told.
    durable: Vec<(u64, u64)>,
    committed: Vec<(u64, u64)>,
    closed: Option<u64>,
    /// What opening must find at least: everything below.
    kept: u64,
    /// What of that was durable already; the rest may be in the cache only.
    synced: u64,
    /// Whether opening must find a clean log.
    clean: bool,
    /// The highest end of a record that anyone was told of in an earlier life, found again or not.
    told_end: u64,
    /// Where the log went on when it was opened.
    start: u64,
}

impl Ledger {
    /// Enters what one thread was told.
    pub(super) fn enter(&mut self, notes: &[Note]) {
        for note in notes {
            match note {
                Note::Appended { began, told, at, payloads } => {
                    self.enter_records(*began, *told, *at, payloads);
                }
                Note::Durable { told, below } => self.durable.push((*told, *below)),
                Note::Committed { told, below } => self.committed.push((*told, *below)),
                Note::Closed { told } => self.closed = Some(*told),
                Note::Read { .. } | Note::Followed { .. } => {}
            }
        }
    }

    fn enter_records(&mut self, began: u64, told: u64, at: u64, payloads: &[Arc<[u8]>]) {
        assert!(
            at >= self.start,
            "the address {at} is below {}, where the log went on",
            self.start
        );
        let mut next = at;
        let mut addresses = Vec::new();
        for payload in payloads {
            addresses.push(next);
            next += frame_bytes(u32::try_from(payload.len()).unwrap());
        }
        let batch_end = addresses.last().copied().unwrap_or(at);
        for (at, payload) in addresses.into_iter().zip(payloads) {
            let payload = Arc::clone(payload);
            let entry = Entry { payload, began: Some(began), told: Some(told), batch_end };
            let before = self.entries.insert(at, entry);
            assert!(before.is_none(), "the address {at} was given out twice");
        }
    }

    /// Checks what was read while others appended. All notes are entered.
    pub(super) fn check_reads(&mut self, notes: &[Note]) {
        for note in notes {
            let (told, found) = match note {
                Note::Read { told, committed, found } => {
                    self.check_prefix(found, *committed);
                    (told, found)
                }
                Note::Followed { told, from, kept, found } => {
                    self.check_stretch(found, *from, *kept);
                    (told, found)
                }
                _ => continue,
            };
            for (at, _) in found {
                let entry = self.entries.get_mut(at).unwrap();
                entry.told = Some(entry.told.map_or(*told, |before| before.min(*told)));
            }
            if let Some((last, _)) = found.last() {
                self.committed.push((*told, last + 1));
            }
        }
    }

    /// Records `found` must be the first ones, hold all below `kept`, and end outside a batch.
    fn check_prefix(&self, found: &Records, kept: u64) {
        self.check_stretch(found, 0, kept);
        let last = found.last().map(|(at, _)| *at);
        let batch_end = last.map(|at| self.entries[&at].batch_end);
        assert_eq!(last, batch_end, "the log ends inside a batch");
    }

    /// Records `found` must be the first ones from the address `from` on, and hold all below `kept`.
    fn check_stretch(&self, found: &Records, from: u64, kept: u64) {
        let mut expected = self.entries.range(from..);
        for (at, payload) in found {
            let Some((known, entry)) = expected.next() else {
                panic!("a record at {at} that nobody appended: {}", shown(payload));
            };
            assert_eq!(at, known, "a record is missing or unknown: found {}", shown(payload));
            assert!(
                **payload == *entry.payload,
                "at {at}: appended {}, found {}",
                shown(&entry.payload),
                shown(payload)
            );
        }
        if let Some((missing, _)) = expected.next() {
            assert!(
                *missing >= kept,
                "lost: {missing}, though everything below {kept} was promised"
            );
        }
    }

    /// Checks what an opened log showed: a new life begins. The events given are those before and
    /// after opening.
    pub(super) fn open(&mut self, shown: &Shown, (began, opened): (u64, u64)) {
        let Shown { found, durable, committed, tail, clean } = shown;
        self.check_prefix(found, self.kept);
        assert_eq!((durable, committed), (tail, tail), "the watermarks of an opened log are equal");
        assert!(*tail >= self.told_end, "the log goes on at {tail}, below {}", self.told_end);
        assert!(*tail >= self.kept, "the durable watermark went back to {tail} from {}", self.kept);
        assert!(*clean || !self.clean, "the log was closed, and is not found so");
        let found: BTreeSet<u64> = found.iter().map(|(at, _)| *at).collect();
        self.entries.retain(|at, _| found.contains(at));
        for entry in self.entries.values_mut() {
            entry.told.get_or_insert(opened);
        }
        let end = self.entries.last_key_value().map_or(0, |(at, entry)| entry.end(*at));
        // Before it was open the log held what it holds now, durable or not.
        self.durable = vec![(began, self.synced.min(end)), (opened, end)];
        self.committed = vec![(began, end), (opened, end)];
        self.closed = None;
        self.start = *tail;
    }

    /// What is left to be promised after a crash: the ledger with which the next life begins.
    pub(super) fn after(&self, crash: Crash) -> Self {
        let event = crash.event();
        let highest = |marks: &[(u64, u64)]| {
            let told = marks.iter().filter(|(told, _)| *told <= event);
            told.map(|(_, below)| *below).max().unwrap_or(0)
        };
        let durable = highest(&self.durable);
        // A power cut leaves nothing that is not durable.
        let (kept, synced) = match crash {
            Crash::Power { .. } => (durable, u64::MAX),
            Crash::Process { .. } => (durable.max(highest(&self.committed)), durable),
        };
        let mut next = Self {
            kept,
            synced,
            clean: self.closed.is_some_and(|closed| closed <= event),
            told_end: self.told_end,
            ..Self::default()
        };
        for (at, entry) in &self.entries {
            let told = entry.told.filter(|told| *told <= event);
            if told.is_some() {
                next.told_end = next.told_end.max(entry.end(*at));
            }
            if entry.began.is_none_or(|began| began < event) {
                let entry = Entry { began: None, told: told.map(|_| 0), ..entry.clone() };
                next.entries.insert(*at, entry);
            }
        }
        next
    }

    /// How many records there were.
    pub(super) fn records(&self) -> u64 {
        self.entries.len() as u64
    }
}

impl Crash {
    pub(super) fn event(self) -> u64 {
        match self {
            Self::Power { event, .. } | Self::Process { event } => event,
        }
    }
}

/// The length and first bytes of a payload.
fn shown(payload: &[u8]) -> String {
    format!("{} bytes {:02x?}", payload.len(), payload.iter().take(24).collect::<Vec<_>>())
}

mod tests;
