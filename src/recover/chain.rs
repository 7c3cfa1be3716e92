//! [`Walk`]: follows the links from the head, scanning what no trailer sums up.
//!
//! Invariant: a segment follows another only if its link names exactly that one's base, end and log.
//! Nothing is changed, and everything is bounded by the bytes that are there.
//!
//! 1. From the segment that holds the head, take the member whose link fits the chain so far. Members
//!    passed over by that link are leftovers.
//! 2. Its end is what a cut that was begun says, or its trailer, or the mark of a clean stop, or the
//!    link of the segment that follows it; its frames are scanned up to there, unless a trailer or
//!    the mark vouches for them. Otherwise they are scanned as far as they go.
//! 3. Where a frame is invalid, or no link fits, proof is sought that there was more: see
//!    [`proves`](Walk::proves). Without proof the log ends there, and what lies behind is torn. With
//!    it the chain is damaged: the walk stops, or, if damage is to be skipped, notes it and goes on
//!    at the next valid frame.

use crate::error::{Corruption, Result};
use crate::format::{
    BLOCK_BYTES, ControlState, FRAME_HEADER_BYTES, LINK_FRAME_BYTES, Link, LogId, Salt, ScanEnd,
    Stopped, frames_start, next_valid,
};
use crate::lsn::Lsn;
use crate::recover::ahead::{Question, Task};
use crate::recover::bytes::Bytes;
use crate::recover::facts::{
    Chain, LinkFact, Missing, Piece, Sealed, SegmentFile, Stop, StopKind, path_of,
};
use crate::recover::order::Order;
use crate::recover::report::Damage;

/// Stretches of damage that are told apart; what follows in the same segment counts to the last.
const DAMAGE_MAX: usize = 1024;

pub(super) struct Walk<'a, 'b> {
    pub(super) files: &'a [SegmentFile],
    pub(super) state: &'a ControlState,
    pub(super) bytes: &'a mut Bytes<'b>,
    pub(super) members: Vec<usize>,
    /// The mark of a clean stop holds.
    pub(super) clean: bool,
    /// Damage is noted, and the walk goes on behind it.
    pub(super) keep_going: bool,
    /// Everything below this was durable, so far as is known.
    pub(super) proof: u64,
    pub(super) chain: Chain,
}

/// What to do with the next member.
enum Entry {
    /// The member at this position goes on the chain; those before it are leftovers.
    Piece(usize),
    Leftover,
    Blank,
    Stop,
}

/// How the frames of a segment end.
enum Ending {
    /// Known, and vouched for.
    Known(u64, Option<Sealed>),
    /// To be found by scanning, up to here if that is known.
    Scan(Option<u64>),
}

impl<'a, 'b> Walk<'a, 'b> {
    pub(super) fn new(
        files: &'a [SegmentFile],
        state: &'a ControlState,
        bytes: &'a mut Bytes<'b>,
        order: &Order,
        clean: bool,
        keep_going: bool,
    ) -> Self {
        let cut_end = state.cut.map_or(0, |cut| cut.end);
        let proof = state.durable_end.max(state.head).max(cut_end);
        let chain = Chain {
            below: order.below.clone(),
            abandoned: order.abandoned.clone(),
            proven: proof,
            ..Chain::default()
        };
        let members = order.members.clone();
        Self { files, state, bytes, members, clean, keep_going, proof, chain }
    }

    pub(super) fn run(mut self) -> Result<Chain> {
        self.look_ahead();
        let mut next = 0;
        while next < self.members.len() {
            match self.entry(next)? {
                Entry::Piece(position) => {
                    (next..position).for_each(|passed| self.leave(passed));
                    next = position + 1;
                    if !self.piece(position)? {
                        self.stopped(next);
                        break;
                    }
                }
                Entry::Leftover => {
                    self.leave(next);
                    next += 1;
                }
                Entry::Blank => {
                    self.chain.blanks.extend(self.members.get(next));
                    next += 1;
                }
                Entry::Stop => {
                    self.stopped(next);
                    break;
                }
            }
        }
        self.look_into_unused()?;
        self.look_for_missing();
        self.drop_below_head();
        Ok(self.chain)
    }

    /// Has what is going to be scanned, and searched for anything but zeros, read ahead.
    fn look_ahead(&mut self) {
        if self.clean {
            return;
        }
        let task = |position| {
            let file = self.member(position)?;
            let from = self.first_frame(file);
            let question = match self.ending(position, file) {
                _ if file.is_blank(self.state.head) => Question::Content { from: file.start() },
                Ending::Scan(until) => Question::Frames { from, until },
                Ending::Known(..) => return None,
            };
            Some(Task { file, question })
        };
        let tasks: Vec<_> = (0..self.members.len()).filter_map(task).collect();
        self.bytes.look_ahead(&tasks);
    }

