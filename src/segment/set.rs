//! [`SegmentSet`]: which segments there are, as an immutable snapshot behind one pointer.
//!
//! Invariant: segments are ascending by base; a set, once loaded, never changes. Whoever holds one
//! pins its segments.

use std::sync::Arc;

use crate::segment::segment::Segment;
use crate::sync::RwLock;

#[derive(Debug)]
pub(crate) struct SegmentSet {
    /// The first address that is kept.
    pub(crate) head: u64,
    pub(crate) segments: Vec<Arc<Segment>>,
}

impl SegmentSet {
    /// The segment based at `base`.
    pub(crate) fn at_base(&self, base: u64) -> Option<&Arc<Segment>> {
        let index = self.segments.binary_search_by_key(&base, |segment| segment.base).ok()?;
        self.segments.get(index)
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

    /// Replaces the set by what `change` makes of it, which takes no time.
    pub(crate) fn change(&self, change: impl FnOnce(&SegmentSet) -> SegmentSet) {
        let mut current = self.0.write();
        *current = Arc::new(change(&current));
    }
}
