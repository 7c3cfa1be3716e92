//! [`Pool`]: the files of dropped segments until they are gone. A few become new segments, the others
//! are removed by a thread that lives as long as there are any: taking 64 MiB out of a file system
//! takes tens of milliseconds, which neither an appender nor a sync should wait for. What opening has
//! removed is here too, as open files without a name, until someone lets go of them.
//!
//! Invariant: nothing depends on when a file goes. The head is durable above it, so opening removes
//! what is left. Each file is taken out of the pool by whoever writes over it or removes it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::segment::recycle::Recycled;
use crate::storage::{Storage, StorageFile};
use crate::sync::{self, Condvar, JoinHandle, Mutex};

#[derive(Debug, Default)]
struct Files {
    /// The sizes of segments that are no part of the log any more and whose files have no place here
    /// yet. Nobody can tell what becomes of them; whoever needs the space waits.
    leaving: u64,
    /// To become spares.
    recycled: Vec<Recycled>,
    /// To be removed: name and size.
    unneeded: VecDeque<(String, u64)>,
    /// The sizes of those that are being removed.
    going: u64,
    /// How many threads remove something.
    removers: usize,
    /// Whether the pool's own thread is there, and looks for more before it ends.
    has_thread: bool,
    /// That thread, and those before it which have not ended yet.
    threads: Vec<JoinHandle<()>>,
    /// How many could not be removed.
    stuck: usize,
    /// Files that were removed. The system takes their space back with the last descriptor.
    nameless: Vec<Arc<dyn StorageFile>>,
    /// How many of them are just being closed.
    closing: usize,
    /// How many removals and the like have ended.
    ended: u64,
}

#[derive(Debug)]
pub(crate) struct Pool {
    storage: Arc<dyn Storage>,
    files: Mutex<Files>,
    /// A removal ended, or a file came.
    changed: Condvar,
}

impl Pool {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self { storage, files: Mutex::default(), changed: Condvar::new() })
    }

    /// Segments of so many bytes are about to leave the log. Called before anybody finds them gone, so
    /// that at no time a limit does not count them.
    pub(crate) fn begin_leaving(&self, bytes: u64) {
        self.files.lock().leaving += bytes;
    }

    /// What ends the leaving of so many bytes.
    pub(crate) fn leaving(&self, bytes: u64) -> Leaving<'_> {
        Leaving { pool: self, bytes }
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
        files.leaving.saturating_add(recycled).saturating_add(unneeded).saturating_add(files.going)
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
        let pool = Arc::clone(self);
        let spawned = sync::spawn("stratalog-remove", move || while pool.remove_unneeded(true) {});
        let mut files = self.files.lock();
        if let Ok(thread) = spawned {
            files.threads.retain(|thread| !thread.is_finished());
            files.threads.push(thread);
            return;
        }
        files.has_thread = false;
        drop(files);
        while self.remove_unneeded(false) {}
    }

    /// Takes files that were removed, to be closed [one by one](Self::close_one).
    pub(crate) fn take_nameless(&self, files: Vec<Arc<dyn StorageFile>>) {
        self.files.lock().nameless.extend(files);
    }

    /// Closes a file that was removed. False if there is none.
    pub(crate) fn close_one(&self) -> bool {
        let mut files = self.files.lock();
        let Some(nameless) = files.nameless.pop() else { return false };
        files.closing += 1;
        drop(files);
        let _closing = Closing(self);
        // Before others hear that it is done.
        drop(nameless);
        true
    }

    /// How often anything has ended so far that may have given space back: who was refused some, and finds
    /// nothing to remove, tries again if this has changed since.
    pub(crate) fn ended(&self) -> u64 {
        self.files.lock().ended
    }

    /// Removes one of the files that are in the pool, or waits for one that is being removed or about to
    /// come here. False if there is none.
    pub(crate) fn remove_one(&self) -> bool {
        if self.close_one() || self.remove_unneeded(false) {
            return true;
        }
        let mut files = self.files.lock();
        if files.removers > 0 || files.leaving > 0 || files.closing > 0 {
            self.changed.wait(&mut files);
            return true;
        }
        let Some(recycled) = files.recycled.pop() else { return false };
        drop(files);
        recycled.discard(&*self.storage);
        true
    }

    /// Removes all, and returns when nobody is at it any more, and no thread is left.
    pub(crate) fn empty(&self) {
        while self.remove_one() {}
        let threads = std::mem::take(&mut self.files.lock().threads);
        // A panic of theirs was caught where it was.
        for thread in threads {
            drop(thread.join());
        }
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
        // A storage of the caller's may panic. That file stays, as any that can't be removed.
        let removed = catch_unwind(AssertUnwindSafe(|| self.storage.remove(&name)));
        removing.stuck = !matches!(removed, Ok(Ok(())));
        true
    }
}

/// Segments that leave the log, until each has a place in the pool, or is kept by who reads it.
#[derive(Debug)]
pub(crate) struct Leaving<'a> {
    pool: &'a Pool,
    bytes: u64,
}

impl Leaving<'_> {
    pub(crate) fn end(&mut self, bytes: u64) {
        self.bytes -= bytes;
        let mut files = self.pool.files.lock();
        files.leaving -= bytes;
        files.ended += 1;
        drop(files);
        self.pool.changed.notify_all();
    }
}

impl Drop for Leaving<'_> {
    /// Where a storage of the caller's has panicked.
    fn drop(&mut self) {
        self.end(self.bytes);
    }
}

/// A file without a name that is being closed.
struct Closing<'a>(&'a Pool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut files = self.0.files.lock();
        files.closing -= 1;
        files.ended += 1;
        drop(files);
        self.0.changed.notify_all();
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
        files.ended += 1;
        files.stuck += usize::from(self.stuck);
        drop(files);
        self.pool.changed.notify_all();
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
