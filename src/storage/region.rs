//! [`Region`]: the memory of one whole file, read only; and [`SharedBytes`], memory that is a file.
//!
//! Invariant: a byte that was handed out in a slice does not change while the region that gave the
//! slice, or a clone of it, lives.
//!
//! For memory of our own this module enforces that by itself, whatever its callers do:
//!
//! 1. [`SharedBytes`] keeps a mark: the bytes below it may be in slices. It is 0 at first.
//! 2. To hand out a slice is to raise the mark to the slice's end, under the lock that all writes
//!    take, before the slice is made. Where the mark is there already, no lock is needed.
//! 3. A write compares what lies below the mark, stores only above it, and is refused where the
//!    comparison fails. So recovery may write in place what is there already.
//! 4. When the last region goes, no slice is left, and the mark returns to 0.
//!
//! All this goes through one raw pointer. No reference to a byte above the mark is ever made, so a
//! store there invalidates nobody's.
//!
//! For a mapped file no process can enforce it alone: see [`Region::map_file`].
#![expect(unsafe_code, reason = "the one place where files and shared memory become slices")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

use super::{StorageLock, os};
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// The bytes of one whole file as memory, 8-byte aligned, for reading. Cheap to clone.
///
/// A [`StorageFile`](super::StorageFile) hands it out; only the log looks inside.
#[derive(Clone)]
pub struct Region {
    memory: Arc<Memory>,
    /// What has to be held as long as the memory is.
    #[expect(dead_code, reason = "held until the last map goes")]
    keeper: Option<Arc<dyn StorageLock>>,
}

enum Memory {
    /// A file, mapped for reading.
    Mapped(MmapRaw),
    /// Memory that is written too, by others, above the mark.
    Shared(Hold),
    /// Memory that nobody writes any more.
    Private(Heap),
}

impl Region {
    /// Maps the first `bytes` bytes of a file.
    ///
    /// # Errors
    ///
    /// What the operating system answers; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the
    /// file is shorter, [`FileTooLarge`](io::ErrorKind::FileTooLarge) where it does not fit in the
    /// address space.
    ///
    /// # Safety
    ///
    /// While the region or a clone of it lives:
    ///
    /// - The file is not made shorter than `bytes`.
    /// - A byte that [`slice`](Self::slice) handed out does not change, by no process.
    ///
    /// A log keeps both. Its segments have a fixed size and are never shrunk. Under the exclusive
    /// lock it alone writes them, and it writes no byte twice once it is committed; it takes slices
    /// of committed bytes only, or of bytes that it has validated from a copy in a file that its
    /// writer appends to by the same rule. That nobody else writes the files is what the
    /// documentation of `Log::open` asks of its callers, as every program does that maps files.
    pub(crate) unsafe fn map_file(file: &File, bytes: u64) -> io::Result<Self> {
        if file.metadata()?.len() < bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let map = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Self::new(Memory::Mapped(map)))
    }

    /// Maps a whole file of a log's directory. Only [`FileStorage`](super::FileStorage) calls it.
    pub(super) fn map_log_file(file: &File, bytes: u64) -> io::Result<Self> {
        // SAFETY: the file belongs to a log, which keeps the contract as told there; that nobody
        // else writes the log's files is the documented condition for opening one.
        unsafe { Self::map_file(file, bytes) }
    }

    /// Makes a region of `bytes` bytes that `fill` writes once, the only memory that is allocated.
    ///
    /// # Errors
    ///
    /// Those of `fill`; [`OutOfMemory`](io::ErrorKind::OutOfMemory).
    pub(crate) fn copied(
        bytes: u64,
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let heap = Heap::zeroed(bytes)?;
        // SAFETY: the heap was just made of `len` initialised bytes, and is reachable through this
        // local alone, which outlives the slice.
        fill(unsafe { slice::from_raw_parts_mut(heap.start.as_ptr(), heap.len) })?;
        Ok(Self::new(Memory::Private(heap)))
    }

    fn new(memory: Memory) -> Self {
        Self { memory: Arc::new(memory), keeper: None }
    }

    /// The same region, which holds a lock until its last clone is gone.
    pub(crate) fn keeping(self, lock: Arc<dyn StorageLock>) -> Self {
        Self { keeper: Some(lock), ..self }
    }

    /// The size, in bytes.
    pub fn len(&self) -> u64 {
        self.len_in_memory() as u64
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands out a range, or `None` where it does not lie inside.
    ///
    /// From here on the bytes must not change. Of [`SharedBytes`] that is enforced; of a mapped
    /// file the caller asks only for what [`map_file`](Self::map_file) says.
    pub(crate) fn slice(&self, range: Range<u64>) -> Option<&[u8]> {
        let (start, len) = self.bounds(range)?;
        if let Memory::Shared(hold) = &*self.memory
            && len > 0
        {
            hold.0.freeze(start + len);
        }
        // SAFETY: `bounds` has found `start` inside the memory, or at its end.
        let first = unsafe { self.start().add(start) };
        // SAFETY: `bounds` has found all `len` bytes inside the memory, which is initialised and
        // lives as long as `self`. Nobody writes them: private memory has no writer, shared memory
        // has just been frozen up to the end of the range, and a mapped file keeps `map_file`'s
        // contract.
        Some(unsafe { slice::from_raw_parts(first, len) })
    }

    /// Reads a range of a mapped file into memory now, so that a failing disk is an error and no
    /// signal later. Where the system cannot, and for other memory, it does nothing.
    ///
    /// # Errors
    ///
    /// What reading the file gives; [`InvalidInput`](io::ErrorKind::InvalidInput) where the range
    /// does not lie inside.
    pub(crate) fn populate(&self, range: Range<u64>) -> io::Result<()> {
        let (start, len) = self.bounds(range).ok_or(io::ErrorKind::InvalidInput)?;
        match &*self.memory {
            Memory::Mapped(map) if len > 0 => os::populate(map, start, len),
            _ => Ok(()),
        }
    }

    /// Start and length of a range that lies inside.
    fn bounds(&self, range: Range<u64>) -> Option<(usize, usize)> {
        let len = range.end.checked_sub(range.start)?;
        if range.end > self.len() {
            return None;
        }
        Some((usize::try_from(range.start).ok()?, usize::try_from(len).ok()?))
    }

    fn len_in_memory(&self) -> usize {
        match &*self.memory {
            Memory::Mapped(map) => map.len(),
            Memory::Shared(hold) => hold.0.heap.len,
            Memory::Private(heap) => heap.len,
        }
    }

    fn start(&self) -> *const u8 {
        match &*self.memory {
            Memory::Mapped(map) => map.as_ptr(),
            Memory::Shared(hold) => hold.0.heap.start.as_ptr(),
            Memory::Private(heap) => heap.start.as_ptr(),
        }
    }
}

