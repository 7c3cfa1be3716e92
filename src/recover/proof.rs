//! What proves that more of the log was durable than its valid frames, and what is missing from it.
//!
//! Invariant: proof is only what was written after something was durable: a watermark that a valid
//! frame names, a trailer, the control file. A link is none: it can reach the disk before the frames
//! that it follows.

use std::ops::Range;

use crate::error::{Corruption, Result};
use crate::format::{BLOCK_BYTES, frames_start, segment_name};
use crate::lsn::Lsn;
use crate::recover::chain::Walk;
use crate::recover::facts::Missing;
use crate::recover::report::Damage;

impl Walk<'_, '_> {
    /// Whether anything proves that the log was durable beyond `at`, which lies in the member at
    /// `position`: in its frames from there on, or in members behind it whose links don't say that
    /// they follow something else.
    pub(super) fn proves(&mut self, position: usize, at: u64) -> Result<bool> {
        if self.proof > at {
            return Ok(true);
        }
        let strays = self.strays(position, at);
        let behind = (position..self.members.len())
            .filter(|later| !strays.contains(later))
            .collect::<Vec<_>>();
        let sealed = behind.iter().skip(1).filter_map(|later| self.member(*later)?.sealed);
        let sealed = sealed.map(|sealed| sealed.end).max();
        self.proof = self.proof.max(sealed.unwrap_or(0));
        for later in behind {
            if self.proof > at {
                break;
            }
            let Some(file) = self.member(later) else { continue };
            if let Some(evidence) = self.bytes.evidence(file, at.max(file.start()), at)? {
                self.proof = evidence.watermark;
            }
        }
        Ok(self.proof > at)
    }

