//! [`Window`]: the records of one segment, as far as they are committed, for a reader that comes back
//! for more.
//!
//! Invariant: it pins one segment and nothing else, and stands at a frame boundary. What it found
//! stays where it is until the window is extended or dropped, for which nobody must borrow from it.
//!
//! What is new on a page that was made readable is readable as well: its bytes were written to that
//! page after it was.
//!
//! Records are found first and borrowed then, so that who finds none may go on to another window.

use std::fmt;
use std::sync::Arc;

use crate::Lsn;
use crate::error::{Error, Result};
use crate::format::FRAME_HEADER_BYTES;
use crate::read::area::Pinned;
use crate::read::iter::Iter;
use crate::read::options::ReadOptions;
use crate::read::record::Record;
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::storage::{PAGE_BYTES, Storage};

pub(crate) struct Window {
    /// A set of one segment.
    pinned: Pinned,
    segment: Arc<Segment>,
    /// Everything below was found or passed.
    at: u64,
    /// Bytes below it were made readable: of a map those of whole pages, as far as they are shown.
    readable: u64,
    skipped_bytes: u64,
}

/// Where a record lies that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    lsn: u64,
    pub(crate) next_lsn: u64,
    len: u64,
}

impl Window {
    /// A window on the frames of `segment` from the boundary `at` on, up to `end`.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        segment: Arc<Segment>,
        (at, end): (u64, u64),
        options: ReadOptions,
    ) -> Self {
        let set = SegmentSet { head: 0, segments: vec![Arc::clone(&segment)] };
        let mut pinned = Pinned::new(storage, Arc::new(set), end, None, options);
        pinned.from = at;
        Self { pinned, segment, at, readable: at, skipped_bytes: 0 }
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Where it has come to.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes were passed because they are damaged.
    pub(crate) fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Shows what lies below `end` as well.
    pub(crate) fn extend(&mut self, end: u64) {
        if self.pinned.extend(self.at, end) {
            self.readable = self.at;
        } else if self.readable > self.pinned.from {
            // To populate a page is a call, and one page takes many records.
            let base = self.segment.base;
            let pages = base + (self.readable - base).next_multiple_of(PAGE_BYTES);
            self.readable = pages.min(end).min(self.segment.end).max(self.readable);
        }
    }

    /// Finds the next record and passes it. `None` at the end, to which it passes whatever else is
    /// there.
    pub(crate) fn find(&mut self) -> Result<Option<Found>> {
        let Some(area) = self.pinned.area(0).filter(|area| self.at < area.end) else {
            return Ok(None);
        };
        let mut iter = Iter::resumed(&self.pinned, area, (self.at, self.readable))?;
        let found = iter.next().transpose();
        self.skipped_bytes += iter.skipped_bytes();
        let Some(record) = found? else {
            self.at = area.end;
            return Ok(None);
        };
        self.at = iter.at().unwrap_or(area.end);
        self.readable = iter.readable().unwrap_or(self.readable);
        let (lsn, next_lsn) = (record.lsn().get(), record.next_lsn().get());
        Ok(Some(Found { lsn, next_lsn, len: record.payload().len() as u64 }))
    }

    /// A record that was found last.
    pub(crate) fn record(&self, found: Found) -> Result<Record<'_>> {
        let Found { lsn, next_lsn, len } = found;
        let payload = lsn + FRAME_HEADER_BYTES;
        let area = self.pinned.area(0).ok_or(Error::NotARecord { lsn: Lsn::new(lsn) })?;
        Ok(Record::new(lsn, next_lsn, area.slice(payload..payload + len)?))
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("base", &self.segment.base)
            .field("at", &self.at)
            .field("end", &self.pinned.end)
            .finish_non_exhaustive()
    }
}
