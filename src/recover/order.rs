//! [`Order`]: which files take part in the chain, before any link is followed.
//!
//! Invariant: a file is left out only for what the control file says: below the head, in a cut that
//! was begun, or given up. Everything else is a member, and has to be accounted for.

use crate::error::Result;
use crate::format::{ControlState, Winner};
use crate::recover::facts::{Mark, SegmentFile};
use crate::recover::survey::has_frame;
use crate::storage::Storage;

/// Indices of files, each kind ascending.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) members: Vec<usize>,
    /// Wholly below the head.
    pub(super) below: Vec<usize>,
    /// Left by an unfinished cut or removal.
    pub(super) abandoned: Vec<usize>,
    /// Members, and those that would be, which are damaged as a whole.
    pub(super) troubled: Vec<usize>,
}

impl Order {
    pub(super) fn new(files: &[SegmentFile], state: &ControlState) -> Self {
        let mut order = Self::default();
        let blank = |file: &SegmentFile| file.trouble.is_none() && file.is_blank(state.head);
        let stays = |file: &SegmentFile| !is_abandoned(file.base, state);
        // The last one in use that begins at or below the head holds it.
        let holder = files
            .iter()
            .rposition(|file| stays(file) && !blank(file) && file.base <= state.head)
            .unwrap_or(0);
        let holder = dropped_before(files, state, holder)
            .or_else(|| dropped_with_cut(files, state, holder))
            .unwrap_or(holder);
        for (index, file) in files.iter().enumerate() {
            let below = index < holder;
            if !stays(file) || (below && file.trouble.is_some()) {
                order.abandoned.push(index);
            } else if below {
                order.below.push(index);
            } else {
                if file.trouble.is_some() {
                    order.troubled.push(index);
                }
                if file.trouble.is_none_or(|trouble| trouble.usable) {
                    order.members.push(index);
                }
            }
        }
        order
    }

    /// Whether the mark of a clean stop is there and nothing was written after it.
    pub(super) fn mark(
        &self,
        storage: &dyn Storage,
        files: &[SegmentFile],
        winner: &Winner,
    ) -> Result<Mark> {
        if !winner.both_valid || !winner.state.clean {
            return Ok(Mark::Absent);
        }
        let end = winner.state.durable_end;
        // No head lies above what is durable, so closing never wrote this: there may be more.
        if end < winner.state.head {
            return Ok(Mark::Stale);
        }
        for file in self.members.iter().filter_map(|index| files.get(*index)) {
            let begins_after = file.link().is_some() && file.start() >= end;
            let sealed_after = file.sealed.is_some_and(|sealed| sealed.end > end);
            let goes_on = file.sealed.is_none()
                && file.start() <= end
                && end < file.frames_end()
                && has_frame(storage, file, end)?;
            if begins_after || sealed_after || goes_on {
                return Ok(Mark::Stale);
            }
        }
        Ok(Mark::Holds)
    }
}

/// Where the head is the end of a segment that was dropped, the one that follows it: then whatever
/// else has come back from below is a leftover as well, and nothing follows that.
fn dropped_before(files: &[SegmentFile], state: &ControlState, holder: usize) -> Option<usize> {
    let base = files.get(holder)?.base;
    let follows = |file: &SegmentFile| {
        let link =
            file.link().filter(|_| file.trouble.is_none() && !is_abandoned(file.base, state));
        link.is_some_and(|link| {
            let gone = base < link.previous_base && link.previous_base < file.base;
            gone && link.previous_end == state.head
        })
    };
    files.iter().skip(holder + 1).position(follows).map(|behind| holder + 1 + behind)
}

/// Where the segment that a cut ended was dropped, though files before it are there: all of them lie
/// below the head as well, and have come back. A log goes on without them where the cut says.
fn dropped_with_cut(files: &[SegmentFile], state: &ControlState, holder: usize) -> Option<usize> {
    let cut = state.cut.filter(|cut| cut.end <= state.head)?;
    let came_back = files.get(holder)?.base < cut.segment;
    let behind = files.partition_point(|file| file.base < cut.segment);
    let is_gone = files.get(behind).is_none_or(|file| file.base != cut.segment);
    (came_back && is_gone).then_some(behind)
}

/// Whether the control file says that a file is of no use: it lies in a cut that was begun, or above
/// the newest segment that stays. One at or above `next_base` was not put to use as far as this slot
/// knows; what is in it may know better, so it has to be accounted for.
pub(super) fn is_abandoned(base: u64, state: &ControlState) -> bool {
    let in_cut = state.cut.is_some_and(|cut| cut.segment < base && base < cut.fresh);
    // The segment that a cut ended stays, whatever the slot says of the newest.
    let newest = state.newest.max(state.cut.map(|cut| cut.segment));
    let given_up = base < state.next_base && newest.is_none_or(|newest| newest < base);
    in_cut || given_up
}
