//! [`FaultStorage`]: a disk in memory that loses power and fails as real ones do.
//!
//! Invariant: what it keeps through a crash is something that a disk which obeys the rules told at
//! [`FaultStorage`] can keep, and every such outcome comes up for some seed.
//!
//! [`Disk`] is the model: what is visible, what is durable, which writes lie between. [`crash`] draws
//! from it what a power cut leaves; [`Journal`] makes it again as it was before any event; [`plan`]
//! says which calls fail. [`State`] brings them together under one lock, which puts events in order.

mod crash;
mod disk;
mod file;
mod journal;
mod plan;
mod state;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use disk::{Change, Disk};
use file::FaultFile;
use journal::Journal;
use state::State;

use super::{Access, Image, LockKind, Storage, StorageFile, StorageLock};
use crate::sync::Mutex;

pub use disk::SECTOR_BYTES;
pub use journal::{Event, EventKind};
pub use plan::Fault;

/// A directory in memory that can lose power at any moment and fail in any call. A clone is the same
/// directory. For tests: of this crate, and of what you build on it. Needs the feature `test-util`.
///
/// Every call that changes the disk, or what of it is durable, is an *event*. Events happen one at a
/// time and have numbers, from 0 on. Afterwards the disk can be had as a power cut before any event
/// would have left it. This loses power at every event of a small log, in twenty ways each:
///
/// ```
/// use stratalog::Options;
/// use stratalog::storage::FaultStorage;
///
/// let mut options = Options::new();
/// options.segment_bytes(16 << 10).background(false);
/// let disk = FaultStorage::new();
/// let log = options.open_with(disk.clone())?;
/// let mut acknowledged = Vec::new();
/// for payload in ["ann: -10", "bob: +10", "cid: +7"] {
///     let lsn = log.append_durable(payload.as_bytes())?;
///     acknowledged.push((disk.events(), lsn, payload));
/// }
/// for event in 0..=disk.events() {
///     for seed in 0..20 {
///         let left = FaultStorage::from_image(disk.crash_at(event, seed));
///         let log = options.open_with(left)?;
///         let snapshot = log.snapshot();
///         for (when, lsn, payload) in &acknowledged {
///             if *when <= event {
///                 assert_eq!(snapshot.get(*lsn)?.payload(), payload.as_bytes());
///             }
///         }
///     }
/// }
/// # Ok::<(), stratalog::Error>(())
/// ```
///
/// # What a power cut leaves
///
/// - Of a sector of [`SECTOR_BYTES`] bytes that was written since its file was last synced: what was
///   durable, what any write since then made of it (the cache may be written back at any time), or a
///   mixture of two of these, the beginning of one and the end of the other. Bytes that a write did
///   not change stay. Each sector goes its own way.
/// - Of the names made, moved and removed since the directory was last synced: any of these changes,
///   each as a whole. Changes to the same name keep their order. One whose file is not under its old
///   name, as the change before it was lost, is lost too. So a removed or replaced file may come back.
/// - Of a file that was never synced: its size, or less.
/// - No locks.
///
/// The seed says which. Nine in a row have nine kinds of power cut; the first two are the extremes:
/// 0 leaves what was durable, 1 everything.
///
/// # What it assumes
///
/// A sync that says `Ok` has made everything durable that was written to the file before it began, a
/// sync of the directory likewise its names. Sectors that are not written keep what they hold, and
/// nothing rots. A file that is made has its blocks.
///
/// # Faults
///
/// [`fail`](Self::fail) and [`fail_when`](Self::fail_when) make events fail, in the ways of [`Fault`];
/// [`fail_read`](Self::fail_read) fails calls that only read.
///
/// ```
/// use std::io::ErrorKind;
/// use stratalog::storage::{Fault, FaultStorage};
/// use stratalog::{Error, Options};
///
/// let disk = FaultStorage::new();
/// let log = Options::new().background(false).open_with(disk.clone())?;
/// let kept = log.append_durable(b"kept")?;
/// // The write succeeds, the sync behind it does not.
/// disk.fail(disk.events() + 1, Fault::LostSync { seed: None });
/// assert!(matches!(log.append_durable(b"in doubt"), Err(Error::Io { .. })));
/// assert!(matches!(log.append(b"more"), Err(Error::Poisoned { .. })));
/// drop(log);
///
/// // Opening finds both in the cache, and makes durable what it hands out.
/// let log = Options::new().open_with(disk.clone())?;
/// assert_eq!(log.snapshot().iter().count(), 2);
/// let after = FaultStorage::from_image(disk.durable());
/// assert_eq!(Options::new().open_with(after)?.snapshot().iter().count(), 2);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FaultStorage {
    shared: Arc<Mutex<State>>,
}

