//! [`Ledger`]: what callers were told, and so what a log must hold after a crash and what it may.
//!
//! Invariant: it knows every record that was ever appended in this history, by address. The calls of
//! a life all end, as the power is cut only afterwards and in hindsight; so nothing is in doubt but
//! when a caller was told what. That is counted in events of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
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
    /// A snapshot that was taken when everything below `committed` was, from the head on.
    Read { began: u64, told: u64, committed: u64, head: u64, found: Records },
    /// A truncation made `head` the head, or found it there.
    Truncated { began: u64, told: u64, head: u64 },
    /// The log was cut: what was appended in a range of addresses is gone.
    Cut { began: u64, told: u64, gone: Range<u64> },
    /// The application's state was set.
    State { began: u64, told: u64, bytes: Vec<u8> },
    /// What a follower handed out that began at `from`; if it came to an end, then all below `kept`.
    Followed { began: u64, told: u64, from: u64, kept: u64, found: Records },
    /// Closing the log succeeded.
    Closed { told: u64 },
}

/// What an opened log shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) found: Records,
    pub(super) head: u64,
    pub(super) app_state: Vec<u8>,
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
    /// Heads: when the truncation began and returned, and what it came to.
    heads: Vec<(u64, u64, u64)>,
    /// What was cut off, likewise.
    cuts: Vec<(u64, u64, Range<u64>)>,
    /// Cuts that had begun when the life before ended: each was made or not.
    begun_cuts: Vec<Range<u64>>,
    /// The application's states, likewise.
    states: Vec<(u64, u64, Vec<u8>)>,
    /// The heads that opening may find: from the one that was promised on.
    head: BTreeSet<u64>,
    /// The states of the application that opening may find.
    app_states: BTreeSet<Vec<u8>>,
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
                Note::Truncated { began, told, head } => self.heads.push((*began, *told, *head)),
                Note::Cut { began, told, gone } => self.cuts.push((*began, *told, gone.clone())),
                Note::State { began, told, bytes } => {
                    self.states.push((*began, *told, bytes.clone()));
                }
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
                Note::Read { began, told, committed, head, found } => {
                    self.check_head((*began, *told), *head);
                    let (gone, may) = self.cuts_beside(*began, *told);
                    self.check_cut_prefix(found, *head, *committed, (&gone, &may));
                    (told, found)
                }
                Note::Followed { began, told, from, kept, found } => {
                    let (gone, may) = self.cuts_beside(*began, *told);
                    check_cut(&may, |made| {
                        let gone = [gone.as_slice(), made].concat();
                        self.check_stretch(found, *from, *kept, &gone).map(drop)
                    });
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

    /// Somebody made `head` the head, and it is not below one that was known before.
    fn check_head(&self, (began, told): (u64, u64), head: u64) {
        let known = self.heads.iter().any(|(began, _, known)| *began <= told && *known == head);
        assert!(known, "nobody made {head} the head");
        let passed = |(_, before, least): &(u64, u64, u64)| *before < began && *least > head;
        assert!(!self.heads.iter().any(passed), "the head went back to {head}");
    }

    /// The cuts that were made before a call, and those that may have been made during it.
    fn cuts_beside(&self, began: u64, told: u64) -> (Vec<Range<u64>>, Vec<Range<u64>>) {
        let begun = self.cuts.iter().filter(|(start, ..)| *start <= told);
        let (made, may): (Vec<_>, Vec<_>) = begun.partition(|(_, ended, _)| *ended < began);
        let ranges = |cuts: Vec<&(u64, u64, Range<u64>)>| {
            cuts.into_iter().map(|(.., gone)| gone.clone()).collect()
        };
        (ranges(made), ranges(may))
    }

    /// Records `found` must be what some of the cuts that may have been made leave, beside those that
    /// were. Returns those.
    fn check_cut_prefix(
        &self,
        found: &Records,
        head: u64,
        kept: u64,
        (gone, may): (&[Range<u64>], &[Range<u64>]),
    ) -> Vec<Range<u64>> {
        check_cut(may, |made| self.check_prefix(found, head, kept, &[gone, made].concat()))
    }

    /// Records `found` must be the first ones from `head` on, but for those that are `gone`, hold all
    /// below `kept`, and end outside a batch that goes on.
    fn check_prefix(
        &self,
        found: &Records,
        head: u64,
        kept: u64,
        gone: &[Range<u64>],
    ) -> Result<(), String> {
        let next = self.check_stretch(found, head, kept, gone)?;
        let batch_end = found.last().map_or(0, |(at, _)| self.entries[at].batch_end);
        match next {
            Some(next) if next <= batch_end => Err("the log ends inside a batch".into()),
            _ => Ok(()),
        }
    }

    /// Records `found` must be the first ones from the address `from` on, but for those that are
    /// `gone`, and hold all below `kept`. Returns the address of the one that would come next.
    fn check_stretch(
        &self,
        found: &Records,
        from: u64,
        kept: u64,
        gone: &[Range<u64>],
    ) -> Result<Option<u64>, String> {
        let there = |(at, _): &(&u64, &Entry)| !gone.iter().any(|gone| gone.contains(at));
        let mut expected = self.entries.range(from..).filter(there);
        for (at, payload) in found {
            let Some((known, entry)) = expected.next() else {
                return Err(format!(
                    "a record at {at} that nobody appended: {}",
                    shown_bytes(payload)
                ));
            };
            if at != known {
                let found = shown_bytes(payload);
                return Err(format!("a record is missing or unknown: {known} or {at}, {found}"));
            }
            if **payload != *entry.payload {
                let (appended, found) = (shown_bytes(&entry.payload), shown_bytes(payload));
                return Err(format!("at {at}: appended {appended}, found {found}"));
            }
        }
        let next = expected.next().map(|(next, _)| *next);
        if let Some(next) = next.filter(|next| *next < kept) {
            return Err(format!("lost: {next}, though everything below {kept} was promised"));
        }
        Ok(next)
    }

    /// Checks what an opened log showed: a new life begins. The events given are those before and
    /// after opening.
    pub(super) fn open(&mut self, shown: &Shown, (began, opened): (u64, u64)) {
        let Shown { found, head, app_state, durable, committed, tail, clean } = shown;
        // A log without a segment begins where it goes on.
        let begins = found.is_empty() && head == tail;
        let known = self.head.is_empty() || self.head.contains(head) || begins;
        assert!(known, "the head {head} is unheard of");
        let known = self.app_states.is_empty() || self.app_states.contains(app_state);
        assert!(known, "the state {} is unheard of", shown_bytes(app_state));
        assert!(head <= durable, "the head {head} is above {durable}");
        // Behind one that was made the log goes on at its end or above. Others may have been waiting.
        self.begun_cuts.retain(|gone| gone.end <= *tail);
        let made = self.check_cut_prefix(found, *head, self.kept, (&[], &self.begun_cuts));
        assert_eq!((durable, committed), (tail, tail), "the watermarks of an opened log are equal");
        assert!(*tail >= self.told_end, "the log goes on at {tail}, below {}", self.told_end);
        assert!(*tail >= self.kept, "the durable watermark went back to {tail} from {}", self.kept);
        assert!(*clean || !self.clean, "the log was closed, and is not found so");
        let found: BTreeSet<u64> = found.iter().map(|(at, _)| *at).collect();
        let end = found.last().map_or(0, |at| self.entries[at].end(*at));
        // What lies below the head may come back with an older one, and what was cut off while that
        // is in the cache only.
        let cut = |at: &u64| made.iter().any(|gone| gone.contains(at));
        self.entries.retain(|at, _| at < head || found.contains(at) || cut(at));
        for entry in self.entries.values_mut() {
            entry.told.get_or_insert(opened);
        }
        // Before it was open the log held what it holds now, durable or not.
        self.durable = vec![(began, self.synced.min(end)), (opened, end)];
        self.committed = vec![(began, end), (opened, end)];
        self.closed = None;
        self.cuts = made.into_iter().map(|gone| (0, opened, gone)).collect();
        self.begun_cuts.clear();
        // What was found may have been in the cache only, and a head may have been moved by opening:
        // until the log was open the disk held any of what it may have held before.
        let cached = self.synced != u64::MAX;
        self.heads = vec![(0, 0, *head)];
        let least = self.head.first().copied();
        if let Some(least) = least.filter(|_| cached || !self.head.contains(head)) {
            let below = self.head.iter().filter(|before| **before < *head);
            let before = below.map(|before| (0, opened, *before));
            self.heads = before.chain([(0, 0, least), (0, opened, *head)]).collect();
        }
        self.states = vec![(0, 0, app_state.clone())];
        if cached && !self.app_states.is_empty() {
            let before = self.app_states.iter().map(|before| (0, began, before.clone()));
            self.states = before.chain([(began, opened, app_state.clone())]).collect();
        }
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
            head: self.heads_at(event),
            app_states: self.states_at(event),
            ..Self::default()
        };
        let made = |(_, told, _): &&(u64, u64, Range<u64>)| *told <= event;
        let made: Vec<_> = self.cuts.iter().filter(made).map(|(.., gone)| gone).collect();
        next.told_end = made.iter().map(|gone| gone.end).fold(next.told_end, u64::max);
        let may = |(began, told, _): &&(u64, u64, Range<u64>)| {
            (*began < event || *began == 0) && event < *told
        };
        let begun = self.cuts.iter().filter(may);
        next.begun_cuts = begun.map(|(.., gone)| gone.clone()).collect();
        for (at, entry) in &self.entries {
            let told = entry.told.filter(|told| *told <= event);
            if told.is_some() {
                next.told_end = next.told_end.max(entry.end(*at));
            }
            let is_gone = made.iter().any(|gone| gone.contains(at));
            if entry.began.is_none_or(|began| began < event) && !is_gone {
                let entry = Entry { began: None, told: told.map(|_| 0), ..entry.clone() };
                next.entries.insert(*at, entry);
            }
        }
        next
    }

    /// The heads that there may be at an event: of truncations that have begun, from the highest on
    /// that anyone was told of.
    fn heads_at(&self, event: u64) -> BTreeSet<u64> {
        let told = self.heads.iter().filter(|(_, told, _)| *told <= event);
        let least = told.map(|(.., head)| *head).max().unwrap_or(0);
        let begun = self.heads.iter().filter(|(began, ..)| *began < event || *began == 0);
        begun.map(|(.., head)| *head).filter(|head| *head >= least).collect()
    }

    /// The states of the application that there may be at an event: of calls that have begun, and
    /// that were not followed by one which has ended.
    fn states_at(&self, event: u64) -> BTreeSet<Vec<u8>> {
        let ended = self.states.iter().filter(|(_, told, _)| *told <= event);
        let last = ended.map(|(began, ..)| *began).max().unwrap_or(0);
        let may = |(began, told, _): &&(u64, u64, Vec<u8>)| {
            (*began < event || *began == 0) && (*told > last || last == 0)
        };
        self.states.iter().filter(may).map(|(.., bytes)| bytes.clone()).collect()
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

/// Of the cuts that may have been made, some must satisfy `check`. Returns those, and as many as can
/// be: what a cut that was made in the cache only has hidden may come back after the next crash.
fn check_cut(
    may: &[Range<u64>],
    check: impl Fn(&[Range<u64>]) -> Result<(), String>,
) -> Vec<Range<u64>> {
    let mut refusal = Ok(());
    for chosen in (0..1_u32 << may.len()).rev() {
        let made = |number: &usize| chosen >> number & 1 == 1;
        let made = (0..may.len()).filter(made).filter_map(|number| may.get(number));
        let made: Vec<_> = made.cloned().collect();
        refusal = check(&made);
        if refusal.is_ok() {
            return made;
        }
    }
    panic!("{}", refusal.unwrap_err());
}

/// The length and first bytes of a payload.
fn shown_bytes(payload: &[u8]) -> String {
    format!("{} bytes {:02x?}", payload.len(), payload.iter().take(24).collect::<Vec<_>>())
}

mod tests;
