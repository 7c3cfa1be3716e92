//! Tests of what a log does to its storage, call by call.
//!
//! Invariant: the storage beneath is a memory whose calls can be held up and counted.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::error::Op;
use crate::segment::pool::Pool;
use crate::storage::{Access, LockKind, MemoryStorage, Region, Storage, StorageFile, StorageLock};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};
use crate::{Error, Log, Options};

/// What an unfinished making of a segment leaves.
const LEFT: &str = "00000000000000000000.seg.tmp";

/// Tells which thread is held up, and when it may go on.
type Held = (Sender<Option<String>>, Receiver<()>);

#[derive(Clone, Debug, Default)]
struct Probe {
    disk: MemoryStorage,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The next rename says so, and waits for an answer or a while.
    hold_rename: Mutex<Option<(Sender<()>, Receiver<()>)>>,
    closed: AtomicBool,
    /// Whether anything was changed once `closed` was set.
    late: AtomicBool,
    /// How often a descriptor was synced that made its file.
    syncs_of_writer: AtomicU64,
    /// When a removed file is given back, it says by which thread, and waits for an answer or a while.
    hold_removed: Mutex<Option<Held>>,
    /// While the next file is made, and before it is found that there is no room, this pool closes one.
    full_once: Mutex<Option<Arc<Pool>>>,
    /// Offset and length of what was given back.
    discarded: Mutex<Vec<(u64, u64)>>,
}

