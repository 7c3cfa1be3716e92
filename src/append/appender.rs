//! [`Appender`]: the operations of appending, on one protocol and one disk.
//!
//! Invariant: everything that can be refused is refused, and all code of the caller's has run, before
//! an address is claimed.

use std::cell::Cell;
use std::ops::Range;
use std::thread::LocalKey;

use crate::append::direct::{append_alone, append_direct};
use crate::append::disk::Disk;
use crate::error::{Error, Result};
use crate::format::{FRAME_HEADER_BYTES, frame_bytes, max_record_bytes};
use crate::lsn::Lsn;
use crate::protocol::{Failed, Outcome, Part, Protocol, Refused, State};

#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) protocol: Protocol,
    pub(crate) disk: Disk,
    /// The largest payload that fits in a new segment, in bytes.
    pub(crate) max_record_bytes: u64,
}

thread_local! {
    /// What `append_with` has its closure fill, kept from call to call.
    static FILLED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Room for the parts of a batch, kept likewise.
    static PARTS: Cell<Vec<Part<'static>>> = const { Cell::new(Vec::new()) };
}

/// What is larger is not kept.
const KEPT_BYTES: usize = 64 << 10;

/// What was kept; a thread that ends may have nothing any more.
fn taken<T>(kept: &'static LocalKey<Cell<Vec<T>>>) -> Vec<T> {
    kept.try_with(Cell::take).unwrap_or_default()
}

/// Keeps `items` for the next that [takes](taken) them.
fn keep<T>(kept: &'static LocalKey<Cell<Vec<T>>>, items: Vec<T>) {
    if items.capacity() * size_of::<T>() <= KEPT_BYTES {
        let _ = kept.try_with(|kept| kept.set(items));
    }
}

/// An empty vector in the memory of another one whose items are as large: what is collected from its
/// own iterator stays where it is.
fn emptied<T, U>(mut items: Vec<T>) -> Vec<U> {
    items.clear();
    items.into_iter().filter_map(|_| None).collect()
}

impl Appender {
    pub(crate) fn new(protocol: Protocol, disk: Disk, segment_bytes: u64) -> Self {
        Self { protocol, disk, max_record_bytes: max_record_bytes(segment_bytes) }
    }

    /// Appends one record; it is committed on return.
    #[inline]
    pub(crate) fn append(&self, payload: &[u8]) -> Result<u64> {
        let len = self.part_len(payload.len())?;
        self.append_parts(&[Part::new(payload, len)], frame_bytes(len)).map(|(at, _)| at)
    }

    /// Appends one record; it is durable on return.
    pub(crate) fn append_durable(&self, payload: &[u8]) -> Result<u64> {
        let (at, end) = self.place(payload)?;
        match self.sync_until(end) {
            Ok(_) => Ok(at),
            Err(Error::Cut { .. }) => Err(Error::Cut { lsn: Lsn::new(at) }),
            Err(error) => Err(error),
        }
    }

    /// Appends one record; it is committed when anyone commits.
    #[inline]
    pub(crate) fn append_buffered(&self, payload: &[u8]) -> Result<u64> {
        let (at, end) = self.place(payload)?;
        self.protocol.published(&self.disk, end).map_err(|Failed| self.disk.cause.io())?;
        Ok(at)
    }

