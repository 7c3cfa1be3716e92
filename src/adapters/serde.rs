//! Records of serde types, encoded by [postcard] (feature `serde`).
//!
//! Invariant: a record is decoded only if it bears the type's tag, and to its last byte.

use ::serde::{Deserialize, Serialize};

use super::typed::{Tag, Typed};
use crate::error::{Error, Result, WrongType};
use crate::log::Log;
use crate::lsn::Lsn;
use crate::read::Record;

const ENCODING: &str = "postcard";

/// Makes the payload of a typed record, for any way of appending it.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use stratalog::adapters::{Typed, serde::encode};
///
/// #[derive(Serialize, Deserialize, Debug, PartialEq)]
/// struct Note(String);
///
/// impl Typed for Note {
///     const TYPE: &'static str = "note";
/// }
///
/// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
/// let notes = ["one", "two"].map(|text| Note(text.into()));
/// log.append_batch(&[encode(&notes[0])?, encode(&notes[1])?])?;
/// for (record, note) in log.snapshot().iter().zip(notes) {
///     assert_eq!(record?.decode::<Note>()?, note);
/// }
/// # Ok::<(), stratalog::Error>(())
/// ```
///
/// # Errors
///
/// [`NotEncodable`](Error::NotEncodable) where the type's `Serialize` fails, or gives a sequence or map
/// without its length.
pub fn encode<T: Typed + Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let tag = const { Tag::of::<T>(ENCODING, 0) };
    postcard::to_extend(value, tag.bytes().to_vec())
        .map_err(|_| Error::NotEncodable { type_name: T::TYPE })
}

impl Log {
    /// Appends one value as a record of its type, and returns its address; it is committed. Needs the
    /// feature `serde`.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use stratalog::{Error, adapters::Typed};
    ///
    /// #[derive(Serialize, Deserialize, Debug, PartialEq)]
    /// struct Deposit {
    ///     account: String,
    ///     cents: u64,
    /// }
    ///
    /// impl Typed for Deposit {
    ///     const TYPE: &'static str = "deposit";
    /// }
    ///
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let deposit = Deposit { account: "ann".into(), cents: 100 };
    /// let lsn = log.append_typed(&deposit)?;
    /// let other = log.append(b"ann")?;
    ///
    /// let snapshot = log.snapshot();
    /// assert_eq!(snapshot.get(lsn)?.decode::<Deposit>()?, deposit);
    /// let refused = snapshot.get(other)?.decode::<Deposit>();
    /// assert!(matches!(refused, Err(Error::NotOfType { .. })));
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
    pub fn append_typed<T: Typed + Serialize + ?Sized>(&self, value: &T) -> Result<Lsn> {
        self.append(&encode(value)?)
    }

    /// Appends one value as a record of its type, and returns its address; it is durable. Needs the
    /// feature `serde`.
    ///
    /// # Durability
    ///
    /// As [`append_durable`](Self::append_durable).
    ///
    /// # Errors
    ///
    /// As [`append_typed`](Self::append_typed).
    pub fn append_typed_durable<T: Typed + Serialize + ?Sized>(&self, value: &T) -> Result<Lsn> {
        self.append_durable(&encode(value)?)
    }
}

impl<'a> Record<'a> {
    /// Decodes the value that was appended as a record of the type `T`. It may borrow from the
    /// payload: a `&str` or `&[u8]` is not copied. Needs the feature `serde`.
    ///
    /// # Errors
    ///
    /// [`NotOfType`](Error::NotOfType) if the record is of another type; see
    /// [what is told apart](crate::adapters#what-is-told-apart).
    pub fn decode<T: Typed + Deserialize<'a>>(&self) -> Result<T> {
        let tag = const { Tag::of::<T>(ENCODING, 0) };
        match postcard::take_from_bytes(tag.behind(self)?) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => {
                Err(tag.refuse(self, WrongType::Trailing { found: rest.len() as u64 }))
            }
            Err(_) => Err(tag.refuse(self, WrongType::Invalid)),
        }
    }
}
