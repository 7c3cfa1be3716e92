//! [`Pool`]: the files of dropped segments until they are gone. A few become new segments, the others
//! are removed by a thread that lives as long as there are any: taking 64 MiB out of a file system
//! takes tens of milliseconds, which neither an appender nor a sync should wait for.
//!
//! Invariant: nothing depends on when a file goes. The head is durable above it, so opening removes
//! what is left. Each file is taken out of the pool by whoever writes over it or removes it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::segment::recycle::Recycled;
use crate::storage::Storage;
use crate::sync::{self, Condvar, Mutex};

#[derive(Debug, Default)]
struct Files {
    /// To become spares.
    recycled: Vec<Recycled>,
    /// To be removed: name and size.
    unneeded: VecDeque<(String, u64)>,
    /// The sizes of those that are being removed.
    going: u64,
    /// How many threads remove something.
    removers: usize,
    /// Whether one of them is the pool's own.
    has_thread: bool,
    /// How many could not be removed.
    stuck: usize,
}

#[derive(Debug)]
pub(crate) struct Pool {
    storage: Arc<dyn Storage>,
    files: Mutex<Files>,
    /// A removal ended.
    removed: Condvar,
}

impl Pool {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self { storage, files: Mutex::default(), removed: Condvar::new() })
    }

    /// How many files are kept to become spares.
    pub(crate) fn recycled(&self) -> u64 {
        self.files.lock().recycled.len() as u64
    }

    pub(crate) fn keep(&self, recycled: Recycled) {
        self.files.lock().recycled.push(recycled);
    }

    pub(crate) fn take_recycled(&self) -> Option<Recycled> {
        self.files.lock().recycled.pop()
    }

    /// How many bytes the files take that are not gone yet.
    pub(crate) fn bytes(&self) -> u64 {
        let files = self.files.lock();
        let recycled: u64 = files.recycled.iter().map(Recycled::bytes).sum();
        let unneeded: u64 = files.unneeded.iter().map(|(_, bytes)| bytes).sum();
        recycled.saturating_add(unneeded).saturating_add(files.going)
    }

    /// How many files are to be removed, or could not be.
    pub(crate) fn unremoved(&self) -> usize {
        let files = self.files.lock();
        files.unneeded.len() + files.removers + files.stuck
    }

    /// Has a file removed by the pool's thread, or does it, where there can be none.
    pub(crate) fn remove_later(self: &Arc<Self>, name: String, bytes: u64) {
        let mut files = self.files.lock();
        files.unneeded.push_back((name, bytes));
        if std::mem::replace(&mut files.has_thread, true) {
            return;
        }
        drop(files);
        let own = Own { pool: Arc::clone(self), has_left: false };
        let spawned = sync::spawn("stratalog-remove", move || {
            let mut own = own;
            while own.pool.remove_unneeded(true) {}
            own.has_left = true;
        });
        if spawned.is_err() {
            while self.remove_unneeded(false) {}
        }
    }

    /// Removes one of the files that are in the pool, or waits until one that is being removed is
    /// gone. False if there is none.
    pub(crate) fn remove_one(&self) -> bool {
        if self.remove_unneeded(false) {
            return true;
        }
        let mut files = self.files.lock();
        if files.removers > 0 {
            self.removed.wait(&mut files);
            return true;
        }
        let Some(recycled) = files.recycled.pop() else { return false };
        drop(files);
        recycled.discard(&*self.storage);
        true
    }

    /// Removes all, and returns when nobody is at it any more.
    pub(crate) fn empty(&self) {
        while self.remove_one() {}
    }

    /// Removes the next file that nobody needs. If there is none the pool's `own` thread ends.
    fn remove_unneeded(&self, own: bool) -> bool {
        let mut files = self.files.lock();
        let Some((name, bytes)) = files.unneeded.pop_front() else {
            if own {
                files.has_thread = false;
            }
            return false;
        };
        files.going += bytes;
        files.removers += 1;
        drop(files);
        let mut removing = Removing { pool: self, bytes, stuck: true };
        removing.stuck = self.storage.remove(&name).is_err();
        true
    }
}

/// A removal that is under way, however it ends.
struct Removing<'a> {
    pool: &'a Pool,
    bytes: u64,
    stuck: bool,
}

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        let mut files = self.pool.files.lock();
        files.going -= self.bytes;
        files.removers -= 1;
        files.stuck += usize::from(self.stuck);
        drop(files);
        self.pool.removed.notify_all();
    }
}

/// The pool's own thread. Where it could not be started, or a storage of the caller's has panicked in
/// it, the next file starts another.
struct Own {
    pool: Arc<Pool>,
    /// It found nothing more to do, and has said so.
    has_left: bool,
}

impl Drop for Own {
    fn drop(&mut self) {
        if !self.has_left {
            self.pool.files.lock().has_thread = false;
        }
    }
}
