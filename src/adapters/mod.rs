//! Typed records: values appended and read as such. Each kind is behind a feature.
//!
//! Invariant: a typed record is an ordinary one. Its payload is an 8-byte tag, which tells its type and
//! encoding, and behind it the encoded value; the log itself knows nothing of it.
//!
//! | feature | append | read | by |
//! |---|---|---|---|
//! | `serde` | `Log::append_typed`, `append_typed_durable` | `Record::decode` | [postcard](https://docs.rs/postcard): small, copied out but for borrowed parts |
//! | `zerocopy` | `Log::append_bytes_of`, `append_slice_of` | `Record::get_ref`, `get_slice` | [zerocopy](https://docs.rs/zerocopy): the value's own memory, read in place |
//! | `rkyv` | `Log::append_archived` | `Record::access`, `unarchive` | [rkyv](https://docs.rs/rkyv): archives with pointers inside, checked, read in place |
//! | `bytes` | | `Snapshot::bytes` | [bytes](https://docs.rs/bytes): any payload, as a handle that outlives the snapshot |
//!
//! For other ways of appending, such as batches, buffered or durable ones, each kind has an `encode`
//! that makes the payload: `log.append_batch(&[serde::encode(&first)?, zerocopy::encode(&second)])`.
//! Records of all types, encodings and of none may stand in one log.
//!
//! # What is told apart
//!
//! A record read as a type gives [`Error::NotOfType`](crate::Error::NotOfType)
//!
//! - if it was appended as a type of another [name](Typed::TYPE), or by another encoding;
//! - if it is read in place, and the size of the type, or of its archive, was another;
//! - if what follows the tag is no value of the type, or longer or shorter than one.
//!
//! It is *not* noticed
//!
//! - that bytes are missing from an archive or were added to it, where others can be taken for its
//!   end: an archive does not say how long it is. A log loses and adds none.
//! - that a type changed, and kept its name, where its bytes still make a value: two fields of one size
//!   that changed places, a signed number that became an unsigned one. Change the name with the type.
//! - that an untyped payload happens to begin with the very tag: one in 2^64, unless it was made to.
//! - that the value was written on a machine of the other byte order, by a type for `zerocopy` that
//!   holds numbers of the machine's own; or by a build of rkyv with other features for its format.
//!   Take numbers of a fixed order (`zerocopy::byteorder`), and the same features everywhere.
//!
//! # Alignment
//!
//! The payload of every record begins at an address in memory that is a multiple of 8, and so does what
//! follows the tag, whichever way and from whichever storage it is read. A type that wants more
//! than that does not compile, or is refused when it is appended.

mod typed;

#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "rkyv")]
pub mod rkyv;
#[cfg(feature = "serde")]
pub mod serde;
#[cfg(feature = "zerocopy")]
pub mod zerocopy;

pub use typed::Typed;