    /// Where the frames of a file begin that are not below the head. A head that lies where no frame can
    /// is no end that a link or a cut may name.
    fn first_frame(&self, file: &SegmentFile) -> u64 {
        file.start().max(self.state.head).min(file.frames_end())
    }

    /// The file of the member at a position.
    pub(super) fn member(&self, position: usize) -> Option<&'a SegmentFile> {
        self.members.get(position).and_then(|index| self.files.get(*index))
    }

    /// The end of the chain: base, end and log of its last segment.
    fn last(&self) -> Option<(u64, u64, LogId)> {
        let piece = self.chain.pieces.last()?;
        self.files.get(piece.file).map(|file| (file.base, piece.end, file.id))
    }

    /// What the member at `position` is to the chain so far.
    fn entry(&mut self, position: usize) -> Result<Entry> {
        if let Some(fits) = (position..self.members.len()).find(|later| self.fits(*later)) {
            return Ok(Entry::Piece(fits));
        }
        let Some(file) = self.member(position) else { return Ok(Entry::Stop) };
        if let Some(link) = file.link() {
            let damaged_end = self.chain.pieces.last().is_some_and(|piece| piece.damaged)
                && self.last().is_some_and(|(base, end, _)| {
                    link.previous_base == base && link.previous_end >= end
                });
            if damaged_end {
                return Ok(Entry::Piece(position));
            }
            let passed = self.last().is_some_and(|(base, ..)| link.previous_base <= base);
            let previous = self.files.iter().position(|file| file.base == link.previous_base);
            let lost = !passed && previous.is_some_and(|index| self.is_lost(index));
            if !lost && (passed || previous.is_some()) {
                return Ok(Entry::Leftover);
            }
            let from = self.last().map_or(self.state.head, |(_, end, _)| end);
            if lost {
                // Its own damage is reported already; what lies before it may be missing as well.
                let missing = Missing { base: link.previous_base, lsn: from };
                if from.saturating_add(BLOCK_BYTES) < link.previous_base {
                    self.note_missing(missing, from..link.previous_base);
                }
                return Ok(Entry::Piece(self.newest_behind(position, link.previous_base)));
            }
            let lsn = from.max(frames_start(link.previous_base).min(link.previous_end));
            self.note_missing(Missing { base: link.previous_base, lsn }, from..file.start());
            let newest = self.newest_behind(position, link.previous_base);
            return Ok(if self.keep_going { Entry::Piece(newest) } else { Entry::Stop });
        }
        if self.clean && file.start() >= self.state.durable_end {
            let blank = file.is_blank(self.state.head);
            return Ok(if blank { Entry::Blank } else { Entry::Leftover });
        }
        self.doubt(position, file)
    }

    /// Whether a file belongs to the log, but nothing of it can be read. What follows it follows all
    /// the same; only where damage is skipped does a walk come so far.
    fn is_lost(&self, index: usize) -> bool {
        let trouble = self.files.get(index).and_then(|file| file.trouble);
        trouble.is_some_and(|trouble| !trouble.usable) && !self.chain.abandoned.contains(&index)
    }

    /// Of the members from `position` on that claim to follow `base`, of which nothing can be read, the
    /// newest: the others came back.
    fn newest_behind(&self, position: usize, base: u64) -> usize {
        let claims = |later: &usize| {
            self.member(*later)
                .and_then(SegmentFile::link)
                .is_some_and(|it| it.previous_base == base)
        };
        (position..self.members.len()).rev().find(claims).unwrap_or(position)
    }

    /// A member without a valid link, where the chain should go on.
    fn doubt(&mut self, position: usize, file: &SegmentFile) -> Result<Entry> {
        let at = file.start().max(self.state.head);
        // A trailer vouches for its own segment, the link included.
        self.proof = self.proof.max(file.sealed.map_or(0, |sealed| sealed.end));
        let evidence = self.proves(position, at)?;
        if evidence && self.keep_going {
            // This one has none.
            let later = || (position..self.members.len()).filter_map(|it| self.member(it)?.link());
            let passed_over = later().any(|link| link.previous_base < file.base)
                && later().all(|link| link.previous_base != file.base);
            if passed_over && file.is_blank(self.state.head) {
                return Ok(Entry::Blank);
            }
            self.look_between(file.start());
            return Ok(Entry::Piece(position));
        }
        let left = self.bytes.left_from(file, at)?;
        if !evidence && left == 0 && !self.has_content(position + 1, at)? {
            return Ok(Entry::Blank);
        }
        let reason = link_defect(file).unwrap_or(Corruption::Malformed);
        let index = self.members.get(position).copied().unwrap_or_default();
        let kind = StopKind::Invalid;
        self.chain.stop = Some(Stop { file: index, at, invalid: at, kind, reason, evidence, left });
        Ok(Entry::Stop)
    }

    /// Whether the link of the member at `position` names exactly the end of the chain.
    fn fits(&self, position: usize) -> bool {
        let Some(file) = self.member(position) else { return false };
        match (self.last(), file.link()) {
            (Some((previous_base, previous_end, previous_id)), Some(link)) => {
                *link == Link { previous_base, previous_end, previous_id }
            }
            (Some(_), None) => false,
            // Nothing below the head matters, so neither does a link there, nor what it names there.
            (None, link) => {
                let head = self.state.head;
                (file.start() < head && !file.is_blank(head))
                    || link.is_some_and(|link| *link == Link::FIRST || link.previous_end <= head)
            }
        }
    }

    /// Puts a member that the chain passes over where it belongs.
    fn leave(&mut self, position: usize) {
        let Some(index) = self.members.get(position) else { return };
        let blank = self.files.get(*index).is_some_and(|file| file.is_blank(self.state.head));
        if blank { &mut self.chain.blanks } else { &mut self.chain.leftovers }.push(*index);
    }

    /// The chain stops before the member at `next`: all from there on lie behind.
    fn stopped(&mut self, next: usize) {
        for index in self.members.get(next..).unwrap_or_default() {
            let blank = self.files.get(*index).is_some_and(|file| file.is_blank(self.state.head));
            if blank { &mut self.chain.blanks } else { &mut self.chain.behind }.push(*index);
        }
    }

    /// How the member at `position`, which goes on the chain, ends.
    fn ending(&self, position: usize, file: &SegmentFile) -> Ending {
        if let Some(cut) = self.state.cut.filter(|cut| cut.segment == file.base) {
            return match file.sealed.filter(|sealed| sealed.end == cut.end) {
                Some(sealed) => Ending::Known(cut.end, Some(sealed)),
                None => Ending::Scan(Some(cut.end)),
            };
        }
        if let Some(sealed) = file.sealed {
            return Ending::Known(sealed.end, Some(sealed));
        }
        let end = self.state.durable_end;
        let room = file.frames_end().saturating_sub(FRAME_HEADER_BYTES);
        if self.clean && file.start() <= end && end <= room {
            return Ending::Known(end, None);
        }
        // Of several that claim to follow, the newest is right: the others came back.
        let claimed = (position + 1..self.members.len()).rev().find_map(|later| {
            let follower = self.member(later)?;
            let link = follower.link()?;
            let names_it = link.previous_base == file.base && link.previous_id == file.id;
            let most = if file.has_size() { file.frames_end() } else { follower.base };
            let inside = file.start() < link.previous_end && link.previous_end <= most;
            (names_it && inside).then_some(link.previous_end)
        });
        Ending::Scan(claimed)
    }

    /// Adds the member at `position` to the chain. False if the chain stops in it.
    fn piece(&mut self, position: usize) -> Result<bool> {
        let (Some(file), Some(index)) =
            (self.member(position), self.members.get(position).copied())
        else {
            return Ok(false);
        };
        let from = self.first_frame(file);
        let mut piece = Piece {
            file: index,
            end: from,
            sealed: None,
            intact_from: from,
            scanned: false,
            damaged: false,
        };
        let goes_on = match self.ending(position, file) {
            Ending::Known(end, sealed) => {
                (piece.end, piece.sealed) = (end, sealed);
                self.proof = self.proof.max(sealed.map_or(0, |sealed| sealed.end));
                piece.intact_from = end;
                if let Some(reason) = link_defect(file).filter(|_| file.start() >= self.state.head)
                {
                    piece.damaged = true;
                    self.note_damage(file, from, from + LINK_FRAME_BYTES, reason);
                }
                true
            }
            // All of it lies below the head.
            Ending::Scan(Some(end)) if end <= from && end > file.start() => {
                piece.end = end;
                piece.intact_from = end;
                true
            }
            Ending::Scan(until) => {
                piece.scanned = true;
                let noted = self.chain.damage.len();
                let goes_on = self.scan(position, file, &mut piece, until)?;
                self.note_no_link(file, noted);
                goes_on
            }
        };
        self.chain.proven = self.chain.proven.max(self.proof);
        self.chain.pieces.push(piece);
        Ok(goes_on)
    }

    /// Where a walk goes on behind damage, a valid frame in the place of a link, which is none, is damage
    /// too, though nothing is lost. What was found wrong in this file was `noted` from there on.
    fn note_no_link(&mut self, file: &SegmentFile, noted: usize) {
        let start = Lsn::new(file.start());
        let is_told = self.chain.damage.iter().skip(noted).any(|damage| damage.lsn.start == start);
        if !self.keep_going || is_told || file.start() < self.state.head {
            return;
        }
        if let Some(reason) = link_defect(file) {
            let path = path_of(self.bytes.storage, file);
            let damage = Damage { path, offset: BLOCK_BYTES, lsn: start..start, reason };
            self.chain.damage.insert(noted, damage);
        }
    }

    /// Scans the frames of a piece. False if the chain stops there.
    fn scan(
        &mut self,
        position: usize,
        file: &SegmentFile,
        piece: &mut Piece,
        until: Option<u64>,
    ) -> Result<bool> {
        let length = file.area_bytes();
        loop {
            let found = self.bytes.scan(file, piece.intact_from, until)?;
            self.chain.scanned_bytes += found.end - piece.intact_from;
            self.chain.proven = self.chain.proven.max(found.watermark.unwrap_or(0));
            piece.end = found.end;
            let Some((kind, invalid, reason)) = why(&found) else {
                // Where no end was named, no frame fits into what is left. It belongs to the segment.
                let whole = file.start() + length == file.frames_end();
                piece.end = until.unwrap_or(if whole { file.frames_end() } else { found.end });
                let sure = whole || until.is_some();
                if let Some(trouble) = file.trouble.filter(|_| !sure)
                    && self.proves(position, found.end)?
                {
                    piece.damaged = true;
                    self.note_damage(file, found.end, self.room_end(file), trouble.reason);
                }
                return Ok(true);
            };
            // Looked at first, as long as this segment's bytes are at hand.
            let skips = self.keep_going && self.proof > found.end;
            let left = if skips { 0 } else { self.bytes.left_from(file, found.end)? };
            let evidence = kind == StopKind::BrokenBatch || self.proves(position, found.end)?;
            if !evidence || !self.keep_going {
                let (file, at) = (piece.file, found.end);
                self.chain.stop = Some(Stop { file, at, invalid, kind, reason, evidence, left });
                return Ok(false);
            }
            let crowded = self.chain.damage.len() >= DAMAGE_MAX;
            let area_end = file.start() + length;
            let limit = until.unwrap_or(area_end).min(area_end);
            let resume = if crowded { None } else { self.resume(file, invalid, limit)? };
            piece.damaged = true;
            // What a file that lost its end held there is lost as well.
            let whole = if file.trouble.is_some() { self.room_end(file) } else { limit };
            let lost = resume.unwrap_or(until.unwrap_or(whole).max(limit));
            self.note_damage(file, found.end, lost, reason);
            let Some(resume) = resume else {
                piece.end = until.unwrap_or(found.end);
                piece.intact_from = piece.end;
                return Ok(true);
            };
            piece.intact_from = resume;
        }
    }

    /// Where the frames of a file that is damaged as a whole have ended at the latest.
    fn room_end(&self, file: &SegmentFile) -> u64 {
        if file.has_size() {
            return file.frames_end();
        }
        let next = self.files.iter().map(|file| file.base).find(|base| file.base < *base);
        next.unwrap_or(self.state.next_base).max(file.frames_end())
    }

    /// Where the next valid frame behind an invalid one lies.
    fn resume(&mut self, file: &SegmentFile, invalid: u64, limit: u64) -> Result<Option<u64>> {
        let bytes = self.bytes.frames(file)?;
        let within = usize::try_from(limit.saturating_sub(file.start())).unwrap_or(0);
        let bytes = bytes.get(..within).unwrap_or(bytes);
        Ok(next_valid(bytes, file.start(), invalid.saturating_add(8), Salt::new(&file.id)))
    }

    fn note_damage(&mut self, file: &SegmentFile, from: u64, to: u64, reason: Corruption) {
        let path = path_of(self.bytes.storage, file);
        let lsn = Lsn::new(from)..Lsn::new(to);
        match self.chain.damage.last_mut() {
            Some(last) if last.path == path && last.lsn.end == lsn.start => last.lsn.end = lsn.end,
            _ => self.chain.damage.push(Damage { path, offset: from - file.base, lsn, reason }),
        }
    }
}

/// What is wrong with a segment's link, if anything is.
fn link_defect(file: &SegmentFile) -> Option<Corruption> {
    match file.link {
        LinkFact::Valid(_) => None,
        LinkFact::Blank => Some(Corruption::Malformed),
        LinkFact::Invalid(defect) => Some(defect.into()),
    }
}

/// Why a scan stopped, and at which invalid frame; `None` if it came to its end.
fn why(found: &ScanEnd) -> Option<(StopKind, u64, Corruption)> {
    match found.stopped {
        Stopped::Complete => None,
        Stopped::Invalid { at, defect } => Some((StopKind::Invalid, at, defect.into())),
        Stopped::TornBatch { at, defect, .. } => Some((StopKind::TornBatch, at, defect.into())),
        Stopped::BrokenBatch { at, .. } => {
            Some((StopKind::BrokenBatch, at, Corruption::BrokenBatch))
        }
    }
}
