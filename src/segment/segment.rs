//! [`Segment`]: one attached segment: its addresses, its descriptor, its map.
//!
//! Invariant: bytes are handed out only below the committed watermark, which the callers see to; they
//! never change while a region of the segment lives. The descriptor that wrote a segment stays open
//! until all it wrote is durable and the trailer is written, and is then closed for good.

use std::ops::Range;
use std::sync::{Arc, Weak};

use crate::error::{Error, Op, Result};
use crate::format::{frames_end, frames_start, segment_name};
use crate::storage::{Access, Region, Storage, StorageFile, read_exact_at};
use crate::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    /// The size of the file, in bytes.
    pub(crate) bytes: u64,
    /// Where its frames end, at the latest: the end of the frames area, or where it was cut.
    pub(crate) end: u64,
    pub(crate) name: String,
    /// The descriptor that writes it; none once it is sealed.
    file: Mutex<Option<Arc<dyn StorageFile>>>,
    /// The map, while anyone reads it.
    region: Mutex<Weak<Region>>,
    /// Stretches of frames, from boundary to boundary, that were checked. Ascending and disjoint;
    /// kept by the reading floor.
    pub(crate) checked: Mutex<Vec<Range<u64>>>,
}

impl Segment {
    /// A segment whose frames end at `end`; `file` is the descriptor that writes it, if it is not
    /// sealed.
    pub(crate) fn new(
        base: u64,
        bytes: u64,
        end: u64,
        file: Option<Arc<dyn StorageFile>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            base,
            bytes,
            end,
            name: segment_name(base),
            file: Mutex::new(file),
            region: Mutex::new(Weak::new()),
            checked: Mutex::new(Vec::new()),
        })
    }

    /// Where the first frame lies.
    pub(crate) fn start(&self) -> u64 {
        frames_start(self.base)
    }

    /// Where the trailer block begins.
    pub(crate) fn frames_end(&self) -> u64 {
        frames_end(self.base, self.bytes)
    }

    /// The descriptor that writes it.
    pub(crate) fn file(&self) -> Option<Arc<dyn StorageFile>> {
        self.file.lock().clone()
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.file.lock().is_none()
    }

    /// Closes the descriptor. The caller has made everything durable that was written through it.
    pub(crate) fn close(&self) {
        *self.file.lock() = None;
    }

    /// The file's bytes as memory, mapped on the first call and kept while anyone holds it. Where
    /// the storage has no maps, and where `copy` is asked for, the bytes below `end` are read into
    /// memory of our own.
    pub(crate) fn region(
        &self,
        storage: &dyn Storage,
        end: u64,
        copy: bool,
    ) -> Result<Arc<Region>> {
        if copy {
            return self.copied(storage, end);
        }
        let mut kept = self.region.lock();
        if let Some(region) = kept.upgrade() {
            return Ok(region);
        }
        let file = self.open(storage)?;
        // A file that can't be mapped can still be read.
        match file.map() {
            Ok(Some(region)) => {
                let region = Arc::new(region);
                *kept = Arc::downgrade(&region);
                Ok(region)
            }
            Ok(None) | Err(_) => self.copied(storage, end),
        }
    }

    /// The offsets in the file of a range of addresses.
    pub(crate) fn offsets(&self, addresses: Range<u64>) -> Range<u64> {
        addresses.start - self.base..addresses.end - self.base
    }

    fn copied(&self, storage: &dyn Storage, end: u64) -> Result<Arc<Region>> {
        let file = self.open(storage)?;
        Region::copied(end - self.base, |buffer| read_exact_at(&*file, buffer, 0))
            .map(Arc::new)
            .map_err(|error| Error::io(Op::Read, storage.path(&self.name), error))
    }

    fn open(&self, storage: &dyn Storage) -> Result<Arc<dyn StorageFile>> {
        match self.file() {
            Some(file) => Ok(file),
            None => storage
                .open(&self.name, Access::Read)
                .map_err(|error| Error::io(Op::Open, storage.path(&self.name), error)),
        }
    }
}