impl Default for FaultStorage {
    fn default() -> Self {
        Self::new()
    }
}

/// The disk, as it is and as it was.
impl FaultStorage {
    /// Makes an empty directory.
    pub fn new() -> Self {
        Self::over(Disk::new(true), 0)
    }

    /// Makes a disk where the directory itself has yet to be made.
    pub fn without_directory() -> Self {
        Self::over(Disk::new(false), 0)
    }

    /// Makes a disk that holds what is in the image, all of it durable.
    pub fn from_image(image: Image) -> Self {
        Self::over(Disk::from_image(image), 0)
    }

    fn over(disk: Disk, events: u64) -> Self {
        Self { shared: Arc::new(Mutex::new(State::new(disk, events))) }
    }

    /// How many events there were; the number of the next one.
    pub fn events(&self) -> u64 {
        self.shared.lock().events
    }

    /// All events that the journal keeps, in order.
    pub fn history(&self) -> Vec<Event> {
        self.shared.lock().journal.iter().flat_map(Journal::events).cloned().collect()
    }

    /// What reads see: what the end of the process leaves.
    pub fn visible(&self) -> Image {
        self.shared.lock().disk.visible()
    }

    /// What is left if the power is cut now, and nothing persisted that no sync asked for.
    pub fn durable(&self) -> Image {
        self.shared.lock().disk.durable()
    }

    /// What is left if the power is cut now.
    pub fn crash(&self, seed: u64) -> Image {
        let state = self.shared.lock();
        state.disk.crash(seed, state.events)
    }

    /// What would have been left if the power had been cut before that event.
    ///
    /// # Panics
    ///
    /// If the event is not in the journal and not the next.
    pub fn crash_at(&self, event: u64, seed: u64) -> Image {
        self.before(event, |disk| disk.crash(seed, event))
    }

    /// What reads saw before that event.
    ///
    /// # Panics
    ///
    /// As [`crash_at`](Self::crash_at).
    pub fn visible_at(&self, event: u64) -> Image {
        self.before(event, Disk::visible)
    }

    /// Makes a storage of its own that is as this one was before that event, durable or not, but
    /// without locks and faults: what a process finds that starts after another was killed there.
    /// Its events go on with that number.
    ///
    /// # Panics
    ///
    /// As [`crash_at`](Self::crash_at).
    #[must_use]
    pub fn restart_at(&self, event: u64) -> Self {
        let made = Self::over(self.before(event, Disk::clone), event);
        let (state, mut new) = (self.shared.lock(), made.shared.lock());
        (new.capacity, new.wants_zero_fill) = (state.capacity, state.wants_zero_fill);
        drop(new);
        made
    }

    fn before<T>(&self, event: u64, look: impl FnOnce(&Disk) -> T) -> T {
        let mut state = self.shared.lock();
        if event == state.events {
            return look(&state.disk);
        }
        let disk = state.journal.as_mut().and_then(|journal| journal.before(event));
        look(disk.unwrap_or_else(|| panic!("event {event} is not in the journal")))
    }

