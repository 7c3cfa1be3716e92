//! Reading: records as slices of the log's own memory.
//!
//! Invariant: a slice lies below the committed watermark of the moment the snapshot was taken, in a
//! segment that the snapshot pins; so its bytes never change while it can be used. What is handed out
//! as a record begins at a frame boundary that was reached by walking from one known before.
//!
//! [`area`] gives the bytes of one segment's frames; [`walk`] goes over the frames, the one loop of
//! this floor; [`boundary`] proves that an address is a frame's; [`snapshot`] and [`iter`] are what
//! callers see; [`window`] is what a follower reads through.

// Bottom-up: a module uses only those above it in this list.
mod options;
mod record;

mod area;

mod walk;

mod boundary;
mod iter;

mod snapshot;
pub(crate) mod window;

#[cfg(feature = "bytes")]
mod pin;
mod step;

#[cfg(test)]
mod tests;

pub use iter::Iter;
pub use options::ReadOptions;
#[cfg(feature = "bytes")]
pub(crate) use pin::Pin;
pub use record::Record;
pub use snapshot::{Snapshot, SnapshotSegment};
