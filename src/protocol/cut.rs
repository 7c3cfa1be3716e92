//! Cutting: the log is made to end lower, and goes on at addresses that nobody was ever given.
//!
//! Invariant: between [`begin_cut`](Protocol::begin_cut) and the end of the [`Cutting`] nothing is
//! claimed, written or synced by anyone else. Watermarks never go back: a cut raises all of them to the
//! fresh address, and whoever waits for durability inside the cut is told of the cut, not of success.
//!
//! 1. Set the *cutting* bit of the tail, by which claims are refused: they wait for the medium's word
//!    that the cut is over, and try again.
//! 2. Have everything committed that was claimed before: those appends came before the cut. Take both
//!    leads.
//! 3. The medium cuts what is on disk.
//! 4. Note the range that is gone, then raise the watermarks: who sees them raised sees the range.
//!    Leave the leads, which wakes whoever waits.

use std::ops::Range;

use crate::protocol::lead::Lead;
use crate::protocol::{Failed, Medium, Protocol, Stopped};
use crate::sync::{AtomicU64, Mutex, Ordering, yield_now};

/// The ranges that were cut away since the log was opened.
#[derive(Debug)]
pub(super) struct Cuts {
    /// How many there were; most logs have none. Written under the lock, before the watermarks are
    /// raised.
    count: AtomicU64,
    /// Where the log ended, and where it went on.
    ranges: Mutex<Vec<(u64, u64)>>,
}

impl Cuts {
    pub(super) fn new() -> Self {
        Self { count: AtomicU64::new(0), ranges: Mutex::new(Vec::new()) }
    }

    /// Whether what ends at `target` was cut away. The caller has read a watermark that covers it: if
    /// that was a cut's doing, the cut is seen here.
    pub(super) fn holds(&self, target: u64) -> bool {
        // Relaxed: the watermark was read with acquire.
        self.count.load(Ordering::Relaxed) != 0
            && self.ranges.lock().iter().any(|(end, fresh)| *end < target && target < *fresh)
    }

    /// How many there were.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn push(&self, end: u64, fresh: u64) {
        let mut ranges = self.ranges.lock();
        // A range within a later one says nothing more.
        ranges.retain(|(earlier, _)| *earlier < end);
        ranges.push((end, fresh));
        // Written under the lock only.
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// The log stands still. Dropped without an end it stays so, and the caller has to poison.
#[derive(Debug)]
#[must_use = "nobody can append until it ends"]
pub(crate) struct Cutting<'a> {
    protocol: &'a Protocol,
    tail: u64,
}

impl Protocol {
    /// Refuses claims for now, waits until everything that was claimed is committed, and takes both
    /// leads. The caller holds the lock that [`Medium::await_cut`] waits for.
    ///
    /// # Errors
    ///
    /// If the log is closed or poisoned, before or meanwhile; then nothing has changed.
    pub(crate) fn begin_cut<M: Medium>(&self, medium: &M) -> Result<Cutting<'_>, Stopped> {
        let tail = self.tail.begin_cut().map_err(Stopped::from)?;
        // Foreign code has to wait until the caller holds no lock.
        let begun = self.commit_telling(medium, tail, false).and_then(|_| {
            self.wake_of_commit();
            self.take_lead(&self.commit_lead)?;
            self.take_lead(&self.sync_lead)
        });
        match begun {
            Ok(()) => Ok(Cutting { protocol: self, tail }),
            Err(stopped) => {
                self.tail.end_cut(None);
                Err(stopped)
            }
        }
    }

    /// There is nothing left to commit, so a leader is about to leave, or to be done with a sync.
    fn take_lead(&self, lead: &Lead) -> Result<(), Stopped> {
        while !lead.signal() {
            self.check_poison()?;
            yield_now();
        }
        self.check_poison()
    }
}

impl Cutting<'_> {
    /// The end of the log, which stays where it is.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Ends without a cut.
    pub(crate) fn abandon<M: Medium>(self, medium: &M) -> Result<(), Stopped> {
        self.protocol.tail.end_cut(None);
        self.leave(medium)
    }

    /// Ends with a cut: the log ends where `gone` begins, and goes on where it ends, above all segments
    /// that there were. Who waits is woken; listeners and followers are the caller's to
    /// [tell](Protocol::tell_of_cut), once it holds no lock.
    pub(crate) fn finish<M: Medium>(self, medium: &M, gone: &Range<u64>) -> Result<(), Stopped> {
        let protocol = self.protocol;
        let (end, fresh) = (gone.start, gone.end);
        debug_assert!(end <= self.tail && self.tail <= fresh, "addresses are not given out again");
        protocol.cuts.push(end, fresh);
        protocol.layout.pass();
        protocol.attached_end.advance(fresh);
        // From above: whoever reads two of them finds them in order.
        protocol.tail.end_cut(Some(fresh));
        protocol.free.advance(fresh);
        protocol.committed.advance(fresh);
        protocol.durable.advance(fresh);
        self.leave(medium)
    }

    fn leave<M: Medium>(self, medium: &M) -> Result<(), Stopped> {
        self.protocol.lead_commit(medium).map_err(|Failed| Stopped::Failed)?;
        self.protocol.lead_sync(medium, 0)
    }
}

#[cfg(all(test, not(stratalog_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_ends_inside_a_cut_is_gone_and_what_ends_where_it_begins_or_ends_is_not() {
        let cuts = Cuts::new();
        cuts.push(100, 200);
        cuts.push(300, 400);
        for (target, is_gone) in
            [(100, false), (101, true), (199, true), (200, false), (300, false), (350, true)]
        {
            assert_eq!(cuts.holds(target), is_gone, "{target}");
        }
    }

    #[test]
    fn a_range_is_forgotten_with_the_one_that_covers_it() {
        let cuts = Cuts::new();
        for (end, fresh) in [(100, 200), (300, 400), (250, 500), (250, 600)] {
            cuts.push(end, fresh);
        }
        assert_eq!(*cuts.ranges.lock(), [(100, 200), (250, 600)]);
        assert_eq!(cuts.count(), 4);
    }
}
