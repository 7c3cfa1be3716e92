//! Moving the head up: what becomes of the segments below it.
//!
//! Invariant: the head only rises, to a durable boundary, and is durable in the control file before a
//! segment goes. Whoever moves it holds the lock of truncation, under which nobody leads a sync or
//! runs code of the caller's: a callback may come back here.
//!
//! 1. Write the head into the control file and sync that.
//! 2. Take out of the set the segments that are not needed any more. From here on no new snapshot
//!    has them.
//! 3. Those that someone holds are renamed, and removed by whoever holds them last. Of the others a
//!    few become spares; the rest is removed, by a thread where the log may have its own.
//!
//! The directory is not synced: opening removes whatever lies wholly below the head, so nothing
//! depends on when the names are gone, nor on the order in which they go.

use std::sync::Arc;

use crate::append::disk::Disk;
use crate::error::Result;
use crate::format::{LINK_FRAME_BYTES, frames_start};
use crate::options::AtLimit;
use crate::protocol::Protocol;
use crate::segment::segment::Segment;

impl Disk {
    /// Makes `to` the head, a durable boundary that is not below it. Returns the segments that are
    /// taken out of the log. The caller holds the lock of truncation.
    ///
    /// # Errors
    ///
    /// Of the control file, after which claims are refused and the log must be poisoned; nothing is
    /// taken out then.
    pub(crate) fn raise_head(&self, protocol: &Protocol, to: u64) -> Result<Vec<Arc<Segment>>> {
        // Before the control file is written: what it says is durable must be so by then.
        let durable = protocol.durable();
        if to > self.segments.head() {
            let raised = self.control.update(|state| {
                state.head = to;
                state.durable_end = state.durable_end.max(durable);
            });
            raised.inspect_err(|error| self.refuse(protocol, error))?;
        }
        let pool = &self.supply.pool;
        Ok(self.segments.raise_head(to, durable, |bytes| pool.begin_leaving(bytes)))
    }

    /// Lets the files go of segments that were taken out of the log; some may go later. The caller holds
    /// the lock of truncation, so that none of it happens after the log was closed.
    ///
    /// # Errors
    ///
    /// The first, of a file that can't be renamed or removed; the others go all the same, and
    /// opening removes it.
    pub(crate) fn let_go(&self, dropped: Vec<Arc<Segment>>) -> Result<()> {
        let mut leaving =
            self.supply.pool.leaving(dropped.iter().map(|segment| segment.bytes).sum());
        let results = dropped.into_iter().map(|segment| {
            let bytes = segment.bytes;
            let result = self.let_go_one(segment);
            leaving.end(bytes);
            result
        });
        // All of them, whatever comes of the first.
        results.fold(Ok(()), Result::and)
    }

    fn let_go_one(&self, mut segment: Arc<Segment>) -> Result<()> {
        if segment.is_pinned() {
            return segment.drop_later(&self.storage);
        }
        // Without a thread of the log's own nobody has the time to write over it.
        if self.background && self.supply.recycle(&self.segments, &segment)? {
            return Ok(());
        }
        let name = segment.name();
        if self.background {
            self.supply.pool.remove_later(name, segment.bytes);
            return Ok(());
        }
        self.remove(&name)
    }

    /// Drops the oldest segment, whoever holds it, after the limit of the log has refused another, if
    /// that is what is to happen then. False if there is no room and none that can go.
    pub(super) fn drops_oldest(&self, protocol: &Protocol) -> Result<bool> {
        if self.at_limit != AtLimit::DropOldest {
            return Ok(false);
        }
        // Another thread was faster.
        if !self.supply.is_full(&self.segments) {
            return Ok(true);
        }
        let next = self.segments.with(|set| set.segments.get(1).map(|next| next.base));
        let Some(base) = next else { return Ok(false) };
        let to = frames_start(base) + LINK_FRAME_BYTES;
        // Nobody has claimed the link yet: then nothing can be waited for.
        if protocol.tail() < to {
            return Ok(false);
        }
        protocol.sync_past(self, to).map_err(|stopped| self.stopped(stopped))?;
        self.seal_ended(protocol)?;
        let _shorter = self.truncation.lock();
        // Once closed or poisoned, the next try at a claim is refused.
        if protocol.state().is_some() {
            return Ok(false);
        }
        // The segment may have been cut off meanwhile, or dropped with all before it: then there may be
        // room, and if not, another is the oldest.
        if self.segments.with(|set| set.at_base(base).is_none()) {
            return Ok(true);
        }
        let to = to.max(self.segments.head());
        let dropped = self.raise_head(protocol, to)?;
        let any = !dropped.is_empty();
        // One that can't be removed now is removed at opening; the appender has its room.
        let _ = self.let_go(dropped);
        Ok(any || !self.supply.is_full(&self.segments))
    }
}
