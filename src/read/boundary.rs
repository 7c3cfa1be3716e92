//! [`land`]: proves that an address is a frame boundary.
//!
//! Invariant: an address counts as a boundary only if it was reached by walking from one that is
//! known: the segment's first frame, the head, or an end of a stretch that was checked before. A
//! payload may hold a frame that is valid at its own address, so looking at the address proves
//! nothing.
//!
//! A segment keeps the stretches that were checked, each from boundary to boundary and about
//! [`STRETCH_BYTES`] long, for all snapshots.
//!
//! 1. An address inside a checked stretch: walk the headers from the stretch's start.
//! 2. Any other: check the frames from the nearest known boundary below it, and keep them as
//!    stretches. Only committed bytes are ever looked at, and they do not change.
//! 3. Where step 1 does not meet the address, check that stretch again: damage on the way is reported
//!    as damage, and not as a wrong address.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::format::{Frame, Kind};
use crate::read::area::Area;
use crate::read::walk::Walk;

/// How long a checked stretch is, in bytes, so also how far headers are walked for one address.
/// Short in tests, so that small segments have many.
const STRETCH_BYTES: u64 = if cfg!(test) { 256 } else { 64 << 10 };

/// Where a walk came to that was to meet an address.
#[derive(Debug)]
pub(super) struct Landing {
    /// The first boundary that is not below the address.
    pub(super) at: u64,
    /// The first damage that was skipped on the way.
    pub(super) damage: Option<Error>,
}

/// Walks to the first frame boundary that is not below `target`, which lies in the area and not
/// below the head, or is the area's end. Boundaries are ends of frames; a remainder too small for
/// one is not passed.
///
/// # Errors
///
/// Damage on the way, unless the options say to skip it.
pub(super) fn land(area: Area<'_>, target: u64) -> Result<Landing> {
    let known = Known::below(&area, target);
    if known.checked {
        let mut walk = Walk::new(area, known.at, false).with_window(STRETCH_BYTES);
        while walk.at() < target && matches!(walk.next(), Ok(Some(_))) {}
        if walk.at() == target {
            return Ok(Landing { at: target, damage: None });
        }
    }
    check(area, known.at, target)
}

/// The last record of an area.
pub(super) fn last_record(area: Area<'_>) -> Result<Option<Frame<'_>>> {
    land(area, area.end)?;
    let mut upper = area.end;
    while upper > area.first() {
        let known = Known::below(&area, upper - 8);
        let mut walk = Walk::new(area, known.at, true);
        let mut last = None;
        while walk.at() < upper
            && let Some(frame) = walk.next()?
        {
            if frame.header.kind == Kind::Record {
                last = Some(frame);
            }
        }
        if last.is_some() {
            return Ok(last);
        }
        upper = known.at;
    }
    Ok(None)
}

/// Walks from `from` to `target` and checks every frame; keeps what was checked.
fn check(area: Area<'_>, from: u64, target: u64) -> Result<Landing> {
    let mut walk = Walk::new(area, from, true);
    let (mut kept, mut damage) = (from, None);
    while walk.at() < target {
        match walk.next() {
            Ok(Some(_)) => {
                // What was found by skipping is not proven to be no part of a payload.
                if damage.is_none() && walk.at() - kept >= STRETCH_BYTES {
                    keep(&area, kept..walk.at());
                    kept = walk.at();
                }
            }
            Ok(None) => break,
            Err(error) => {
                if damage.is_none() {
                    keep(&area, kept..walk.at());
                }
                if !area.pinned.options.skip_damage || !matches!(error, Error::Corrupt { .. }) {
                    return Err(error);
                }
                walk.skip()?;
                damage = damage.or(Some(error));
            }
        }
    }
    if damage.is_none() {
        keep(&area, kept..walk.at());
    }
    Ok(Landing { at: walk.at(), damage })
}

/// A known boundary.
struct Known {
    at: u64,
    /// Whether the frames from here to the address that it was looked up for were checked before.
    checked: bool,
}

impl Known {
    /// The nearest one that is not above `target`.
    fn below(area: &Area<'_>, target: u64) -> Self {
        let stretches = area.segment.checked().lock();
        let index = stretches.partition_point(|stretch| stretch.start <= target);
        let nearest = index.checked_sub(1).and_then(|index| stretches.get(index));
        match nearest {
            Some(stretch) if target < stretch.end => {
                Self { at: stretch.start.max(area.first()), checked: true }
            }
            Some(stretch) => Self { at: stretch.end.max(area.first()), checked: false },
            None => Self { at: area.first(), checked: false },
        }
    }
}

/// Remembers that all frames of a stretch were checked.
fn keep(area: &Area<'_>, stretch: Range<u64>) {
    if !stretch.is_empty() {
        insert(&mut area.segment.checked().lock(), stretch);
    }
}

/// Puts a stretch among the others: joined to the one that it continues, if that is short. Where
/// another thread was faster with some of it, it is left out, to be checked again if need be.
fn insert(stretches: &mut Vec<Range<u64>>, stretch: Range<u64>) {
    let index = stretches.partition_point(|kept| kept.end <= stretch.start);
    if stretches.get(index).is_some_and(|above| above.start < stretch.end) {
        return;
    }
    let below = index.checked_sub(1).and_then(|index| stretches.get_mut(index));
    match below {
        Some(below) if below.end == stretch.start && below.end - below.start < STRETCH_BYTES => {
            below.end = stretch.end;
        }
        _ => stretches.insert(index, stretch),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stretches_stay_ascending_and_disjoint_and_hold_nothing_that_was_not_put_there(
            puts in proptest::collection::vec((0..200_u64, 1..50_u64), 0..40),
        ) {
            let (mut stretches, mut put) = (Vec::new(), std::collections::BTreeSet::new());
            for (start, len) in puts {
                insert(&mut stretches, start * 8..(start + len) * 8);
                put.extend(start..start + len);
            }
            prop_assert!(stretches.windows(2).all(|pair| pair[0].end <= pair[1].start));
            let mut kept = stretches.iter().flat_map(|stretch| stretch.start / 8..stretch.end / 8);
            prop_assert!(kept.all(|address| put.contains(&address)));
        }
    }

    #[test]
    fn a_short_stretch_grows_and_a_long_one_does_not() {
        let mut stretches = Vec::new();
        for at in [4096, 4104, 4112] {
            insert(&mut stretches, at..at + 8);
        }
        let first = 4120 + STRETCH_BYTES;
        insert(&mut stretches, 4120..first);
        let second = first + STRETCH_BYTES;
        insert(&mut stretches, first..second);
        insert(&mut stretches, second..second + 8);
        assert_eq!(stretches, [4096..first, first..second, second..second + 8]);
    }

    #[test]
    fn a_stretch_between_two_others_is_kept() {
        let mut stretches = Vec::new();
        for at in [4096, 4112, 4104] {
            insert(&mut stretches, at..at + 8);
        }
        assert_eq!(stretches, [4096..4112, 4112..4120]);
    }
}
