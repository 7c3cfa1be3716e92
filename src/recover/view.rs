//! [`View`]: what of a log can be read, as far as a process can tell that does not write it.
//!
//! Invariant: nothing is changed, and damage is only what two looks in a row have found at the same
//! place, the second begun after the first ended.
//!
//! A writer may be at work meanwhile, and a look is no single moment. What it finds invalid may just
//! not have been written when it was read, though something read later proves that it is durable by
//! now. The next look reads the same place after that proof: only what is invalid then is damaged.
//! So each look that finds damage is followed by another. Where they go on finding damage, but always
//! elsewhere, the view ends before the first of it for now.
//!
//! What is found is judged by the table of [`decide`] as for
//! [`SkipCorrupt`](crate::RecoveryPolicy::SkipCorrupt), the policy that refuses least: whoever changes
//! nothing can't lose anything by looking on.

use std::io::ErrorKind;

use crate::error::{Corruption, Error, Op, Result};
use crate::format::{
    BLOCK_BYTES, CONTROL_NAME, ControlState, CutMark, FRAME_HEADER_BYTES, LogId, Salt, Stopped,
    frames_end, frames_start, scan, segment_name,
};
use crate::lsn::Lsn;
use crate::options::{Options, RecoveryPolicy};
use crate::recover::bytes::Bytes;
use crate::recover::decide::{Decision, Refusal, decide};
use crate::recover::facts::{Mark, Piece, SegmentFile};
use crate::recover::findings::Findings;
use crate::recover::gone::unless_gone;
use crate::recover::report::{Damage, Recovery};
use crate::storage::{Access, Storage, read_exact_at};

/// How often is looked before a directory that changes all the time is taken as it is.
const LOOKS_MAX: usize = 16;

/// A segment that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) base: u64,
    /// The size that its header names.
    pub(crate) bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) id: LogId,
    /// Where what is read of it ends.
    pub(crate) end: u64,
    /// It ends there for good.
    pub(crate) over: bool,
    /// From here to the end every frame was found valid; nowhere if it has a trailer.
    pub(crate) intact_from: u64,
    pub(crate) damaged: bool,
}

impl Shown {
    fn new(file: &SegmentFile, piece: &Piece, over: bool) -> Self {
        // Never beyond what a file that lost its end still holds.
        let there = file.start().saturating_add(file.area_bytes());
        Self {
            base: file.base,
            bytes: file.bytes,
            file_bytes: file.file_bytes,
            id: file.id,
            end: piece.end.min(there),
            over: over || file.trouble.is_some(),
            intact_from: piece.intact_from,
            damaged: piece.damaged,
        }
    }

    /// A segment that follows, of which nothing was read yet but its link.
    pub(super) fn begun(file: &SegmentFile) -> Self {
        let end = file.start();
        Self {
            base: file.base,
            bytes: file.bytes,
            file_bytes: file.file_bytes,
            id: file.id,
            end,
            over: false,
            intact_from: end,
            damaged: false,
        }
    }

    pub(crate) fn start(&self) -> u64 {
        frames_start(self.base)
    }

    /// Where the frames end that are there or may yet come.
    pub(crate) fn limit(&self) -> u64 {
        if self.over { self.end } else { frames_end(self.base, self.bytes) }
    }

    /// Whether no further frame fits into it.
    pub(super) fn is_full(&self) -> bool {
        frames_end(self.base, self.bytes).saturating_sub(self.end) < FRAME_HEADER_BYTES
    }

