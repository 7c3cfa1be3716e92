//! How fast a spare is filled. Whoever syncs meanwhile shares the disk with the zeros, so the thread
//! that writes them rests after each sync of its own, as long as it is well ahead of the appenders.
//!
//! Invariant: a rest ends at once when someone needs a segment, a sync by this thread, or its end.

use std::time::Duration;

use crate::protocol::Protocol;
use crate::segment::prepare::{FILL_SYNC_BYTES, GENTLE_SYNC_BYTES};
use crate::segment::supply::Supply;
use crate::sync::{Instant, Ordering};

/// A rest is so many times as long as the work before it.
const REST_RATIO: u32 = 3;

/// Appenders may become faster meanwhile: no rest is longer.
const REST_MAX: Duration = Duration::from_millis(10);

/// How the spares stand against the appenders, in bytes.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// What is filled in spares.
    ahead: u64,
    /// What the tail has used of the newest segment.
    used: u64,
    /// What else should be filled: as many spares as were missed before.
    reserve: u64,
}

/// How long to rest after so much work. Who fills at twice the pace of the appenders, and no less, is
/// done when they have come halfway.
fn rest(worked: Duration, standing: Standing) -> Duration {
    let Standing { ahead, used, reserve } = standing;
    if ahead < reserve.saturating_add(used.saturating_mul(2)) {
        return Duration::ZERO;
    }
    worked.saturating_mul(REST_RATIO).min(REST_MAX)
}

impl Supply {
    /// For the thread that fills a spare, after so many bytes of it: how often to sync, if it is to go
    /// on. Rests first, if the zeros before were just synced.
    pub(super) fn paced(&self, protocol: &Protocol) -> impl FnMut(u64) -> Option<u64> {
        let goes_on = || !self.hurry.load(Ordering::Relaxed) && protocol.asked().is_none();
        let mut start = Instant::now();
        let mut sync_bytes = GENTLE_SYNC_BYTES;
        move |done| {
            if done.is_multiple_of(sync_bytes) {
                let rest = rest(start.elapsed(), self.standing(protocol.tail(), done));
                // Small syncs take the longest in all.
                sync_bytes = if rest.is_zero() { FILL_SYNC_BYTES } else { GENTLE_SYNC_BYTES };
                if !rest.is_zero() {
                    self.bell.rest(rest, || !goes_on());
                }
                start = Instant::now();
            }
            goes_on().then_some(sync_bytes)
        }
    }

    fn standing(&self, tail: u64, done: u64) -> Standing {
        let bytes = self.segment_bytes;
        let state = self.state.lock();
        let newest = state.newest.as_ref();
        // Until that is filled, appenders fill it themselves.
        let is_filled = newest.is_none_or(|newest| state.filled >= newest.frames_end());
        let missed = self.wanted.load(Ordering::Relaxed) - 1;
        Standing {
            ahead: (state.spares.len() as u64).saturating_mul(bytes).saturating_add(done),
            used: newest.map_or(0, |newest| tail.saturating_sub(newest.base)),
            reserve: if is_filled { missed.saturating_mul(bytes) } else { u64::MAX },
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