    /// Has `fill` write a payload of `len` bytes, and appends it; it is committed on return.
    pub(crate) fn append_with(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<u64> {
        self.part_len(len)?;
        self.check_open()?;
        // Taken out, so that a closure that appends as well finds an empty one.
        let mut buffer = taken(&FILLED);
        buffer.clear();
        buffer.resize(len, 0);
        fill(&mut buffer);
        let result = self.append(&buffer);
        keep(&FILLED, buffer);
        result
    }

    /// Appends all of `payloads` or none; they are committed on return. An empty batch appends
    /// nothing.
    pub(crate) fn append_batch(&self, payloads: &[impl AsRef<[u8]>]) -> Result<Range<u64>> {
        let mut need = 0;
        // Taken out, so that code of the caller's that appends as well finds an empty one.
        let mut parts: Vec<Part<'_>> = emptied(taken(&PARTS));
        parts.reserve(payloads.len());
        for payload in payloads {
            let payload = payload.as_ref();
            let len = self.part_len(payload.len())?;
            need += frame_bytes(len);
            parts.push(Part::new(payload, len));
        }
        let max = self.max_record_bytes + FRAME_HEADER_BYTES;
        if need > max {
            return Err(Error::RecordTooLarge { len: need, max });
        }
        self.check_open()?;
        if parts.is_empty() {
            let tail = self.protocol.tail();
            return Ok(tail..tail);
        }
        let appended = self.append_parts(&parts, need).map(|(at, end)| at..end);
        keep(&PARTS, emptied(parts));
        appended
    }

    /// Frames `parts`, `need` bytes in all, beside the ring if that is free to do. Returns their address
    /// and end, which are committed.
    #[inline]
    fn append_parts(&self, parts: &[Part<'_>], need: u64) -> Result<(u64, u64)> {
        if let Some(alone) = append_alone(&self.protocol, &self.disk, parts, need) {
            return alone.map(|at| (at, at + need)).map_err(|Failed| self.disk.cause.io());
        }
        let (at, end) = if self.is_too_big_for_the_ring(need) {
            append_direct(&self.protocol, &self.disk, parts, need)
        } else if let [part] = parts {
            self.protocol.stage(&self.disk, *part)
        } else {
            self.protocol.stage_batch(&self.disk, parts, need)
        }
        .map_err(|refused| self.refused(refused))?;
        self.commit_until(end)?;
        Ok((at, end))
    }

    /// Waits until everything below `target` is committed; returns the watermark.
    #[inline]
    pub(crate) fn commit_until(&self, target: u64) -> Result<u64> {
        self.protocol.commit_until(&self.disk, target).map_err(|stopped| self.disk.stopped(stopped))
    }

    /// Waits until everything below `target` is durable; returns the watermark.
    pub(crate) fn sync_until(&self, target: u64) -> Result<u64> {
        self.sync_outcome(target).map_err(|stopped| self.disk.stopped(stopped))
    }

    /// Makes everything below `target` durable that was not cut away.
    pub(crate) fn sync_kept(&self, target: u64) -> Result<()> {
        let synced = self.protocol.sync_past(&self.disk, target);
        self.disk.bell.watch();
        synced.map_err(|stopped| self.disk.stopped(stopped))
    }

    /// The same in the protocol's words.
    pub(crate) fn sync_outcome(&self, target: u64) -> Outcome {
        let reached = self.protocol.sync_until(&self.disk, target);
        self.disk.bell.watch();
        reached
    }

    /// Seals the active segment early, if it holds a record.
    pub(crate) fn roll(&self) -> Result<()> {
        // Also where there is nothing to roll.
        self.check_open()?;
        self.protocol.roll(&self.disk).map_err(|refused| self.refused(refused))?;
        self.disk.bell.ring();
        Ok(())
    }

    /// The error that claims would get now.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self.protocol.state() {
            None => Ok(()),
            Some(State::Poisoned) => Err(self.disk.cause.poisoned()),
            Some(State::Closed) => Err(Error::Closed),
        }
    }

    /// The error that readers and a closing log get once something failed.
    pub(crate) fn check_poison(&self) -> Result<()> {
        match self.protocol.state() {
            Some(State::Poisoned) => Err(self.disk.cause.poisoned()),
            _ => Ok(()),
        }
    }

    /// Frames one record at an address of its own, through the ring or beside it. Returns its
    /// address and end.
    #[inline]
    fn place(&self, payload: &[u8]) -> Result<(u64, u64)> {
        let len = self.part_len(payload.len())?;
        let part = Part::new(payload, len);
        let need = frame_bytes(len);
        if self.is_too_big_for_the_ring(need) {
            append_direct(&self.protocol, &self.disk, &[part], need)
        } else {
            self.protocol.stage(&self.disk, part)
        }
        .map_err(|refused| self.refused(refused))
    }

    #[inline]
    fn is_too_big_for_the_ring(&self, need: u64) -> bool {
        need > self.protocol.staged_max()
    }

    #[inline]
    fn part_len(&self, len: usize) -> Result<u32> {
        let refuse = || Error::RecordTooLarge { len: len as u64, max: self.max_record_bytes };
        if len as u64 > self.max_record_bytes {
            return Err(refuse());
        }
        u32::try_from(len).map_err(|_| refuse())
    }

    #[cold]
    fn refused(&self, refused: Refused<Error>) -> Error {
        match refused {
            Refused::Stopped(stopped) => self.disk.stopped(stopped),
            Refused::NoRoom(error) => error,
        }
    }
}
