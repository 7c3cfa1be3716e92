//! [`Snapshot`]: the records that were committed at one moment, pinned.
//!
//! Invariant: what a snapshot shows never changes, whatever is appended, truncated or cut after it was
//! taken.
//!
//! An address is looked up in three steps: is it in the range; which segment holds it, or which gap;
//! is it a frame boundary there ([`land`]).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::Lsn;
use crate::error::{Error, Result};
use crate::format::{BLOCK_BYTES, FRAME_HEADER_BYTES, Kind};
use crate::read::area::{Area, Pinned};
use crate::read::boundary::{land, last_record};
use crate::read::iter::Iter;
use crate::read::options::ReadOptions;
use crate::read::record::Record;
use crate::read::walk::Walk;
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::storage::Storage;

/// The records that were committed at one moment, from the head on.
///
/// It pins the segments that hold them: while it, a clone of it, or a record that borrows from it
/// lives, their bytes stay as they are, also where the log is truncated or closed. It can be sent to
/// and shared with other threads.
///
/// Records borrow the log's own memory, through the snapshot:
///
/// ```
/// fn print_last(snapshot: stratalog::Snapshot) -> stratalog::Result<()> {
///     let record = snapshot.last()?;
///     println!("{record:?}");
///     drop(snapshot);
///     Ok(())
/// }
/// ```
///
/// So they can't be used when it is gone:
///
/// ```compile_fail,E0505
/// fn print_last(snapshot: stratalog::Snapshot) -> stratalog::Result<()> {
///     let record = snapshot.last()?;
///     drop(snapshot);
///     println!("{record:?}");
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    pub(super) pinned: Arc<Pinned>,
}

