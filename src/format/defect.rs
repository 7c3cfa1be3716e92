//! [`Defect`]: what is wrong with bytes that were to be decoded.
//!
//! Invariant: it is small, `Copy`, and carries no path and no place; whoever knows these adds them.

use std::fmt;

use super::layout::VERSION;
use crate::Corruption;

/// What is wrong with bytes that were to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The bytes are not of this format at all, or a field holds what it never may.
    Malformed,
    /// The checksum does not fit the bytes that it covers.
    Checksum {
        /// What the bytes give.
        expected: u32,
        /// What is stored.
        found: u32,
    },
    /// An intact block of a newer version of this format: magic and checksum fit.
    Version {
        /// The version that it names.
        found: u32,
    },
    /// A length reaches beyond what is there.
    Length {
        /// The largest length that fits, in bytes.
        max: u64,
        /// The length that was found, in bytes.
        found: u64,
    },
}

/// A [`Defect`] and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefectAt {
    /// The address of the frame that is defective.
    pub at: u64,
    /// What is wrong with it.
    pub defect: Defect,
}

impl From<Defect> for Corruption {
    /// A [`Defect::Version`] is no corruption: whoever can tell should say so instead.
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::Malformed => Self::Malformed,
            Defect::Checksum { expected, found } => Self::Checksum { expected, found },
            Defect::Version { found } => Self::Mismatch {
                field: "version",
                expected: u64::from(VERSION),
                found: u64::from(found),
            },
            Defect::Length { max, found } => Self::Length { max, found },
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Corruption::from(*self).fmt(f)
    }
}

impl std::error::Error for Defect {}

impl fmt::Display for DefectAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lsn {}: {}", self.at, self.defect)
    }
}

impl std::error::Error for DefectAt {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defect_says_what_was_expected_and_what_was_found() {
        let shown = |defect: Defect| DefectAt { at: 4096, defect }.to_string();
        assert_eq!(
            shown(Defect::Checksum { expected: 1, found: 0xabc }),
            "lsn 4096: expected checksum 00000001, found 00000abc"
        );
        assert_eq!(
            shown(Defect::Length { max: 8, found: 9 }),
            "lsn 4096: expected a length of at most 8, found 9"
        );
        assert_eq!(shown(Defect::Version { found: 7 }), "lsn 4096: expected version 1, found 7");
        assert_eq!(
            shown(Defect::Malformed),
            "lsn 4096: expected a frame or block, found other bytes"
        );
    }
}
