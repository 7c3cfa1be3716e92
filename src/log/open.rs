//! Opening: from a directory to a log that can be appended to.
//!
//! Invariant: nothing is made or changed in a directory that is not a log's or empty, with options
//! out of their range, or without the lock.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::close::Handle;
use super::{Log, Shared, maintenance};
use crate::append::appender::Appender;
use crate::append::disk::Disk;
use crate::error::{Error, NotALog, Op, Result};
use crate::format::{LOCK_NAME, READERS_NAME};
use crate::options::Options;
use crate::protocol::{Extent, Protocol};
use crate::recover::{Contents, contents, recover};
use crate::segment::set::Segments;
use crate::segment::supply::Supply;
use crate::storage::{FileStorage, LockKind, Storage, StorageLock};

impl Options {
    /// Opens the log in the directory `dir` with these options. See [`Log::open`].
    ///
    /// # Errors
    ///
    /// As [`Log::open`], and [`InvalidOptions`](Error::InvalidOptions) before anything is touched.
    pub fn open(&self, dir: impl AsRef<Path>) -> Result<Log> {
        self.open_storage(Arc::new(FileStorage::new(dir.as_ref())))
    }

    /// Opens the log in a storage of your own, or in memory. See [`Log::open`].
    ///
    /// ```
    /// use stratalog::{Options, storage::MemoryStorage};
    /// let disk = MemoryStorage::new();
    /// let log = Options::new().open_with(disk.clone())?;
    /// log.append(b"in memory")?;
    /// log.close()?;
    /// assert_eq!(Options::new().open_with(disk)?.snapshot().iter().count(), 1);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(&self, storage: impl Storage) -> Result<Log> {
        self.open_storage(Arc::new(storage))
    }

    fn open_storage(&self, storage: Arc<dyn Storage>) -> Result<Log> {
        self.validate()?;
        let (lock, has_readers) = lock_log(&*storage, self)?;
        let recovered = recover(&storage, self)?;
        // For readers to lock, who make nothing. Without it they map nothing, that is all.
        if !has_readers {
            let _ = storage.create(READERS_NAME, 0);
        }
        let protocol = Protocol::new(recovered.tail, self.write_buffer_bytes, recovered.id)
            .restored_from(recovered.earlier);
        if let Some(active) = &recovered.start.active {
            protocol.attach(Extent {
                base: active.base,
                end: active.frames_end(),
                // Its link is there already.
                previous_base: u64::MAX,
                previous_end: u64::MAX,
            });
            protocol.raise_attached_end(active.frames_end());
        }
        let supply = Supply::new(Arc::clone(&storage), recovered.id, self, recovered.start);
        supply.pool.take_nameless(recovered.doomed);
        let segments = Segments::new(recovered.head, recovered.segments);
        let last_checksum = recovered.last_checksum;
        let disk = Disk::new(storage, segments, supply, recovered.control, last_checksum, self);
        let shared = Arc::new(Shared {
            appender: Appender::new(protocol, disk, self.segment_bytes),
            recovery: recovered.report,
            policy: self.recovery,
        });
        // Without the thread appenders do its work; `stats` tells.
        let thread = self.background.then(|| maintenance::spawn(&shared));
        let thread = thread.and_then(Result::ok);
        if thread.is_none() {
            while shared.appender.disk.supply.pool.close_one() {}
        }
        Ok(Log { handle: Arc::new(Handle::new(shared, lock, thread)) })
    }
}

/// Makes the directory if need be, and takes the lock of the log in it. Also says whether there is the
/// file that readers lock.
fn lock_log(storage: &dyn Storage, options: &Options) -> Result<(Box<dyn StorageLock>, bool)> {
    let path = || storage.path("");
    let not_a_log = |found| Error::NotALog { path: path(), found };
    let names = match storage.names() {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(not_a_log(NotALog::File));
        }
        Err(error) if error.kind() == ErrorKind::NotFound && options.create => {
            storage.create_directory().map_err(|error| match error.kind() {
                ErrorKind::NotADirectory => not_a_log(NotALog::File),
                _ => Error::io(Op::OpenDirectory, path(), error),
            })?;
            Vec::new()
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(not_a_log(NotALog::Nothing));
        }
        Err(error) => return Err(Error::io(Op::OpenDirectory, path(), error)),
    };
    match contents(storage, &names)? {
        Contents::Log => {}
        Contents::Nothing if options.create => {}
        Contents::Nothing => return Err(not_a_log(NotALog::Nothing)),
        Contents::OtherFiles => return Err(not_a_log(NotALog::OtherFiles)),
    }
    let path = storage.path(LOCK_NAME);
    match storage.lock(LOCK_NAME, LockKind::Exclusive) {
        Ok(Some(lock)) => Ok((lock, names.iter().any(|name| name == READERS_NAME))),
        Ok(None) => Err(Error::Locked { path }),
        Err(error) => Err(Error::io(Op::Lock, path, error)),
    }
}
