//! [`Plan`]: where the log goes on, and what becomes of each file that is not part of it.
//!
//! Invariant: addresses that were ever offered are not offered again. After a stop that was not
//! clean the log goes on in a fresh segment, at or above the control file's `next_base`.

use crate::format::{BLOCK_BYTES, ControlState, CutMark, FRAME_HEADER_BYTES, frames_start};
use crate::recover::facts::{Chain, SegmentFile};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether the last segment of the chain is appended to.
    pub(super) active: bool,
    /// Blank files that are used next.
    pub(super) spares: Vec<usize>,
    pub(super) remove: Vec<usize>,
    pub(super) set_aside: Vec<usize>,
    /// Base and end that the next link names; all ones if it is the first of the log.
    pub(super) previous: (u64, u64),
    pub(super) tail: u64,
    /// What the control file says from now on. It is the commit point of the cut.
    pub(super) state: ControlState,
}

impl Plan {
    /// Makes the plan. `clean`: the log was closed, and is whole.
    pub(super) fn new(
        files: &[SegmentFile],
        chain: &Chain,
        state: &ControlState,
        clean: bool,
        segment_bytes: u64,
    ) -> Self {
        let last = chain.pieces.last().and_then(|piece| Some((piece, files.get(piece.file)?)));
        let next_base = above_all(files, chain).max(state.next_base);
        let cut = state.cut;
        // A link names the segment that a cut ended even where that one is dropped by now.
        let previous = match (last, cut) {
            (Some((piece, file)), _) => (file.base, piece.end),
            (None, Some(cut)) => (cut.segment, cut.end),
            (None, None) => (u64::MAX, u64::MAX),
        };
        let expected = match (last, cut) {
            (Some((_, file)), Some(cut)) if cut.segment == file.base => cut.fresh,
            (Some((_, file)), _) => file.next_base(),
            (None, _) => state.durable_end.saturating_sub(BLOCK_BYTES),
        };
        let (spares, at) = if clean {
            usable(files, chain, state, expected, segment_bytes)
        } else {
            (vec![], expected)
        };
        let fresh = if spares.is_empty() { next_base } else { expected };
        // Segments follow one another without a gap, but for where a cut says so: one that is
        // missing is noticed that way.
        let adjoins = expected == fresh && (spares.is_empty() || at == next_base);
        let uncut = last.is_none_or(|(_, file)| cut.is_none_or(|cut| cut.segment != file.base));
        let active = clean
            && adjoins
            && last.is_some_and(|(piece, file)| {
                let in_use = file.link().is_some() && piece.sealed.is_none() && !piece.damaged;
                in_use && uncut && file.frames_end().saturating_sub(piece.end) >= FRAME_HEADER_BYTES
            });
        let full = last.is_some_and(|(piece, file)| {
            file.frames_end().saturating_sub(piece.end) < FRAME_HEADER_BYTES
        });
        let goes_on = active || (clean && full && adjoins && uncut);
        let spares = if adjoins { spares } else { Vec::new() };
        let fresh = if adjoins { fresh } else { next_base };
        let (segment, end) = previous;
        let cut = (!goes_on && segment != u64::MAX).then_some(CutMark { segment, end, fresh });
        let unused = chain.blanks.iter().filter(|index| !spares.contains(index));
        let remove = chain.below.iter().chain(&chain.abandoned).chain(unused).copied().collect();
        let aside = [&chain.leftovers, &chain.behind, &chain.discarded];
        let tail = match last {
            Some((piece, _)) if active => piece.end,
            _ => frames_start(fresh),
        };
        let newest = spares.last().and_then(|index| files.get(*index));
        let newest = newest.or(last.map(|(_, file)| file)).map(|file| file.base);
        let previous = match last {
            Some((_, file)) if active => (file.base, file.frames_end()),
            _ => previous,
        };
        let head = if segment == u64::MAX { head(files, chain, state, tail) } else { state.head };
        let (durable_end, clean) = (tail, false);
        let id = state.id;
        let app_state = state.app_state.clone();
        let state =
            ControlState { id, head, next_base, newest, durable_end, cut, clean, app_state };
        let set_aside = aside.into_iter().flatten().copied().collect();
        Self { active, spares, remove, set_aside, previous, tail, state }
    }
}

/// The head of a log that has no segment yet, and goes on at `tail`. If none is missing it begins
/// there: addresses that were passed over are nothing that could be looked for. Nor is what lies in
/// files that were given up, damaged or not.
fn head(files: &[SegmentFile], chain: &Chain, state: &ControlState, tail: u64) -> u64 {
    let given_up =
        |index: &usize| chain.abandoned.contains(index) || chain.discarded.contains(index);
    let mut files = files.iter().enumerate();
    let unharmed = files.all(|(index, file)| file.trouble.is_none() || given_up(&index));
    let whole = chain.damage.is_empty() && unharmed;
    if whole { tail.max(state.head) } else { state.head }
}

/// The address above all files that hold anything. Each of them may hold addresses that were offered,
/// also where it is not kept, and where the slot of the control file that said so is lost.
fn above_all(files: &[SegmentFile], chain: &Chain) -> u64 {
    let used = files.iter().enumerate().filter(|(index, file)| {
        let usable = file.trouble.is_none_or(|trouble| trouble.usable);
        usable && !chain.blanks.contains(index)
    });
    used.map(|(_, file)| file.next_base()).max().unwrap_or(0)
}

/// The blank files that follow one another from `at` on and can be used as they are, and where they
/// end.
fn usable(
    files: &[SegmentFile],
    chain: &Chain,
    state: &ControlState,
    mut at: u64,
    segment_bytes: u64,
) -> (Vec<usize>, u64) {
    let mut spares = Vec::new();
    for index in &chain.blanks {
        let file = files.get(*index).filter(|file| {
            let right = file.base == at && file.bytes == segment_bytes && file.id == state.id;
            right && file.trouble.is_none()
        });
        if let Some(file) = file {
            at = file.next_base();
            spares.push(*index);
        }
    }
    (spares, at)
}
