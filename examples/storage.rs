//! A storage of one's own: it passes every call on to files, counts writes and syncs, keeps to a
//! quota, and is slow or fails when it is told to. Run it with
//!
//! ```text
//! cargo run --release --example storage [DIRECTORY]
//! ```
//!
//! Invariant: it exits with 0 only if acknowledgements cost the syncs that they should, a full quota
//! loses nothing and goes away, and a failed sync is final.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::storage::{
    Access, FileStorage, LockKind, Region, Storage, StorageFile, StorageLock,
};
use stratalog::{Error as LogError, Log, Op, Options, Result as LogResult};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SEGMENT_BYTES: u64 = 256 << 10;

/// A directory of files with a meter. A clone is the same directory with the same meter.
#[derive(Clone, Debug)]
struct Metered {
    files: FileStorage,
    meter: Arc<Meter>,
}

/// What is counted, and what is to happen. Nothing is read together, so the order is relaxed.
#[derive(Debug, Default)]
struct Meter {
    writes: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    /// How much slower a sync is than the disk, in microseconds.
    latency_micros: AtomicU64,
    /// How many bytes all files may have; 0 is no limit.
    quota: AtomicU64,
    /// Held from looking at the quota until the file is made.
    creating: Mutex<()>,
    /// Whether the next sync of a file is to fail.
    fails: AtomicBool,
}

impl Metered {
    fn new(dir: PathBuf) -> Self {
        Self { files: FileStorage::new(dir), meter: Arc::default() }
    }

    /// How many bytes all files have.
    fn used(&self) -> io::Result<u64> {
        let size = |name: String| self.files.open(&name, Access::Read)?.size();
        self.files.names()?.into_iter().map(size).sum()
    }

    fn metered(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(MeteredFile { file, meter: Arc::clone(&self.meter) })
    }
}

impl Storage for Metered {
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let _alone = self.meter.creating.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = self.meter.quota.load(Ordering::Relaxed);
        if quota != 0 && self.used()? + bytes > quota {
            // This kind, or `StorageFull`, is what the log answers with `NoSpace`.
            return Err(ErrorKind::QuotaExceeded.into());
        }
        Ok(self.metered(self.files.create(name, bytes)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.metered(self.files.open(name, access)?))
    }

    // The rest is passed on.
    fn names(&self) -> io::Result<Vec<String>> {
        self.files.names()
    }
    fn create_directory(&self) -> io::Result<()> {
        self.files.create_directory()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.files.sync_directory()
    }
    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.files.lock(name, kind)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }
}

#[derive(Debug)]
struct MeteredFile {
    file: Arc<dyn StorageFile>,
    meter: Arc<Meter>,
}

impl StorageFile for MeteredFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.meter.writes.fetch_add(1, Ordering::Relaxed);
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        let began = Instant::now();
        thread::sleep(Duration::from_micros(self.meter.latency_micros.load(Ordering::Relaxed)));
        let synced = if self.meter.fails.swap(false, Ordering::Relaxed) {
            Err(io::Error::other("the disk has let go of what was written"))
        } else {
            self.file.sync()
        };
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.meter.sync_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.meter.syncs.fetch_add(1, Ordering::Relaxed);
        synced
    }

    // The rest is passed on, and all of it: defaults that are right for memory are wrong for files.
    // Without `map` every read would copy, without `drop_cached` recovery would trust the cache, and
    // without `is_shared` a segment that somebody has hard-linked could be written over.
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn map(&self) -> io::Result<Option<Region>> {
        self.file.map()
    }
    fn wants_zero_fill(&self) -> bool {
        self.file.wants_zero_fill()
    }
    fn drop_cached(&self, offset: u64, bytes: u64) {
        self.file.drop_cached(offset, bytes);
    }
    fn is_shared(&self) -> io::Result<bool> {
        self.file.is_shared()
    }
    fn discard(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.file.discard(offset, bytes)
    }
}

fn main() -> Outcome<()> {
    let temporary = tempfile::tempdir()?;
    let dir = env::args_os().nth(1).map_or(temporary.path().to_owned(), PathBuf::from);
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()).into());
    }
    println!("1. What an acknowledgement costs");
    costs(&Metered::new(dir.join("costs")))?;
    println!("\n2. A quota is full");
    quota(&Metered::new(dir.join("quota")))?;
    println!("\n3. A sync fails");
    failure(&Metered::new(dir.join("failure")))?;
    println!("\nAll checks held.");
    Ok(())
}

/// Without a thread of the log's own, so that every call is made for somebody's append.
fn open(storage: &Metered) -> LogResult<Log> {
    let mut options = Options::new();
    options.segment_bytes(SEGMENT_BYTES).background(false).open_with(storage.clone())
}

