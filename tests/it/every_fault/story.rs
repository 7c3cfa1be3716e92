//! [`Story`]: what a log was given and what it promised, to hold against what is found later.
//!
//! Invariant: `durable <= committed <= tried`. A record that an opened log no longer held is not
//! expected again, and must not come back.

use std::ops::Range;

use stratalog::storage::FaultStorage;
use stratalog::{Error, Log, Lsn};

use super::super::common::{Records, Tag, check_tags, read, records, tiny};

/// A record that was appended, or may have been.
#[derive(Clone, Debug)]
struct Tried {
    payload: Vec<u8>,
    /// Where the log said that it is; `None` if the call failed.
    lsn: Option<Lsn>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    /// In the order of appending.
    tried: Vec<Tried>,
    /// How many of them were acknowledged as committed, and as durable.
    pub(super) committed: usize,
    pub(super) durable: usize,
    /// How many of them were dropped, and may have been.
    dropped: usize,
    may_be_dropped: usize,
    /// How many are left if a cut took place that was begun.
    may_be_cut_to: Option<usize>,
}

impl Story {
    /// The payloads of the next call: `parts` records of `more` bytes behind their tags.
    pub(super) fn payloads(&self, parts: u32, more: usize) -> Vec<Vec<u8>> {
        let call = self.tried.len() as u32;
        (0..parts).map(|part| Tag { writer: 0, call, part, parts }.payload(more)).collect()
    }

    /// Notes records that were appended from `start` on, side by side.
    pub(super) fn appended(&mut self, start: Lsn, payloads: Vec<Vec<u8>>) {
        let mut lsn = start.get();
        for payload in payloads {
            let next = lsn + 16 + payload.len().next_multiple_of(8) as u64;
            self.tried.push(Tried { payload, lsn: Some(Lsn::new(lsn)) });
            lsn = next;
        }
    }

    /// Notes records of a call that failed.
    pub(super) fn in_doubt(&mut self, payloads: Vec<Vec<u8>>) {
        self.tried.extend(payloads.into_iter().map(|payload| Tried { payload, lsn: None }));
    }

    pub(super) fn is_committed(&mut self) {
        self.committed = self.tried.len();
    }

    pub(super) fn is_durable(&mut self) {
        self.committed = self.tried.len();
        self.durable = self.tried.len();
    }

    /// The place of the record that is followed by so many others, or of the first of its batch, which
    /// is about to become the head.
    pub(super) fn dropping(&mut self, back: usize) -> Lsn {
        let is_first = |index: &usize| Tag::of(&self.tried[*index].payload).part == 0;
        let first = (0..self.tried.len() - back).rev().find(is_first).unwrap_or(0);
        self.may_be_dropped = self.may_be_dropped.max(first);
        self.tried[self.may_be_dropped].lsn.expect("a record that was appended")
    }

    pub(super) fn is_dropped(&mut self) {
        self.dropped = self.may_be_dropped;
    }

    /// The place of the record that is followed by so many others, or of the last such of its batch,
    /// which is about to become the last.
    pub(super) fn cutting(&mut self, back: usize) -> Lsn {
        let is_last = |index: &usize| {
            let tag = Tag::of(&self.tried[*index].payload);
            tag.part + 1 == tag.parts
        };
        let last = (0..self.tried.len() - back).rev().find(is_last).expect("a batch ends there");
        self.may_be_cut_to = Some(last + 1);
        self.tried[last].lsn.expect("a record that was appended")
    }

    pub(super) fn is_cut(&mut self) {
        self.tried.truncate(self.may_be_cut_to.take().unwrap_or(self.tried.len()));
        self.is_durable();
    }

    /// How many records are missing in front of these.
    fn missing(&self, seen: &Records) -> usize {
        let Some((_, first)) = seen.first() else { return self.may_be_dropped };
        let first = Tag::of(first);
        let missing = self.tried.iter().position(|tried| Tag::of(&tried.payload) == first);
        let missing = missing.unwrap_or_else(|| panic!("{first:?} was never appended"));
        assert!(
            (self.dropped..=self.may_be_dropped).contains(&missing),
            "{missing} are dropped, of {} to {}",
            self.dropped,
            self.may_be_dropped
        );
        missing
    }

    /// Notes the watermarks that a log shows.
    pub(super) fn note_watermarks(&mut self, log: &Log) {
        let below = |end: Lsn| {
            self.tried.iter().take_while(|tried| tried.lsn.is_some_and(|lsn| lsn < end)).count()
        };
        let (durable, committed) = (below(log.durable()), below(log.committed()));
        self.durable = self.durable.max(durable);
        self.committed = self.committed.max(committed);
    }

