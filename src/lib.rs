//! A segmented, memory-mapped write-ahead log with group commit and zero-copy replay.

// Bottom-up: a module uses only those above it in this list.
mod error;
mod lsn;
mod options;
mod sync;

pub mod format;

mod protocol;

#[cfg(not(stratalog_loom))]
pub mod storage;

#[cfg(not(stratalog_loom))]
mod segment;

#[cfg(not(stratalog_loom))]
mod append;
#[cfg(not(stratalog_loom))]
mod read;
#[cfg(not(stratalog_loom))]
mod recover;

#[cfg(not(stratalog_loom))]
mod log;

pub use error::{Corruption, Error, NotALog, Op, Result};
#[cfg(not(stratalog_loom))]
pub use log::{Log, SegmentInfo, SegmentState, Stats};
pub use lsn::Lsn;
pub use options::{Options, RecoveryPolicy};
#[cfg(not(stratalog_loom))]
pub use read::{Iter, ReadOptions, Record, Snapshot, SnapshotSegment};
#[cfg(not(stratalog_loom))]
pub use recover::{CutReport, Damage, Recovery};
