//! [`Bytes`]: the frames of segments, and what was found out about them by reading.
//!
//! Invariant: it never holds more than one segment's file has; behind the bytes that are not zero it
//! holds zeros. What it remembers was so in the bytes that it read.
//!
//! What the walk is going to ask for can be looked up [ahead](Bytes::look_ahead), by several threads.
//!
//! Scanning, and looking whether there is anything but zeros, goes through [`Windows`], and is done
//! once. Only who searches for frames at any place needs a whole segment at hand. Most of one that was
//! in use is zeros still. They are read, but not kept: fresh memory that is only ever zero costs
//! nothing, while filling it costs many times the read.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::{
    BLOCK_BYTES, Evidence, FRAME_HEADER_BYTES, Salt, ScanEnd, Stopped, Summary, evidence_in, scan,
};
use crate::recover::ahead::{Answer, Question, Task, look, threads_for};
use crate::recover::facts::{SegmentFile, path_of};
use crate::recover::windows::{Area, Windows, is_zero, last_content};
use crate::storage::{Access, Storage, StorageFile, read_exact_at};

/// How much is read at once: it stays in the processor's cache.
const STEP_BYTES: usize = 256 << 10;
/// What is zero in steps of this size is not copied.
const PAGE_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Bytes<'a> {
    pub(super) storage: &'a dyn Storage,
    /// Whether more than this thread may read.
    pub(super) may_use_threads: bool,
    /// What was looked up ahead and not asked for yet.
    ahead: Vec<Answer>,
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
    /// What was scanned from its start on without being held.
    sums: Vec<Scanned>,
    /// Where the content of segments ends that were looked at without being held.
    rests: Vec<Rest>,
}

#[derive(Debug)]
struct Scanned {
    base: u64,
    end: u64,
    sum: Summary,
}

/// From `from` to `content` there may be anything; from there on a segment is zero.
#[derive(Debug)]
struct Rest {
    base: u64,
    from: u64,
    content: u64,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(storage: &'a dyn Storage) -> Self {
        let (buffer, step) = (Vec::new(), Vec::new());
        let (sums, rests, ahead) = (Vec::new(), Vec::new(), Vec::new());
        let may_use_threads = false;
        Self {
            storage,
            may_use_threads,
            ahead,
            buffer,
            step,
            len: 0,
            content: 0,
            held: None,
            sums,
            rests,
        }
    }