impl Seen {
    fn change(&self) {
        self.late.fetch_or(self.closed.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl Storage for Probe {
    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }
    fn create_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        self.seen.change();
        if let Some(pool) = self.seen.full_once.lock().take() {
            assert!(pool.close_one());
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.disk.create(name, bytes)?;
        Ok(Arc::new(ProbeFile { file, seen: Arc::clone(&self.seen), writer: true }))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.disk.open(name, access)?;
        if name == LEFT {
            let (disk, seen) = (self.disk.clone(), Arc::clone(&self.seen));
            return Ok(Arc::new(Removed { file, disk, seen }));
        }
        Ok(Arc::new(ProbeFile { file, seen: Arc::clone(&self.seen), writer: false }))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let held = self.seen.hold_rename.lock().take();
        if let Some((here, go_on)) = held {
            here.send(()).unwrap();
            let _ = go_on.recv_timeout(Duration::from_millis(300));
        }
        self.seen.change();
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.seen.change();
        self.disk.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.disk.lock(name, kind)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

#[derive(Debug)]
struct ProbeFile {
    file: Arc<dyn StorageFile>,
    seen: Arc<Seen>,
    writer: bool,
}

impl StorageFile for ProbeFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.seen.change();
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.seen.syncs_of_writer.fetch_add(u64::from(self.writer), Ordering::SeqCst);
        self.file.sync()
    }
    fn map(&self) -> io::Result<Option<Region>> {
        self.file.map()
    }
    fn wants_zero_fill(&self) -> bool {
        true
    }
    fn discard(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.seen.discarded.lock().push((offset, bytes));
        Ok(())
    }
}

/// A file of which it is seen when it is closed, once it has no name any more.
#[derive(Debug)]
struct Removed {
    file: Arc<dyn StorageFile>,
    disk: MemoryStorage,
    seen: Arc<Seen>,
}

impl StorageFile for Removed {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if self.disk.names().unwrap().iter().any(|name| name == LEFT) {
            return;
        }
        let held = self.seen.hold_removed.lock().take();
        if let Some((here, go_on)) = held {
            here.send(std::thread::current().name().map(str::to_owned)).unwrap();
            let _ = go_on.recv_timeout(Duration::from_secs(10));
        }
    }
}

fn open(probe: &Probe, segment_bytes: u64) -> Log {
    let mut options = Options::new();
    options.segment_bytes(segment_bytes).background(false);
    options.open_with(probe.clone()).unwrap()
}

#[test]
fn closing_waits_for_an_appender_that_makes_a_segment() {
    let probe = Probe::default();
    let log = open(&probe, 16 << 10);
    log.append(&[1; 8000]).unwrap();
    let (here, is_here) = channel();
    let (go_on, wait) = channel();
    *probe.seen.hold_rename.lock() = Some((here, wait));
    let appender = log.clone();
    let thread = std::thread::spawn(move || appender.append(&[2; 8000]));
    is_here.recv().unwrap();
    log.close().unwrap();
    probe.seen.closed.store(true, Ordering::SeqCst);
    let _ = go_on.send(());
    assert!(matches!(thread.join().unwrap(), Err(Error::Closed)));
    assert!(!probe.seen.late.load(Ordering::SeqCst), "nothing is changed without the lock");
}

#[test]
fn who_finds_no_room_while_another_thread_makes_some_tries_again() {
    let probe = Probe::default();
    let log = open(&probe, 16 << 10);
    log.append(&[1; 8000]).unwrap();
    let appender = log.appender();
    let pool = &appender.disk.supply.pool;
    // As a file that opening has removed, which the log's own thread closes just now.
    pool.take_nameless(vec![probe.disk.create("removed", 4096).unwrap()]);
    *probe.seen.full_once.lock() = Some(Arc::clone(pool));
    log.append(&[2; 8000]).unwrap();
    assert!(probe.seen.full_once.lock().is_none());
    assert_eq!(log.segments().len(), 2);
}

#[test]
fn a_padding_behind_an_idle_mark_keeps_its_header_when_its_body_is_given_back() {
    let probe = Probe::default();
    let log = open(&probe, 256 << 10);
    // The record ends 16 bytes before a block does: the mark fills the block.
    log.append_durable(&[1; 4016]).unwrap();
    let appender = log.appender();
    assert_eq!(
        appender.disk.mark_idle(&appender.protocol, log.durable().get()).unwrap(),
        Some(8192)
    );
    assert_eq!(log.durable().get(), 8192);
    log.roll().unwrap();
    log.append(&[2; 8]).unwrap();
    log.close().unwrap();
    // The padding's header lies at 8192.
    let end = (256 << 10) - 4096;
    assert_eq!(*probe.seen.discarded.lock(), [(12288, end - 12288)]);
}

#[test]
fn pacing_the_zeros_takes_no_failure_away_from_the_sync_of_frames() {
    let probe = Probe::default();
    let log = open(&probe, 2 << 20);
    log.append(b"one").unwrap();
    let appender = log.appender();
    let before = probe.seen.syncs_of_writer.load(Ordering::SeqCst);
    while appender.disk.supply.fill_ahead(&appender.protocol).unwrap() {}
    assert_eq!(probe.seen.syncs_of_writer.load(Ordering::SeqCst), before);
}

#[test]
fn a_stopped_log_and_a_tail_that_has_moved_make_no_room() {
    let probe = Probe::default();
    let log = open(&probe, 16 << 10);
    log.append(b"one").unwrap();
    let appender = log.appender();
    let (protocol, disk) = (&appender.protocol, &appender.disk);
    let tail = protocol.tail();
    // More than is filled, and than the log has claimed.
    let make_room = |tail| {
        disk.supply.make_room(protocol, &disk.segments, &disk.control, (tail, 7000), &|_| {})
    };
    probe.seen.closed.store(true, Ordering::SeqCst);
    assert!(make_room(tail - 8).unwrap());
    let error = Error::io(Op::Sync, "file", io::Error::other("broken"));
    disk.poison(protocol, &error);
    assert!(make_room(tail).unwrap());
    assert!(!probe.seen.late.load(Ordering::SeqCst), "nothing is written");
}

#[test]
fn a_segment_is_filled_before_another_is_made() {
    let probe = Probe::default();
    let log = open(&probe, 16 << 10);
    log.append(&[1; 1000]).unwrap();
    let appender = log.appender();
    let disk = &appender.disk;
    // More than the first step of zeros: the next must be written.
    let claim = (appender.protocol.tail(), 2016);
    probe.seen.closed.store(true, Ordering::SeqCst);
    let made =
        disk.supply.make_room(&appender.protocol, &disk.segments, &disk.control, claim, &|_| {});
    assert!(made.unwrap() && probe.seen.late.load(Ordering::SeqCst));
    for _ in 0..3 {
        log.append(&[1; 2000]).unwrap();
    }
    assert_eq!(disk.segments.load().segments.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_file_that_opening_removed_is_given_back_soon_and_opening_does_not_wait_for_it() {
    let probe = Probe::default();
    open(&probe, 16 << 10).close().unwrap();
    probe.disk.create(LEFT, 4096).unwrap();
    let before = probe.disk.image();
    let (here, is_given_back) = channel();
    let (go_on, wait) = channel();
    *probe.seen.hold_removed.lock() = Some((here, wait));
    let log = Options::new().segment_bytes(16 << 10).open_with(probe.clone()).unwrap();
    // Whoever gives it back is held up from now on.
    assert_eq!(is_given_back.recv().unwrap().as_deref(), Some("stratalog"));
    assert_eq!(log.recovery().removed, [probe.path(LEFT)]);
    // Its name is gone: killed here, nothing is left to remove. If power is lost before the directory is
    // synced, the name may be there again, and the next opening removes it.
    for (image, removed) in [(probe.disk.image(), 0), (before, 1)] {
        let again = Options::new().open_with(MemoryStorage::from_image(image)).unwrap();
        assert_eq!(again.recovery().removed.len(), removed);
    }
    log.append(b"meanwhile").unwrap();
    go_on.send(()).unwrap();
    log.close().unwrap();
    assert!(!probe.disk.names().unwrap().iter().any(|name| name == LEFT));
}
