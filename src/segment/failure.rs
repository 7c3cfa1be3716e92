//! [`Cause`]: the first failure of a write or sync, after which nothing more is promised.
//!
//! Invariant: it is noted before the protocol is poisoned, so whoever sees the poison finds it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Op};
use crate::sync::{AtomicBool, Ordering};

#[derive(Debug)]
struct First {
    op: Op,
    path: PathBuf,
    source: Arc<io::Error>,
}

/// Written at most once, by whoever fails first.
#[derive(Debug, Default)]
pub(crate) struct Cause {
    first: OnceLock<First>,
    /// Whether a sync has failed, first or later.
    failed_sync: AtomicBool,
}

impl Cause {
    /// Notes a failure unless there was one before.
    pub(crate) fn note(&self, error: &Error) {
        if let Error::Io { op, path, source } = error {
            if matches!(op, Op::Sync | Op::SyncDirectory) {
                self.failed_sync.store(true, Ordering::Release);
            }
            let first = First { op: *op, path: path.clone(), source: Arc::clone(source) };
            // Only the first cause is told.
            let _ = self.first.set(first);
        }
    }

    /// The error for the thread whose own call failed.
    pub(crate) fn io(&self) -> Error {
        let (op, path, source) = self.parts();
        Error::Io { op, path, source }
    }

    /// The error for every other thread, and every later call.
    pub(crate) fn poisoned(&self) -> Error {
        let (op, path, source) = self.parts();
        Error::Poisoned { op, path, source }
    }

    /// Whether a sync has failed: then the page cache can't be trusted above the durable watermark.
    pub(crate) fn has_failed_sync(&self) -> bool {
        self.failed_sync.load(Ordering::Acquire)
    }

    /// The call that failed first.
    pub(crate) fn op(&self) -> Option<Op> {
        self.first.get().map(|first| first.op)
    }

    fn parts(&self) -> (Op, PathBuf, Arc<io::Error>) {
        if let Some(first) = self.first.get() {
            return (first.op, first.path.clone(), Arc::clone(&first.source));
        }
        // A leader that unwound noted nothing: a storage of the caller's panicked.
        let source = io::Error::other("a call to the storage panicked");
        (Op::Panicked, PathBuf::new(), Arc::new(source))
    }
}