    /// Whether anything but zeros lies in the members from `position` on, strays left out.
    pub(super) fn has_content(&mut self, position: usize, at: u64) -> Result<bool> {
        let strays = self.strays(position.saturating_sub(1), at);
        for later in (position..self.members.len()).filter(|later| !strays.contains(later)) {
            let Some(file) = self.member(later) else { continue };
            if !file.is_blank(self.state.head) || self.bytes.left_from(file, file.start())? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The positions behind `position` of members whose links say that they follow something that
    /// ends before `at`, or follow such a one: leftovers, which prove nothing.
    fn strays(&self, position: usize, at: u64) -> Vec<usize> {
        let base = self.member(position).map_or(0, |file| file.base);
        let mut strays = Vec::new();
        let mut bases = Vec::new();
        for later in position + 1..self.members.len() {
            let Some(file) = self.member(later) else { continue };
            let Some(link) = file.link() else { continue };
            let ends_before = (link.previous_base, link.previous_end) < (base, at);
            if ends_before || bases.contains(&link.previous_base) {
                strays.push(later);
                bases.push(file.base);
            }
        }
        strays
    }

    /// A file that looks empty by its first bytes may hold frames further up whose beginning never
    /// reached the disk: it is set aside, not removed.
    pub(super) fn look_into_unused(&mut self) -> Result<()> {
        for index in std::mem::take(&mut self.chain.abandoned) {
            let Some(file) = self.files.get(index) else { continue };
            let empty = file.trouble.is_none()
                && file.is_blank(self.state.head)
                && self.bytes.left_from(file, file.start())? == 0;
            if empty { &mut self.chain.abandoned } else { &mut self.chain.discarded }.push(index);
        }
        if self.clean {
            return Ok(());
        }
        for index in std::mem::take(&mut self.chain.blanks) {
            let Some(file) = self.files.get(index) else { continue };
            let empty = self.bytes.left_from(file, file.start())? == 0;
            if empty { &mut self.chain.blanks } else { &mut self.chain.behind }.push(index);
        }
        Ok(())
    }

    /// Looks for segments that the control file knows of and the directory has not.
    pub(super) fn look_for_missing(&mut self) {
        let end = self.chain.end();
        let has = |base| self.files.iter().any(|file| file.base == base);
        let known = [self.state.newest, self.state.cut.map(|cut| cut.segment)];
        let gone = known.into_iter().flatten().find(|base| !has(*base) && !self.is_dropped(*base));
        if let Some(base) = gone {
            let lsn = end.unwrap_or(self.state.head).max(frames_start(base));
            self.note_missing(Missing { base, lsn }, lsn..lsn);
        }
        let stop = self.chain.stop.as_ref().map(|stop| stop.at);
        if stop.is_some() || !self.chain.leftovers.is_empty() || end.is_none() {
            self.look_between(stop.unwrap_or(u64::MAX));
        }
        if stop.is_some() || !self.chain.leftovers.is_empty() {
            return;
        }
        let Some(expected) = self.expected_base() else { return };
        let start = frames_start(expected);
        // Segments are made one right behind the other, or where a cut said that the log goes on.
        let follower = self.chain.blanks.iter().filter_map(|index| self.files.get(*index));
        let last = self.chain.pieces.last().and_then(|piece| self.files.get(piece.file));
        let follower = follower
            .map(|file| file.base)
            .find(|base| last.is_none_or(|last| last.base < *base) && *base < self.state.next_base);
        let skipped = follower.is_some_and(|base| base != expected);
        if skipped || self.state.durable_end > start || self.state.head > start {
            let lsn = end.unwrap_or(self.state.head);
            let to = self.state.durable_end.max(self.state.head).max(start);
            self.note_missing(Missing { base: expected, lsn }, lsn..to);
        }
    }

    /// Looks whether a segment is missing between the end of the chain and `next`, where the log goes on
    /// or is torn, and something of it is proven durable.
    pub(super) fn look_between(&mut self, next: u64) {
        let head = self.state.head;
        // A cut says where the log goes on, but not where it begins if the head lies below.
        let cut_is_below = self.state.cut.is_some_and(|cut| cut.end <= head);
        let (base, from, start) = if self.chain.pieces.is_empty() && !cut_is_below {
            (head.saturating_sub(BLOCK_BYTES), head, head)
        } else {
            let Some(base) = self.expected_base() else { return };
            (base, self.chain.end().unwrap_or(head), frames_start(base))
        };
        if start < next && start < self.proof {
            self.note_missing(Missing { base, lsn: from }, from..next.min(self.proof.max(start)));
        }
    }

    /// Whether a segment that is not there was dropped by a truncation, as all of it lies below the
    /// head.
    fn is_dropped(&self, base: u64) -> bool {
        let cut = self.state.cut.filter(|cut| cut.segment == base);
        let head = self.state.head;
        cut.is_some_and(|cut| cut.end <= head) || frames_start(self.state.next_base) <= head
    }

    /// The base of the segment that follows the chain, or will.
    fn expected_base(&self) -> Option<u64> {
        let last = self.chain.pieces.last().and_then(|piece| self.files.get(piece.file));
        match (last, self.state.cut) {
            (Some(last), Some(cut)) if cut.segment == last.base => Some(cut.fresh),
            (Some(last), _) => Some(last.next_base()),
            (None, Some(cut)) => Some(cut.fresh),
            (None, None) => {
                self.state.newest.map(|_| self.state.durable_end.saturating_sub(BLOCK_BYTES))
            }
        }
    }

    /// Notes the first segment found missing, and what is lost, with those before it that are missing
    /// too, as damage if the walk goes on.
    pub(super) fn note_missing(&mut self, missing: Missing, lost: Range<u64>) {
        self.chain.missing.get_or_insert(missing);
        if self.keep_going {
            let path = self.bytes.storage.path(&segment_name(missing.base));
            let lsn = Lsn::new(lost.start)..Lsn::new(lost.end.max(lost.start));
            let reason = Corruption::MissingSegment;
            self.chain.damage.push(Damage { path, offset: 0, lsn, reason });
        }
    }

    /// Segments that end at or below the head hold nothing that is kept. The last one stays, since
    /// the next link names it.
    pub(super) fn drop_below_head(&mut self) {
        let head = self.state.head;
        while self.chain.pieces.len() > 1
            && let Some(first) = self.chain.pieces.first()
            && first.end <= head
        {
            let first = self.chain.pieces.remove(0);
            self.chain.below.push(first.file);
        }
    }
}
