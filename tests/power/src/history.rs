//! [`History`]: what a log was told and what it promised, each with the moment on the device; and
//! the verdict on what a log holds after a cut.
//!
//! Invariant: a promise counts for a cut only if the call that made it had returned by then.

use std::collections::BTreeMap;

use stratalog::Lsn;

use crate::common::{Records, Tag, check_tags};

const FRAME_HEADER_BYTES: u64 = 16;

/// A record whose append returned.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) tag: Tag,
    pub(crate) payload: Vec<u8>,
    /// How many entries the device had when the call returned.
    pub(crate) stamp: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) known: BTreeMap<Lsn, Known>,
    /// From when on everything below an address was promised to be durable.
    durable: Vec<(usize, u64)>,
    /// From when on there was a log.
    created: Option<usize>,
    /// Whether calls failed, so that there may be records with addresses that nobody was told.
    pub(crate) has_failed: bool,
}

impl History {
    pub(crate) fn created(&mut self, stamp: usize) {
        self.created = Some(self.created.map_or(stamp, |before| before.min(stamp)));
    }

    pub(crate) fn durable_below(&mut self, end: u64, stamp: usize) {
        self.durable.push((stamp, end));
    }

    /// Takes in one call: its payloads, of which the first is at `first`.
    pub(crate) fn appended(&mut self, first: Lsn, payloads: Vec<(Tag, Vec<u8>)>, stamp: usize) {
        let mut at = first.get();
        for (tag, payload) in payloads {
            let bytes = FRAME_HEADER_BYTES + payload.len().next_multiple_of(8) as u64;
            let before = self.known.insert(Lsn::new(at), Known { tag, payload, stamp });
            assert!(before.is_none(), "lsn {at} was returned twice");
            at += bytes;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (lsn, known) in other.known {
            let before = self.known.insert(lsn, known);
            assert!(before.is_none(), "lsn {lsn} was returned twice");
        }
        self.durable.extend(other.durable);
        self.has_failed |= other.has_failed;
        if let Some(stamp) = other.created {
            self.created(stamp);
        }
    }

    /// The moments at which something was promised.
    pub(crate) fn promises(&self) -> Vec<usize> {
        self.durable.iter().map(|(stamp, _)| *stamp).chain(self.created).collect()
    }

    /// Everything below this is promised to be there after a cut at `cut`.
    pub(crate) fn floor(&self, cut: usize) -> u64 {
        let promised = self.durable.iter().filter(|(stamp, _)| *stamp <= cut);
        promised.map(|(_, end)| *end).max().unwrap_or(0)
    }

    /// Whether there must be a log after a cut at `cut`.
    pub(crate) fn exists(&self, cut: usize) -> bool {
        self.created.is_some_and(|stamp| stamp <= cut)
    }

    /// No address below this may be given to another record after a cut at `cut`.
    pub(crate) fn used(&self, cut: usize) -> u64 {
        let told = self.known.iter().filter(|(_, known)| known.stamp <= cut);
        told.map(|(lsn, _)| lsn.get() + 1).max().unwrap_or(0)
    }

    /// Judges what a log holds that was opened after a cut: it must be a prefix of what was
    /// appended, with everything that was promised, each record whole, each batch whole.
    pub(crate) fn judge(&self, cut: usize, found: &Records) -> Result<(), String> {
        let tags = check_tags(found);
        let end = found.last().map_or(0, |(lsn, _)| lsn.get() + 1);
        let floor = self.floor(cut);
        let mut rest = self.known.range(..Lsn::new(end.max(floor))).peekable();
        for (lsn, payload) in found {
            match rest.next_if(|(at, _)| *at <= lsn) {
                Some((at, known)) if at == lsn => {
                    if known.payload != *payload {
                        return Err(format!("{lsn} holds other bytes than {:?}", known.tag));
                    }
                }
                Some((at, known)) => {
                    return Err(format!("{:?} at {at} is missing before {lsn}", known.tag));
                }
                None if self.has_failed => {}
                None => return Err(format!("nobody appended what is at {lsn}")),
            }
        }
        if let Some((lsn, known)) = rest.next() {
            let tag = known.tag;
            return Err(format!("{tag:?} at {lsn} is missing: durable up to {floor} was promised"));
        }
        check_calls(&tags)
    }

    /// What is promised from `stamp` on, when opening has handed out `found`: all of it, for ever.
    pub(crate) fn after(found: &Records, stamp: usize) -> Self {
        let mut history = Self::default();
        for (lsn, payload) in found {
            let known = Known { tag: Tag::of(payload), payload: payload.clone(), stamp };
            history.known.insert(*lsn, known);
        }
        if let Some((last, _)) = found.last() {
            history.durable_below(last.get() + 1, stamp);
        }
        history.created(stamp);
        history
    }
}

/// The calls of each writer must be a prefix of all its calls, in order.
fn check_calls(tags: &[Tag]) -> Result<(), String> {
    let mut next = BTreeMap::new();
    for tag in tags.iter().filter(|tag| tag.part == 0) {
        let expected = next.entry(tag.writer).or_insert(0);
        if tag.call != *expected {
            return Err(format!("{tag:?} where call {expected} of its writer belongs"));
        }
        *expected += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three records of one writer, each durable as soon as it was appended, at stamps 1, 2, 3.
    fn history() -> (History, Records) {
        let mut history = History::default();
        let mut records = Records::new();
        let mut at = 4096;
        for call in 0..3 {
            let tag = Tag::single(0, call);
            let payload = tag.payload(8);
            let stamp = call as usize + 1;
            history.appended(Lsn::new(at), vec![(tag, payload.clone())], stamp);
            history.durable_below(at + 1, stamp);
            records.push((Lsn::new(at), payload));
            at += 48;
        }
        (history, records)
    }

    #[test]
    fn a_prefix_with_everything_promised_is_accepted() {
        let (history, records) = history();
        for cut in 0..=3 {
            for kept in cut..=3 {
                assert_eq!(history.judge(cut, &records[..kept].to_vec()), Ok(()));
            }
        }
    }

    #[test]
    fn a_record_that_was_promised_and_is_missing_is_told() {
        let (history, records) = history();
        for cut in 1..=3 {
            assert!(history.judge(cut, &records[..cut - 1].to_vec()).is_err());
        }
        assert!(history.judge(0, &[&records[..1], &records[2..]].concat()).is_err());
        assert!(history.judge(0, &records[1..].to_vec()).is_err());
    }

    #[test]
    fn a_record_with_other_bytes_or_that_nobody_appended_is_told() {
        let (mut history, records) = history();
        let mut other = records.clone();
        other[1].1 = Tag::single(0, 1).payload(9);
        assert!(history.judge(0, &other).is_err());
        let mut more = records.clone();
        more.push((Lsn::new(9000), Tag::single(0, 3).payload(0)));
        assert!(history.judge(0, &more).is_err());
        history.has_failed = true;
        assert_eq!(history.judge(0, &more), Ok(()));
        more.push((Lsn::new(9100), Tag::single(0, 5).payload(0)));
        assert!(history.judge(0, &more).is_err(), "call 4 is missing");
    }

    #[test]
    fn a_call_that_returned_after_the_cut_promised_nothing() {
        let (history, _) = history();
        assert_eq!([0, 1, 2].map(|cut| history.floor(cut)), [0, 4097, 4145]);
        assert_eq!(history.used(1), 4097);
    }
}
