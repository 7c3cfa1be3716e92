//! A segmented, memory-mapped write-ahead log with group commit and zero-copy replay.
//!
//! A [`Log`] is a directory of segment files of equal size. Any number of threads append to it; each
//! record gets an address, its [`Lsn`], that never moves and is never given to another one. Each call
//! says what it waits for: that a record is *committed*, which survives the end of the process, or
//! *durable*, which survives power loss; the table is at [`Log`]. Threads that wait for durability at
//! the same time share syncs. A [`Snapshot`] reads what is committed, as slices of the mapped files.
//!
//! After a crash, [`Log::open`] cuts off what was never durable, and refuses a log whose durable
//! bytes are damaged. It tells the two apart by proof; see [`RecoveryPolicy`] and [`Recovery`].
//!
//! ```
//! use stratalog::{Log, Options};
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path().join("wal");
//!
//! // Four threads make a record durable each; they share syncs.
//! let log = Options::new().segment_bytes(1 << 20).open(&dir)?;
//! std::thread::scope(|scope| {
//!     let append = |name: &'static str| scope.spawn(|| log.append_durable(name.as_bytes()));
//!     let threads = ["ann", "bob", "cid", "dan"].map(append);
//!     threads.into_iter().try_for_each(|thread| thread.join().expect("no panic").map(drop))
//! })?;
//!
//! // A batch is there as a whole or not at all, and its records lie side by side.
//! let range = log.append_batch(&["ann: -10", "bob: +10"])?;
//! log.sync()?;
//! log.close()?;
//!
//! // At the next start everything is there, at the same addresses.
//! let log = Log::open(&dir)?;
//! assert!(log.recovery().clean);
//! let snapshot = log.snapshot();
//! assert_eq!(snapshot.iter().count(), 6);
//!
//! // Replay from an address that was noted: no record is copied.
//! let mut records = snapshot.iter_from(range.start)?;
//! assert_eq!(records.next().expect("a record")?.payload(), b"ann: -10");
//! assert_eq!(records.next().expect("a record")?.payload(), b"bob: +10");
//! assert!(records.next().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Options`]: the size of segments and of the write buffer, what recovery does about damage.
//! - [`Error`]: each variant says what to do about it.
//! - [`storage::Storage`]: where the files are. For tests take [`storage::MemoryStorage`], or with the
//!   feature `test-util` `storage::FaultStorage`, which loses power and fails; or write your own.
//! - `adapters`: typed records, each kind behind a feature that is off by default: `serde` (encoded by
//!   postcard), `zerocopy` and `rkyv` (read in place from the map), and `bytes`, handles to payloads
//!   that outlive their snapshot.
//! - [`mod@format`]: what lies on disk, as pure functions, for tools that read it without a log.

// loom's models are tests; what their library would hold besides has no users without files.
#![cfg_attr(all(stratalog_loom, not(test)), allow(dead_code, unused_imports))]

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// Bottom-up: a module uses only those above it in this list.
mod error;
mod lsn;
mod options;
#[cfg(any(test, feature = "test-util"))]
#[cfg(not(stratalog_loom))]
mod random;
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

#[cfg(any(feature = "bytes", feature = "rkyv", feature = "serde", feature = "zerocopy"))]
#[cfg(not(stratalog_loom))]
pub mod adapters;

#[cfg(test)]
#[cfg(not(any(stratalog_loom, miri)))]
mod simulation;

pub use error::{Corruption, Error, NotALog, Op, Result, WrongType};
#[cfg(not(stratalog_loom))]
pub use log::{
    ArchiveReport, DurableAt, FollowOptions, Follower, Hold, HoldInfo, Log, LogReader, Progress,
    ReaderFollower, RestoreReport, SalvageReport, SegmentInfo, SegmentSeal, SegmentState, Stats,
    restore, restore_with, salvage, salvage_with, verify_segment, verify_segment_with,
};
pub use lsn::Lsn;
pub use options::{AtLimit, Options, RecoveryPolicy};
#[cfg(not(stratalog_loom))]
pub use read::{Iter, ReadOptions, Record, Snapshot, SnapshotSegment};
#[cfg(not(stratalog_loom))]
pub use recover::{CutReport, Damage, Preview, Recovery};
