//! [`WrongType`]: how a record that was read as one type showed to be of another.
//!
//! Invariant: each is found before any of the record's bytes was taken for a value of that type.

use std::fmt;

/// How a record that was read as one type showed to be of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongType {
    /// It is too short for a tag: it was not appended as a typed record.
    NoTag {
        /// The length of its payload, in bytes.
        found: u64,
    },
    /// It begins with another tag: it is of another type, in another encoding, or of no type.
    Tag {
        /// The tag of the type that it was read as.
        expected: u64,
        /// The payload's first 8 bytes.
        found: u64,
    },
    /// What follows the tag has not the size of the type.
    Length {
        /// The bytes that it should have; for a slice, rounded down to whole elements.
        expected: u64,
        /// The bytes that it has.
        found: u64,
    },
    /// There is something left behind the value.
    Trailing {
        /// How many bytes are left.
        found: u64,
    },
    /// What follows the tag is no value of the type.
    Invalid,
}

impl fmt::Display for WrongType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTag { found } => write!(f, "expected a tag of 8 bytes, found {found} bytes"),
            Self::Tag { expected, found } => {
                write!(f, "expected tag {expected:016x}, found {found:016x}")
            }
            Self::Length { expected, found } => {
                write!(f, "expected {expected} bytes behind the tag, found {found}")
            }
            Self::Trailing { found } => {
                write!(f, "expected nothing behind the value, found {found} bytes")
            }
            Self::Invalid => f.write_str("expected a value behind the tag, found other bytes"),
        }
    }
}
