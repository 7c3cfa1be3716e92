//! Cutting on disk: the log ends inside or at the end of a segment, and goes on in a fresh one.
//!
//! Invariant: the log that opening finds is the one before the cut until the control file says
//! otherwise, and the one after it from then on. What stays is durable before that, and no byte of a
//! record is written over: whoever reads a snapshot goes on reading it.
//!
//! 1. Sync what stays. Write the trailers of the segments before the one that is cut.
//! 2. Write and sync the control file: the cut, and the base of the fresh segment, which nobody was
//!    ever offered an address of. **The commit point.** Power lost before it leaves the log as it was;
//!    power lost after it leaves a cut that opening finishes.
//! 3. Remove the segments and spares in between; sync the directory. One that came back would be
//!    removed by opening for as long as the control file speaks of the cut.
//! 4. Write and sync the trailer of the segment that was cut. Until then, and where it tears, the
//!    control file says where it ends.
//! 5. The fresh segment is made when it is needed. [Once its link is durable](Disk::seal_ended) the
//!    control file forgets the cut.

use std::ops::Range;
use std::sync::Arc;

use crate::append::disk::{Disk, Writer};
use crate::append::upkeep::Upkeep;
use crate::error::{Error, Op, Result};
use crate::format::{CutMark, Summary, frames_start, segment_name};
use crate::lsn::Lsn;
use crate::protocol::{Failed, Medium, Protocol};
use crate::segment::seal::{seal, summary_to, trailer_of, write_trailer};
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::storage::{Access, StorageFile};

/// What a cut has brought.
#[derive(Debug)]
pub(crate) struct Done {
    /// Where the log ends, and where it goes on.
    pub(crate) range: Range<u64>,
    /// The segments that have a new trailer.
    pub(crate) sealed: Vec<Arc<Segment>>,
}

/// Why the log was not cut.
#[derive(Debug)]
pub(crate) enum Uncut {
    /// Nothing has changed.
    Refused(Error),
    /// What the disk holds is the log before the cut or after it. Claims are refused, and the log must
    /// be poisoned.
    Failed(Error),
}

/// A segment that is to be cut, the address where, what its trailer will say, and the file that this is
/// written to: open already, since failing to open it behind the commit point would end the log.
struct Kept {
    segment: Arc<Segment>,
    end: u64,
    summary: Summary,
    file: Arc<dyn StorageFile>,
}

impl Disk {
    /// Cuts the log at `end`, the end of a committed frame at or above the head. The caller holds the
    /// lock of truncations, and poisons and [tells](Protocol::tell_of_cut) when it holds it no more.
    /// `None` if nothing was there to be cut off.
    pub(crate) fn cut(&self, protocol: &Protocol, end: u64) -> Result<Option<Done>, Uncut> {
        let kept = self.kept(end).map_err(Uncut::Refused)?;
        let refused = |stopped| Uncut::Refused(self.stopped(stopped));
        let cutting = protocol.begin_cut(self).map_err(refused)?;
        let last =
            self.segments.load().segments.last().is_none_or(|it| it.base == kept.segment.base);
        // Nothing follows it, or nothing since it was cut.
        if last && (cutting.tail() == end || kept.segment.end == end) {
            return cutting.abandon(self).map(|()| None).map_err(refused);
        }
        let done = self.carry_out(protocol, &kept).map_err(|error| {
            self.refuse(protocol, &error);
            Uncut::Failed(error)
        })?;
        cutting.finish(self, &done.range).map(|()| Some(done)).map_err(refused)
    }

    /// The segment that holds the end, which must be sound that far: a trailer will vouch for it.
    fn kept(&self, end: u64) -> Result<Kept> {
        let set = self.segments.load();
        let segment = set.segments.iter().rfind(|segment| segment.start() < end);
        let Some(segment) = segment.map(Arc::clone) else {
            return Err(Error::NotARecord { lsn: Lsn::new(end) });
        };
        let summary = summary_to(&*self.storage, &segment, end)?;
        let opened = segment
            .file()
            .map_or_else(|| self.storage.open(&segment.name(), Access::ReadWrite), Ok)
            .map_err(|error| Error::io(Op::Open, self.storage.path(&segment.name()), error));
        Ok(Kept { summary, file: opened?, segment, end })
    }

    fn carry_out(&self, protocol: &Protocol, kept: &Kept) -> Result<Done> {
        // Nobody else seals anything, least of all what is cut.
        let mut upkeep = self.upkeep.lock();
        let Kept { segment, end, .. } = kept;
        let durable = protocol.durable();
        if durable < *end {
            self.sync(durable, *end).map_err(|Failed| self.cause.io())?;
        }
        let (previous, mut sealed) = self.seal_before(&mut upkeep, segment)?;
        let (fresh, spares) = self.supply.cut(segment.base, *end);
        self.control.update(|state| {
            state.cut = Some(CutMark { segment: segment.base, end: *end, fresh });
            state.newest = Some(segment.base);
            state.next_base = state.next_base.max(fresh);
            state.durable_end = frames_start(fresh);
        })?;
        let cut = segment.ending(*end);
        let mut dropped = Vec::new();
        self.segments.change(|set| {
            let at = set.segments.partition_point(|it| it.base < segment.base);
            let (stay, go) = set.segments.split_at(at);
            dropped.extend(go.iter().skip(1).cloned());
            let segments = stay.iter().cloned().chain([Arc::clone(&cut)]).collect();
            SegmentSet { head: set.head, segments }
        });
        *self.writer.lock() = Writer::default();
        for spare in spares {
            self.remove(&segment_name(spare))?;
        }
        for mut segment in dropped {
            segment.close();
            if segment.is_pinned() {
                segment.drop_later(&self.storage)?;
            } else {
                self.remove(&segment.name())?;
            }
        }
        self.storage
            .sync_directory()
            .map_err(|error| Error::io(Op::SyncDirectory, self.storage.path(""), error))?;
        // Over its old one, if it had one.
        let trailer = trailer_of(&kept.summary, *end, previous);
        upkeep.last_checksum = write_trailer(&*self.storage, &*kept.file, &cut, &trailer)?;
        cut.close();
        sealed.push(cut);
        Ok(Done { range: *end..frames_start(fresh), sealed })
    }

    /// Seals what is full before the segment that is cut, all of which is durable by now. Returns the
    /// checksum that the trailer of that one has to name, and what was sealed.
    fn seal_before(&self, upkeep: &mut Upkeep, kept: &Segment) -> Result<(u32, Vec<Arc<Segment>>)> {
        let mut sealed = Vec::new();
        if kept.is_sealed() {
            let summary = kept.summary(&*self.storage);
            return Ok((summary.map_or(0, |(trailer, _)| trailer.previous_checksum), sealed));
        }
        let set = self.segments.load();
        let before = set.segments.iter().filter(|it| it.base < kept.base && !it.is_sealed());
        for segment in before {
            let checksum = seal(&*self.storage, segment, upkeep.last_checksum)?;
            upkeep.last_checksum = checksum.unwrap_or(0);
            sealed.extend(checksum.map(|_| Arc::clone(segment)));
        }
        Ok((upkeep.last_checksum, sealed))
    }

    /// Removes the file of a segment that is no part of the log any more.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.storage
            .remove(name)
            .map_err(|error| Error::io(Op::Remove, self.storage.path(name), error))
    }
}
