//! [`Lsn`]: the address of a record, the only name by which a log knows it.
//!
//! Invariant: within one log an address names the same bytes for ever. It is never given to other
//! bytes, neither after a truncation nor after a crash.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The address of a record in its log: opaque, ascending in append order, a multiple of 8.
///
/// Persist it, compare it, hand it back to the log. Do not compute with it: the distance between two
/// records says nothing that is promised, and addresses may be skipped.
///
/// ```
/// use stratalog::Lsn;
/// let lsn = Lsn::new(4144);
/// assert_eq!(lsn.to_string().parse::<Lsn>().unwrap(), lsn);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Lsn(u64);

impl Lsn {
    /// Makes the address that [`get`](Self::get) gave earlier.
    pub const fn new(address: u64) -> Self {
        Self(address)
    }

    /// Returns the number to persist.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Lsn {
    type Err = ParseIntError;
    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}
