//! [`Checks`]: what a log takes for granted of a file system, tried out.
//!
//! Invariant: a check that could not be made counts as one that failed, with the reason.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Instant;

use stratalog::{Error, Options};

use super::platform;
use crate::latencies::{Latencies, nanoseconds};

/// Why a check failed.
pub(super) type Checked = Result<(), String>;

/// How often a name is made and synced.
const DIRECTORY_SYNCS: u64 = 8;
const RECORDS: u32 = 200;

/// What was tried.
#[derive(Debug)]
pub(super) struct Checks {
    /// How long it takes to make a name durable; None where no call is needed.
    pub(super) directory_sync: Option<Result<Latencies, String>>,
    pub(super) locks: Checked,
    pub(super) log: Checked,
}

impl Checks {
    pub(super) fn make(folder: &Path) -> Self {
        let directory_sync = match directory_sync(folder) {
            Ok(None) => None,
            Ok(Some(latencies)) => Some(Ok(latencies)),
            Err(error) => Some(Err(error.to_string())),
        };
        let log = log(&folder.join("wal")).map_err(|error| error.to_string());
        Self { directory_sync, locks: locks(folder), log: log.and_then(|checked| checked) }
    }
}

/// Makes names, and makes them durable.
fn directory_sync(folder: &Path) -> io::Result<Option<Latencies>> {
    let mut latencies = Latencies::new();
    for number in 0..DIRECTORY_SYNCS {
        File::create(folder.join(format!("name-{number}")))?;
        let start = Instant::now();
        match platform::sync_directory(folder) {
            None => return Ok(None),
            Some(result) => result?,
        }
        latencies.record(nanoseconds(start.elapsed()));
    }
    Ok(Some(latencies))
}

/// What can be locked: a file, or a stand-in whose locks do not work.
trait Lockable {
    fn lock_alone(&self) -> Result<(), TryLockError>;
    fn lock_shared(&self) -> Result<(), TryLockError>;
}

impl Lockable for File {
    fn lock_alone(&self) -> Result<(), TryLockError> {
        self.try_lock()
    }

    fn lock_shared(&self) -> Result<(), TryLockError> {
        self.try_lock_shared()
    }
}

/// The locks of files in a folder.
fn locks(folder: &Path) -> Checked {
    locks_of(|name| {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        options.open(folder.join(name)).map_err(|error| format!("{name}: {error}"))
    })
}

/// `LOCK` keeps a second writer out; `READERS` is shared by readers and keeps a writer from writing
/// over what they have mapped.
fn locks_of<L: Lockable>(open: impl Fn(&str) -> Result<L, String>) -> Checked {
    let expect = |result: Result<(), TryLockError>, expected: bool, what: &str| {
        let is_taken = match result {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => return Err(format!("{what}: {error}")),
        };
        let wanted = if expected { "yes" } else { "no" };
        if is_taken == expected { Ok(()) } else { Err(format!("{what}, expected {wanted}")) }
    };
    let (one, other) = (open("LOCK")?, open("LOCK")?);
    expect(one.lock_alone(), true, "a free lock can be taken")?;
    expect(other.lock_alone(), false, "a lock can be taken twice")?;
    drop(one);
    expect(other.lock_alone(), true, "a lock that was given up can be taken")?;
    let (one, other, writer) = (open("READERS")?, open("READERS")?, open("READERS")?);
    expect(one.lock_shared(), true, "a reader can lock")?;
    expect(other.lock_shared(), true, "a second reader can lock")?;
    expect(writer.lock_alone(), false, "a writer can lock beside readers")?;
    drop((one, other));
    expect(writer.lock_alone(), true, "a writer can lock when readers are gone")
}

/// A small log: what was appended is read through the map, and is there after opening it again.
fn log(dir: &Path) -> stratalog::Result<Checked> {
    let mut options = Options::new();
    options.segment_bytes(16 << 10);
    let log = options.open(dir)?;
    for number in 0..RECORDS {
        log.append(&payload(number))?;
    }
    log.sync()?;
    let read = |log: &stratalog::Log, when: &str| -> stratalog::Result<Checked> {
        let snapshot = log.snapshot();
        let mut expected = 0..RECORDS;
        for record in &snapshot {
            let payload = expected.next().map(payload);
            if payload.as_deref() != Some(record?.payload()) {
                return Ok(Err(format!("{when} another record was read than was written")));
            }
        }
        Ok(if expected.is_empty() { Ok(()) } else { Err(format!("{when} records were missing")) })
    };
    if let Err(wrong) = read(&log, "while the log was open")? {
        return Ok(Err(wrong));
    }
    match options.open(dir) {
        Err(Error::Locked { .. }) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(Err("a second writer could open the log".to_owned())),
    }
    log.close()?;
    let log = options.open(dir)?;
    let again = read(&log, "after opening the log again")?;
    log.close()?;
    Ok(again)
}

/// Long enough that the log has several segments.
fn payload(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_well_where_tests_run() {
        let dir = tempfile::tempdir().expect("a folder");
        let checks = Checks::make(dir.path());
        assert_eq!((checks.locks, checks.log), (Ok(()), Ok(())));
        if let Some(synced) = checks.directory_sync {
            assert_eq!(synced.map(|latencies| latencies.count()), Ok(DIRECTORY_SYNCS));
        }
    }

    #[test]
    fn a_lock_that_others_hold_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let holder = File::create(dir.path().join("LOCK")).expect("made");
        holder.try_lock().expect("free");
        let told = locks(dir.path()).expect_err("it is held");
        assert_eq!(told, "a free lock can be taken, expected yes");
    }

    /// Locks that are always given, or, alone, never.
    struct Given {
        alone: bool,
    }

    impl Lockable for Given {
        fn lock_alone(&self) -> Result<(), TryLockError> {
            if self.alone {
                Ok(())
            } else {
                Err(TryLockError::Error(io::ErrorKind::Unsupported.into()))
            }
        }

        fn lock_shared(&self) -> Result<(), TryLockError> {
            Ok(())
        }
    }

    #[test]
    fn locks_that_exclude_nobody_or_are_not_offered_are_told() {
        let given = |alone| locks_of(|_| Ok(Given { alone })).expect_err("they do not work");
        assert_eq!(given(true), "a lock can be taken twice, expected no");
        assert!(given(false).starts_with("a free lock can be taken: "), "{}", given(false));
    }

    #[test]
    fn a_writer_that_is_not_kept_out_by_readers_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        // Each opening of READERS is another file, so nobody keeps anybody out.
        let count = std::cell::Cell::new(0);
        let told = locks_of(|name| {
            count.set(count.get() + 1);
            let number = if name == "READERS" { count.get() } else { 0 };
            File::create(dir.path().join(format!("{name}-{number}"))).map_err(|e| e.to_string())
        });
        assert_eq!(told, Err("a writer can lock beside readers, expected no".to_owned()));
    }

    #[test]
    fn a_log_that_is_in_the_way_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let wal = dir.path().join("wal");
        let log = Options::new().segment_bytes(16 << 10).open(&wal).expect("a log");
        log.append_durable(b"not of this check").expect("appended");
        log.close().expect("closed");
        let told = Checks::make(dir.path()).log.expect_err("another record comes first");
        assert_eq!(told, "while the log was open another record was read than was written");
    }
}