#[expect(clippy::missing_fields_in_debug, reason = "what keeps it is nothing to look at")]
impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &*self.memory {
            Memory::Mapped(_) => "mapped",
            Memory::Shared(_) => "shared",
            Memory::Private(_) => "private",
        };
        f.debug_struct("Region").field("kind", &kind).field("len", &self.len()).finish()
    }
}

impl From<&SharedBytes> for Region {
    fn from(bytes: &SharedBytes) -> Self {
        bytes.region()
    }
}

/// Memory of a fixed size that serves as a file: 8-byte aligned, zero at first. A clone is the same
/// memory.
///
/// It is what a storage of your own can be built on, as in the example of
/// [this module](super#a-storage-of-your-own).
#[derive(Clone)]
pub struct SharedBytes(Arc<Shared>);

struct Shared {
    heap: Heap,
    /// The bytes below may be in slices. Changed under the lock by [`Shared::freeze`] and the last
    /// [`Hold`]; read without it by `freeze`.
    frozen: AtomicUsize,
    /// How many [`Hold`]s there are. Its lock is the one that every store to the heap takes.
    holds: Mutex<usize>,
}

impl SharedBytes {
    /// Allocates `bytes` bytes, all zero.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory).
    pub fn new(bytes: u64) -> io::Result<Self> {
        Heap::zeroed(bytes).map(Self::of)
    }

    fn of(heap: Heap) -> Self {
        Self(Arc::new(Shared { heap, frozen: AtomicUsize::new(0), holds: Mutex::new(0) }))
    }

    /// The size, in bytes.
    pub fn len(&self) -> u64 {
        self.0.heap.len as u64
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads at `offset` and returns how many bytes were read, which are fewer than asked for only
    /// at the end.
    ///
    /// # Errors
    ///
    /// None; the type is that of [`StorageFile::read_at`](super::StorageFile::read_at).
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let shared = &*self.0;
        let (start, len) = shared.heap.clamp(offset, buffer.len());
        let _lock = shared.holds.lock();
        // SAFETY: `clamp` has found `start` inside the heap, or at its end.
        let from = unsafe { shared.heap.start.add(start) };
        // SAFETY: `clamp` has found `len` bytes inside both the heap and the buffer. The lock keeps
        // writers away. The buffer is not in the heap, since it is borrowed mutably and no mutable
        // reference into the heap is ever made.
        unsafe { ptr::copy_nonoverlapping(from.as_ptr(), buffer.as_mut_ptr(), len) };
        Ok(len)
    }

