//! [`Watermark`]: the monotone exclusive end of a prefix of the log.
//!
//! Invariant: it never goes back. Only the holder of the lead that it belongs to advances it, so a
//! plain store is enough.

use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Watermark(AtomicU64);

impl Watermark {
    pub(crate) fn new(at: u64) -> Self {
        Self(AtomicU64::new(at))
    }

    /// Acquire: whoever sees the mark sees all that was done below it. Partner: `advance`.
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Moves the mark up to `to`. Release: partner of `get`.
    #[inline]
    pub(crate) fn advance(&self, to: u64) {
        debug_assert!(to >= self.0.load(Ordering::Relaxed), "a watermark never goes back");
        self.0.store(to, Ordering::Release);
    }
}
