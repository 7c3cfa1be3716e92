//! [`Stats`]: what an operator wants to know of a log in use.
//!
//! Invariant: reading them costs no appender anything.

use super::{HoldInfo, Log};
use crate::lsn::Lsn;
use crate::protocol::State;

/// Figures of a log in use, each as of one moment during the call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// The first record that is kept.
    pub head: Lsn,
    /// The end of what survives power loss.
    pub durable: Lsn,
    /// The end of what readers see.
    pub committed: Lsn,
    /// The end of what was appended.
    pub tail: Lsn,
    /// The oldest address that is claimed and not committed: what the commit waits for.
    pub oldest_uncommitted: Option<Lsn>,
    /// How many segments hold the log.
    pub segments: usize,
    /// How many of them are not sealed yet; each has a descriptor.
    pub unsealed: usize,
    /// How many prepared segments are waiting.
    pub spares: usize,
    /// How many bytes the segment files take, with the spares, and with dropped segments that become
    /// spares or are about to be removed: rather more than less, while one is dropped. Those that
    /// snapshots still read come on top of that.
    pub bytes: u64,
    /// How many files of dropped segments are about to be removed, or could not be: closing waits for
    /// the former, opening tries the latter again.
    pub unremoved: usize,
    /// How many segments were made of dropped ones, since opening.
    pub segments_recycled: u64,
    /// All holds, the lowest first: who keeps what from being dropped.
    pub holds: Vec<HoldInfo>,
    /// How often an appender had to wait for a segment, or to make it.
    pub segment_misses: u64,
    /// Positioned writes of records since opening.
    pub writes: u64,
    /// Syncs of records since opening.
    pub syncs: u64,
    /// Whether the maintenance thread is at work.
    pub maintained: bool,
    /// Whether an earlier write or sync failed.
    pub poisoned: bool,
}

impl Log {
    /// Figures of the log as it is now.
    pub fn stats(&self) -> Stats {
        let appender = self.appender();
        let (protocol, disk) = (&appender.protocol, &appender.disk);
        let set = disk.segments.load();
        let durable = Lsn::new(protocol.durable());
        let committed = Lsn::new(protocol.committed());
        let tail = Lsn::new(protocol.tail());
        Stats {
            head: Lsn::new(set.head),
            durable,
            committed,
            tail,
            oldest_uncommitted: (committed < tail).then_some(committed),
            segments: set.segments.len(),
            unsealed: set.unsealed(),
            spares: disk.supply.spares().len(),
            bytes: disk.supply.used_bytes(&disk.segments),
            unremoved: disk.supply.pool.unremoved(),
            segments_recycled: disk.supply.recycled(),
            holds: disk.holds.list().into_iter().map(HoldInfo::from).collect(),
            segment_misses: disk.supply.misses(),
            writes: disk.writes(),
            syncs: disk.gather.syncs(),
            maintained: self.handle.is_maintained(),
            poisoned: protocol.state() == Some(State::Poisoned),
        }
    }
}
