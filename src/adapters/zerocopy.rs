//! Records that are the memory of a value, by [zerocopy] (feature `zerocopy`).
//!
//! Invariant: a reference is handed out only if the record bears the type's tag and has exactly its
//! size; it points into the log's own memory, which is aligned for every type that compiles here.

use ::zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::typed::{Tag, Typed};
use crate::error::{Result, WrongType};
use crate::log::Log;
use crate::lsn::Lsn;
use crate::read::Record;

const ONE: &str = "zerocopy";
const SLICE: &str = "zerocopy slice";

/// The tag of values of `T`, one or a slice of them. Does not compile where a record could not hold
/// them.
const fn tag<T: Typed>(encoding: &str) -> Tag {
    assert!(align_of::<T>() <= 8, "payloads are aligned to 8 bytes, and the type wants more");
    Tag::of::<T>(encoding, size_of::<T>())
}

const fn slice_tag<T: Typed>() -> Tag {
    assert!(size_of::<T>() > 0, "a slice of values without size has no bytes to be counted by");
    tag::<T>(SLICE)
}

/// Makes the payload of a record that is one value, for any way of appending it.
pub fn encode<T: Typed + IntoBytes + Immutable>(value: &T) -> Vec<u8> {
    [&const { tag::<T>(ONE) }.bytes(), value.as_bytes()].concat()
}

/// Makes the payload of a record that is a slice of values, for any way of appending it.
pub fn encode_slice<T: Typed + IntoBytes + Immutable>(values: &[T]) -> Vec<u8> {
    [&const { slice_tag::<T>() }.bytes(), values.as_bytes()].concat()
}

impl Log {
    /// Appends the memory of one value as a record of its type, and returns its address; it is
    /// committed. Needs the feature `zerocopy`.
    ///
    /// ```
    /// use stratalog::adapters::Typed;
    /// use zerocopy::byteorder::little_endian::{U32, U64};
    /// use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
    ///
    /// #[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout)]
    /// #[repr(C)]
    /// struct Transfer {
    ///     cents: U64,
    ///     from: U32,
    ///     to: U32,
    /// }
    ///
    /// impl Typed for Transfer {
    ///     const TYPE: &'static str = "transfer";
    /// }
    ///
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let transfer = Transfer { cents: 100.into(), from: 1.into(), to: 2.into() };
    /// let lsn = log.append_bytes_of(&transfer)?;
    ///
    /// let snapshot = log.snapshot();
    /// let transfer: &Transfer = snapshot.get(lsn)?.get_ref()?;
    /// assert_eq!(transfer.cents, 100);
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// A type whose alignment is more than 8 does not compile:
    ///
    /// ```compile_fail,E0080
    /// # use stratalog::adapters::Typed;
    /// # use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};
    /// #[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout)]
    /// #[repr(C, align(16))]
    /// struct Wide([u8; 16]);
    /// # impl Typed for Wide { const TYPE: &'static str = "wide"; }
    /// # let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// log.append_bytes_of(&Wide([0; 16]))?;
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Durability
    ///
    /// As [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_bytes_of<T: Typed + IntoBytes + Immutable>(&self, value: &T) -> Result<Lsn> {
        append(self, const { tag::<T>(ONE) }, value.as_bytes())
    }

    /// Appends the memory of a slice of values as one record, and returns its address; it is
    /// committed. It is read by [`get_slice`](Record::get_slice), also if it is of one value or none.
    /// Needs the feature `zerocopy`.
    ///
    /// # Durability
    ///
    /// As [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_slice_of<T: Typed + IntoBytes + Immutable>(&self, values: &[T]) -> Result<Lsn> {
        append(self, const { slice_tag::<T>() }, values.as_bytes())
    }
}

fn append(log: &Log, tag: Tag, bytes: &[u8]) -> Result<Lsn> {
    log.append_with(bytes.len().saturating_add(Tag::BYTES), |payload| {
        if let Some((first, rest)) = payload.split_first_chunk_mut() {
            *first = tag.bytes();
            rest.copy_from_slice(bytes);
        }
    })
}

impl<'a> Record<'a> {
    /// Reads the value that was appended by [`append_bytes_of`](Log::append_bytes_of) in place:
    /// nothing is copied or allocated. Needs the feature `zerocopy`.
    ///
    /// # Errors
    ///
    /// [`NotOfType`](crate::Error::NotOfType) if the record is of another type or size, or its bytes
    /// are no value of it; see [what is told apart](crate::adapters#what-is-told-apart).
    pub fn get_ref<T>(&self) -> Result<&'a T>
    where
        T: Typed + TryFromBytes + KnownLayout + Immutable,
    {
        let tag = const { tag::<T>(ONE) };
        let bytes = tag.behind(self)?;
        if bytes.len() != size_of::<T>() {
            let (expected, found) = (size_of::<T>() as u64, bytes.len() as u64);
            return Err(tag.refuse(self, WrongType::Length { expected, found }));
        }
        T::try_ref_from_bytes(bytes).map_err(|_| tag.refuse(self, WrongType::Invalid))
    }

    /// Reads the values that were appended by [`append_slice_of`](Log::append_slice_of) in place:
    /// nothing is copied or allocated. Needs the feature `zerocopy`.
    ///
    /// # Errors
    ///
    /// As [`get_ref`](Self::get_ref).
    pub fn get_slice<T>(&self) -> Result<&'a [T]>
    where
        T: Typed + TryFromBytes + KnownLayout + Immutable,
    {
        let tag = const { slice_tag::<T>() };
        let bytes = tag.behind(self)?;
        let rest = bytes.len() % size_of::<T>();
        if rest != 0 {
            let (expected, found) = ((bytes.len() - rest) as u64, bytes.len() as u64);
            return Err(tag.refuse(self, WrongType::Length { expected, found }));
        }
        <[T]>::try_ref_from_bytes(bytes).map_err(|_| tag.refuse(self, WrongType::Invalid))
    }
}
