//! The `on_seal` hook of [`Options`].
//!
//! Invariant: the hook hears of a segment once, after its trailer is durable.

use std::sync::Arc;

use super::SegmentInfo;
use crate::options::{Options, SealHook};

impl Options {
    /// Has `hook` called once for each segment that is sealed while the log is open: it is full, or
    /// was ended by [`roll`](crate::Log::roll) or by closing, and its trailer is durable; the file
    /// never changes again, unless the log is [cut](crate::Log::truncate_after) there: then the hook
    /// is called for it once more, with its new end.
    ///
    /// It runs in whichever thread has sealed it: the log's own, or one that appends, syncs, truncates
    /// or closes, which waits for it. No lock is held: the hook may use the log. A panic of it is
    /// contained. Two segments may be told of at once, from two threads.
    ///
    /// While the hook runs, the file may be dropped from the log by others, and renamed, but it is not
    /// written over. Who copies it later with tools of their own has to keep it by a
    /// [`hold`](crate::Log::hold) or a snapshot: a dropped segment's file may be used again.
    ///
    /// It is not called for segments that opening has sealed, nor a second time where a crash came
    /// before it ended: look through [`segments`](crate::Log::segments) after opening for those.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use stratalog::{Options, storage::MemoryStorage};
    /// let sealed = Arc::new(Mutex::new(Vec::new()));
    /// let list = Arc::clone(&sealed);
    /// let mut options = Options::new();
    /// options.background(false).on_seal(move |segment| list.lock().unwrap().push(segment.base));
    /// let log = options.open_with(MemoryStorage::new())?;
    /// log.append(b"a")?;
    /// log.roll()?;
    /// log.append(b"b")?;
    /// log.close()?;
    /// assert_eq!(*sealed.lock().unwrap(), [0]);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    pub fn on_seal(&mut self, hook: impl Fn(SegmentInfo) + Send + Sync + 'static) -> &mut Self {
        self.on_seal = Some(SealHook(Arc::new(move |sealed| hook(SegmentInfo::from(sealed)))));
        self
    }
}