    /// Reads the file from its first byte on up to the end of what is read of it. `None` if that is
    /// not any more what the look found.
    pub(crate) fn read(&self, storage: &dyn Storage) -> Result<Option<Vec<u8>>> {
        let name = segment_name(self.base);
        let failed = |op| {
            let path = storage.path(&name);
            move |source| Error::io(op, path, source)
        };
        let file = storage.open(&name, Access::Read).map_err(failed(Op::Open))?;
        let wanted = self.end.saturating_sub(self.base).min(self.file_bytes);
        let out_of_memory = |_| failed(Op::Read)(ErrorKind::OutOfMemory.into());
        let mut bytes = vec![0; usize::try_from(wanted).map_err(out_of_memory)?];
        read_exact_at(&*file, &mut bytes, 0).map_err(failed(Op::Read))?;
        let block = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
        let frames = bytes.get(block..).unwrap_or_default();
        let from = self.intact_from.max(self.start());
        let found = scan(frames, self.start(), from, Some(self.end), Salt::new(&self.id));
        let same = found.stopped == Stopped::Complete || self.damaged || from >= self.end;
        Ok(same.then_some(bytes))
    }
}

/// The newest state that the control file has shown.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(super) sequence: u64,
    pub(crate) state: ControlState,
}

#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The first address that is kept.
    pub(crate) head: u64,
    /// Ascending; each follows the one before it, but for what `damage` in the report says.
    pub(crate) segments: Vec<Shown>,
    /// The cut behind the last segment: where the log goes on.
    pub(super) cut: Option<CutMark>,
    /// Everything below this was durable once.
    pub(crate) proven: u64,
    /// Nothing where the control file has no valid slot.
    pub(crate) seen: Option<Seen>,
    /// The number of the slot that was the newest when everything was looked at.
    pub(super) looked_at: u64,
    /// Where a frame is awaited that needs much reading, and how often it was.
    pub(super) awaited: (u64, u32),
    pub(crate) report: Recovery,
}

impl View {
    /// Looks at everything there is.
    ///
    /// # Errors
    ///
    /// What the table refuses whatever the policy: what is no log, another log's files, a newer
    /// format. `Io`.
    pub(crate) fn look(storage: &dyn Storage, is_archive: &dyn Fn() -> bool) -> Result<Self> {
        let mut before: Option<Result<Self>> = None;
        for _ in 0..LOOKS_MAX {
            let found = unless_gone(storage, || Self::look_once(storage, is_archive));
            let known = before.as_ref().is_some_and(|before| is_the_same(before, &found));
            match &found {
                Ok(view) if view.report.damage.is_empty() || known => return found,
                Err(_) if known => return found,
                _ => before = Some(found),
            }
        }
        let mut view = before.unwrap_or(Err(Error::Closed))?;
        let first = view.report.damage.iter().map(|damage| damage.lsn.start.get()).min();
        view.report.damage.clear();
        view.end_at(first.unwrap_or(u64::MAX));
        Ok(view)
    }

    fn look_once(storage: &dyn Storage, is_archive: &dyn Fn() -> bool) -> Result<Self> {
        let mut bytes = Bytes::new(storage);
        let findings = Findings::collect_for_reading(&mut bytes)?;
        match decide(&findings.facts(&Options::new()), RecoveryPolicy::SkipCorrupt) {
            Decision::Continue | Decision::Recover { .. } => Ok(Self::of(storage, &findings)),
            Decision::ReadOnly => {
                let mut view = Self::of(storage, &findings);
                // An archive has none.
                if !is_archive() {
                    view.report.damage.insert(0, no_control(storage, view.head));
                }
                Ok(view)
            }
            Decision::Create => Err(findings.refuse(storage, Refusal::Nothing)),
            Decision::Refuse(refusal) => Err(findings.refuse(storage, refusal)),
        }
    }

