//! [`Bytes`]: the frames of one segment at a time, in one private buffer.
//!
//! Invariant: it never holds more than one segment's file has; behind the bytes that are not zero it
//! holds zeros.
//!
//! Most of a segment that was in use is zeros still. They are read, but not kept: fresh memory that
//! is only ever zero costs nothing, while filling it costs many times the read.

use std::io;

use crate::error::{Error, Op, Result};
use crate::format::{BLOCK_BYTES, Evidence, Salt, evidence_in};
use crate::recover::facts::{SegmentFile, path_of};
use crate::storage::{Access, Storage, StorageFile, read_exact_at};

/// How much is read at once: it stays in the processor's cache.
const STEP_BYTES: usize = 256 << 10;
/// What is zero in steps of this size is not copied.
const PAGE_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Bytes<'a> {
    pub(super) storage: &'a dyn Storage,
    /// At least as long as the longest segment read so far.
    buffer: Vec<u8>,
    /// The bytes read last, before it is known whether they are zeros.
    step: Vec<u8>,
    /// The length of the frames area that is held.
    len: usize,
    /// Everything in the buffer from here on is zero.
    content: usize,
    /// The base of the segment that is held, as far as its file goes.
    held: Option<u64>,
    /// The base of the segment of which a beginning is held.
    begun: Option<u64>,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(storage: &'a dyn Storage) -> Self {
        let (buffer, step) = (Vec::new(), Vec::new());
        Self { storage, buffer, step, len: 0, content: 0, held: None, begun: None }
    }

    /// The frames area of a segment, as far as its file goes, read unless it is held already.
    pub(super) fn frames(&mut self, segment: &SegmentFile) -> Result<&[u8]> {
        if self.held != Some(segment.base) {
            self.read(segment, segment.area_bytes())?;
            self.held = Some(segment.base);
        }
        Ok(self.buffer.get(..self.len).unwrap_or_default())
    }

    /// The frames of a segment up to `end`, and a little more.
    pub(super) fn frames_to(&mut self, segment: &SegmentFile, end: u64) -> Result<&[u8]> {
        let wanted = end.saturating_sub(segment.start()).saturating_add(BLOCK_BYTES);
        let wanted = wanted.min(segment.area_bytes());
        let has = [self.held, self.begun].contains(&Some(segment.base));
        if !has || (self.len as u64) < wanted {
            self.read(segment, wanted)?;
        }
        Ok(self.buffer.get(..self.len).unwrap_or_default())
    }

    /// Forgets what is held, so that it is read again.
    pub(super) fn forget(&mut self) {
        (self.held, self.begun) = (None, None);
    }

    /// Reads the first bytes of a segment's frames area.
    fn read(&mut self, segment: &SegmentFile, len: u64) -> Result<()> {
        self.forget();
        let path = || path_of(self.storage, segment);
        let len = usize::try_from(len)
            .map_err(|_| Error::io(Op::Read, path(), io::ErrorKind::OutOfMemory.into()))?;
        let file = self
            .storage
            .open(&segment.name(), Access::Read)
            .map_err(|source| Error::io(Op::Open, path(), source))?;
        if self.buffer.len() < len {
            // A new one comes zeroed from the system; growing the old one would write zeros.
            self.buffer = vec![0; len];
        } else {
            self.buffer.get_mut(..self.content).unwrap_or_default().fill(0);
        }
        self.content = 0;
        self.step.resize(STEP_BYTES.min(len), 0);
        self.len = len;
        self.fill(&*file)
            .map_err(|source| Error::io(Op::Read, path_of(self.storage, segment), source))?;
        self.begun = Some(segment.base);
        Ok(())
    }

    /// Copies all pages that are not zero.
    fn fill(&mut self, file: &dyn StorageFile) -> io::Result<()> {
        let mut at = 0;
        while at < self.len {
            let bytes = STEP_BYTES.min(self.len - at);
            let step = self.step.get_mut(..bytes).unwrap_or_default();
            read_exact_at(file, step, BLOCK_BYTES + at as u64)?;
            for page in step.chunks(PAGE_BYTES) {
                let end = at + page.len();
                if !is_zero(page)
                    && let Some(to) = self.buffer.get_mut(at..end)
                {
                    to.copy_from_slice(page);
                    self.content = end;
                }
                at = end;
            }
        }
        Ok(())
    }

    /// The first frame from `from` on that proves the log to have been durable beyond `above`.
    pub(super) fn evidence(
        &mut self,
        segment: &SegmentFile,
        from: u64,
        above: u64,
    ) -> Result<Option<Evidence>> {
        let salt = Salt::new(&segment.id);
        let start = segment.start();
        self.frames(segment)?;
        // No frame begins in zeros.
        let to = start.saturating_add(self.content as u64);
        Ok(evidence_in(self.frames(segment)?, start, from.max(start)..to, above, salt))
    }

    /// How many bytes there are from `from` to the last one that is not zero.
    pub(super) fn left_from(&mut self, segment: &SegmentFile, from: u64) -> Result<u64> {
        let skip = usize::try_from(from.saturating_sub(segment.start())).unwrap_or(usize::MAX);
        self.frames(segment)?;
        let rest = self.buffer.get(skip..self.content).unwrap_or_default();
        let mut end = rest.len();
        for page in rest.rchunks(PAGE_BYTES) {
            if !is_zero(page) {
                let last = page.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                return Ok((end - page.len() + last) as u64 + 1);
            }
            end -= page.len();
        }
        Ok(0)
    }
}

/// Looks at many bytes at a time.
fn is_zero(page: &[u8]) -> bool {
    page.iter().fold(0, |any, byte| any | byte) == 0
}