fn costs(storage: &Metered) -> Outcome<()> {
    let log = &open(storage)?;
    log.append_durable(b"makes the first segment")?;
    println!("                                records   writes    syncs   syncs a record   a sync");
    let measure = |what, records: u32, append: &dyn Fn() -> LogResult<()>| -> Outcome<u64> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let figures =
            || [&storage.meter.writes, &storage.meter.syncs, &storage.meter.sync_nanos].map(read);
        let before = figures();
        append()?;
        let [writes, syncs, nanos] = figures();
        let (writes, syncs, nanos) = (writes - before[0], syncs - before[1], nanos - before[2]);
        let each = f64::from(u32::try_from(syncs)?) / f64::from(records);
        let time = Duration::from_nanos(nanos / syncs.max(1)).as_micros();
        println!("   {what:28} {records:7}  {writes:7}  {syncs:7}   {each:14.3} {time:5} us");
        Ok(syncs)
    };
    let payload = &[7; 100];

    // In the hands of the operating system: no sync at all.
    let committed =
        measure("append", 500, &|| (0..500).try_for_each(|_| log.append(payload).map(drop)))?;
    assert_eq!(committed, 0);
    let alone = measure("append_durable, one thread", 200, &|| {
        (0..200).try_for_each(|_| log.append_durable(payload).map(drop))
    })?;
    assert_eq!(alone, 200, "one each");
    // As on a disk that is further away; yours may be too quick for anybody to have to wait.
    storage.meter.latency_micros.store(1000, Ordering::Relaxed);
    let together = measure("the same, 8 threads, + 1 ms", 400, &|| {
        thread::scope(|scope| {
            let append = || (0..50).try_for_each(|_| log.append_durable(payload).map(drop));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(append)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
        })
    })?;
    assert!(together <= 200, "they share syncs");
    storage.meter.latency_micros.store(0, Ordering::Relaxed);
    let batch = measure("append_batch of 100, sync", 100, &|| {
        log.append_batch(&[payload; 100])?;
        log.sync().map(drop)
    })?;
    assert_eq!(batch, 1, "one for all");
    Ok(log.clone().close()?)
}

fn quota(storage: &Metered) -> Outcome<()> {
    let log = open(storage)?;
    log.append_durable(b"makes the first segment")?;
    let quota = storage.used()? + 2 * SEGMENT_BYTES;
    storage.meter.quota.store(quota, Ordering::Relaxed);

    let mut appended = 1;
    let error = loop {
        match log.append(&[7; 1000]) {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
    };
    println!("   after {appended} records: {}", brief(storage, &error));
    assert!(matches!(error, LogError::NoSpace { .. }), "{error}");
    assert!(storage.used()? <= quota);
    // Nothing is lost, nothing is half done; the same handle goes on when there is room.
    assert_eq!(log.snapshot().iter().count(), appended);
    log.truncate_before(log.committed())?;
    log.append_durable(b"there is room again")?;
    println!(
        "   after truncate_before it goes on, with {} KiB of {}",
        storage.used()? >> 10,
        quota >> 10
    );
    assert!(storage.used()? <= quota);
    assert_eq!(log.snapshot().iter().count(), 1);
    Ok(log.close()?)
}

fn failure(storage: &Metered) -> Outcome<()> {
    let log = open(storage)?;
    let mut acknowledged = Vec::new();
    for number in 0..100_u32 {
        acknowledged.push(log.append_durable(&number.to_le_bytes())?);
    }
    storage.meter.fails.store(true, Ordering::Relaxed);
    // The thread whose sync failed hears why. Whether its record is there is anyone's guess.
    let error = log.append_durable(b"indeterminate").expect_err("the sync failed");
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    println!("   {}: {source}", brief(storage, &error));
    assert!(matches!(error, LogError::Io { op: Op::Sync, .. }), "{error}");
    // The next sync would say Ok, of bytes that the disk never got. So there is none: every later
    // call of every thread fails.
    let syncs = storage.meter.syncs.load(Ordering::Relaxed);
    let error = log.append(b"too late").expect_err("it is poisoned");
    println!("   {}", brief(storage, &error));
    assert!(matches!(error, LogError::Poisoned { op: Op::Sync, .. }), "{error}");
    assert!(matches!(log.sync(), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.close(), Err(LogError::Poisoned { .. })));
    assert_eq!(storage.meter.syncs.load(Ordering::Relaxed), syncs, "it was not tried again");

    // The way out is to open it again: recovery writes what it keeps anew.
    let log = open(storage)?;
    let snapshot = log.snapshot();
    for (number, lsn) in (0_u32..).zip(&acknowledged) {
        assert_eq!(snapshot.get(*lsn)?.payload(), number.to_le_bytes());
    }
    let more = snapshot.iter().count() - acknowledged.len();
    println!(
        "   opened again: all {} acknowledged ones are there, and {more} more",
        acknowledged.len()
    );
    assert!(more <= 1, "what was refused is not there");
    log.append_durable(b"goes on")?;
    Ok(log.close()?)
}

/// An error, with file names instead of whole paths.
fn brief(storage: &Metered, error: &LogError) -> String {
    error.to_string().replace(&storage.path("").display().to_string(), "")
}
