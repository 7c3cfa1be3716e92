//! [`View::advance`]: looks for what was appended since, behind the end of what was seen.
//!
//! Invariant: what is added was found valid in the very bytes that are handed on, in whole batches, and
//! follows by its link on what was there. It takes time in proportion to what is new.
//!
//! 1. Read the control file. A head that moved drops segments; a cut that was not known, or another
//!    log, asks for a new look at everything. Where it did not change since, no segment was cut.
//! 2. Scan the newest segment from where it ended. What is invalid there is just the end.
//! 3. Where the segment is full, or over, look for the one behind it, and go on there.
//! 4. If the control file knew, before all this, of more that is durable, then there is damage or
//!    something else that a new look has to find out.

use std::io;
use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::layout::BLOCK_LEN;
use crate::format::{
    BLOCK_BYTES, FRAME_HEADER_BYTES, FrameHeader, Kind, Link, LogId, Salt, ScanEnd, Stopped,
    Trailer, Winner, checksum_at, payload_crc, scan, segment_name,
};
use crate::recover::facts::LinkFact;
use crate::recover::gone::is_gone;
use crate::recover::order::is_abandoned;
use crate::recover::survey::{read_control, read_segment};
use crate::recover::view::{Seen, Shown, View};
use crate::storage::{Access, Storage, StorageFile, read_exact_at};

/// How much is read first, where there is mostly nothing new, and at most where nothing asks for more.
const WINDOW_BYTES: u64 = if cfg!(test) { 64 } else { 16 << 10 };
const WINDOW_BYTES_MAX: u64 = 1 << 20;
/// How often an unfinished frame of more than that is read again at once, and how seldom after that.
const AWAITED_OFTEN: u32 = 4;
const AWAITED_SELDOM: u32 = 64;

/// What became of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advance {
    Same,
    Grown,
    /// Everything has to be looked at again.
    Lost,
}

/// Takes bytes that were found valid, with the segment that they belong to, which ended at their
/// address until now.
type Take<'a> = &'a mut dyn FnMut(&Shown, &[u8]) -> Result<()>;

impl View {
    /// Looks for what was appended since, and hands it to `take`.
    ///
    /// # Errors
    ///
    /// `Io`; then the view may have grown by a part.
    pub(crate) fn advance(&mut self, storage: &dyn Storage, take: Take<'_>) -> Result<Advance> {
        match self.try_advance(storage, take) {
            Err(error) if is_gone(&error) => Ok(Advance::Lost),
            result => {
                self.update_report();
                result
            }
        }
    }

    fn try_advance(&mut self, storage: &dyn Storage, take: Take<'_>) -> Result<Advance> {
        let Some(seen) = &self.seen else { return Ok(Advance::Lost) };
        let Ok(control) = read_control(storage)? else { return Ok(Advance::Lost) };
        let Winner { sequence, state, .. } = control.winner;
        // The newer slot was just being written.
        if sequence < seen.sequence {
            return Ok(Advance::Same);
        }
        let changed = sequence > seen.sequence;
        let new_cut = state.cut.is_some() && state.cut != seen.state.cut;
        if state.id != seen.state.id || new_cut {
            return Ok(Advance::Lost);
        }
        let before = (self.head, self.proven, self.end());
        let (head, durable) = (state.head, state.durable_end);
        let app_state = state.app_state != seen.state.app_state;
        let id = state.id;
        // What lies above the newest segment was given up, or is not put to use yet.
        let newest = state.newest.filter(|newest| *newest < state.next_base);
        let known = state.clone();
        let in_use =
            move |base| newest.is_some_and(|newest| base <= newest) && !is_abandoned(base, &known);
        self.seen = Some(Seen { sequence, state });
        if !self.follow(storage, changed, (&in_use, id), take)? {
            return Ok(Advance::Lost);
        }
        if durable > self.end() && sequence > self.looked_at {
            return Ok(Advance::Lost);
        }
        self.head = self.head.max(head);
        self.proven = self.proven.max(durable.min(self.end()));
        let kept = self.segments.partition_point(|shown| shown.end <= self.head);
        // The last one stays, as the next link names it.
        self.segments.drain(..kept.min(self.segments.len().saturating_sub(1)));
        let grown = before != (self.head, self.proven, self.end()) || app_state;
        Ok(if grown { Advance::Grown } else { Advance::Same })
    }

