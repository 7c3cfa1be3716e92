//! [`Segment`]: one attached segment: its addresses, its file, its descriptor, its map.
//!
//! Invariant: bytes are handed out only below the committed watermark, which the callers see to; they
//! never change while a region of the segment lives. The descriptor that wrote a segment stays open
//! until all it wrote is durable and the trailer is written, and is then closed for good.
//!
//! Whoever holds a segment pins its file: one that is dropped from the log while someone holds it is
//! renamed, stays readable under its new name, and is removed with its last holder.

use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use crate::error::{Error, Op, Result};
use crate::format::layout::BLOCK_LEN;
use crate::format::{
    BLOCK_BYTES, DROPPED_SUFFIX, LogId, Trailer, frames_end, frames_start, segment_name,
};
use crate::storage::{Access, Region, Storage, StorageFile, read_exact_at};
use crate::sync::{AtomicU64, Mutex, Ordering};

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    /// The size of the file, in bytes.
    pub(crate) bytes: u64,
    /// Where its frames end, at the latest: the end of the frames area, or where it was cut.
    pub(crate) end: u64,
    /// The log that wrote it: another one where this log was restored from an archive of that.
    pub(crate) id: LogId,
    /// What its trailer says, and the trailer's checksum, once it was written or read.
    summary: OnceLock<(Trailer, u32)>,
    /// Shared by what a cut makes of a segment: both have the same file.
    file: Arc<File>,
}

/// The file, however much of it belongs to the log.
#[derive(Debug)]
struct File {
    /// The descriptor that writes it; none once it is sealed.
    writer: Mutex<Option<Arc<dyn StorageFile>>>,
    /// Held while the file is opened by its name, or renamed.
    place: Mutex<Place>,
    /// Stretches of frames, from boundary to boundary, that were checked. Ascending and disjoint;
    /// kept by the reading floor.
    checked: Mutex<Vec<Range<u64>>>,
    /// Where the file is to be removed with its last holder.
    dropped: OnceLock<Arc<dyn Storage>>,
    /// The base of the segment behind it: who holds this one finds out what followed it when it is
    /// dropped. After a cut another one may come to follow.
    next: AtomicU64,
}

const NO_SEGMENT: u64 = u64::MAX;

#[derive(Debug)]
struct Place {
    name: String,
    /// The map, while anyone reads it.
    region: Weak<Region>,
}

impl Segment {
    /// A segment whose frames end at `end`; `writer` is the descriptor that writes it, if it is not
    /// sealed.
    pub(crate) fn new(
        (base, bytes): (u64, u64),
        end: u64,
        id: LogId,
        writer: Option<Arc<dyn StorageFile>>,
    ) -> Arc<Self> {
        let file = Arc::new(File {
            writer: Mutex::new(writer),
            place: Mutex::new(Place { name: segment_name(base), region: Weak::new() }),
            checked: Mutex::new(Vec::new()),
            dropped: OnceLock::new(),
            next: AtomicU64::new(NO_SEGMENT),
        });
        Arc::new(Self { base, bytes, end, id, summary: OnceLock::new(), file })
    }

    /// The same file, with its frames ending at `end`.
    pub(crate) fn ending(&self, end: u64) -> Arc<Self> {
        let Self { base, bytes, id, .. } = *self;
        let summary = OnceLock::new();
        Arc::new(Self { base, bytes, end, id, summary, file: Arc::clone(&self.file) })
    }

    /// The base of the segment that was attached behind it, if any was.
    pub(crate) fn next_base(&self) -> Option<u64> {
        Some(self.file.next.load(Ordering::Acquire)).filter(|base| *base != NO_SEGMENT)
    }

    /// Notes what is attached behind it. Called before anyone can find that.
    pub(crate) fn followed_by(&self, next: &Self) {
        self.file.next.store(next.base, Ordering::Release);
    }

    /// The name of its file, unless it is dropped.
    pub(crate) fn name(&self) -> String {
        segment_name(self.base)
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
        self.file.writer.lock().clone()
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.file.writer.lock().is_none()
    }

    /// Closes the descriptor. The caller has made everything durable that was written through it.
    pub(crate) fn close(&self) {
        *self.file.writer.lock() = None;
    }

    /// Stretches of frames that were checked, for the reading floor to keep.
    pub(crate) fn checked(&self) -> &Mutex<Vec<Range<u64>>> {
        &self.file.checked
    }

    /// Whether anyone but the caller, who holds it once, holds the file. Once the segment is in no
    /// set that others can load, nobody comes to hold it any more.
    ///
    /// What earlier holders read happened before: `get_mut` synchronises with their letting go.
    pub(crate) fn is_pinned(self: &mut Arc<Self>) -> bool {
        Arc::get_mut(self).is_none_or(|segment| Arc::get_mut(&mut segment.file).is_none())
    }

