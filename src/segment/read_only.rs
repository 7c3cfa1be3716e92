//! [`ReadOnly`]: a log's directory for whoever only reads it, beside the process that writes it.
//!
//! Invariant: no call through it changes anything, and what a read returns was read while the file
//! bore its name: so before the writer could have taken it away and put it to other use.
//!
//! - A file is mapped only under a shared lock on `READERS`, which is held until the last map is gone.
//!   A writer uses a dropped file again only where it can have that lock alone, and renames the file
//!   before it touches it. The name is looked up again under the lock. Where the lock can't be had, on
//!   a read-only disk without the file, nothing is mapped, and everything is read into memory of our
//!   own.
//! - A plain read looks afterwards whether the name is still there. No base is given twice, so it is
//!   then the same file.
//! - Segments that are not durable yet are [kept](ReadOnly::keep) in memory of our own, into which their
//!   frames are copied as they are found valid. Where a disk fails to take them, the system may fall
//!   back to what the disk holds; a copy does not.
//! - In an archive, where no control file is, segments bear their trailer's checksum in their names.
//!   They are shown under their plain ones. Of several of one base the one that ends first is the
//!   newest, as only a cut makes another of it.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use crate::format::layout::BLOCK_LEN;
use crate::format::{
    BLOCK_BYTES, CONTROL_NAME, FileKind, READERS_NAME, SegmentHeader, TEMPORARY_SUFFIX, Trailer,
    classify, segment_name,
};
use crate::storage::{
    Access, LockKind, Region, SharedBytes, Storage, StorageFile, StorageLock, read_exact_at,
};
use crate::sync::Mutex;

#[derive(Clone, Debug)]
pub(crate) struct ReadOnly {
    directory: Arc<Directory>,
    /// Whether what is kept is read instead of files.
    reads_kept: bool,
}

#[derive(Debug)]
struct Directory {
    storage: Arc<dyn Storage>,
    /// The lock on `READERS`, while any map holds it.
    readers: Mutex<Option<Weak<dyn StorageLock>>>,
    /// What is read instead of the files of these names.
    kept: Mutex<BTreeMap<String, SharedBytes>>,
    /// Whether an archive's files are shown as segments.
    shows_archived: bool,
    /// The names of archived segments, by their plain ones.
    archived: Mutex<BTreeMap<String, String>>,
}

impl ReadOnly {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self::with(storage, true)
    }

    /// The same, but an archive's files are foreign ones, as they are to who opens the directory.
    pub(crate) fn without_archived(storage: Arc<dyn Storage>) -> Self {
        Self::with(storage, false)
    }

    fn with(storage: Arc<dyn Storage>, shows_archived: bool) -> Self {
        let (kept, archived) = (Mutex::default(), Mutex::default());
        let readers = Mutex::default();
        let directory = Arc::new(Directory { storage, readers, kept, shows_archived, archived });
        Self { directory, reads_kept: false }
    }

    /// The same directory as snapshots read it: with what is kept instead of the files.
    pub(crate) fn with_kept(&self) -> Self {
        Self { directory: Arc::clone(&self.directory), reads_kept: true }
    }

    /// Whether the names seen last were an archive's.
    pub(crate) fn is_archive(&self) -> bool {
        !self.directory.archived.lock().is_empty()
    }

    /// The memory that is read instead of the segment's file, if there is any.
    pub(crate) fn kept(&self, base: u64) -> Option<SharedBytes> {
        self.directory.kept.lock().get(&segment_name(base)).cloned()
    }

    /// Has this memory read instead of the segment's file.
    pub(crate) fn keep(&self, base: u64, bytes: SharedBytes) {
        self.directory.kept.lock().insert(segment_name(base), bytes);
    }

    /// Has the file read again of every segment but these.
    pub(crate) fn keep_only(&self, bases: &[u64]) {
        self.directory
            .kept
            .lock()
            .retain(|name, _| bases.iter().any(|base| segment_name(*base) == *name));
    }
}

impl Directory {
    fn real_name(&self, name: &str) -> String {
        self.archived.lock().get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.storage.open(&self.real_name(name), Access::Read)
    }

    /// The lock under which files may be mapped; `None` where it can't be had.
    fn readers(&self) -> Option<Arc<dyn StorageLock>> {
        let mut readers = self.readers.lock();
        if let Some(lock) = readers.as_ref().and_then(Weak::upgrade) {
            return Some(lock);
        }
        // Locking would make it where it is missing, so it is looked for first. Nobody removes it.
        self.storage.open(READERS_NAME, Access::Read).ok()?;
        let lock = self.storage.lock(READERS_NAME, LockKind::Shared).ok().flatten()?;
        let lock = Arc::from(lock);
        *readers = Some(Arc::downgrade(&lock));
        Some(lock)
    }