    /// Writes at `offset` and returns how many bytes were written, which are fewer than given only
    /// at the end.
    ///
    /// # Errors
    ///
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) where the write would change bytes that a
    /// reader may hold; nothing is written then.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let shared = &*self.0;
        let (start, len) = shared.heap.clamp(offset, bytes.len());
        let _lock = shared.holds.lock();
        // Relaxed: it changes under the lock only.
        let frozen = shared.frozen.load(Ordering::Relaxed);
        let kept = frozen.saturating_sub(start).min(len);
        // SAFETY: `clamp` has found `start` inside the heap, or at its end.
        let to = unsafe { shared.heap.start.add(start) };
        // SAFETY: these bytes are inside the heap as `kept <= len`, and below the mark or none at
        // all: nobody writes them, as the mark does not fall while the lock is held.
        let there = unsafe { slice::from_raw_parts(to.as_ptr(), kept) };
        if bytes.get(..kept) != Some(there) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        if let Some(rest) = bytes.get(kept..len) {
            // SAFETY: `kept <= len`, so this is inside the heap, or at the end of the range.
            let to = unsafe { to.add(kept) };
            // SAFETY: `rest.len()` bytes from here on end at `start + len`, inside the heap. They
            // are at or above the mark, so no slice holds them, `bytes` included; and the lock
            // keeps readers and other writers away.
            unsafe { ptr::copy_nonoverlapping(rest.as_ptr(), to.as_ptr(), rest.len()) };
        }
        Ok(len)
    }

    /// Gives the memory for reading. It follows later writes.
    pub fn region(&self) -> Region {
        *self.0.holds.lock() += 1;
        Region::new(Memory::Shared(Hold(Arc::clone(&self.0))))
    }
}

impl From<&[u8]> for SharedBytes {
    /// Copies the bytes. Ends the process where there is no memory, as collections do.
    fn from(bytes: &[u8]) -> Self {
        let made = Self::new(bytes.len() as u64).and_then(|made| {
            made.write_at(bytes, 0)?;
            Ok(made)
        });
        made.unwrap_or_else(|_| handle_alloc_error(Layout::for_value(bytes)))
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBytes").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Shared {
    /// Raises the mark to `end` at least.
    fn freeze(&self, end: usize) {
        // Acquire, with the release below: the stores that came before the mark rose happened under
        // the lock before it did, so whoever sees the mark sees them.
        if self.frozen.load(Ordering::Acquire) >= end {
            return;
        }
        let _lock = self.holds.lock();
        // Not `fetch_max`, which ThreadSanitizer does not see. Under the lock this is the same.
        if self.frozen.load(Ordering::Relaxed) < end {
            self.frozen.store(end, Ordering::Release);
        }
    }
}

/// A region's claim on shared memory: while one lives the mark does not fall.
struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.0.holds.lock();
        *holds -= 1;
        if *holds == 0 {
            // Relaxed: the next region is made under the lock, and so are writes.
            self.0.frozen.store(0, Ordering::Relaxed);
        }
    }
}

/// Zeroed memory, 8-byte aligned, that is reached through its pointer only.
struct Heap {
    start: NonNull<u8>,
    len: usize,
}

impl Heap {
    fn zeroed(bytes: u64) -> io::Result<Self> {
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let layout = Self::layout(len).ok_or(io::ErrorKind::OutOfMemory)?;
        if layout.size() == 0 {
            return Ok(Self { start: NonNull::<u64>::dangling().cast(), len });
        }
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    fn layout(len: usize) -> Option<Layout> {
        let size = len.checked_next_multiple_of(align_of::<u64>())?;
        Layout::from_size_align(size, align_of::<u64>()).ok()
    }

    /// What of `len` bytes at `offset` lies inside: where it starts, and how much it is.
    fn clamp(&self, offset: u64, len: usize) -> (usize, usize) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len);
        (start, len.min(self.len - start))
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.len)
            && layout.size() > 0
        {
            // SAFETY: `zeroed` allocated it with this very layout, and nobody reaches it any more:
            // all slices borrow from what owns the heap.
            unsafe { dealloc(self.start.as_ptr(), layout) };
        }
    }
}

// SAFETY: a heap owns its bytes, which are plain integers tied to no thread.
unsafe impl Send for Heap {}
// SAFETY: a heap gives no access by itself. `SharedBytes` and `Region` do, under the lock or below
// the mark, as told at the top.
unsafe impl Sync for Heap {}

#[cfg(test)]
mod tests;