    /// Goes on from segment to segment, up to the newest. False where that can't be.
    fn follow(
        &mut self,
        storage: &dyn Storage,
        changed: bool,
        (in_use, id): (&dyn Fn(u64) -> bool, LogId),
        take: Take<'_>,
    ) -> Result<bool> {
        loop {
            // Of a log that holds nothing yet there is not much to look at.
            let Some(last) = self.segments.last_mut() else { return Ok(false) };
            // Read before the frames: what is sealed is all there.
            let sealed = if changed { sealed_end(storage, last)? } else { None };
            if !last.over {
                let mut scan =
                    Scan { storage, proven: &mut self.proven, awaited: &mut self.awaited };
                scan.go_on(last, take)?;
            }
            if sealed.is_some_and(|end| end != last.end) {
                return Ok(false);
            }
            if !(last.over || last.is_full() || sealed.is_some()) {
                return Ok(true);
            }
            let base = self.cut.map_or(last.base.saturating_add(last.bytes), |cut| cut.fresh);
            if !in_use(base) {
                return Ok(true);
            }
            match next(storage, last, base, id) {
                Err(error) if is_gone(&error) => return Ok(!changed),
                Err(error) => return Err(error),
                Ok(Next::NotYet) => return Ok(true),
                Ok(Next::Other) => return Ok(false),
                Ok(Next::Follows(next)) => {
                    last.over = true;
                    self.cut = None;
                    self.segments.push(next);
                }
            }
        }
    }
}

/// What lies where the next segment belongs.
enum Next {
    /// Nothing was written to it, or not everything of its link.
    NotYet,
    Follows(Shown),
    Other,
}

fn next(storage: &dyn Storage, last: &Shown, base: u64, id: LogId) -> Result<Next> {
    let Ok(file) = read_segment(storage, base, &[id, last.id])? else { return Ok(Next::Other) };
    let follows = Link { previous_base: last.base, previous_end: last.end, previous_id: last.id };
    Ok(match file.link {
        _ if file.trouble.is_some() => Next::Other,
        LinkFact::Blank | LinkFact::Invalid(_) => Next::NotYet,
        LinkFact::Valid(link) if link == follows => Next::Follows(Shown::begun(&file)),
        LinkFact::Valid(_) => Next::Other,
    })
}

/// Where the trailer of a segment says that it ends, if there is one.
fn sealed_end(storage: &dyn Storage, shown: &Shown) -> Result<Option<u64>> {
    let (file, failed) = open(storage, shown)?;
    let mut block = vec![0; BLOCK_LEN];
    read_exact_at(&*file, &mut block, shown.bytes.saturating_sub(BLOCK_BYTES)).map_err(failed)?;
    let trailer = Trailer::decode(&block, &shown.id, shown.base);
    Ok(trailer.ok().map(|(trailer, _)| trailer.end))
}

type Opened = (Arc<dyn StorageFile>, Box<dyn Fn(io::Error) -> Error>);

fn open(storage: &dyn Storage, shown: &Shown) -> Result<Opened> {
    let name = segment_name(shown.base);
    let path = storage.path(&name);
    let file = storage.open(&name, Access::Read);
    let file = file.map_err(|source| Error::io(Op::Open, path.clone(), source))?;
    Ok((file, Box::new(move |source| Error::io(Op::Read, path.clone(), source))))
}

/// A scan of the newest segment, behind its end.
struct Scan<'a> {
    storage: &'a dyn Storage,
    proven: &'a mut u64,
    awaited: &'a mut (u64, u32),
}

