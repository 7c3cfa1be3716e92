//! [`Iter`]: the records of a snapshot, in append order.
//!
//! Invariant: every address from where it began is passed once: its frame is yielded, stepped over
//! as no record, reported as an error, or counted as skipped.

use std::iter::FusedIterator;

use crate::error::{Error, Result};
use crate::format::Kind;
use crate::read::area::{Area, Pinned};
use crate::read::record::Record;
use crate::read::walk::Walk;

/// An iterator over the records of a [`Snapshot`](crate::Snapshot), in append order.
///
/// It ends after the first error, unless
/// [`skip_damage`](crate::ReadOptions::skip_damage) is set: then damage is passed and counted by
/// [`skipped_bytes`](Self::skipped_bytes), and only what the operating system could not read is an
/// error, after which the next segment follows.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    /// The segment that is walked; none at the end.
    walk: Option<Walk<'a>>,
    pinned: &'a Pinned,
    /// The segment after it, and the one to end before.
    next: usize,
    stop: usize,
    skipped_bytes: u64,
    /// What there is to yield at the end, once.
    refused: Option<Error>,
}

impl<'a> Iter<'a> {
    /// The records of the segments `from..stop` of the set.
    pub(super) fn over(pinned: &'a Pinned, from: usize, stop: usize) -> Self {
        let mut iter =
            Self { walk: None, pinned, next: from, stop, skipped_bytes: 0, refused: None };
        iter.go_on();
        iter
    }

    /// The records from `at` on, a boundary in the segment `index` of the set.
    pub(super) fn starting(pinned: &'a Pinned, area: Area<'a>, index: usize, at: u64) -> Self {
        let walk = Some(Walk::new(area, at, pinned.options.verify));
        let next = index + 1;
        Self { walk, pinned, next, stop: usize::MAX, skipped_bytes: 0, refused: None }
    }

    /// Makes fewer bytes readable at a time, for one that is not meant to go far.
    pub(super) fn with_window(self, window_bytes: u64) -> Self {
        Self { walk: self.walk.map(|walk| walk.with_window(window_bytes)), ..self }
    }

    /// The records from `at` on, a boundary in the only segment of the set, whose bytes below
    /// `readable` were made readable before.
    pub(super) fn resumed(
        pinned: &'a Pinned,
        area: Area<'a>,
        (at, readable): (u64, u64),
    ) -> Result<Self> {
        let walk = Some(Walk::new(area, at, pinned.options.verify).with_readable(readable)?);
        Ok(Self { walk, pinned, next: 1, stop: 1, skipped_bytes: 0, refused: None })
    }

    /// Where it has come to in a segment; `None` at the end of all, and after an error.
    pub(crate) fn at(&self) -> Option<u64> {
        self.walk.as_ref().map(Walk::at)
    }

    /// Up to where bytes were made readable for it.
    pub(super) fn readable(&self) -> Option<u64> {
        self.walk.as_ref().map(Walk::readable)
    }

    /// How many bytes were passed because they are damaged, so far. 0 unless
    /// [`skip_damage`](crate::ReadOptions::skip_damage) is set.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Begins the next segment.
    fn go_on(&mut self) {
        let area = (self.next < self.stop).then(|| self.pinned.area(self.next)).flatten();
        if area.is_none() && self.stop == usize::MAX {
            self.refused.clone_from(&self.pinned.refused);
        }
        self.next = self.next.saturating_add(1);
        self.walk = area.map(|area| Walk::new(area, area.first(), self.pinned.options.verify));
    }

    /// Passes whatever is not a record that is readable already: another frame, the end of the
    /// segment, damage. Returns what there is to yield, if anything.
    #[cold]
    fn other(&mut self) -> Option<Result<Record<'a>>> {
        match self.walk.as_mut()?.next() {
            Ok(Some(frame)) if frame.header.kind == Kind::Record => Some(Ok(Record::of(&frame))),
            Ok(Some(_)) => None,
            Ok(None) => {
                self.go_on();
                None
            }
            Err(error) => self.failed(error).map(Err),
        }
    }

    /// What to yield for an error, if anything.
    fn failed(&mut self, error: Error) -> Option<Error> {
        let walk = self.walk.as_mut()?;
        if !self.pinned.options.skip_damage {
            self.walk = None;
            return Some(error);
        }
        let skipped = match error {
            Error::Corrupt { .. } => walk.skip(),
            other => Err(other),
        };
        match skipped {
            Ok(bytes) => {
                self.skipped_bytes += bytes;
                None
            }
            Err(error) => {
                self.skipped_bytes += walk.area().end.saturating_sub(walk.at());
                self.go_on();
                (!matches!(error, Error::Corrupt { .. })).then_some(error)
            }
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Result<Record<'a>>;

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the state stays in registers: a tenth of the time")]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(walk) = self.walk.as_mut() else {
                return self.refused.take().map(Err);
            };
            if let Some(record) = walk.record() {
                return Some(Ok(record));
            }
            if let Some(item) = self.other() {
                return Some(item);
            }
        }
    }
}

impl FusedIterator for Iter<'_> {}
