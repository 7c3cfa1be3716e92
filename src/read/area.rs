//! [`Area`]: the frames of one segment, as far as one snapshot may see them, as memory.
//!
//! Invariant: no slice reaches beyond the end of the area, and each byte that is about to be read was
//! populated before, or lies in memory of our own. A region that a slice came from is kept as long as
//! the snapshot.

use std::io::ErrorKind;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::Lsn;
use crate::error::{Corruption, Error, Result};
use crate::format::FRAME_HEADER_BYTES;
use crate::read::options::ReadOptions;
use crate::segment::gone::gone;
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::storage::{Region, Storage};

/// What a snapshot holds: the segments, the range of addresses, and the memory used so far.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) set: Arc<SegmentSet>,
    /// Nothing below is asked for: 0, or the boundary at which a [`Window`] begins.
    ///
    /// [`Window`]: crate::read::window::Window
    pub(super) from: u64,
    /// Everything below is committed.
    pub(super) end: u64,
    /// What reading at the end gives, instead of there being nothing yet.
    pub(super) refused: Option<Error>,
    pub(super) options: ReadOptions,
    /// One for each segment of the set.
    memory: Box<[Memory]>,
}

/// The memory of one segment. Each is obtained once; an error is not kept.
#[derive(Debug, Default)]
struct Memory {
    /// The map, or what the storage gives instead.
    mapped: OnceLock<Arc<Region>>,
    /// A copy, where it is asked for, and where the map could not be populated.
    copied: OnceLock<Arc<Region>>,
}

impl Pinned {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        set: Arc<SegmentSet>,
        end: u64,
        refused: Option<Error>,
        options: ReadOptions,
    ) -> Self {
        let memory = set.segments.iter().map(|_| Memory::default()).collect();
        Self { storage, set, from: 0, end, refused, options, memory }
    }

    /// Moves the end up. Where bytes were copied, what comes then is read into memory that begins at
    /// `from`, a boundary that the reader has come to, and true is returned.
    pub(super) fn extend(&mut self, from: u64, end: u64) -> bool {
        self.end = end;
        let copied = self.memory.iter().any(|memory| memory.copied.get().is_some());
        if copied {
            self.from = from;
            self.memory.iter_mut().for_each(|memory| memory.copied = OnceLock::new());
        }
        copied
    }

    /// The frames of the segment at `index` of the set; `None` behind the last one that has any.
    pub(super) fn area(&self, index: usize) -> Option<Area<'_>> {
        let segment = self.set.segments.get(index)?;
        let memory = self.memory.get(index)?;
        let start = segment.start().max(self.from);
        let end = segment.end.min(self.end);
        (start < self.end).then_some(Area { pinned: self, segment, memory, start, end })
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Area<'a> {
    pub(super) pinned: &'a Pinned,
    pub(super) segment: &'a Segment,
    memory: &'a Memory,
    /// Where the segment's first frame lies, or the first that is asked for.
    pub(super) start: u64,
    /// Where its frames end, or what the snapshot may see of them.
    pub(super) end: u64,
}

impl<'a> Area<'a> {
    /// The first address in it that is kept.
    pub(super) fn first(&self) -> u64 {
        self.start.max(self.pinned.set.head)
    }

    /// Whether no frame can begin at `at`, the end of another one: all were seen, or what is left of
    /// the segment is too small.
    pub(super) fn ends_at(&self, at: u64) -> bool {
        match self.end.checked_sub(at) {
            None | Some(0) => true,
            Some(rest) => rest < FRAME_HEADER_BYTES && self.end == self.segment.end,
        }
    }

    /// The memory that slices of it came from so far, and the address at which each begins.
    #[cfg(feature = "bytes")]
    pub(super) fn regions(&self) -> impl Iterator<Item = (&'a Arc<Region>, u64)> {
        let mapped = self.memory.mapped.get().map(|region| (region, self.segment.base));
        let copied = self.memory.copied.get().map(|region| (region, self.start));
        mapped.into_iter().chain(copied)
    }

    /// The bytes from the first frame until `until`, of which those from `from` on are about to be
    /// read.
    pub(super) fn bytes(&self, from: u64, until: u64) -> Result<&'a [u8]> {
        let until = until.min(self.end);
        if !self.pinned.options.copy
            && self.memory.copied.get().is_none()
            && let Some(region) = self.mapped()?
        {
            let wanted = self.segment.offsets(from.min(until)..until);
            if region.len() < wanted.end {
                return Err(self.too_short(region.len()));
            }
            // Where a map can't be read, a plain read may tell why, or even succeed.
            if region.populate(wanted).is_ok() {
                return self.slice(self.start..until.max(self.start));
            }
        }
        self.copied()?;
        self.slice(self.start..until.max(self.start))
    }

    /// The bytes of a range of addresses that was made readable before.
    pub(super) fn slice(&self, addresses: Range<u64>) -> Result<&'a [u8]> {
        let (region, base) = match (self.memory.copied.get(), self.memory.mapped.get()) {
            (Some(copied), _) => (copied, self.start),
            (None, Some(mapped)) => (mapped, self.segment.base),
            (None, None) => return Err(self.too_short(0)),
        };
        let wanted = addresses.start - base..addresses.end - base;
        region.slice(wanted).ok_or_else(|| self.too_short(base - self.segment.base + region.len()))
    }

    /// Two threads may obtain it at once; one of the two is kept. So it is with a copy.
    fn mapped(&self) -> Result<Option<&'a Region>> {
        if let Some(region) = self.memory.mapped.get() {
            return Ok(Some(region));
        }
        let region = self.segment.mapped(&*self.pinned.storage);
        let region = region.map_err(|error| self.explained(error))?;
        Ok(region.map(|region| &**self.memory.mapped.get_or_init(|| region)))
    }

    /// Reads all that may be seen, from the first frame on.
    fn copied(&self) -> Result<()> {
        if self.memory.copied.get().is_none() {
            let region = self.segment.copied(&*self.pinned.storage, self.start..self.end);
            let region = region.map_err(|error| self.explained(error))?;
            self.memory.copied.get_or_init(|| region);
        }
        Ok(())
    }

    /// Why the file could not be opened: a writer in another process may have dropped it.
    fn explained(&self, error: Error) -> Error {
        match &error {
            Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
                gone(&*self.pinned.storage, self.segment, self.first()).unwrap_or(error)
            }
            _ => error,
        }
    }

    /// The error of a frame at `at`.
    pub(super) fn corrupt(&self, at: u64, reason: Corruption) -> Error {
        Error::Corrupt {
            path: self.pinned.storage.path(&self.segment.name()),
            offset: at.saturating_sub(self.segment.base),
            lsn: Some(Lsn::new(at)),
            reason,
        }
    }

    fn too_short(&self, found: u64) -> Error {
        Error::Corrupt {
            path: self.pinned.storage.path(&self.segment.name()),
            offset: found,
            lsn: self.segment.base.checked_add(found).map(Lsn::new),
            reason: Corruption::FileLength { expected: self.segment.bytes, found },
        }
    }
}