impl Scan<'_> {
    fn go_on(&mut self, shown: &mut Shown, take: Take<'_>) -> Result<()> {
        let (file, failed) = open(self.storage, shown)?;
        let limit = shown
            .base
            .saturating_add(shown.file_bytes.min(shown.bytes.saturating_sub(BLOCK_BYTES)));
        let salt = Salt::new(&shown.id);
        let mut window = WINDOW_BYTES;
        let mut buffer = Vec::new();
        while limit.saturating_sub(shown.end) >= FRAME_HEADER_BYTES {
            let from = shown.end;
            let len = window.min(limit - from);
            buffer.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
            read_exact_at(&*file, &mut buffer, from - shown.base).map_err(&failed)?;
            let found = scan(&buffer, from, from, None, salt);
            *self.proven = (*self.proven).max(found.watermark.unwrap_or(0).min(found.end));
            if found.end > from {
                let valid = usize::try_from(found.end - from).unwrap_or(0);
                take(shown, buffer.get(..valid).unwrap_or_default())?;
                shown.end = found.end;
            }
            let needed = match needed(&buffer, from, limit, &found) {
                Some(needed) if needed <= limit => needed - shown.end,
                _ => match padding(&buffer, from, limit, &found, salt) {
                    Some((header, end)) => {
                        take(shown, header)?;
                        shown.end = end;
                        0
                    }
                    None => break,
                },
            };
            if needed > WINDOW_BYTES_MAX && found.end == from && !self.awaits(from) {
                break;
            }
            window = (window * 4).min(WINDOW_BYTES_MAX).max(needed);
        }
        if shown.is_full() {
            shown.end = shown.limit();
        }
        Ok(())
    }

    /// Whether a frame at `at` that was not finished before is worth reading again this time: its
    /// writer may be gone.
    fn awaits(&mut self, at: u64) -> bool {
        let (before, times) = *self.awaited;
        let times = if before == at { times.saturating_add(1) } else { 0 };
        *self.awaited = (at, times);
        times < AWAITED_OFTEN || times.is_multiple_of(AWAITED_SELDOM)
    }
}

/// Up to where bytes are needed to tell whether what a scan stopped at is valid; `None` if those that
/// there are tell.
fn needed(bytes: &[u8], from: u64, limit: u64, found: &ScanEnd) -> Option<u64> {
    let end = from.saturating_add(bytes.len() as u64);
    let at = match found.stopped {
        Stopped::Complete => found.end,
        Stopped::Invalid { at, .. }
        | Stopped::TornBatch { at, .. }
        | Stopped::BrokenBatch { at, .. } => at,
    };
    let header_end = at.saturating_add(FRAME_HEADER_BYTES);
    if header_end > end {
        return (end < limit).then_some(header_end);
    }
    let frame_end = at.saturating_add(header_at(bytes, from, at)?.frame_bytes());
    let is_padding = header_at(bytes, from, at)?.kind == Kind::Padding;
    (frame_end > end && end < limit && !is_padding).then_some(frame_end)
}

/// The header of a padding that a scan stopped at because its body, which is never read, reaches
/// further than the bytes; and where it ends.
fn padding<'a>(
    bytes: &'a [u8],
    from: u64,
    limit: u64,
    found: &ScanEnd,
    salt: Salt,
) -> Option<(&'a [u8], u64)> {
    let Stopped::Invalid { at, .. } = found.stopped else { return None };
    let header = header_at(bytes, from, at)?;
    let end = at.saturating_add(header.frame_bytes());
    let right = header.checksum == checksum_at(&header.encode(), payload_crc(&[]), salt, at);
    let offset = usize::try_from(at - from).ok()?;
    let encoded = bytes.get(offset..)?.first_chunk::<16>()?;
    (header.kind == Kind::Padding && right && end <= limit).then_some((&encoded[..], end))
}

fn header_at(bytes: &[u8], from: u64, at: u64) -> Option<FrameHeader> {
    let offset = usize::try_from(at.checked_sub(from)?).ok()?;
    FrameHeader::decode(*bytes.get(offset..)?.first_chunk()?).ok()
}
