//! [`Salvageable`]: what is provable of a log, however damaged, for [`salvage`](crate::salvage).
//!
//! Invariant: nothing is changed. What is damaged is found as opening with `SkipCorrupt` finds it;
//! where the control file is lost, what it would say is taken from the segments' headers, and what
//! only it knew counts as not known.

use std::path::PathBuf;

use crate::error::{Corruption, Error, NotALog, Result};
use crate::format::{BLOCK_BYTES, CONTROL_NAME, LogId, MAX_SEGMENT_BYTES, frames_end};
use crate::lsn::Lsn;
use crate::options::RecoveryPolicy;
use crate::recover::bytes::Bytes;
use crate::recover::facts::{Piece, SegmentFile, path_of};
use crate::recover::findings::Findings;
use crate::recover::report::Damage;
use crate::recover::survey::{MAX_NAMED, Survey};
use crate::storage::Storage;

/// What is provable of a log.
#[derive(Debug)]
pub(crate) struct Salvageable {
    findings: Findings,
    pub(crate) head: u64,
    /// Above every address that any file may hold.
    pub(crate) next_base: u64,
    pub(crate) app_state: Vec<u8>,
}

/// The frames of one segment that belongs to the log.
#[derive(Debug)]
pub(crate) struct Stretch<'a> {
    pub(crate) path: PathBuf,
    pub(crate) base: u64,
    /// The size of the file, as it was made, so far as that is known.
    pub(crate) bytes: u64,
    pub(crate) id: LogId,
    /// Where its frames begin that are kept, and where they end in what is left of the file.
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// The bytes of its frames area, as far as they are there.
    pub(crate) area: &'a [u8],
}

impl Salvageable {
    /// Looks at what is there.
    ///
    /// # Errors
    ///
    /// `NotALog`, `Corrupt` if neither control file nor any header is left, or a file is another
    /// log's; `UnsupportedFormat`; `Io`.
    pub(crate) fn find(storage: &dyn Storage) -> Result<Self> {
        let survey = Survey::take_for_salvage(storage)?;
        if let Some(stranger) = survey.stranger {
            return Err(stranger);
        }
        if survey.control.is_none() && survey.names.segments.is_empty() {
            return Err(Error::NotALog { path: storage.path(""), found: NotALog::Nothing });
        }
        let mut bytes = Bytes::new(storage);
        let findings = Findings::examine(&mut bytes, survey, RecoveryPolicy::SkipCorrupt)?;
        let Some(control) = &findings.survey.control else {
            let path = storage.path(CONTROL_NAME);
            let reason = Corruption::NoControl;
            return Err(Error::Corrupt { path, offset: 0, lsn: None, reason });
        };
        let state = &control.winner.state;
        let used = findings.survey.files.iter().filter_map(behind);
        let next_base = used.fold(state.next_base, u64::max);
        let (head, app_state) = (state.head, state.app_state.clone());
        Ok(Self { findings, head, next_base, app_state })
    }

    /// How many segments belong to the log.
    pub(crate) fn segments(&self) -> usize {
        self.findings.chain.pieces.len()
    }

    /// Hands out the frames of each segment, ascending.
    pub(crate) fn each(
        &self,
        storage: &dyn Storage,
        mut take: impl FnMut(&Stretch<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = Bytes::new(storage);
        for (file, bytes, end) in self.extents() {
            let area = buffer.frames(file)?;
            take(&Stretch {
                path: path_of(storage, file),
                base: file.base,
                bytes,
                id: file.id,
                first: file.start().max(self.head),
                end,
                area,
            })?;
        }
        Ok(())
    }

    /// The files that belong to the log, each with the size that a segment with its frames has, and where
    /// they end: never beyond what is left of it, whatever names a later end. Without a header the last
    /// block of that may hold frames as well: then the trailer's place lies behind it.
    fn extents(&self) -> impl Iterator<Item = (&SegmentFile, u64, u64)> {
        let files = &self.findings.survey.files;
        let pieces = &self.findings.chain.pieces;
        let file = move |piece: &Piece| files.get(piece.file);
        let behind = pieces.iter().skip(1).map(move |piece| file(piece).map(|file| file.base));
        let behind = behind.chain([None]).map(|base| base.unwrap_or(self.next_base));
        pieces.iter().zip(behind).filter_map(move |(piece, next)| {
            let file = file(piece)?;
            let end = piece.end.min(file.start().saturating_add(file.area_bytes()));
            let needed = (end - file.base).next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES;
            let room = next.saturating_sub(file.base).min(MAX_SEGMENT_BYTES);
            let bytes = file.bytes.max(needed.min(room));
            Some((file, bytes, end.min(frames_end(file.base, bytes))))
        })
    }

    /// The damage that lies outside what [`each`](Self::each) hands out.
    pub(crate) fn damage(&self) -> impl Iterator<Item = Damage> {
        self.findings.chain.damage.iter().filter_map(|damage| {
            let mut damage = damage.clone();
            let (from, to) = (damage.lsn.start.get(), damage.lsn.end.get());
            let mut extents = self.extents();
            let begins_in = extents.find(|(file, _, end)| (file.start()..*end).contains(&from));
            if let Some((_, _, end)) = begins_in.filter(|_| from < to) {
                damage.offset += end - from;
                damage.lsn.start = Lsn::new(end);
                return (end < to).then_some(damage);
            }
            Some(damage)
        })
    }

    /// Files with something in them of which nothing proves that it belongs to the log.
    pub(crate) fn ignored(&self, storage: &dyn Storage) -> Vec<PathBuf> {
        let chain = &self.findings.chain;
        let indices = chain.leftovers.iter().chain(&chain.behind).chain(&chain.discarded);
        let files = indices.filter_map(|index| self.findings.survey.files.get(*index));
        files.map(|file| path_of(storage, file)).collect()
    }
}

/// Where a segment could lie behind this file, if a log has come as far. Without a header the file's
/// length may be any: it then counts as whole blocks, with one for the trailer, and no more of them than
/// a segment has.
fn behind(file: &SegmentFile) -> Option<u64> {
    let more = if file.has_size() { 0 } else { BLOCK_BYTES };
    let bytes =
        file.bytes.saturating_add(more).min(MAX_SEGMENT_BYTES).next_multiple_of(BLOCK_BYTES);
    file.base.checked_add(bytes).filter(|next| *next <= MAX_NAMED)
}