    /// Finds out on several threads what is going to be asked, if there is enough to read.
    pub(super) fn look_ahead(&mut self, tasks: &[Task<'_>]) {
        let threads = if self.may_use_threads { threads_for(tasks) } else { 1 };
        if threads < 2 {
            return;
        }
        self.ahead = look(self.storage, tasks, threads);
        for Answer { base, rest, .. } in &self.ahead {
            if let Some((from, content)) = *rest {
                self.rests.push(Rest { base: *base, from, content });
            }
        }
    }

    /// Scans frames through windows, unless that was done ahead.
    fn scan_once(
        &mut self,
        segment: &SegmentFile,
        from: u64,
        until: Option<u64>,
    ) -> Result<(ScanEnd, Summary)> {
        let question = Question::Frames { from, until };
        let is_known = |it: &Answer| it.base == segment.base && it.question == question;
        let known = self.ahead.iter().position(is_known).map(|at| self.ahead.swap_remove(at));
        if let Some(found) = known.and_then(|known| known.frames) {
            return Ok(found);
        }
        let salt = Salt::new(&segment.id);
        self.through_windows(segment, |it| it.scan(from, until, salt))
    }

    /// The frames area of a segment, as far as its file goes, read unless it is held already.
    pub(super) fn frames(&mut self, segment: &SegmentFile) -> Result<&[u8]> {
        if self.held != Some(segment.base) {
            self.read(segment)?;
        }
        Ok(self.buffer.get(..self.len).unwrap_or_default())
    }

    /// Checks the frames of a segment from `from` on, as [`scan`] of its frames area does.
    pub(super) fn scan(
        &mut self,
        segment: &SegmentFile,
        from: u64,
        until: Option<u64>,
    ) -> Result<ScanEnd> {
        let salt = Salt::new(&segment.id);
        if self.held == Some(segment.base) {
            let area = self.buffer.get(..self.len).unwrap_or_default();
            return Ok(scan(area, segment.start(), from, until, salt));
        }
        let (found, sum) = self.scan_once(segment, from, until)?;
        if from == segment.start() {
            self.sums.retain(|known| known.base != segment.base);
            self.sums.push(Scanned { base: segment.base, end: found.end, sum });
        }
        // Whatever follows an invalid frame is judged in the same bytes as that: where they are
        // just being written, those that are read later tell something else.
        if found.stopped != Stopped::Complete && self.left_from(segment, found.end)? > 0 {
            return Ok(scan(self.frames(segment)?, segment.start(), from, until, salt));
        }
        Ok(found)
    }

    /// What the frames of a segment up to `end` come to, if all of them are valid.
    pub(super) fn summary(&mut self, segment: &SegmentFile, end: u64) -> Result<Option<Summary>> {
        let start = segment.start();
        // A remainder at the area's end that no frame fits into belongs to them.
        let whole = end == start.saturating_add(segment.area_bytes());
        let fits = |known: &&Scanned| {
            let rest = end.checked_sub(known.end);
            known.base == segment.base
                && rest.is_some_and(|rest| rest == 0 || (whole && rest < FRAME_HEADER_BYTES))
        };
        if let Some(known) = self.sums.iter().find(fits) {
            return Ok(Some(known.sum));
        }
        self.held = None;
        let found = self.scan(segment, start, Some(end))?;
        let known = self.sums.iter().find(fits).map(|known| known.sum);
        Ok(known.filter(|_| found.stopped == Stopped::Complete))
    }

    /// Reads a part of a segment's frames area.
    pub(super) fn read_range(&self, segment: &SegmentFile, range: Range<u64>) -> Result<Vec<u8>> {
        let failed = |source| Error::io(Op::Read, path_of(self.storage, segment), source);
        let len = usize::try_from(range.end.saturating_sub(range.start))
            .map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        let file = self.open(segment)?;
        let mut bytes = vec![0; len];
        read_exact_at(&*file, &mut bytes, range.start.saturating_sub(segment.base))
            .map_err(failed)?;
        Ok(bytes)
    }

    fn open(&self, segment: &SegmentFile) -> Result<Arc<dyn StorageFile>> {
        self.storage
            .open(&segment.name(), Access::Read)
            .map_err(|source| Error::io(Op::Open, path_of(self.storage, segment), source))
    }

    fn through_windows<T>(
        &mut self,
        segment: &SegmentFile,
        work: impl FnOnce(&mut Windows<'_>) -> io::Result<T>,
    ) -> Result<T> {
        let file = self.open(segment)?;
        let end = segment.start().saturating_add(segment.area_bytes());
        let area = Area { base: segment.base, end };
        work(&mut Windows { file: &*file, buffer: &mut self.step, area })
            .map_err(|source| Error::io(Op::Read, path_of(self.storage, segment), source))
    }

    /// Reads a segment's frames area.
    fn read(&mut self, segment: &SegmentFile) -> Result<()> {
        self.held = None;
        let failed = |source| Error::io(Op::Read, path_of(self.storage, segment), source);
        let len = usize::try_from(segment.area_bytes())
            .map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        let file = self.open(segment)?;
        if self.buffer.len() < len {
            // A new one comes zeroed from the system; growing the old one would write zeros.
            self.buffer = vec![0; len];
        } else {
            self.buffer.get_mut(..self.content).unwrap_or_default().fill(0);
        }
        self.content = 0;
        if self.step.len() < STEP_BYTES {
            self.step.resize(STEP_BYTES, 0);
        }
        self.len = len;
        self.fill(&*file)
            .map_err(|source| Error::io(Op::Read, path_of(self.storage, segment), source))?;
        self.held = Some(segment.base);
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
        let start = segment.start();
        let from = from.max(start);
        if self.left_from(segment, from)? == 0 {
            return Ok(None);
        }
        let salt = Salt::new(&segment.id);
        self.frames(segment)?;
        // No frame begins in zeros.
        let to = start.saturating_add(self.content as u64);
        Ok(evidence_in(self.frames(segment)?, start, from..to, above, salt))
    }

    /// How many bytes there are from `from` to the last one that is not zero.
    pub(super) fn left_from(&mut self, segment: &SegmentFile, from: u64) -> Result<u64> {
        if self.held == Some(segment.base) {
            let skip = usize::try_from(from.saturating_sub(segment.start())).unwrap_or(usize::MAX);
            let rest = self.buffer.get(skip..self.content).unwrap_or_default();
            return Ok(last_content(rest).map_or(0, |last| last as u64 + 1));
        }
        let base = segment.base;
        let known = self.rests.iter().find(|known| known.base == base && known.from <= from);
        if let Some(known) = known {
            return Ok(known.content.saturating_sub(from));
        }
        let content = self.through_windows(segment, |it| it.content_end(from))?;
        self.rests.retain(|known| known.base != base);
        self.rests.push(Rest { base, from, content });
        Ok(content.saturating_sub(from))
    }
}
