//! [`Keeper`]: keeps a log from filling the disk while it is measured.
//!
//! Invariant: nobody waits for it but who ends it. It does what an application does that has made its
//! checkpoint: lets go of the oldest segments, of which new ones are made.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use stratalog::Log;

/// A thread that drops segments.
pub(super) struct Keeper {
    sizes: SyncSender<u64>,
    thread: JoinHandle<stratalog::Result<()>>,
}

impl Keeper {
    /// From now on the log is kept at about this size.
    pub(super) fn start(log: &Log, keep_bytes: u64) -> Self {
        let (sizes, seen) = mpsc::sync_channel(1);
        let log = log.clone();
        let thread = thread::spawn(move || keep(&log, keep_bytes, &seen));
        Self { sizes, thread }
    }

    /// The log has this size now. Not heard while an earlier size is still being dealt with.
    pub(super) fn look_at(&self, bytes: u64) {
        let _ = self.sizes.try_send(bytes);
    }

    /// Whether it gave up; the reason comes at the end.
    pub(super) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it is done.
    pub(super) fn end(self) -> stratalog::Result<()> {
        drop(self.sizes);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn keep(log: &Log, keep_bytes: u64, seen: &Receiver<u64>) -> stratalog::Result<()> {
    seen.iter().try_for_each(|bytes| drop_oldest(log, keep_bytes, bytes))
}

/// Drops whole segments that are durable, until the log has its size, or all but those in use.
fn drop_oldest(log: &Log, keep_bytes: u64, bytes: u64) -> stratalog::Result<()> {
    if bytes <= keep_bytes {
        return Ok(());
    }
    let segments = log.segments();
    let mut excess = bytes - keep_bytes;
    let mut to = None;
    for pair in segments.windows(2) {
        let [oldest, next] = pair else { continue };
        if excess == 0 || next.start >= log.durable() {
            break;
        }
        excess = excess.saturating_sub(oldest.bytes);
        to = Some(next.start);
    }
    match to {
        Some(start) => log.truncate_before(start).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use stratalog::Options;
    use stratalog::storage::MemoryStorage;

    use super::*;

    #[test]
    fn a_log_that_is_too_large_loses_its_oldest_segments_and_no_more() {
        let mut options = Options::new();
        let log = options.segment_bytes(16 << 10).open_with(MemoryStorage::new()).expect("a log");
        for _ in 0..100 {
            log.append_durable(&[1; 1000]).expect("appended");
        }
        let bytes = log.stats().bytes;
        let keeper = Keeper::start(&log, bytes - (20 << 10));
        keeper.look_at(bytes);
        keeper.end().expect("memory does not fail");
        let kept = log.segments();
        // Two of them are 32 KiB, one would not be enough.
        assert_eq!(log.head(), kept.first().expect("a segment").start);
        assert_eq!(kept.first().map(|segment| segment.base), Some(2 * (16 << 10)));
    }

    #[test]
    fn a_log_that_is_small_enough_keeps_all() {
        let log = Options::new().segment_bytes(16 << 10).open_with(MemoryStorage::new());
        let log = log.expect("a log");
        let head = log.head();
        let keeper = Keeper::start(&log, log.stats().bytes);
        keeper.look_at(log.stats().bytes);
        keeper.end().expect("memory does not fail");
        assert_eq!(log.head(), head);
    }
}
