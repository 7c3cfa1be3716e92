//! [`evidence`]: proof in a segment's bytes that the log was durable beyond a place that is invalid.
//!
//! Invariant: what counts is a whole valid frame of this log at its own address that names a
//! watermark above that place. Nothing else is proof: neither a length, nor zeros, nor a link.

use std::ops::Range;

use super::checksum::Salt;
use super::search;

/// Proof that everything below `watermark` was durable once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The frame that names the watermark.
    pub at: u64,
    /// The durable watermark that it names.
    pub watermark: u64,
}

/// Looks at every 8-byte step from `from` on for a valid frame whose watermark lies above `above`, and
/// returns the first. `bytes` are a segment's frames area from the address `start` on.
///
/// Takes time in proportion to the bytes, whatever they are, and at most little more than half as much
/// memory again.
pub fn evidence(bytes: &[u8], start: u64, from: u64, above: u64, salt: Salt) -> Option<Evidence> {
    evidence_in(bytes, start, from..u64::MAX, above, salt)
}

/// As [`evidence`], for frames that begin in `within`: for a caller who knows that only zeros follow.
pub(crate) fn evidence_in(
    bytes: &[u8],
    start: u64,
    within: Range<u64>,
    above: u64,
    salt: Salt,
) -> Option<Evidence> {
    let proves = |lsn, header: &super::frame::FrameHeader| {
        header.watermark(lsn).filter(|watermark| *watermark > above)
    };
    let (at, header) =
        search::find(bytes, start, within, salt, |lsn, header| proves(lsn, header).is_some())?;
    proves(at, &header).map(|watermark| Evidence { at, watermark })
}

#[cfg(test)]
mod tests;