    fn of(storage: &dyn Storage, findings: &Findings) -> Self {
        let Findings { survey, chain, mark, .. } = findings;
        let winner = survey.control.as_ref().map(|control| &control.winner);
        let cut = winner.and_then(|winner| winner.state.cut);
        let count = chain.pieces.len();
        let shown = chain.pieces.iter().enumerate().filter_map(|(index, piece)| {
            let file = survey.files.get(piece.file)?;
            let is_cut = cut.is_some_and(|cut| cut.segment == file.base);
            let over = index + 1 < count || piece.sealed.is_some() || is_cut;
            Some(Shown::new(file, piece, over))
        });
        let segments: Vec<_> = shown.collect();
        let oldest = segments.first().map_or(0, Shown::start);
        let head = winner.map_or(oldest, |winner| winner.state.head);
        let mut view = Self {
            head,
            cut: cut.filter(|cut| segments.last().is_none_or(|last| last.base == cut.segment)),
            segments,
            proven: chain.proven,
            seen: winner.map(|it| Seen { sequence: it.sequence, state: it.state.clone() }),
            looked_at: winner.map_or(0, |winner| winner.sequence),
            awaited: (0, 0),
            report: Recovery::default(),
        };
        view.report = Recovery {
            clean: *mark == Mark::Holds && chain.damage.is_empty(),
            scanned_bytes: chain.scanned_bytes,
            foreign: survey.names.foreign.iter().map(|name| storage.path(name)).collect(),
            damage: chain.damage.clone(),
            ..Recovery::default()
        };
        view.update_report();
        view
    }

    /// The end of what can be read. Where the log was cut that is where it goes on, as for its writer.
    pub(crate) fn end(&self) -> u64 {
        let goes_on = self.cut.map_or(0, |cut| frames_start(cut.fresh));
        let end = self.segments.last().map_or(self.head, |last| last.end);
        end.max(self.head).max(goes_on)
    }

    /// Says in the report how far the log reaches now.
    pub(super) fn update_report(&mut self) {
        self.report.head = Lsn::new(self.head);
        self.report.end = Lsn::new(self.end());
        self.report.segments = self.segments.len();
    }

    /// The first damage that reading can't meet, as there is no segment to meet it in: where reading
    /// has to end unless damage is to be skipped, and why.
    pub(crate) fn gap(&self) -> Option<(u64, Error)> {
        let inside = |damage: &&Damage| {
            let at = damage.lsn.start.get();
            // A rest that no frame fits into is passed by.
            let meets = |it: &Shown| at.saturating_add(FRAME_HEADER_BYTES) <= it.end;
            self.segments.iter().any(|it| it.start().max(self.head) <= at && meets(it))
        };
        let missing = |damage: &&Damage| damage.reason == Corruption::MissingSegment;
        let damage = self.report.damage.iter();
        let gaps = damage.filter(|it| missing(it) || (!it.lsn.is_empty() && !inside(it)));
        let first = gaps.min_by_key(|damage| damage.lsn.start)?;
        let Damage { path, offset, lsn, reason } = first.clone();
        let error = match reason {
            Corruption::MissingSegment => Error::MissingSegment { path, lsn: lsn.start },
            reason => Error::Corrupt { path, offset, lsn: Some(lsn.start), reason },
        };
        Some((lsn.start.get(), error))
    }

    /// Shows nothing from an address on, the end of a frame.
    fn end_at(&mut self, at: u64) {
        if at < self.end() {
            self.cut = None;
        }
        self.segments.retain(|shown| shown.start() < at);
        if let Some(last) = self.segments.last_mut()
            && last.end > at
        {
            (last.end, last.over) = (at, false);
        }
        self.update_report();
    }
}

/// Whether all that a look found wrong was found by the one before it too.
fn is_the_same(before: &Result<View>, now: &Result<View>) -> bool {
    let place = |damage: &Damage| (damage.path.clone(), damage.offset, damage.lsn.start);
    match (before, now) {
        (Ok(before), Ok(now)) => {
            let before: Vec<_> = before.report.damage.iter().map(place).collect();
            now.report.damage.iter().all(|damage| before.contains(&place(damage)))
        }
        (Err(before), Err(now)) => before.to_string() == now.to_string(),
        _ => false,
    }
}

fn no_control(storage: &dyn Storage, head: u64) -> Damage {
    let path = storage.path(CONTROL_NAME);
    let lsn = Lsn::new(head)..Lsn::new(head);
    Damage { path, offset: 0, lsn, reason: Corruption::NoControl }
}
