//! [`SegmentSet`]: which segments there are, as an immutable snapshot behind one pointer.
//!
//! Invariant: segments are ascending by base; a set, once loaded, never changes. Whoever holds one
//! pins its segments.

use std::sync::Arc;

use crate::format::FRAME_HEADER_BYTES;
use crate::segment::segment::Segment;
use crate::sync::RwLock;

#[derive(Debug)]
pub(crate) struct SegmentSet {
    /// The first address that is kept.
    pub(crate) head: u64,
    pub(crate) segments: Vec<Arc<Segment>>,
}

impl SegmentSet {
    /// The highest address at or below `lsn` that is not in a range that was cut away, if `lsn` was a
    /// boundary.
    pub(crate) fn floor(&self, lsn: u64) -> u64 {
        let above = self.segments.partition_point(|segment| segment.start() <= lsn);
        let below = above.checked_sub(1).and_then(|index| self.segments.get(index));
        below.map_or(self.head, |segment| segment.end.min(lsn))
    }

    /// The segment based at `base`.
    pub(crate) fn at_base(&self, base: u64) -> Option<&Arc<Segment>> {
        let index = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        self.segments.get(index)
    }

    /// Whether a record at `at`, which is durable or was once, is gone because the log was cut. The
    /// head and what lies below it are not asked for.
    pub(crate) fn is_cut(&self, at: u64) -> bool {
        let above = self.segments.partition_point(|segment| segment.start() <= at);
        let Some(below) = above.checked_sub(1).and_then(|index| self.segments.get(index)) else {
            return self.head <= at;
        };
        let was_cut = below.frames_end().saturating_sub(below.end) >= FRAME_HEADER_BYTES;
        let next = self.segments.get(above).map_or(u64::MAX, |next| next.base);
        let between = below.base.saturating_add(below.bytes)..next;
        below.end <= at && (was_cut || between.contains(&at))
    }

    /// How many of the newest segments are not sealed yet.
    pub(crate) fn unsealed(&self) -> usize {
        self.segments.iter().rev().take_while(|segment| !segment.is_sealed()).count()
    }

    /// The segments with frames in `from..to`, ascending.
    pub(crate) fn overlapping(&self, from: u64, to: u64) -> impl Iterator<Item = &Arc<Segment>> {
        let first = self.segments.partition_point(|segment| segment.end <= from);
        self.segments.iter().skip(first).take_while(move |segment| segment.start() < to)
    }
}

/// The current set. Replaced as a whole under a short lock; read by cloning the pointer.
#[derive(Debug)]
pub(crate) struct Segments(RwLock<Arc<SegmentSet>>);

impl Segments {
    pub(crate) fn new(head: u64, segments: Vec<Arc<Segment>>) -> Self {
        for pair in segments.windows(2) {
            if let [segment, next] = pair {
                segment.followed_by(next);
            }
        }
        Self(RwLock::new(Arc::new(SegmentSet { head, segments })))
    }

    pub(crate) fn load(&self) -> Arc<SegmentSet> {
        Arc::clone(&self.0.read())
    }

    /// Looks at the set without holding it afterwards, which would pin its segments: for a look that
    /// takes no time.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&SegmentSet) -> T) -> T {
        look(&self.0.read())
    }

    pub(crate) fn head(&self) -> u64 {
        self.with(|set| set.head)
    }

    /// Adds a segment behind all others.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        self.change(|set| {
            let mut segments = Vec::with_capacity(set.segments.len() + 1);
            segments.extend(set.segments.iter().cloned());
            if let Some(last) = segments.last() {
                last.followed_by(&segment);
            }
            segments.push(segment);
            SegmentSet { head: set.head, segments }
        });
    }

    /// Makes `head` the head, and takes out the segments at the beginning that are not needed any more:
    /// sealed, ending at or below the head, and followed by one whose link is durable, which bears
    /// witness of where they ended. `durable` is the durable watermark. Returns them; `leave` hears how
    /// many bytes they take before anybody finds them gone.
    pub(crate) fn raise_head(
        &self,
        head: u64,
        durable: u64,
        leave: impl FnOnce(u64),
    ) -> Vec<Arc<Segment>> {
        let mut dropped = Vec::new();
        self.change(|set| {
            let goes = |pair: &&[Arc<Segment>]| {
                let [segment, next] = pair else { return false };
                segment.is_sealed() && segment.end <= head && next.start() < durable
            };
            let count = set.segments.windows(2).take_while(goes).count();
            let (gone, kept) = set.segments.split_at(count);
            dropped.extend_from_slice(gone);
            leave(gone.iter().map(|segment| segment.bytes).sum());
            SegmentSet { head, segments: kept.to_vec() }
        });
        dropped
    }

    /// Replaces the set by what `change` makes of it, which takes no time.
    pub(crate) fn change(&self, change: impl FnOnce(&SegmentSet) -> SegmentSet) {
        let mut current = self.0.write();
        *current = Arc::new(change(&current));
    }
}

#[cfg(test)]
mod tests;