    /// Empties the journal: from here on only later events can be gone back to.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        if state.journal.is_some() {
            state.journal = Some(Journal::new(&state.disk, state.events));
        }
    }

    /// Keeps no journal, as long runs have it: only the present can lose power.
    #[must_use]
    pub fn without_journal(self) -> Self {
        self.shared.lock().journal = None;
        self
    }

    /// Reads everything from the disk again that counts as written, as a system short of memory does.
    /// That makes a difference after [`Fault::LostSync`]. What was mapped before stays as it was. This
    /// is an event.
    pub fn drop_caches(&self) {
        let mut state = self.shared.lock();
        let event = state.event(EventKind::DropCaches, "");
        // A fault would not fit.
        let _ = state.happen(event, Change::DropCaches);
    }

    /// Changes the size of the disk, in bytes; without limit at first. Making a file beyond it is an
    /// error of kind [`StorageFull`](io::ErrorKind::StorageFull) and no event.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.lock().capacity = Some(bytes);
    }

    /// Says whether files want to be filled with zeros ahead, as on disks that are written in place;
    /// false at first. See [`StorageFile::wants_zero_fill`].
    pub fn set_zero_fill(&self, wanted: bool) {
        self.shared.lock().wants_zero_fill = wanted;
    }
}

/// What is to fail.
impl FaultStorage {
    /// Makes the event of that number fail, once.
    pub fn fail(&self, event: u64, fault: Fault) {
        self.shared.lock().plan.fail(event, fault);
    }

    /// Has `rule` say of each event that is to come whether it fails. It replaces the rule before it,
    /// and must not call this storage.
    pub fn fail_when(&self, rule: impl FnMut(&Event) -> Option<Fault> + Send + 'static) {
        self.shared.lock().plan.fail_when(Box::new(rule));
    }

    /// Makes a call fail that only reads, once: listing names, opening a file, reading, or mapping it.
    /// Those calls have numbers of their own; see [`reads`](Self::reads).
    pub fn fail_read(&self, read: u64, kind: io::ErrorKind) {
        self.shared.lock().plan.fail_read(read, kind);
    }

    /// How many calls there were that only read; the number of the next one.
    pub fn reads(&self) -> u64 {
        self.shared.lock().plan.reads()
    }

    /// Lets everything succeed from now on.
    pub fn heal(&self) {
        self.shared.lock().plan.heal();
    }

    /// How many calls were made to fail, or to fall short, so far.
    pub fn injected(&self) -> u64 {
        self.shared.lock().plan.injected()
    }

    fn file(&self, node: Arc<state::Node>, access: Access) -> Arc<dyn StorageFile> {
        Arc::new(FaultFile { node, access, shared: Arc::clone(&self.shared) })
    }
}

impl Storage for FaultStorage {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut state = self.shared.lock();
        state.plan.read()?;
        if !state.disk.has_directory() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(state.disk.names().keys().cloned().collect())
    }

    fn create_directory(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        if state.disk.has_directory() {
            return Ok(());
        }
        let event = state.event(EventKind::CreateDirectory, "");
        state.happen(event, Change::CreateDirectory)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let node = self.shared.lock().create(name, bytes)?;
        Ok(self.file(node, Access::ReadWrite))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.shared.lock();
        state.plan.read()?;
        let node = state.node(name)?;
        drop(state);
        Ok(self.file(node, access))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.node(from)?;
        let event = Event { to: to.to_owned(), ..state.event(EventKind::Rename, from) };
        state.happen(event, Change::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.node(name)?;
        let event = state.event(EventKind::Remove, name);
        state.happen(event, Change::Remove { name: name.to_owned() })
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        let event = state.event(EventKind::SyncDirectory, "");
        state.happen(event, Change::SyncDirectory)
    }

    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut state = self.shared.lock();
        if !state.disk.names().contains_key(name) {
            state.create(name, 0)?;
        }
        if !state.locks.take(name, kind) {
            return Ok(None);
        }
        Ok(Some(Box::new(FaultLock { name: name.to_owned(), shared: Arc::clone(&self.shared) })))
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("faulty").join(name)
    }
}

/// A lock that is held by name.
struct FaultLock {
    name: String,
    shared: Arc<Mutex<State>>,
}

impl StorageLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.shared.lock().locks.give_back(&self.name);
    }
}

impl fmt::Debug for FaultLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultLock").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests;
