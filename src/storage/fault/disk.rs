//! [`Disk`]: what reads see, what is durable, and everything in between.
//!
//! Invariant: it is a pure function of the changes applied to it, so the disk of any earlier moment
//! can be made again. A sector that is not in `dirty` is not written back by any sync, whatever the
//! cache holds.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use super::crash::Crash;
use crate::random::Random;
use crate::storage::Image;

/// The smallest unit that a disk writes: a sector is old, new or torn. In bytes.
pub const SECTOR_BYTES: usize = 512;

/// A file, by a number that is never given to another.
pub(super) type Inode = u64;

/// What an event does to the disk.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// It failed and did nothing.
    Nothing,
    CreateDirectory,
    Create {
        inode: Inode,
        name: String,
        bytes: usize,
    },
    Write {
        inode: Inode,
        offset: usize,
        bytes: Vec<u8>,
    },
    Sync {
        inode: Inode,
    },
    /// A sync that failed: all dirty sectors count as written. Some are, if there is a seed.
    LoseSync {
        inode: Inode,
        seed: Option<u64>,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    SyncDirectory,
    /// Sectors that count as written are read from the disk again.
    DropCaches,
}

/// What a sector held after the event of that number wrote it.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) event: u64,
    pub(super) bytes: Arc<[u8]>,
}

#[derive(Clone, Debug)]
pub(super) struct File {
    /// What reads see.
    cached: Arc<Vec<u8>>,
    /// What every power cut leaves.
    durable: Arc<Vec<u8>>,
    /// By sector: what was written since the last sync, oldest first. Each may be on the disk.
    dirty: BTreeMap<usize, Vec<Version>>,
    /// The file's size is durable.
    pub(super) sized: bool,
}

/// One change of the directory that is not durable yet. It names the file that it was made for: a
/// kernel that persists it alone does not move or remove another one.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Make { name: String, inode: Inode },
    Move { from: String, to: String, inode: Inode },
    Take { name: String, inode: Inode },
}

