//! [`Handle`]: what the clones of a log share, and how it ends.
//!
//! Invariant: the lock is given up after the last write of this process, and the clean mark is
//! written only when everything below the tail is durable, nothing failed, and nothing more can be
//! appended.

use std::sync::Arc;

use super::Shared;
use crate::append::disk::Disk;
use crate::error::{Error, Result};
use crate::protocol::Medium;
use crate::storage::StorageLock;
use crate::sync::{JoinHandle, Mutex};

/// What is given up at the end.
#[derive(Debug)]
struct Held {
    lock: Option<Box<dyn StorageLock>>,
    maintenance: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Handle {
    shared: Arc<Shared>,
    /// Whether the maintenance thread was started.
    has_thread: bool,
    /// Locked for a moment only: what is called back while the log closes may ask for it.
    held: Mutex<Held>,
}

impl Handle {
    pub(super) fn new(
        shared: Arc<Shared>,
        lock: Box<dyn StorageLock>,
        maintenance: Option<JoinHandle<()>>,
    ) -> Self {
        let has_thread = maintenance.is_some();
        Self { shared, has_thread, held: Mutex::new(Held { lock: Some(lock), maintenance }) }
    }

    #[inline]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether a thread of the log's own leads for futures and callbacks, until the log is closed or
    /// poisoned.
    pub(super) fn has_thread(&self) -> bool {
        self.has_thread
    }

    /// Whether the thread that prepares and seals segments is at work.
    pub(super) fn is_maintained(&self) -> bool {
        self.held.lock().maintenance.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    pub(super) fn close(&self) -> Result<()> {
        let (lock, maintenance) = {
            let mut held = self.held.lock();
            let Some(lock) = held.lock.take() else { return Err(Error::Closed) };
            (lock, held.maintenance.take())
        };
        let appender = &self.shared.appender;
        appender.protocol.close();
        // A cut that is under way ends first, and moves the tail.
        appender.disk.await_cut();
        let tail = appender.protocol.tail();
        appender.disk.bell.stop();
        // An appender that was refused for want of a segment may be making one.
        appender.disk.supply.close();
        let stopped = maintenance.map_or(Ok(()), join);
        let result = {
            let _retiring = Retiring(&appender.disk);
            self.finish(tail)
        };
        // Only now may another process write.
        drop(lock);
        // A storage of the caller's may have panicked in the thread; that poisoned the log.
        drop(stopped);
        result
    }

    fn finish(&self, tail: u64) -> Result<()> {
        let appender = &self.shared.appender;
        let disk = &appender.disk;
        appender.sync_until(tail)?;
        disk.seal_ended(&appender.protocol)?;
        appender.check_poison()?;
        disk.control.update(|state| {
            state.durable_end = tail;
            state.clean = true;
        })
    }
}

/// Waits for the maintenance thread. A callback that closes the log may be run by that very thread,
/// which does nothing more to the log then: it is closed.
fn join(maintenance: JoinHandle<()>) -> std::thread::Result<()> {
    if maintenance.thread().id() == std::thread::current().id() {
        return Ok(());
    }
    maintenance.join()
}

/// Ends all writing, also where finishing failed or unwound while others are at it.
struct Retiring<'a>(&'a Disk);

impl Drop for Retiring<'_> {
    fn drop(&mut self) {
        self.0.retire();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The last handle is gone: nobody is left to hear of an error.
        let _ = self.close();
    }
}
