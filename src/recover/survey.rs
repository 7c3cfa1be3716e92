//! [`Survey`]: reads names, the control file, and the first and last blocks of every segment.
//!
//! Invariant: it changes nothing, reads no more than three blocks of any file, and holds at most one
//! segment open at a time.

use std::sync::Arc;

use crate::error::{Corruption, Error, Op, Result};
use crate::format::layout::BLOCK_LEN;
use crate::format::{
    BLOCK_BYTES, CONTROL_FILE_BYTES, CONTROL_NAME, ControlState, Defect, FileKind, FrameHeader,
    Kind, LINK_FRAME_BYTES, Link, LogId, MAX_ADDRESS, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES, Salt,
    SegmentHeader, Trailer, VERSION, Winner, classify, frame_at, frames_end, frames_start,
    segment_name, winner,
};
use crate::lsn::Lsn;
use crate::recover::contents::LOST_AND_FOUND;
use crate::recover::facts::{LinkFact, Names, Sealed, SegmentFile, Trouble, path_of};
use crate::segment::control::read_slots;
use crate::storage::{Access, Storage, StorageFile, read_exact_at};

/// What only a name says counts up to here: a log has as much before it again.
pub(super) const MAX_NAMED: u64 = MAX_ADDRESS / 2;

/// The file and its newest valid slot.
#[derive(Debug)]
pub(super) struct ControlFile {
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) winner: Winner,
}

/// What a directory holds, as far as headers and trailers tell.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) names: Names,
    pub(super) control: Option<ControlFile>,
    /// Segment files, ascending by base.
    pub(super) files: Vec<SegmentFile>,
    /// The first file found that belongs to another log or a newer version.
    pub(super) stranger: Option<Error>,
}

impl Survey {
    pub(super) fn take(storage: &dyn Storage) -> Result<Self> {
        let mut survey = Self { names: read_names(storage)?, ..Self::default() };
        survey.take_control(storage)?;
        if let Some(id) = survey.control.as_ref().map(|control| control.winner.state.id) {
            survey.take_segments(storage, id)?;
        }
        Ok(survey)
    }

    /// The same for reading only: where the control file is of no use, the newest segment says which
    /// log this is.
    pub(super) fn take_for_reading(storage: &dyn Storage) -> Result<Self> {
        let mut survey = Self { names: read_names(storage)?, ..Self::default() };
        match survey.take_control(storage) {
            Err(Error::Corrupt { .. }) => {}
            result => result?,
        }
        let id = match &survey.control {
            Some(control) => Some(control.winner.state.id),
            None => newest_id(storage, &survey.names.segments)?,
        };
        if let Some(id) = id {
            survey.take_segments(storage, id)?;
        }
        Ok(survey)
    }

    /// The same for salvaging: a slot that is valid counts, however long the control file is; where none
    /// is, what it would say is made up.
    pub(super) fn take_for_salvage(storage: &dyn Storage) -> Result<Self> {
        let mut survey = Self { names: read_names(storage)?, ..Self::default() };
        if survey.names.control {
            match read_control(storage)? {
                Ok(control) if Self::check_addresses(storage, &control).is_ok() => {
                    survey.control = Some(control);
                }
                Err(Defect::Version { found }) => {
                    survey.stranger = Some(newer(storage, CONTROL_NAME, found));
                }
                Ok(_) | Err(_) => {}
            }
        }
        match survey.control.as_ref().map(|control| control.winner.state.id) {
            Some(id) => survey.take_segments(storage, id)?,
            None if survey.stranger.is_none() => survey.guess(storage)?,
            None => {}
        }
        Ok(survey)
    }