pub(super) type Names = BTreeMap<String, Inode>;

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Make { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Self::Move { from, to, inode } if names.get(from) == Some(inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Self::Take { name, inode } if names.get(name) == Some(inode) => {
                names.remove(name);
            }
            Self::Move { .. } | Self::Take { .. } => {}
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// Every file that has a name, had one when the directory was last synced, or may get one back.
    files: BTreeMap<Inode, File>,
    names: Names,
    durable_names: Names,
    /// What was done to names since the directory was last synced, in order.
    pending: Vec<(u64, NameChange)>,
    has_directory: bool,
}

impl Disk {
    pub(super) fn new(has_directory: bool) -> Self {
        Self { has_directory, ..Self::default() }
    }

    /// A disk that holds an image, all of it durable. Files get the numbers 0, 1, 2 ...
    pub(super) fn from_image(mut image: Image) -> Self {
        let mut disk = Self::new(true);
        let names: Vec<String> = image.names().map(str::to_owned).collect();
        for (inode, name) in (0..).zip(names) {
            let bytes = Arc::new(image.remove(&name).unwrap_or_default());
            let (cached, durable) = (Arc::clone(&bytes), bytes);
            disk.files.insert(inode, File { cached, durable, dirty: BTreeMap::new(), sized: true });
            disk.names.insert(name, inode);
        }
        disk.durable_names.clone_from(&disk.names);
        disk
    }

    pub(super) fn has_directory(&self) -> bool {
        self.has_directory
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// A number that no file has.
    pub(super) fn next_inode(&self) -> Inode {
        self.files.keys().last().map_or(0, |last| last + 1)
    }

    /// What reads of a file see.
    pub(super) fn cached(&self, inode: Inode) -> Option<&[u8]> {
        self.files.get(&inode).map(|file| file.cached.as_slice())
    }

    /// How many bytes the named files take.
    pub(super) fn used(&self) -> u64 {
        let files = self.names.values().filter_map(|inode| self.files.get(inode));
        files.map(|file| file.cached.len() as u64).sum()
    }

    pub(super) fn apply(&mut self, event: u64, change: &Change) {
        match change {
            Change::Nothing => {}
            Change::CreateDirectory => self.has_directory = true,
            Change::Create { inode, name, bytes } => {
                self.files.insert(*inode, File::zeroed(*bytes));
                self.change_names(event, NameChange::Make { name: name.clone(), inode: *inode });
            }
            Change::Write { inode, offset, bytes } => {
                self.with_file(*inode, |file| file.write(event, *offset, bytes));
            }
            Change::Sync { inode } => self.with_file(*inode, File::sync),
            Change::LoseSync { inode, seed } => {
                let mut random = seed.map(Random::new);
                let mut takes = || random.as_mut().is_some_and(Random::coin);
                self.with_file(*inode, |file| file.clean(&mut takes));
            }
            Change::Rename { from, to } => {
                if let Some(&inode) = self.names.get(from) {
                    let (from, to) = (from.clone(), to.clone());
                    self.change_names(event, NameChange::Move { from, to, inode });
                }
            }
            Change::Remove { name } => {
                if let Some(&inode) = self.names.get(name) {
                    self.change_names(event, NameChange::Take { name: name.clone(), inode });
                }
            }
            Change::SyncDirectory => {
                self.pending.clear();
                self.durable_names.clone_from(&self.names);
                // Nothing brings a file back that has no name now.
                let named: BTreeSet<_> = self.names.values().collect();
                self.files.retain(|inode, _| named.contains(inode));
            }
            Change::DropCaches => self.files.values_mut().for_each(File::drop_cache),
        }
    }

    fn change_names(&mut self, event: u64, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push((event, change));
    }

    /// A file that is gone for good is written through handles only, which nobody sees any more.
    fn with_file(&mut self, inode: Inode, change: impl FnOnce(&mut File)) {
        if let Some(file) = self.files.get_mut(&inode) {
            change(file);
        }
    }

    /// What reads see.
    pub(super) fn visible(&self) -> Image {
        self.image(&self.names, |file| file.cached.to_vec())
    }

    /// What is left if the power is cut now and nothing was written back that no sync asked for.
    pub(super) fn durable(&self) -> Image {
        let durable = |file: &File| if file.sized { file.durable.to_vec() } else { Vec::new() };
        self.image(&self.durable_names, durable)
    }

    /// What is left if the power is cut now.
    pub(super) fn crash(&self, seed: u64, event: u64) -> Image {
        let mut crash = Crash::new(self, seed, event);
        let mut names = self.durable_names.clone();
        for (event, change) in &self.pending {
            if crash.keeps_name(*event) {
                change.apply(&mut names);
            }
        }
        self.image(&names, |file| {
            let choice = crash.of_file();
            let mut bytes = file.durable.to_vec();
            for (sector, versions) in &file.dirty {
                let range = sector_range(*sector, bytes.len());
                if let Some(bytes) = bytes.get_mut(range) {
                    crash.sector(choice, bytes, versions);
                }
            }
            if !file.sized {
                bytes.truncate(crash.size(choice, bytes.len()));
            }
            bytes
        })
    }

    fn image(&self, names: &Names, mut bytes: impl FnMut(&File) -> Vec<u8>) -> Image {
        let mut image = Image::new();
        for (name, inode) in names {
            if let Some(file) = self.files.get(inode) {
                image.insert(name.clone(), bytes(file));
            }
        }
        image
    }

    /// The events whose effect is not durable, of sectors and of names, one entry for each of either.
    pub(super) fn loose(&self) -> impl Iterator<Item = u64> {
        let names = self.pending.iter().map(|(event, _)| *event);
        names.chain(self.loose_writes())
    }

    /// The same, of sectors alone.
    pub(super) fn loose_writes(&self) -> impl Iterator<Item = u64> {
        let sectors = self.files.values().flat_map(|file| file.dirty.values().flatten());
        sectors.map(|version| version.event)
    }
}

impl File {
    fn zeroed(bytes: usize) -> Self {
        let zeros = Arc::new(vec![0; bytes]);
        Self { cached: Arc::clone(&zeros), durable: zeros, dirty: BTreeMap::new(), sized: false }
    }

    fn write(&mut self, event: u64, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        let cached = Arc::make_mut(&mut self.cached);
        if let Some(target) = cached.get_mut(offset..end) {
            target.copy_from_slice(bytes);
        }
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            if let Some(now) = cached.get(sector_range(sector, cached.len())) {
                let version = Version { event, bytes: now.into() };
                self.dirty.entry(sector).or_default().push(version);
            }
        }
    }

    fn sync(&mut self) {
        self.sized = true;
        self.clean(&mut || true);
    }

    /// Counts all dirty sectors as written; those that `takes` says yes to are.
    fn clean(&mut self, takes: &mut dyn FnMut() -> bool) {
        for (sector, versions) in mem::take(&mut self.dirty) {
            let Some(newest) = versions.last().filter(|_| takes()) else { continue };
            let durable = Arc::make_mut(&mut self.durable);
            let range = sector_range(sector, durable.len());
            if let Some(target) = durable.get_mut(range) {
                target.copy_from_slice(&newest.bytes);
            }
        }
    }

    fn drop_cache(&mut self) {
        if self.dirty.is_empty() {
            self.cached = Arc::clone(&self.durable);
            return;
        }
        let mut bytes = self.durable.to_vec();
        for sector in self.dirty.keys() {
            let range = sector_range(*sector, bytes.len());
            if let (Some(target), Some(cached)) =
                (bytes.get_mut(range.clone()), self.cached.get(range))
            {
                target.copy_from_slice(cached);
            }
        }
        self.cached = Arc::new(bytes);
    }
}

/// The bytes of a sector; the last one of a file may be shorter.
fn sector_range(sector: usize, len: usize) -> Range<usize> {
    let start = sector * SECTOR_BYTES;
    start.min(len)..(start + SECTOR_BYTES).min(len)
}
