//! [`Record`]: what was appended, borrowed from the snapshot that pins it.
//!
//! Invariant: a record was reached by walking frames from a known boundary.

use crate::Lsn;
use crate::format::Frame;

/// One record. Its payload borrows the log's own memory, through the snapshot that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    lsn: u64,
    next_lsn: u64,
    payload: &'a [u8],
}

impl<'a> Record<'a> {
    #[inline]
    pub(super) fn new(lsn: u64, next_lsn: u64, payload: &'a [u8]) -> Self {
        Self { lsn, next_lsn, payload }
    }

    pub(super) fn of(frame: &Frame<'a>) -> Self {
        Self::new(frame.lsn, frame.end(), frame.payload)
    }

    /// The address that appending it returned.
    #[inline]
    pub const fn lsn(&self) -> Lsn {
        Lsn::new(self.lsn)
    }

    /// What was appended. It begins at an address in memory that is a multiple of 8.
    #[inline]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where to go on after this record: a place to resume from, with
    /// [`iter_from`](crate::Snapshot::iter_from). The next record may lie further up.
    #[inline]
    pub const fn next_lsn(&self) -> Lsn {
        Lsn::new(self.next_lsn)
    }
}
