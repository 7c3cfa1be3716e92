//! [`Typed`]: the name that the records of a type bear; and [`Tag`], what of it lies in the payload.
//!
//! Invariant: a tag depends on nothing but the encoding, the type's name and, where values are read in
//! place, their size; it is the same on every machine and in every version of this crate.
//!
//! The tag is the 64-bit FNV-1a hash (Fowler, Noll, Vo) of: the encoding's name, a byte 0xff, which
//! is in no UTF-8, the type's name, another byte 0xff, and the size as 8 bytes, little endian.

use crate::error::{Error, Result, WrongType};
use crate::read::Record;

/// A type whose values are records of their own kind.
///
/// ```
/// use stratalog::adapters::Typed;
///
/// struct Deposit {
///     account: u64,
///     cents: u64,
/// }
///
/// impl Typed for Deposit {
///     const TYPE: &'static str = "deposit/1";
/// }
/// ```
pub trait Typed {
    /// The name that tells this type's records from others in the same log. It goes into the tag of
    /// each record, so it stays the same for as long as there are logs that hold some; the name in
    /// the program may change.
    ///
    /// Change it, say by a number at its end, whenever the type changes in a way that its encoding
    /// does not allow for: then an older record is an error, and can be read as the older type.
    const TYPE: &'static str;
}

/// The first 8 bytes of a typed record's payload, and the name that is in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    name: &'static str,
    value: u64,
}

impl Tag {
    /// The bytes that it takes. A multiple of 8, so that what follows is aligned as the payload is.
    pub(super) const BYTES: usize = 8;

    /// The tag of records of the type `T`. `size` is the size of what is read in place, or 0.
    pub(super) const fn of<T: Typed + ?Sized>(encoding: &str, size: usize) -> Self {
        let mut hash = fnv1a(0xcbf2_9ce4_8422_2325, encoding.as_bytes());
        hash = fnv1a(hash, &[0xff]);
        hash = fnv1a(hash, T::TYPE.as_bytes());
        hash = fnv1a(hash, &[0xff]);
        hash = fnv1a(hash, &(size as u64).to_le_bytes());
        Self { name: T::TYPE, value: hash }
    }

    pub(super) const fn bytes(self) -> [u8; Self::BYTES] {
        self.value.to_le_bytes()
    }

    /// What follows the tag, if the record bears this one.
    pub(super) fn behind<'a>(self, record: &Record<'a>) -> Result<&'a [u8]> {
        let payload = record.payload();
        let Some((tag, rest)) = payload.split_first_chunk() else {
            return Err(self.refuse(record, WrongType::NoTag { found: payload.len() as u64 }));
        };
        let found = u64::from_le_bytes(*tag);
        if found != self.value {
            return Err(self.refuse(record, WrongType::Tag { expected: self.value, found }));
        }
        Ok(rest)
    }

    #[cold]
    pub(super) fn refuse(self, record: &Record<'_>, reason: WrongType) -> Error {
        Error::NotOfType { lsn: record.lsn(), expected: self.name, reason }
    }
}

const fn fnv1a(mut hash: u64, mut bytes: &[u8]) -> u64 {
    while let [first, rest @ ..] = bytes {
        hash = (hash ^ *first as u64).wrapping_mul(0x0000_0100_0000_01b3);
        bytes = rest;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deposit;

    impl Typed for Deposit {
        const TYPE: &'static str = "deposit";
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let offset_basis = fnv1a(0xcbf2_9ce4_8422_2325, b"");
        assert_eq!(offset_basis, 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(offset_basis, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(offset_basis, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn each_part_of_a_tag_tells() {
        struct Longer;
        impl Typed for Longer {
            const TYPE: &'static str = "deposits";
        }
        let tags = [
            Tag::of::<Deposit>("postcard", 0),
            Tag::of::<Deposit>("postcard", 8),
            Tag::of::<Deposit>("rkyv", 0),
            Tag::of::<Longer>("postcard", 0),
        ];
        for (index, tag) in tags.iter().enumerate() {
            assert!(tags[..index].iter().all(|other| other.value != tag.value), "{tag:?}");
        }
    }
}
