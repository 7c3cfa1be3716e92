//! [`Windows`]: scans and searches a segment's frames area through one small buffer.
//!
//! Invariant: a [`scan`](Windows::scan) finds what [`scan`] of the whole area would find. A window's
//! verdict counts only if no byte behind the window could change it.
//!
//! The buffer stays in the processor's cache. One for a whole segment would be fresh memory, and to
//! fill that takes several times as long as to read and to check what is put there.

use std::io;

use crate::format::{Defect, FRAME_HEADER_BYTES, Salt, ScanEnd, Stopped, Summary, scan};
use crate::storage::{StorageFile, read_exact_at};

/// How much is read at once, unless one frame or batch is longer.
pub(super) const WINDOW_BYTES: u64 = if cfg!(test) { 512 } else { 256 << 10 };
/// What is looked at together for bytes that are not zero.
const PAGE_BYTES: usize = 4096;

/// Where a frames area lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    /// Where its file begins.
    pub(super) base: u64,
    pub(super) end: u64,
}

#[derive(Debug)]
pub(super) struct Windows<'a> {
    pub(super) file: &'a dyn StorageFile,
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) area: Area,
}

impl Windows<'_> {
    /// Checks all frames from `from` on as [`scan`] does, and sums up those before the end that it
    /// returns.
    pub(super) fn scan(
        &mut self,
        from: u64,
        until: Option<u64>,
        salt: Salt,
    ) -> io::Result<(ScanEnd, Summary)> {
        let limit = until.unwrap_or(self.area.end).min(self.area.end);
        let mut sum = Summary::default();
        let mut all = ScanEnd {
            end: from,
            records: 0,
            first: None,
            last: None,
            watermark: None,
            stopped: Stopped::Invalid { at: from, defect: Defect::Malformed },
        };
        if from > limit {
            return Ok((all, sum));
        }
        let mut size = WINDOW_BYTES;
        loop {
            let at = all.end;
            let is_last = limit - at <= size;
            // With a little of what follows an end that was named, which is not the area's then.
            let to = if is_last { limit.saturating_add(8).min(self.area.end) } else { at + size };
            let window = self.read(at, to)?;
            let found = scan(window, at, at, until.filter(|_| is_last), salt);
            let verdict = is_last || is_certain(window, at, &found.stopped);
            let valid = usize::try_from(found.end - at).unwrap_or(usize::MAX);
            // Valid frames walk.
            let _ = sum.add(window.get(..valid).unwrap_or(window), at, || {});
            all = ScanEnd {
                end: found.end,
                records: all.records + found.records,
                first: all.first.or(found.first),
                last: found.last.or(all.last),
                watermark: all.watermark.max(found.watermark),
                stopped: found.stopped,
            };
            if verdict {
                return Ok((all, sum));
            }
            size = if found.end > at { WINDOW_BYTES } else { size.saturating_mul(4) };
        }
    }

    /// The end of the last byte from `from` on that is not zero; `from` if all are.
    pub(super) fn content_end(&mut self, from: u64) -> io::Result<u64> {
        let (mut at, mut content) = (from, from);
        while at < self.area.end {
            let to = self.area.end.min(at + WINDOW_BYTES);
            if let Some(last) = last_content(self.read(at, to)?) {
                content = at + last as u64 + 1;
            }
            at = to;
        }
        Ok(content)
    }

    fn read(&mut self, from: u64, to: u64) -> io::Result<&[u8]> {
        let len = usize::try_from(to - from).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        let window = self.buffer.get_mut(..len).unwrap_or_default();
        read_exact_at(self.file, window, from - self.area.base)?;
        Ok(window)
    }
}

/// Whether what a scan stopped at is so whatever follows the window.
fn is_certain(window: &[u8], start: u64, stopped: &Stopped) -> bool {
    let (at, defect) = match *stopped {
        Stopped::Complete => return false,
        Stopped::Invalid { at, defect } | Stopped::TornBatch { at, defect, .. } => (at, defect),
        // Or the window's end, where there is no header any more.
        Stopped::BrokenBatch { at, .. } => (at, Defect::Malformed),
    };
    let header_fits = at - start + FRAME_HEADER_BYTES <= window.len() as u64;
    header_fits && !matches!(defect, Defect::Length { .. })
}

/// Where the last byte lies that is not zero.
pub(super) fn last_content(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    for page in bytes.rchunks(PAGE_BYTES) {
        end -= page.len();
        if !is_zero(page) {
            return page.iter().rposition(|byte| *byte != 0).map(|last| end + last);
        }
    }
    None
}

/// Looks at many bytes at a time.
pub(super) fn is_zero(page: &[u8]) -> bool {
    page.iter().fold(0, |any, byte| any | byte) == 0
}
