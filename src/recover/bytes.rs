//! [`Bytes`]: the frames of one segment at a time, in one private buffer.
//!
//! Invariant: it never holds more than one segment's file has.

use std::io;

use crate::error::{Error, Op, Result};
use crate::format::{BLOCK_BYTES, Evidence, Salt, evidence};
use crate::recover::facts::{SegmentFile, path_of};
use crate::storage::{Access, Storage, read_exact_at};

#[derive(Debug)]
pub(super) struct Bytes<'a> {
    pub(super) storage: &'a dyn Storage,
    buffer: Vec<u8>,
    /// The base of the segment that the buffer holds.
    held: Option<u64>,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, buffer: Vec::new(), held: None }
    }

    /// The frames area of a segment, as far as its file goes, read unless it is held already.
    pub(super) fn frames(&mut self, segment: &SegmentFile) -> Result<&[u8]> {
        if self.held != Some(segment.base) {
            self.read(segment)?;
        }
        Ok(&self.buffer)
    }

    /// Reads a segment's frames area, whatever is held.
    pub(super) fn read(&mut self, segment: &SegmentFile) -> Result<()> {
        self.held = None;
        let path = || path_of(self.storage, segment);
        let len = usize::try_from(segment.area_bytes())
            .map_err(|_| Error::io(Op::Read, path(), io::ErrorKind::OutOfMemory.into()))?;
        let file = self
            .storage
            .open(&segment.name(), Access::Read)
            .map_err(|source| Error::io(Op::Open, path(), source))?;
        if self.buffer.capacity() < len {
            // A new one comes zeroed from the system; growing the old one would copy it.
            self.buffer = vec![0; len];
        } else {
            self.buffer.resize(len, 0);
        }
        read_exact_at(&*file, &mut self.buffer, BLOCK_BYTES)
            .map_err(|source| Error::io(Op::Read, path(), source))?;
        self.held = Some(segment.base);
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
        Ok(evidence(self.frames(segment)?, start, from.max(start), above, salt))
    }

    /// How many bytes there are from `from` to the last one that is not zero.
    pub(super) fn left_from(&mut self, segment: &SegmentFile, from: u64) -> Result<u64> {
        let skip = usize::try_from(from.saturating_sub(segment.start())).unwrap_or(usize::MAX);
        let rest = self.frames(segment)?.get(skip..).unwrap_or_default();
        let mut end = rest.len();
        // Whole pages of zeros are looked at many bytes at a time.
        for page in rest.rchunks(4096) {
            if page.iter().fold(0, |any, byte| any | byte) != 0 {
                let last = page.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                return Ok((end - page.len() + last) as u64 + 1);
            }
            end -= page.len();
        }
        Ok(0)
    }
}
