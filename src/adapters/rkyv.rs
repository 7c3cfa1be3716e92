//! Records that are archives, by [rkyv] (feature `rkyv`).
//!
//! Invariant: an archive is handed out only if the record bears the type's tag and rkyv has checked
//! all of it, where it lies. What was appended passes that check wherever it comes to lie.
//!
//! How the second is kept: an archive is laid out as if it began at a multiple of 16, but a payload
//! begins at any multiple of 8. What wants to be aligned to 16 would fit at half of all addresses. So
//! before it is appended an archive is checked as a reader does, at an address that is no multiple
//! of 16.

use ::rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use ::rkyv::bytecheck::CheckBytes;
use ::rkyv::rancor::Failure;
use ::rkyv::ser::allocator::ArenaHandle;
use ::rkyv::util::AlignedVec;
use ::rkyv::{Archive, Deserialize, Portable, Serialize};

use super::typed::{Tag, Typed};
use crate::error::{Error, Result, WrongType};
use crate::log::Log;
use crate::lsn::Lsn;
use crate::read::Record;

/// The tag of archives of `T`. Does not compile where a record could not hold them.
const fn tag<T: Typed + Archive>() -> Tag {
    let fits = align_of::<T::Archived>() <= 8;
    assert!(fits, "payloads are aligned to 8 bytes, and the archive wants more");
    Tag::of::<T>("rkyv", size_of::<T::Archived>())
}

/// Makes the payload of a record that is an archive, for any way of appending it.
///
/// # Errors
///
/// [`NotEncodable`](Error::NotEncodable) where the type's `Serialize` fails, or where a part of the
/// archive wants to be aligned to more than 8 bytes, as `u128` does.
pub fn encode<T>(value: &T) -> Result<AlignedVec>
where
    T: Typed + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Failure>>,
    T::Archived: for<'a> CheckBytes<HighValidator<'a, Failure>>,
{
    let tag = const { tag::<T>() };
    let refuse = |_| Error::NotEncodable { type_name: T::TYPE };
    let archive = ::rkyv::to_bytes::<Failure>(value).map_err(refuse)?;
    // Its memory begins at a multiple of 16, so what follows the tag does not.
    let mut payload = AlignedVec::<16>::with_capacity(Tag::BYTES + archive.len());
    payload.extend_from_slice(&tag.bytes());
    payload.extend_from_slice(&archive);
    let placed = payload.get(Tag::BYTES..).unwrap_or_default();
    ::rkyv::access::<T::Archived, Failure>(placed).map_err(refuse)?;
    Ok(payload)
}

impl Log {
    /// Appends one value as an archive, a record of its type, and returns its address; it is
    /// committed. Needs the feature `rkyv`.
    ///
    /// ```
    /// use rkyv::{Archive, Deserialize, Serialize};
    /// use stratalog::adapters::Typed;
    ///
    /// #[derive(Archive, Serialize, Deserialize, Debug, PartialEq)]
    /// struct Order {
    ///     customer: String,
    ///     items: Vec<u64>,
    /// }
    ///
    /// impl Typed for Order {
    ///     const TYPE: &'static str = "order";
    /// }
    ///
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let order = Order { customer: "ann".into(), items: vec![1, 2, 3] };
    /// let lsn = log.append_archived(&order)?;
    ///
    /// let snapshot = log.snapshot();
    /// let record = snapshot.get(lsn)?;
    /// let archived = record.access::<Order>()?;
    /// assert_eq!((archived.customer.as_str(), archived.items.len()), ("ann", 3));
    /// assert_eq!(record.unarchive::<Order>()?, order);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Durability
    ///
    /// As [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), and those of [`encode`]: nothing was appended.
    pub fn append_archived<T>(&self, value: &T) -> Result<Lsn>
    where
        T: Typed + for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Failure>>,
        T::Archived: for<'a> CheckBytes<HighValidator<'a, Failure>>,
    {
        self.append(&encode(value)?)
    }
}

impl<'a> Record<'a> {
    /// Reads the archive that was appended by [`append_archived`](Log::append_archived) in place.
    /// rkyv checks all of it first; nothing is copied, and nothing allocated unless the archive holds
    /// shared pointers. Needs the feature `rkyv`.
    ///
    /// # Errors
    ///
    /// [`NotOfType`](Error::NotOfType) if the record is of another type; see
    /// [what is told apart](crate::adapters#what-is-told-apart).
    pub fn access<T>(&self) -> Result<&'a T::Archived>
    where
        T: Typed + Archive,
        T::Archived: Portable + for<'b> CheckBytes<HighValidator<'b, Failure>>,
    {
        let tag = const { tag::<T>() };
        ::rkyv::access::<T::Archived, Failure>(tag.behind(self)?)
            .map_err(|_| tag.refuse(self, WrongType::Invalid))
    }

    /// Reads the archive as [`access`](Self::access) does, and makes a value of it. Needs the feature
    /// `rkyv`.
    ///
    /// # Errors
    ///
    /// As [`access`](Self::access), also where the type's `Deserialize` fails.
    pub fn unarchive<T>(&self) -> Result<T>
    where
        T: Typed + Archive,
        T::Archived: Portable
            + for<'b> CheckBytes<HighValidator<'b, Failure>>
            + Deserialize<T, HighDeserializer<Failure>>,
    {
        let tag = const { tag::<T>() };
        ::rkyv::deserialize::<T, Failure>(self.access::<T>()?)
            .map_err(|_| tag.refuse(self, WrongType::Invalid))
    }
}
