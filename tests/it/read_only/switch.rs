//! A storage that moves on while it is read, for readers that are no part of what happens.
//!
//! Invariant: a call sees one moment, and the next call a later one or the same; an open file stays the
//! same file. Nothing but what a reader may do is let through.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use stratalog::storage::{
    Access, Image, LockKind, MemoryStorage, Region, Storage, StorageFile, StorageLock,
};

use crate::common::Random;

/// A storage that is another one from one moment to the next.
#[derive(Clone, Debug)]
pub(super) struct Switch(Arc<Mutex<Moments>>);

#[derive(Debug)]
struct Moments {
    now: MemoryStorage,
    to_come: VecDeque<MemoryStorage>,
    /// How many of a hundred calls find it a moment later.
    percent: u64,
    random: Random,
    /// A file that is taken away and filled with zeros when it is next read.
    trap: Option<String>,
}

impl Default for Switch {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Moments {
            now: MemoryStorage::new(),
            to_come: VecDeque::new(),
            percent: 0,
            random: Random::new(0),
            trap: None,
        })))
    }
}

impl Switch {
    pub(super) fn to(&self, image: Image) {
        self.0.lock().unwrap().now = MemoryStorage::from_image(image);
    }

    /// Lets calls find it later and later.
    pub(super) fn run(&self, images: Vec<Image>, percent: u64, seed: u64) {
        let mut moments = self.0.lock().unwrap();
        moments.to_come = images.into_iter().map(MemoryStorage::from_image).collect();
        (moments.percent, moments.random) = (percent, Random::new(seed));
        moments.now = moments.to_come.pop_front().expect("a moment");
    }

    /// How many moments are to come.
    pub(super) fn left(&self) -> usize {
        self.0.lock().unwrap().to_come.len()
    }

    /// Has the file taken away and filled with zeros when it is next read, as a writer recycles one.
    pub(super) fn take_away(&self, name: &str) {
        self.0.lock().unwrap().trap = Some(name.to_owned());
    }

    fn now(&self) -> MemoryStorage {
        let mut moments = self.0.lock().unwrap();
        let percent = moments.percent;
        while moments.random.chance(percent) {
            let Some(next) = moments.to_come.pop_front() else { break };
            moments.now = next;
        }
        moments.now.clone()
    }
}

impl Storage for Switch {
    fn names(&self) -> io::Result<Vec<String>> {
        self.now().names()
    }
    fn create_directory(&self) -> io::Result<()> {
        panic!("a reader makes no directory");
    }
    fn create(&self, name: &str, _: u64) -> io::Result<Arc<dyn StorageFile>> {
        panic!("a reader makes no {name}");
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        assert_eq!(access, Access::Read);
        let file = self.now().open(name, access)?;
        let (name, file) = (name.to_owned(), Mutex::new(file));
        Ok(Arc::new(SwitchFile { name, file, switch: self.clone() }))
    }
    fn rename(&self, from: &str, _: &str) -> io::Result<()> {
        panic!("a reader does not rename {from}");
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        panic!("a reader does not remove {name}");
    }
    fn sync_directory(&self) -> io::Result<()> {
        panic!("a reader syncs nothing");
    }
    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        assert_eq!((name, kind), ("READERS", LockKind::Shared));
        self.now().lock(name, kind)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.now().path(name)
    }
}

#[derive(Debug)]
struct SwitchFile {
    name: String,
    /// As it was when it was last seen under its name.
    file: Mutex<Arc<dyn StorageFile>>,
    switch: Switch,
}

impl SwitchFile {
    fn now(&self) -> Arc<dyn StorageFile> {
        let mut file = self.file.lock().unwrap();
        if let Ok(now) = self.switch.now().open(&self.name, Access::Read) {
            *file = now;
        }
        Arc::clone(&file)
    }
}

impl StorageFile for SwitchFile {
    fn size(&self) -> io::Result<u64> {
        self.now().size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = self.now();
        let trapped = {
            let mut moments = self.switch.0.lock().unwrap();
            let trapped = moments.trap.take_if(|name| *name == self.name).is_some();
            if trapped {
                moments.now.remove(&self.name)?;
            }
            trapped
        };
        let read = file.read_at(buffer, offset)?;
        if trapped {
            buffer[read / 2..].fill(0);
        }
        Ok(read)
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        panic!("a reader does not write {}", self.name);
    }
    fn sync(&self) -> io::Result<()> {
        panic!("a reader does not sync {}", self.name);
    }
    fn map(&self) -> io::Result<Option<Region>> {
        self.now().map()
    }
}
