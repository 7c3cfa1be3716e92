//! Reserving: how an address range gets one owner.
//!
//! Invariant: whatever could stop a claim is asked before the compare-and-swap that makes it. After
//! it nothing waits and nothing can fail, so every claim gets published.

use crate::format::{FRAME_HEADER_BYTES, LINK_FRAME_BYTES};
use crate::protocol::tail::View;
use crate::protocol::{Extent, Protocol, State};

/// An address range of the caller's own. It must be filled and published without delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// What was asked for, at this address.
    Frames { at: u64 },
    /// The first frame of a segment, to be filled before asking again.
    Link { at: u64, previous_base: u64, previous_end: u64 },
    /// The rest of a segment, to be padded before asking again.
    Padding { at: u64, end: u64 },
    /// A rest too small for a frame: nothing to fill.
    Remainder,
}

/// Why nothing was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Stopped(State),
    /// The log is being cut: claims go on when that is done.
    Cutting,
    /// There is no segment, or not enough of one, attached for a claim of this end at this tail.
    NoSegment {
        tail: u64,
        need: u64,
    },
    /// The ring holds too much: `committed` must reach `until` first.
    RingFull {
        until: u64,
    },
}

impl Protocol {
    /// Claims `need` bytes, a multiple of 8 that fits in one segment, for frames that will be filled
    /// into the ring; or what must be filled before.
    #[inline]
    pub(crate) fn reserve(&self, need: u64) -> Result<Claim, Refusal> {
        self.claim(need, true)
    }

    /// The same for frames that their owner writes itself, with
    /// [`commit_direct`](Protocol::commit_direct).
    pub(crate) fn reserve_direct(&self, need: u64) -> Result<Claim, Refusal> {
        self.claim(need, false)
    }

    /// Claims the rest of the segment based at `base` if the tail is there, behind a record.
    pub(crate) fn reserve_rest(&self, base: u64) -> Result<Option<Claim>, Refusal> {
        loop {
            let seen = self.tail.view();
            if seen.refuses() {
                return Err(Self::refusal(seen));
            }
            match self.layout.find(seen.address()) {
                Some((_, extent))
                    if extent.base == base && seen.address() > extent.first_record() =>
                {
                    // More than fits anywhere, so it is no frames that are claimed; and only in the
                    // segment that was looked at.
                    if let Some(claim) = self.try_claim(seen, u64::MAX, true) {
                        return claim.map(Some);
                    }
                }
                _ if self.tail.view() == seen => return Ok(None),
                _ => {}
            }
        }
    }

    /// Claims room for an empty padding frame if the tail is `tail`, outside a segment's very start
    /// and end, and nothing stands in the way.
    pub(crate) fn reserve_mark(&self, tail: u64) -> Option<(u64, u64)> {
        let seen = self.tail.view();
        let extent = self.extent()?;
        let end = tail + FRAME_HEADER_BYTES;
        let fits = extent.start() < tail && end <= extent.end && end <= self.attached_end.get();
        let free = end <= self.free.get() + self.ring.bytes();
        let here = seen.address() == tail && !seen.refuses();
        (fits && free && here && self.tail.claim(seen, end)).then_some((tail, end))
    }

    /// Claims `need` bytes if the tail is at the committed watermark and they fit there as frames.
    /// Returns the segment's base and the address. The caller holds the commit lead, so that the
    /// watermark stands still.
    #[inline]
    pub(super) fn claim_at_watermark(&self, need: u64) -> Option<(u64, u64)> {
        let seen = self.tail.view();
        if seen.address() != self.committed() {
            return None;
        }
        self.claim_frames(seen, need)
    }

    /// Claims `need` bytes of the ring at the tail, if nothing has to come before them and nothing is
    /// in the way: most claims. `None` where [`reserve`](Self::reserve) has to look further; elsewhere it
    /// would claim the same, but takes longer to say what it is that it has claimed.
    #[inline]
    pub(super) fn claim_in_ring(&self, need: u64) -> Option<u64> {
        let seen = self.tail.view();
        if seen.address() + need > self.free.get() + self.ring.bytes() {
            return None;
        }
        self.claim_frames(seen, need).map(|(_, at)| at)
    }

    /// Claims `need` bytes at the tail that was seen, if they fit there as frames. Returns the segment's
    /// base and the address.
    #[inline]
    fn claim_frames(&self, seen: View, need: u64) -> Option<(u64, u64)> {
        let at = seen.address();
        let (_, extent) = self.layout.find(at)?;
        let end = at + need;
        let fits = extent.start() < at && end <= extent.end && end <= self.attached_end.get();
        (fits && !seen.refuses() && self.tail.claim(seen, end)).then_some((extent.base, at))
    }

    #[inline]
    fn claim(&self, need: u64, staged: bool) -> Result<Claim, Refusal> {
        loop {
            if let Some(claim) = self.try_claim(self.tail.view(), need, staged) {
                return claim;
            }
        }
    }

    /// Claims at the tail that was seen; `None` if it has moved on.
    #[inline]
    fn try_claim(&self, seen: View, need: u64, staged: bool) -> Option<Result<Claim, Refusal>> {
        if seen.refuses() {
            return Some(Err(Self::refusal(seen)));
        }
        let at = seen.address();
        let no_segment = Some(Err(Refusal::NoSegment { tail: at, need }));
        let Some((number, extent)) = self.layout.find(at) else {
            return if self.tail.view() == seen { no_segment } else { None };
        };
        let (claim, filled, to) = if at == extent.start() {
            (Self::link(at, &extent), at + LINK_FRAME_BYTES, at + LINK_FRAME_BYTES)
        } else if need <= extent.end - at {
            (Claim::Frames { at }, at + need, at + need)
        } else {
            let Some(next) = self.layout.after(number, &extent) else { return no_segment };
            if extent.end - at < FRAME_HEADER_BYTES {
                (Claim::Remainder, at, next.start())
            } else {
                let claim = Claim::Padding { at, end: extent.end };
                (claim, at + FRAME_HEADER_BYTES, next.start())
            }
        };
        if filled > self.attached_end.get() {
            return no_segment;
        }
        let window_end = self.free.get() + self.ring.bytes();
        if filled > window_end && (staged || !matches!(claim, Claim::Frames { .. })) {
            return Some(Err(Refusal::RingFull { until: filled - self.ring.bytes() }));
        }
        self.tail.claim(seen, to).then_some(Ok(claim))
    }

    #[cold]
    fn refusal(seen: View) -> Refusal {
        seen.state().map_or(Refusal::Cutting, Refusal::Stopped)
    }

    fn link(at: u64, extent: &Extent) -> Claim {
        Claim::Link { at, previous_base: extent.previous_base, previous_end: extent.previous_end }
    }

    /// Whether another extent can be attached; once true, it stays so until the next is.
    pub(crate) fn can_attach(&self) -> bool {
        self.layout.has_room(self.committed())
    }

    /// Attaches a segment's extent behind the last one. The caller holds the supply's lock and has
    /// found that it [can](Self::can_attach).
    pub(crate) fn attach(&self, extent: Extent) {
        debug_assert!(self.can_attach(), "a slot is written again only when it is committed");
        self.layout.attach(extent);
    }

    /// Allows claims up to `end`.
    pub(crate) fn raise_attached_end(&self, end: u64) {
        self.attached_end.advance(end);
    }
}
