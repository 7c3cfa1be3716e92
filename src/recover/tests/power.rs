//! A disk that loses power.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::storage::{Access, Image, LockKind, MemoryStorage, Storage, StorageFile, StorageLock};
use crate::sync::Mutex;

/// A disk under a cache: what was written since a file was last synced, and names since the
/// directory was, may be lost. Fails for good after so many changes.
#[derive(Clone, Debug)]
pub(super) struct PowerDisk {
    pub(super) cache: MemoryStorage,
    pub(super) shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    changes_left: usize,
    /// Durable bytes of each file, by a number of its own.
    disk: BTreeMap<u64, Vec<u8>>,
    /// Ranges written since the last sync.
    dirty: BTreeMap<u64, Vec<(usize, Vec<u8>)>>,
    pub(super) disk_names: BTreeMap<String, u64>,
    pub(super) cache_names: BTreeMap<String, u64>,
}

impl Shared {
    fn change(&mut self) -> io::Result<()> {
        match self.changes_left.checked_sub(1) {
            Some(left) => self.changes_left = left,
            None => return Err(io::Error::other("the power is off")),
        }
        Ok(())
    }
}

impl Shared {
    /// The durable bytes of a file, with the first bytes of each write since.
    fn torn(&self, number: u64, written: usize) -> Vec<u8> {
        let mut bytes = self.disk[&number].clone();
        for (at, write) in self.dirty.get(&number).into_iter().flatten() {
            let torn = &write[..written.min(write.len())];
            bytes[*at..at + torn.len()].copy_from_slice(torn);
        }
        bytes
    }
}

impl PowerDisk {
    /// `cache` is what reads see, `disk` what is durable of it.
    pub(super) fn new(cache: &Image, disk: &Image, changes: usize) -> Self {
        let mut shared = Shared { changes_left: changes, ..Shared::default() };
        for (number, name) in (0..).zip(cache.names()) {
            shared.cache_names.insert(name.to_owned(), number);
            let bytes = disk.get(name).or(cache.get(name)).unwrap();
            shared.disk.insert(number, bytes.to_vec());
            if disk.get(name).is_some() {
                shared.disk_names.insert(name.to_owned(), number);
            }
        }
        let cache = MemoryStorage::from_image(cache.clone());
        Self { cache, shared: Arc::new(Mutex::new(shared)) }
    }

    /// What may be on the disk when the power fails now: cached or durable names, with durable
    /// bytes, cached bytes, or the beginning of each write that was not synced.
    pub(super) fn after_power_loss(&self) -> Vec<Image> {
        let shared = self.shared.lock();
        let cached = self.cache.image();
        let by_number: BTreeMap<u64, &str> =
            shared.cache_names.iter().map(|(name, number)| (*number, name.as_str())).collect();
        let mut images = Vec::new();
        for names in [&shared.disk_names, &shared.cache_names] {
            for torn_at in [0, 20, usize::MAX] {
                let mut image = Image::new();
                for (name, number) in names {
                    let bytes = match by_number.get(number).filter(|_| torn_at == usize::MAX) {
                        Some(now) => cached.get(now).unwrap().to_vec(),
                        None => shared.torn(*number, torn_at),
                    };
                    image.insert(name.clone(), bytes);
                }
                images.push(image);
            }
        }
        images.dedup();
        images
    }
}

impl Storage for PowerDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.cache.names()
    }
    fn create_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let mut shared = self.shared.lock();
        shared.change()?;
        let file = self.cache.create(name, bytes)?;
        let number = shared.disk.keys().last().map_or(0, |last| last + 1);
        shared.disk.insert(number, vec![0; usize::try_from(bytes).unwrap()]);
        shared.cache_names.insert(name.to_owned(), number);
        Ok(Arc::new(PowerFile { file, number, shared: Arc::clone(&self.shared) }))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.cache.open(name, access)?;
        let number = *self.shared.lock().cache_names.get(name).unwrap();
        Ok(Arc::new(PowerFile { file, number, shared: Arc::clone(&self.shared) }))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut shared = self.shared.lock();
        shared.change()?;
        let number = shared.cache_names.remove(from).unwrap();
        shared.cache_names.insert(to.to_owned(), number);
        self.cache.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        let mut shared = self.shared.lock();
        shared.change()?;
        shared.cache_names.remove(name);
        self.cache.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        let mut shared = self.shared.lock();
        shared.change()?;
        shared.disk_names = shared.cache_names.clone();
        Ok(())
    }
    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.cache.lock(name, kind)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.cache.path(name)
    }
}

#[derive(Debug)]
struct PowerFile {
    file: Arc<dyn StorageFile>,
    number: u64,
    shared: Arc<Mutex<Shared>>,
}

impl StorageFile for PowerFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut shared = self.shared.lock();
        shared.change()?;
        let at = usize::try_from(offset).unwrap();
        shared.dirty.entry(self.number).or_default().push((at, bytes.to_vec()));
        self.file.write_at(bytes, offset)
    }
    /// Only what was written is brought to the disk: pages that count as clean stay as they are.
    fn sync(&self) -> io::Result<()> {
        let mut shared = self.shared.lock();
        shared.change()?;
        let dirty = shared.dirty.remove(&self.number).unwrap_or_default();
        let disk = shared.disk.get_mut(&self.number).unwrap();
        for (at, bytes) in dirty {
            disk[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }
}
