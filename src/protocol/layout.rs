//! [`Layout`]: which address ranges can be claimed, as the segments attached one behind the other.
//!
//! Invariant: an address lies in at most one extent, for ever. Extents are written once into a small
//! ring of slots; a slot is written again only when everything in its old extent is committed, so
//! whoever still has a claim there, and the leader that walks it, reads it unchanged. A thread that
//! holds a stale tail may read a slot that changes under it: it then finds a wrong extent or none,
//! and its compare-and-swap on the tail fails.

use crate::format::{LINK_FRAME_BYTES, frames_start};
use crate::sync::{AtomicU64, Ordering};

/// What a log's first segment has for the base and end of the one before it.
pub(crate) const NO_SEGMENT: u64 = u64::MAX;

/// The frames area of one attached segment, and what its link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The base address of the segment.
    pub(crate) base: u64,
    /// The end of its frames area: where its trailer block begins.
    pub(crate) end: u64,
    /// The segment before it, or [`NO_SEGMENT`], and where that one ends.
    pub(crate) previous_base: u64,
    pub(crate) previous_end: u64,
}

impl Extent {
    /// Where the first frame, the link, lies.
    pub(crate) fn start(&self) -> u64 {
        frames_start(self.base)
    }

    /// Where the first record lies.
    pub(crate) fn first_record(&self) -> u64 {
        self.start() + LINK_FRAME_BYTES
    }

    fn holds(&self, at: u64) -> bool {
        self.start() <= at && at <= self.end
    }
}

/// How many segments can be attached at once: the one in use, those ahead, and one that is still
/// being committed.
const SLOTS: usize = 4;

#[derive(Debug)]
struct Slot {
    base: AtomicU64,
    end: AtomicU64,
    previous_base: AtomicU64,
    previous_end: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Layout {
    slots: [Slot; SLOTS],
    /// How many extents were ever attached. Written by `attach` only.
    attached: AtomicU64,
    /// The number of an extent at or before that of the tail: where a search begins.
    hint: AtomicU64,
}

impl Layout {
    pub(crate) fn new() -> Self {
        let empty = || Slot {
            base: AtomicU64::new(0),
            end: AtomicU64::new(0),
            previous_base: AtomicU64::new(0),
            previous_end: AtomicU64::new(0),
        };
        Self {
            slots: [empty(), empty(), empty(), empty()],
            attached: AtomicU64::new(0),
            hint: AtomicU64::new(0),
        }
    }

    /// Whether the next extent has a slot: the tail has left the extent that it replaces, and all of
    /// that is committed.
    pub(crate) fn has_room(&self, committed: u64) -> bool {
        let slot = self.slot(self.attached.load(Ordering::Relaxed));
        slot.end.load(Ordering::Relaxed) < committed
    }

    /// Attaches the next extent, for which there [is room](Self::has_room). Calls must not overlap:
    /// the supply of segments holds a lock around them.
    pub(crate) fn attach(&self, extent: Extent) {
        let number = self.attached.load(Ordering::Relaxed);
        let slot = self.slot(number);
        slot.previous_base.store(extent.previous_base, Ordering::Relaxed);
        slot.previous_end.store(extent.previous_end, Ordering::Relaxed);
        slot.base.store(extent.base, Ordering::Relaxed);
        // Release, and last: who reads this end reads this base. Partner: `read`.
        slot.end.store(extent.end, Ordering::Release);
        self.attached.store(number + 1, Ordering::Relaxed);
    }

    /// Passes all extents that were attached: searches begin at the next one.
    pub(crate) fn pass(&self) {
        self.hint.fetch_max(self.attached.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The extent that holds `at`. Its end belongs to it: the next one begins further up.
    #[inline]
    pub(crate) fn find(&self, at: u64) -> Option<(u64, Extent)> {
        let hint = self.hint.load(Ordering::Relaxed);
        for number in hint..hint + SLOTS as u64 {
            let extent = self.read(number);
            if extent.holds(at) {
                if number != hint {
                    self.hint.fetch_max(number, Ordering::Relaxed);
                }
                return Some((number, extent));
            }
        }
        None
    }

    /// The extent attached behind number `number`, which is `extent`.
    #[inline]
    pub(crate) fn after(&self, number: u64, extent: &Extent) -> Option<Extent> {
        let next = self.read(number + 1);
        // By its end, which is written last: a higher base may have the end of the extent that this
        // one replaces.
        (next.end > extent.end).then_some(next)
    }

    #[inline]
    fn read(&self, number: u64) -> Extent {
        let slot = self.slot(number);
        // Acquire, and first. Partner: `attach`.
        let end = slot.end.load(Ordering::Acquire);
        Extent {
            base: slot.base.load(Ordering::Relaxed),
            end,
            previous_base: slot.previous_base.load(Ordering::Relaxed),
            previous_end: slot.previous_end.load(Ordering::Relaxed),
        }
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "a remainder by the number of slots")]
    #[expect(clippy::cast_possible_truncation, reason = "below the number of slots")]
    fn slot(&self, number: u64) -> &Slot {
        &self.slots[(number % SLOTS as u64) as usize]
    }
}