    fn take_control(&mut self, storage: &dyn Storage) -> Result<()> {
        if !self.names.control {
            return Ok(());
        }
        match read_control(storage)? {
            Ok(control) => {
                check_length(storage, &control)?;
                Self::check_addresses(storage, &control)?;
                self.control = Some(control);
            }
            Err(Defect::Version { found }) => {
                self.stranger = Some(newer(storage, CONTROL_NAME, found));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn take_segments(&mut self, storage: &dyn Storage, id: LogId) -> Result<()> {
        // Newest first: a link names the id of the segment before it.
        let mut ids = vec![id];
        ids.extend(self.cut_id(storage)?);
        self.read_files(storage, ids)
    }

    /// Reads the segments of a log whose control file is lost, and makes up what that would say of
    /// them. Does nothing if no header is left.
    fn guess(&mut self, storage: &dyn Storage) -> Result<()> {
        let mut newest = None;
        for base in self.names.segments.iter().rev() {
            let header = read_header(storage, *base)?;
            let behind = base.saturating_add(header.map_or(0, |header| header.segment_bytes));
            let fits = |header: &SegmentHeader| header.base == *base && behind <= MAX_NAMED;
            if let Some(header) = header.filter(fits) {
                newest = Some(header);
                break;
            }
        }
        let (Some(newest), Some(first)) = (newest, self.names.segments.first()) else {
            return Ok(());
        };
        let name = segment_name(newest.base);
        let file = storage
            .open(&name, Access::Read)
            .map_err(|source| Error::io(Op::Open, storage.path(&name), source))?;
        let possible = self.names.segments.iter().rev().find(|base| **base <= MAX_NAMED);
        let last = possible.copied().unwrap_or(newest.base);
        let state = ControlState {
            id: newest.id,
            head: frames_start(*first),
            next_base: last.max(newest.base + newest.segment_bytes),
            newest: Some(last),
            durable_end: frames_start(*first),
            cut: None,
            clean: false,
            app_state: Vec::new(),
        };
        let winner = Winner { slot: 0, sequence: 0, state, both_valid: false };
        self.control = Some(ControlFile { file, winner });
        self.read_files(storage, vec![newest.id])
    }

    fn read_files(&mut self, storage: &dyn Storage, mut ids: Vec<LogId>) -> Result<()> {
        for base in self.names.segments.iter().rev() {
            match read_segment(storage, *base, &ids)? {
                Ok(file) => {
                    if let Some(link) = file.link()
                        && *link != Link::FIRST
                        && !ids.contains(&link.previous_id)
                    {
                        ids.push(link.previous_id);
                    }
                    self.files.push(file);
                }
                Err(stranger) => {
                    self.stranger.get_or_insert(stranger);
                }
            }
        }
        self.files.reverse();
        Ok(())
    }

    /// The id that the segment bears that was cut last, where that is the log that this one was
    /// restored from: nothing need link to that segment yet.
    fn cut_id(&self, storage: &dyn Storage) -> Result<Option<LogId>> {
        let cut = self.control.as_ref().and_then(|control| control.winner.state.cut);
        let Some(base) = cut.map(|cut| cut.segment).filter(|it| self.names.segments.contains(it))
        else {
            return Ok(None);
        };
        let header = read_header(storage, base)?;
        let own = self.control.as_ref().map(|control| control.winner.state.id);
        let other = header.filter(|header| header.base == base).map(|header| header.id);
        Ok(other.filter(|other| own.is_some_and(|own| own.is_restored_from(*other))))
    }

    /// Refuses addresses that this crate never writes, under whatever checksum.
    fn check_addresses(storage: &dyn Storage, control: &ControlFile) -> Result<()> {
        let state = &control.winner.state;
        let mismatch = |field, expected, found| {
            Err(Error::Corrupt {
                path: storage.path(CONTROL_NAME),
                offset: control.winner.slot as u64 * BLOCK_BYTES,
                lsn: None,
                reason: Corruption::Mismatch { field, expected, found },
            })
        };
        let limit = frames_start(state.next_base);
        if state.next_base > MAX_ADDRESS {
            mismatch("next_base below", MAX_ADDRESS, state.next_base)
        } else if state.head > limit {
            mismatch("head up to", limit, state.head)
        } else if state.durable_end > limit {
            mismatch("durable end up to", limit, state.durable_end)
        } else if let Some(cut) = state.cut.filter(|cut| cut.fresh > state.next_base) {
            mismatch("cut_fresh up to", state.next_base, cut.fresh)
        } else if let Some(cut) = state.cut.filter(|cut| cut.end < frames_start(cut.segment)) {
            mismatch("cut_end from", frames_start(cut.segment), cut.end)
        } else if control.winner.sequence % 2 != control.winner.slot as u64
            || control.winner.sequence > MAX_ADDRESS
        {
            mismatch("slot", control.winner.sequence % 2, control.winner.slot as u64)
        } else {
            Ok(())
        }
    }
}

/// Refuses a control file of another length: the state of a lost slot may have been the newer one, and
/// files keep the size that they were made with.
fn check_length(storage: &dyn Storage, control: &ControlFile) -> Result<()> {
    let path = storage.path(CONTROL_NAME);
    match control.file.size() {
        Ok(CONTROL_FILE_BYTES) => Ok(()),
        Ok(found) => Err(Error::Corrupt {
            path,
            offset: found.min(CONTROL_FILE_BYTES),
            lsn: None,
            reason: Corruption::FileLength { expected: CONTROL_FILE_BYTES, found },
        }),
        Err(source) => Err(Error::io(Op::Read, path, source)),
    }
}

fn read_names(storage: &dyn Storage) -> Result<Names> {
    let mut all =
        storage.names().map_err(|source| Error::io(Op::OpenDirectory, storage.path(""), source))?;
    all.sort_unstable();
    let mut names = Names::default();
    for name in all {
        match classify(&name) {
            FileKind::Segment(base) => names.segments.push(base),
            FileKind::Control => names.control = true,
            FileKind::Temporary | FileKind::Dropped => names.leftovers.push(name),
            FileKind::Foreign if name != LOST_AND_FOUND => names.foreign.push(name),
            FileKind::Foreign | FileKind::Lock | FileKind::Readers | FileKind::SetAside => {}
        }
    }
    Ok(names)
}

pub(super) fn read_control(storage: &dyn Storage) -> Result<Result<ControlFile, Defect>> {
    let error = |op| move |source| Error::io(op, storage.path(CONTROL_NAME), source);
    // Opened for writing, which changes nothing.
    let file = storage.open(CONTROL_NAME, Access::ReadWrite).map_err(error(Op::Open))?;
    let slots = read_slots(&*file).map_err(error(Op::Read))?;
    Ok(winner(slots).map(|winner| ControlFile { file, winner }))
}

/// The id that the newest segment with a valid header names.
fn newest_id(storage: &dyn Storage, bases: &[u64]) -> Result<Option<LogId>> {
    for base in bases.iter().rev() {
        let name = segment_name(*base);
        let error = |op| {
            let path = storage.path(&name);
            move |source| Error::io(op, path, source)
        };
        let file = storage.open(&name, Access::Read).map_err(error(Op::Open))?;
        let mut block = vec![0; BLOCK_LEN];
        if file.size().map_err(error(Op::Read))? >= BLOCK_BYTES {
            read_exact_at(&*file, &mut block, 0).map_err(error(Op::Read))?;
            if let Ok(header) = SegmentHeader::decode(&block) {
                return Ok(Some(header.id));
            }
        }
    }
    Ok(None)
}

fn newer(storage: &dyn Storage, name: &str, found: u32) -> Error {
    Error::UnsupportedFormat { path: storage.path(name), found, supported: VERSION }
}

/// The header of a segment, if it has a valid one.
fn read_header(storage: &dyn Storage, base: u64) -> Result<Option<SegmentHeader>> {
    let name = segment_name(base);
    let error = |op| {
        let path = storage.path(&name);
        move |source| Error::io(op, path, source)
    };
    let file = storage.open(&name, Access::Read).map_err(error(Op::Open))?;
    let mut block = [0; BLOCK_LEN];
    if file.size().map_err(error(Op::Read))? < BLOCK_BYTES {
        return Ok(None);
    }
    read_exact_at(&*file, &mut block, 0).map_err(error(Op::Read))?;
    Ok(SegmentHeader::decode(&block).ok())
}

/// What is known of a segment before it is decided whether it belongs to this log.
pub(super) type Read = Result<SegmentFile, Error>;

/// Reads header, link and trailer. The inner error is that of a stranger.
pub(super) fn read_segment(storage: &dyn Storage, base: u64, ids: &[LogId]) -> Result<Read> {
    let name = segment_name(base);
    let error = |op| {
        let path = storage.path(&name);
        move |source| Error::io(op, path, source)
    };
    let file = storage.open(&name, Access::Read).map_err(error(Op::Open))?;
    let file_bytes = file.size().map_err(error(Op::Read))?;
    let mut first = vec![0; BLOCK_LEN + usize::try_from(LINK_FRAME_BYTES).unwrap_or(0)];
    let there = usize::try_from(file_bytes).unwrap_or(usize::MAX).min(first.len());
    let read = first.get_mut(..there).unwrap_or_default();
    read_exact_at(&*file, read, 0).map_err(error(Op::Read))?;
    let (block, link) = first.split_at(BLOCK_LEN);
    let newest = ids.first().copied().unwrap_or_default();
    let header = match SegmentHeader::decode(block) {
        Err(Defect::Version { found }) => return Ok(Err(newer(storage, &name, found))),
        header => header,
    };
    let mut facts = SegmentFile {
        base,
        file_bytes,
        bytes: header.map_or(file_bytes, |header| header.segment_bytes),
        id: header.map_or(newest, |header| header.id),
        link: LinkFact::Blank,
        sealed: None,
        trouble: trouble(&header, base, file_bytes),
    };
    if !ids.contains(&facts.id) {
        return Ok(Err(Error::Corrupt {
            path: path_of(storage, &facts),
            offset: 0,
            lsn: Some(Lsn::new(base)),
            reason: Corruption::ForeignLog,
        }));
    }
    if facts.trouble.is_some_and(|trouble| !trouble.usable) {
        return Ok(Ok(facts));
    }
    facts.link = link_fact(link, facts.start(), Salt::new(&facts.id));
    if facts.file_bytes >= facts.bytes {
        let mut last = vec![0; BLOCK_LEN];
        read_exact_at(&*file, &mut last, facts.bytes - BLOCK_BYTES).map_err(error(Op::Read))?;
        match Trailer::decode(&last, &facts.id, base) {
            Ok((Trailer { end, .. }, checksum)) if end <= facts.frames_end() => {
                facts.sealed = Some(Sealed { end, checksum });
            }
            Err(Defect::Version { found }) => return Ok(Err(newer(storage, &name, found))),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(Ok(facts))
}

/// What is wrong with a file as a whole, if anything is.
fn trouble(header: &Result<SegmentHeader, Defect>, base: u64, file_bytes: u64) -> Option<Trouble> {
    let mismatch = |field, expected, found| Corruption::Mismatch { field, expected, found };
    let possible = (MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES).contains(&file_bytes)
        && file_bytes.is_multiple_of(BLOCK_BYTES)
        && base <= MAX_ADDRESS;
    let (reason, usable) = match header {
        Err(defect) => (Corruption::from(*defect), possible),
        Ok(header) if header.base != base => (mismatch("base", base, header.base), false),
        Ok(header) if header.base > MAX_ADDRESS => {
            (mismatch("base below", MAX_ADDRESS, header.base), false)
        }
        Ok(header) if header.segment_bytes != file_bytes => {
            let expected = header.segment_bytes;
            (Corruption::FileLength { expected, found: file_bytes }, true)
        }
        Ok(_) => return None,
    };
    Some(Trouble { offset: 0, reason, usable })
}

fn link_fact(bytes: &[u8], start: u64, salt: Salt) -> LinkFact {
    if bytes.iter().all(|byte| *byte == 0) {
        return LinkFact::Blank;
    }
    let link = frame_at(bytes, start, start, salt).and_then(|frame| match frame.header.kind {
        Kind::Link => Link::decode(frame.payload),
        Kind::Record | Kind::Padding => Err(Defect::Malformed),
    });
    link.map_or_else(LinkFact::Invalid, LinkFact::Valid)
}

/// Whether a whole valid frame lies at `at` in a segment, not below its first one, whatever its kind.
pub(super) fn has_frame(storage: &dyn Storage, segment: &SegmentFile, at: u64) -> Result<bool> {
    let limit = frames_end(segment.base, segment.bytes.min(segment.file_bytes));
    let name = segment.name();
    let error = |op| {
        let path = storage.path(&name);
        move |source| Error::io(op, path, source)
    };
    let file = storage.open(&name, Access::Read).map_err(error(Op::Open))?;
    let mut bytes = vec![0; 16];
    for _ in 0..2 {
        let end = at.saturating_add(bytes.len() as u64);
        if end > limit {
            return Ok(false);
        }
        read_exact_at(&*file, &mut bytes, at - segment.base).map_err(error(Op::Read))?;
        let Some(Ok(header)) = bytes.first_chunk().map(|header| FrameHeader::decode(*header))
        else {
            return Ok(false);
        };
        let frame = usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
        // No length makes it read or keep more than the segment has.
        if at.saturating_add(frame as u64) <= limit {
            bytes.resize(frame, 0);
        }
    }
    Ok(frame_at(&bytes, at, at, Salt::new(&segment.id)).is_ok())
}