    /// Has the file removed with its last holder, and until then bear a name that opening removes.
    ///
    /// # Errors
    ///
    /// `Io` if it can't be renamed; then it goes with its last holder all the same.
    pub(crate) fn drop_later(&self, storage: &Arc<dyn Storage>) -> Result<()> {
        let mut place = self.file.place.lock();
        if self.file.dropped.set(Arc::clone(storage)).is_err() {
            return Ok(());
        }
        let name = format!("{}{DROPPED_SUFFIX}", self.name());
        storage
            .rename(&place.name, &name)
            .map_err(|error| Error::io(Op::Rename, storage.path(&place.name), error))?;
        place.name = name;
        Ok(())
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
        if !copy && let Some(region) = self.mapped(storage)? {
            return Ok(region);
        }
        self.copied(storage, self.base..end)
    }

    /// The file's bytes as memory, mapped; none if it can't be, in which case it can still be read.
    pub(crate) fn mapped(&self, storage: &dyn Storage) -> Result<Option<Arc<Region>>> {
        let mut place = self.file.place.lock();
        if let Some(region) = place.region.upgrade() {
            return Ok(Some(region));
        }
        let region = self.open(storage, &place.name)?.map().ok().flatten().map(Arc::new);
        if let Some(region) = &region {
            place.region = Arc::downgrade(region);
        }
        Ok(region)
    }

    /// The bytes of a range of addresses, read into memory of our own.
    pub(crate) fn copied(
        &self,
        storage: &dyn Storage,
        addresses: Range<u64>,
    ) -> Result<Arc<Region>> {
        let place = self.file.place.lock();
        let file = self.open(storage, &place.name)?;
        drop(place);
        let Range { start, end } = self.offsets(addresses);
        Region::copied(end - start, |buffer| read_exact_at(&*file, buffer, start))
            .map(Arc::new)
            .map_err(|error| Error::io(Op::Read, storage.path(&self.name()), error))
    }

    /// The file, opened for reading unless the descriptor that writes it is open still.
    pub(crate) fn reader(&self, storage: &dyn Storage) -> Result<Arc<dyn StorageFile>> {
        let place = self.file.place.lock();
        self.open(storage, &place.name)
    }

    /// Notes the trailer that was written, and its checksum.
    pub(crate) fn note_summary(&self, trailer: Trailer, checksum: u32) {
        let _ = self.summary.set((trailer, checksum));
    }

    /// What the trailer of a sealed segment says, and its checksum: read at the first call if it was
    /// not written by this process. `None` where there is none that names this end.
    pub(crate) fn summary(&self, storage: &dyn Storage) -> Option<(Trailer, u32)> {
        if let Some(known) = self.summary.get() {
            return Some(*known);
        }
        let mut block = [0; BLOCK_LEN];
        let file = self.reader(storage).ok()?;
        read_exact_at(&*file, &mut block, self.bytes.checked_sub(BLOCK_BYTES)?).ok()?;
        let found = Trailer::decode(&block, &self.id, self.base).ok()?;
        (found.0.end == self.end).then(|| *self.summary.get_or_init(|| found))
    }

    /// The offsets in the file of a range of addresses.
    pub(crate) fn offsets(&self, addresses: Range<u64>) -> Range<u64> {
        addresses.start - self.base..addresses.end - self.base
    }

    fn open(&self, storage: &dyn Storage, name: &str) -> Result<Arc<dyn StorageFile>> {
        match self.file() {
            Some(file) => Ok(file),
            None => storage
                .open(name, Access::Read)
                .map_err(|error| Error::io(Op::Open, storage.path(name), error)),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // If it can't be removed now, opening removes it.
        if let Some(storage) = self.dropped.get() {
            let _ = storage.remove(&self.place.lock().name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Image, MemoryStorage};

    #[test]
    fn a_trailer_speaks_for_the_end_that_it_names_and_for_no_other() {
        const BYTES: u64 = 16 << 10;
        let id = LogId::new(*b"the id of a test");
        let end = frames_start(0) + 48;
        let trailer = Trailer {
            end,
            records: 0,
            first: None,
            last: None,
            frames_crc: 7,
            previous_checksum: 9,
        };
        let mut bytes = vec![0; usize::try_from(BYTES).unwrap() - BLOCK_LEN];
        bytes.extend(trailer.encode(&id, 0));
        let mut image = Image::new();
        image.insert(segment_name(0), bytes);
        let storage = MemoryStorage::from_image(image);
        let summary = |end| Segment::new((0, BYTES), end, id, None).summary(&storage);
        assert_eq!(summary(end).map(|(trailer, _)| trailer), Some(trailer));
        // It was cut after the trailer was written, or before.
        assert_eq!(summary(end - 8), None);
        assert_eq!(summary(end + 8), None);
    }
}