impl Snapshot {
    /// A snapshot of what lies below `end` in the segments of `set`; all of that is committed. Where
    /// there is more that can't be trusted any more, reading on gives `refused`.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        set: Arc<SegmentSet>,
        end: u64,
        refused: Option<Error>,
        options: ReadOptions,
    ) -> Self {
        Self { pinned: Arc::new(Pinned::new(storage, set, end, refused, options)) }
    }

    /// Makes a snapshot of the same records that is read with other options.
    #[must_use]
    pub fn with(&self, options: ReadOptions) -> Self {
        let Pinned { storage, set, end, refused, .. } = &*self.pinned;
        Self::new(Arc::clone(storage), Arc::clone(set), *end, refused.clone(), options)
    }

    /// The first address that was kept.
    pub fn head(&self) -> Lsn {
        Lsn::new(self.pinned.set.head)
    }

    /// The committed watermark at the moment the snapshot was taken, or the durable one after a failed
    /// sync: all its records lie below.
    pub fn end(&self) -> Lsn {
        Lsn::new(self.pinned.end)
    }

    /// Iterates over all records, in append order.
    ///
    /// Each is checked as it is read. Nothing is allocated for a record.
    ///
    /// # Errors
    ///
    /// An item is `Corrupt` where a frame is damaged, and `Io` where a segment can't be read.
    pub fn iter(&self) -> Iter<'_> {
        Iter::over(&self.pinned, self.first_index(), usize::MAX)
    }

    /// Iterates from the first record at or after `lsn`, which is a place to resume from: a record's
    /// address or [`next_lsn`](Record::next_lsn), the end of a batch, a segment's end, a watermark,
    /// the head.
    ///
    /// # Errors
    ///
    /// `Truncated` below the head, `NotYet` above the end, `Cut` in a range that was cut away,
    /// `NotARecord` for any other address that is no such place. `Corrupt` where damage on the way
    /// there leaves that open, unless damage is to be skipped; `Io` where the segment can't be read.
    pub fn iter_from(&self, lsn: Lsn) -> Result<Iter<'_>> {
        let (head, end) = (self.head(), self.end());
        if lsn < head {
            return Err(Error::Truncated { lsn, head });
        }
        if lsn > end {
            return Err(self.beyond(lsn));
        }
        if lsn == head {
            return Ok(self.iter());
        }
        let pinned = &*self.pinned;
        if lsn == end {
            return Ok(Iter::over(pinned, usize::MAX, usize::MAX));
        }
        match self.place(lsn)? {
            Place::End { index, .. } => Ok(Iter::over(pinned, index + 1, usize::MAX)),
            Place::Inside { index, area } => {
                let landing = land(area, lsn.get())?;
                if landing.at != lsn.get() && landing.damage.is_none() {
                    return Err(Error::NotARecord { lsn });
                }
                Ok(Iter::starting(pinned, area, index, landing.at))
            }
        }
    }

    /// Checks that `lsn` is a place to resume from, as [`iter_from`](Self::iter_from) takes it, and
    /// exactly that: no place behind damage that was skipped.
    pub(crate) fn check_boundary(&self, lsn: Lsn) -> Result<()> {
        self.iter_from(lsn)?;
        if lsn == self.head() || lsn == self.end() {
            return Ok(());
        }
        let Place::Inside { area, .. } = self.place(lsn)? else { return Ok(()) };
        let landing = land(area, lsn.get())?;
        if landing.at == lsn.get() {
            return Ok(());
        }
        Err(landing.damage.unwrap_or(Error::NotARecord { lsn }))
    }

    /// Reads the record at `lsn`, its own address.
    ///
    /// That a record begins there is proven, by walking from the nearest place that is known. The
    /// first read far from any such place checks what lies before it in its segment; after that, a
    /// read walks 64 KiB of headers at most.
    ///
    /// # Errors
    ///
    /// `Truncated` below the head, `NotYet` at or above the end, `Cut` in a range that was cut away,
    /// `NotARecord` for any other address of no record. `Corrupt` where the record is damaged, or
    /// where damage before it leaves open whether it is one; `Io` where the segment can't be read.
    pub fn get(&self, lsn: Lsn) -> Result<Record<'_>> {
        let (head, end) = (self.head(), self.end());
        if lsn < head {
            return Err(Error::Truncated { lsn, head });
        }
        if lsn >= end {
            return Err(self.beyond(lsn));
        }
        let area = match self.place(lsn)? {
            Place::Inside { area, .. } => area,
            Place::End { area, .. } if is_cut(area.segment) => return Err(Error::Cut { lsn }),
            Place::End { .. } => return Err(Error::NotARecord { lsn }),
        };
        let landing = land(area, lsn.get())?;
        if landing.at != lsn.get() {
            return Err(landing.damage.unwrap_or(Error::NotARecord { lsn }));
        }
        let verify = self.pinned.options.verify;
        match Walk::new(area, lsn.get(), verify).with_window(BLOCK_BYTES).next()? {
            Some(frame) if frame.header.kind == Kind::Record => Ok(Record::of(&frame)),
            _ => Err(Error::NotARecord { lsn }),
        }
    }

    /// Reads the last record, if there is any.
    ///
    /// # Errors
    ///
    /// `Corrupt` where the segment that holds it is damaged, unless damage is to be skipped; `Io`
    /// where it can't be read.
    pub fn last(&self) -> Result<Option<Record<'_>>> {
        for (index, area) in self.areas().rev() {
            let last = if self.pinned.options.skip_damage {
                Iter::over(&self.pinned, index, index + 1).last().transpose()?
            } else {
                last_record(area)?.map(|frame| Record::of(&frame))
            };
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }

    /// The segments that hold the records, ascending: to replay them from several threads, one
    /// segment each.
    pub fn segments(&self) -> impl Iterator<Item = SnapshotSegment<'_>> {
        self.areas().map(|(index, area)| SnapshotSegment { index, area })
    }

    /// Why nothing can be read at `lsn`, at or above the end.
    fn beyond(&self, lsn: Lsn) -> Error {
        let refused = self.pinned.refused.clone();
        refused.unwrap_or(Error::NotYet { lsn, end: self.end() })
    }

    #[cfg(test)]
    pub(super) fn set(&self) -> &SegmentSet {
        &self.pinned.set
    }

    fn first_index(&self) -> usize {
        let head = self.pinned.set.head;
        self.pinned.set.segments.partition_point(|segment| segment.end <= head)
    }

    fn areas(&self) -> impl DoubleEndedIterator<Item = (usize, Area<'_>)> {
        (self.first_index()..self.pinned.set.segments.len())
            .filter_map(|index| Some((index, self.pinned.area(index)?)))
    }

    /// Which segment's frames an address below the end lies in, or at the end of.
    fn place(&self, lsn: Lsn) -> Result<Place<'_>> {
        let at = lsn.get();
        let segments = &self.pinned.set.segments;
        let above = segments.partition_point(|segment| segment.start() <= at);
        let found = above.checked_sub(1).and_then(|index| Some((index, self.pinned.area(index)?)));
        if !at.is_multiple_of(8) {
            return Err(Error::NotARecord { lsn });
        }
        match found {
            Some((index, area)) if at < area.end => Ok(Place::Inside { index, area }),
            Some((index, area)) if at == area.end => Ok(Place::End { index, area }),
            found => {
                // Where no segment follows, the end is where the first frame of one would lie.
                let next = self.pinned.area(above).map(|area| area.segment.base);
                let next = next.unwrap_or(self.pinned.end.saturating_sub(BLOCK_BYTES));
                let below = found.map(|(_, area)| area.segment);
                let file_end = below.map_or(0, |below| below.base.saturating_add(below.bytes));
                if below.is_some_and(is_cut) || (file_end..next).contains(&at) {
                    Err(Error::Cut { lsn })
                } else {
                    Err(Error::NotARecord { lsn })
                }
            }
        }
    }
}

/// Where an address lies.
enum Place<'a> {
    Inside { index: usize, area: Area<'a> },
    End { index: usize, area: Area<'a> },
}

/// Whether more frames would have fitted behind the last one.
fn is_cut(segment: &Segment) -> bool {
    segment.frames_end().saturating_sub(segment.end) >= FRAME_HEADER_BYTES
}

impl<'a> IntoIterator for &'a Snapshot {
    type Item = Result<Record<'a>>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("head", &self.head())
            .field("end", &self.end())
            .field("options", &self.pinned.options)
            .finish_non_exhaustive()
    }
}

/// One segment of a [`Snapshot`].
#[derive(Clone, Copy)]
pub struct SnapshotSegment<'a> {
    index: usize,
    area: Area<'a>,
}

impl<'a> SnapshotSegment<'a> {
    /// The segment's base address, after which its file is named.
    pub fn base(&self) -> Lsn {
        Lsn::new(self.area.segment.base)
    }

    /// The addresses between which its records lie, as far as the snapshot shows them.
    pub fn range(&self) -> Range<Lsn> {
        Lsn::new(self.area.first())..Lsn::new(self.area.end)
    }

    /// Iterates over the segment's records, in append order.
    pub fn iter(self) -> Iter<'a> {
        Iter::over(self.area.pinned, self.index, self.index + 1)
    }
}

impl<'a> IntoIterator for SnapshotSegment<'a> {
    type Item = Result<Record<'a>>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for SnapshotSegment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (base, range) = (self.base(), self.range());
        f.debug_struct("SnapshotSegment").field("base", &base).field("range", &range).finish()
    }
}