    /// Checks what a log holds: an intact prefix of what was appended, at the addresses that were
    /// given, of at least `at_least` records.
    pub(super) fn check(&self, seen: &Records, at_least: usize) {
        check_tags(seen);
        let missing = self.missing(seen);
        let tried = &self.tried[missing..];
        assert!(seen.len() <= tried.len(), "{} records too many", seen.len());
        for (number, ((lsn, payload), tried)) in seen.iter().zip(tried).enumerate() {
            let (found, expected) = (Tag::of(payload), Tag::of(&tried.payload));
            assert_eq!(found, expected, "record {number} at {lsn}");
            assert!(tried.lsn.is_none_or(|given| given == *lsn), "{lsn} is not {:?}", tried.lsn);
        }
        let kept = missing + seen.len();
        let is_cut = self.may_be_cut_to == Some(kept);
        assert!(kept >= at_least || is_cut, "{kept} records are left of {at_least} promised");
    }

    /// Checks a log that was just opened, and expects of it what it shows from here on.
    pub(super) fn opened(&mut self, log: &Log, at_least: usize) -> stratalog::Result<Records> {
        assert_eq!(log.durable(), log.committed());
        assert_eq!(log.durable(), log.tail());
        let (seen, failure) = read(&log.snapshot());
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.check(&seen, at_least);
        let missing = self.missing(&seen);
        self.tried.truncate(missing + seen.len());
        for (tried, (lsn, _)) in self.tried.iter_mut().skip(missing).zip(&seen) {
            tried.lsn = Some(*lsn);
        }
        (self.dropped, self.may_be_dropped, self.may_be_cut_to) = (missing, missing, None);
        self.is_durable();
        Ok(seen)
    }
}

/// Opens with [`tiny`] options what has to open.
pub(super) fn open(disk: &FaultStorage) -> Log {
    tiny().open_with(disk.clone()).unwrap_or_else(|error| panic!("opening: {error}: {error:?}"))
}

/// Opens the log of a disk on which nothing fails any more, with at least so many records. Whatever it
/// shows is durable at once: power cuts of the kinds `seeds` take nothing. Opening again gives the
/// same, and appending goes on.
pub(super) fn check_reopened(
    disk: &FaultStorage,
    story: &Story,
    at_least: usize,
    seeds: Range<u64>,
) {
    let mut story = story.clone();
    let log = open(disk);
    let handed_out = story.opened(&log, at_least).unwrap();
    for seed in seeds {
        let left = FaultStorage::from_image(disk.crash(seed));
        let found = records(&open(&left));
        assert!(found == handed_out, "power cut {seed} after opening: {}", found.len());
    }
    drop(log);
    let log = open(disk);
    assert!(log.recovery().clean && records(&log) == handed_out);
    let payloads = story.payloads(1, 33);
    let lsn = log.append_durable(&payloads[0]).unwrap();
    assert!(handed_out.last().is_none_or(|(last, _)| *last < lsn), "{lsn} was given before");
    story.appended(lsn, payloads);
    story.is_durable();
    let left = FaultStorage::from_image(disk.durable());
    story.check(&records(&open(&left)), handed_out.len() + 1);
}

/// Cuts the power before each event of an opening: what was durable is there.
pub(super) fn check_cut_while_reopening(disk: &FaultStorage, story: &Story, seed: u64) {
    let begin = disk.events();
    drop(open(disk));
    for event in begin..disk.events() {
        let left = FaultStorage::from_image(disk.crash_at(event, seed + event));
        story.check(&records(&open(&left)), story.durable);
    }
}

/// Opens what power cuts of the kinds `seeds` leave now: what was durable is there, and what one
/// opening shows, so does the next.
pub(super) fn check_power_cuts(disk: &FaultStorage, story: &Story, seeds: Range<u64>) {
    for seed in seeds {
        let left = FaultStorage::from_image(disk.crash(seed));
        let log = open(&left);
        let seen = story.clone().opened(&log, story.durable).unwrap();
        let again = FaultStorage::from_image(left.crash(seed / 9));
        assert!(records(&open(&again)) == seen, "power cut {seed}: opened twice");
    }
}

/// The error of a call in which `what` failed, unless it was an error of another kind.
pub(super) fn no_space(error: &Error) -> bool {
    matches!(error, Error::NoSpace { .. })
}
