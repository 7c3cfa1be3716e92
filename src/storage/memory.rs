//! [`MemoryStorage`]: a disk in memory, and [`Image`]: what is on it, to look at and to damage.
//!
//! Invariant: an image is one moment of the disk: every write, name and removal is in it wholly or
//! not at all, and with each everything that was finished before it began.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::locks::Locks;
use super::{Access, LockKind, Region, SharedBytes, Storage, StorageFile, StorageLock};
use crate::sync::RwLock;

/// A directory in memory. A clone is the same directory, as another process would see it.
///
/// Its lifetime is that of its last clone: a log can be closed and opened again on it. Nothing
/// survives the process.
///
/// ```
/// use stratalog::storage::{MemoryStorage, Storage};
/// let disk = MemoryStorage::with_capacity(8192);
/// disk.create("a", 8192)?.write_at(b"hello", 0)?;
/// assert!(disk.create("b", 1).is_err());
///
/// let mut image = disk.image();
/// image.get_mut("a").unwrap()[0] = b'J';
/// let damaged = MemoryStorage::from_image(image);
/// assert_eq!(&damaged.image().get("a").unwrap()[..5], b"Jello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    /// Writers to files share it; whoever changes names, or wants to see one moment, has it alone.
    disk: Arc<RwLock<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<String, SharedBytes>,
    locks: Locks,
    /// The most that the named files may take together, in bytes; `None` is no limit.
    capacity: Option<u64>,
}

impl MemoryStorage {
    /// Makes an empty disk without limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty disk of `bytes` bytes. Creating a file beyond that is an error of kind
    /// [`StorageFull`](io::ErrorKind::StorageFull); removing one gives its space back.
    pub fn with_capacity(bytes: u64) -> Self {
        let storage = Self::new();
        storage.set_capacity(bytes);
        storage
    }

    /// Makes a disk that holds what is in the image, without limit.
    pub fn from_image(image: Image) -> Self {
        let files = image.files.into_iter();
        let files = files.map(|(name, bytes)| (name, SharedBytes::from(&*bytes))).collect();
        let disk = Disk { files, ..Disk::default() };
        Self { disk: Arc::new(RwLock::new(disk)) }
    }

    /// Changes the size of the disk, in bytes. Where the files take more already they stay.
    pub fn set_capacity(&self, bytes: u64) {
        self.disk.write().capacity = Some(bytes);
    }

    /// Copies what is on the disk at one moment, synced or not.
    pub fn image(&self) -> Image {
        let disk = self.disk.write();
        let files = disk.files.iter();
        Image { files: files.map(|(name, bytes)| (name.clone(), copy(bytes))).collect() }
    }
}

fn copy(bytes: &SharedBytes) -> Vec<u8> {
    let mut copy = vec![0; usize::try_from(bytes.len()).unwrap_or(usize::MAX)];
    // It has no error, and the lengths are the same.
    let _ = bytes.read_at(&mut copy, 0);
    copy
}

impl Disk {
    /// Refuses `bytes` more where they do not fit.
    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let used = self.files.values().map(SharedBytes::len).fold(0, u64::saturating_add);
        match self.capacity {
            Some(capacity) if used.saturating_add(bytes) > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl Storage for MemoryStorage {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.read().files.keys().cloned().collect())
    }

    fn create_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let mut disk = self.disk.write();
        if disk.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.reserve(bytes)?;
        let made = SharedBytes::new(bytes)?;
        disk.files.insert(name.to_owned(), made.clone());
        Ok(Arc::new(MemoryFile { bytes: made, access: Access::ReadWrite, storage: self.clone() }))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let bytes = self.disk.read().files.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile { bytes, access, storage: self.clone() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk.write();
        let file = disk.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.disk.write().files.remove(name);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut disk = self.disk.write();
        if !disk.files.contains_key(name) {
            disk.files.insert(name.to_owned(), SharedBytes::new(0)?);
        }
        if !disk.locks.take(name, kind) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryLock { name: name.to_owned(), storage: self.clone() })))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("memory").join(name)
    }
}

struct MemoryFile {
    bytes: SharedBytes,
    access: Access,
    storage: MemoryStorage,
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = (&self.bytes, self.access);
        f.debug_tuple("MemoryFile").field(fields.0).field(&fields.1).finish()
    }
}

impl StorageFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.bytes.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let _beside_other_writers = self.storage.disk.read();
        self.bytes.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self) -> io::Result<Option<Region>> {
        Ok((!self.bytes.is_empty()).then(|| self.bytes.region()))
    }
}

/// A lock that is held by name.
struct MemoryLock {
    name: String,
    storage: MemoryStorage,
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.storage.disk.write().locks.give_back(&self.name);
    }
}

impl fmt::Debug for MemoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryLock").field(&self.name).finish()
    }
}

/// What is on a [`MemoryStorage`]: names, and the bytes of each. Yours to change.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Image {
    files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Makes the image of an empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of a file.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// The bytes of a file, to be changed in value and number.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        self.files.get_mut(name)
    }

    /// Puts a file there, and returns what it replaces.
    pub fn insert(&mut self, name: impl Into<String>, bytes: Vec<u8>) -> Option<Vec<u8>> {
        self.files.insert(name.into(), bytes)
    }

    /// Takes a file away, and returns what it held.
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        self.files.remove(name)
    }

    /// The names of all files, in ascending order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

impl fmt::Debug for Image {
    /// Shows the size of each file instead of its bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.files.iter().map(|(name, bytes)| (name, bytes.len()))).finish()
    }
}

#[cfg(test)]
mod tests;
