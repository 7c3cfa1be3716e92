//! Segments: how a file comes to hold an address range, and how it is sealed.
//!
//! Invariant: a segment is named, durable and covered by the control file's `next_base` before an
//! address in it is offered; it is sealed by a trailer after all its frames are durable; it is a
//! member of the [`SegmentSet`](set::SegmentSet) from when it is attached until it is dropped.
//!
//! A life: *spare* (prepared by [`prepare`], kept by [`Supply`](supply::Supply)), *active* (attached
//! to the protocol, appended to), *sealed* ([`seal`]: immutable, summed up by its trailer, its
//! descriptor closed).

pub(crate) mod bell;
pub(crate) mod control;
pub(crate) mod failure;
pub(crate) mod gone;
pub(crate) mod holds;
pub(crate) mod pool;
pub(crate) mod prepare;
pub(crate) mod read_only;
pub(crate) mod recycle;
pub(crate) mod seal;
#[expect(clippy::module_inception, reason = "the file is named after its type")]
pub(crate) mod segment;
pub(crate) mod set;
pub(crate) mod supply;