    /// The names of a directory, with those of archived segments replaced.
    fn show(&self, names: Vec<String>) -> Vec<String> {
        let is_log = !self.shows_archived || names.iter().any(|name| name == CONTROL_NAME);
        let is_ours = |name: &String| {
            let finished = name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name);
            !is_log && archived(finished).is_some()
        };
        let (ours, mut others): (Vec<_>, Vec<_>) = names.into_iter().partition(is_ours);
        let mut candidates: BTreeMap<u64, Vec<(u32, String)>> = BTreeMap::new();
        for name in ours {
            if let Some((base, checksum)) = archived(&name) {
                candidates.entry(base).or_default().push((checksum, name));
            }
        }
        candidates.retain(|base, _| !others.contains(&segment_name(*base)));
        let shown = candidates.into_iter().filter_map(|(base, mut names)| {
            if names.len() > 1 {
                // One whose trailer does not say what its name does comes last.
                let end = |(checksum, name): &(u32, String)| {
                    self.sealed_end(name, base, *checksum).unwrap_or(u64::MAX)
                };
                names.sort_by_cached_key(end);
            }
            names.into_iter().next().map(|(_, name)| (segment_name(base), name))
        });
        let archived: BTreeMap<_, _> = shown.collect();
        others.extend(archived.keys().cloned());
        *self.archived.lock() = archived;
        others
    }

    /// Where the frames of an archived segment end, if its trailer is valid and has this checksum.
    fn sealed_end(&self, name: &str, base: u64, checksum: u32) -> Option<u64> {
        let file = self.storage.open(name, Access::Read).ok()?;
        let mut block = vec![0; BLOCK_LEN];
        read_exact_at(&*file, &mut block, 0).ok()?;
        let header = SegmentHeader::decode(&block).ok().filter(|header| header.base == base)?;
        read_exact_at(&*file, &mut block, header.segment_bytes.checked_sub(BLOCK_BYTES)?).ok()?;
        let (trailer, found) = Trailer::decode(&block, &header.id, base).ok()?;
        (found == checksum).then_some(trailer.end)
    }
}

/// Base and checksum in the name of an archived segment: 20 digits, `-`, 8 hexadecimal digits.
fn archived(name: &str) -> Option<(u64, u32)> {
    let (base, rest) = name.split_once('-')?;
    let digits = rest.strip_suffix(".seg")?;
    let checksum = u32::from_str_radix(digits, 16).ok()?;
    let FileKind::Segment(base) = classify(&format!("{base}.seg")) else { return None };
    (digits == format!("{checksum:08x}")).then_some((base, checksum))
}

fn refused<T>() -> io::Result<T> {
    Err(ErrorKind::ReadOnlyFilesystem.into())
}

impl Storage for ReadOnly {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.directory.show(self.directory.storage.names()?))
    }

    fn create_directory(&self) -> io::Result<()> {
        refused()
    }

    fn create(&self, _: &str, _: u64) -> io::Result<Arc<dyn StorageFile>> {
        refused()
    }

    /// Opens it for reading, whatever is asked for.
    fn open(&self, name: &str, _: Access) -> io::Result<Arc<dyn StorageFile>> {
        let kept = self.directory.kept.lock().get(name).filter(|_| self.reads_kept).cloned();
        let bytes = match kept {
            Some(kept) => Bytes::Kept(kept),
            None => Bytes::File(self.directory.open(name)?),
        };
        let (name, directory) = (name.to_owned(), Arc::clone(&self.directory));
        Ok(Arc::new(ReadOnlyFile { name, bytes, directory }))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync_directory(&self) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &str, _: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        refused()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.storage.path(&self.directory.real_name(name))
    }
}

#[derive(Debug)]
struct ReadOnlyFile {
    name: String,
    bytes: Bytes,
    directory: Arc<Directory>,
}

#[derive(Debug)]
enum Bytes {
    File(Arc<dyn StorageFile>),
    Kept(SharedBytes),
}

impl StorageFile for ReadOnlyFile {
    fn size(&self) -> io::Result<u64> {
        match &self.bytes {
            Bytes::File(file) => file.size(),
            Bytes::Kept(kept) => Ok(kept.len()),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.bytes {
            Bytes::File(file) => {
                let read = file.read_at(buffer, offset)?;
                self.directory.open(&self.name)?;
                Ok(read)
            }
            Bytes::Kept(kept) => kept.read_at(buffer, offset),
        }
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }

    fn map(&self) -> io::Result<Option<Region>> {
        if let Bytes::Kept(kept) = &self.bytes {
            return Ok(Some(kept.region()));
        }
        let Some(lock) = self.directory.readers() else { return Ok(None) };
        let region = self.directory.open(&self.name)?.map()?;
        Ok(region.map(|region| region.keeping(lock)))
    }
}
