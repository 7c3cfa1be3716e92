//! [`SegmentFile`] and [`Frames`]: a segment file read frame by frame, by plain reads.
//!
//! Invariant: nothing is mapped, so that a bad disk is an error; and whatever the file holds, no more
//! memory is taken than its largest frame needs, and no more than it is long.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use stratalog::format::{
    BLOCK_BYTES, Defect, FRAME_HEADER_BYTES, FrameHeader, Kind, Salt, SegmentHeader, Trailer,
    frame_at, frames_end, frames_start,
};

use crate::failure::Failure;

/// How much is read at once.
const WINDOW_BYTES: u64 = 1 << 20;
const FRAME_HEADER_LEN: usize = 16;

/// A segment file whose header is valid.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    file: File,
    /// The length of the file.
    pub(crate) bytes: u64,
    pub(crate) header: SegmentHeader,
}

/// The last block of a segment file.
#[derive(Debug)]
pub(crate) enum Sealing {
    /// Zeros: the segment is not sealed.
    Blank,
    /// What the trailer says, and its checksum.
    Sealed(Trailer, u32),
    Invalid(Defect),
}

impl SegmentFile {
    /// Opens a file and reads its header; the inner error says what is wrong with that.
    pub(crate) fn open(path: &Path) -> Result<Result<Self, Defect>, Failure> {
        let mut file = File::open(path).map_err(|source| Failure::io("open", path, source))?;
        let failed = |source| Failure::io("read", path, source);
        let bytes = file.metadata().map_err(failed)?.len();
        let block = read_at(&mut file, 0, BLOCK_BYTES.min(bytes)).map_err(failed)?;
        let opened = |header| Self { path: path.into(), file, bytes, header };
        Ok(SegmentHeader::decode(&block).map(opened))
    }

    /// Where its frames begin.
    pub(crate) fn start(&self) -> u64 {
        frames_start(self.header.base)
    }

    /// Where its frames end at the latest, as far as the file goes.
    pub(crate) fn limit(&self) -> u64 {
        let top = self.header.base.saturating_add(self.bytes);
        frames_end(self.header.base, self.header.segment_bytes).min(top).max(self.start())
    }

    /// Reads the trailer.
    pub(crate) fn sealing(&mut self) -> Result<Sealing, Failure> {
        let offset = self.header.segment_bytes - BLOCK_BYTES;
        let len = self.bytes.saturating_sub(offset).min(BLOCK_BYTES);
        let read = read_at(&mut self.file, offset, len);
        let block = read.map_err(|source| Failure::io("read", &self.path, source))?;
        if block.len() as u64 == BLOCK_BYTES && block.iter().all(|byte| *byte == 0) {
            return Ok(Sealing::Blank);
        }
        Ok(match Trailer::decode(&block, &self.header.id, self.header.base) {
            Ok((trailer, checksum)) => Sealing::Sealed(trailer, checksum),
            Err(defect) => Sealing::Invalid(defect),
        })
    }

    /// Walks the frames from `from`, a frame boundary, to `until`.
    pub(crate) fn frames(&mut self, from: u64, until: u64) -> Frames<'_> {
        let until = until.min(self.limit());
        Frames { segment: self, at: from, until, window: Vec::new(), window_start: from }
    }

    /// Reads all bytes between two addresses, as far as they are there.
    pub(crate) fn read(&mut self, from: u64, to: u64) -> Result<Vec<u8>, Failure> {
        let base = self.header.base;
        let offset = from.saturating_sub(base);
        let len = to.min(base.saturating_add(self.bytes)).saturating_sub(from);
        read_at(&mut self.file, offset, len)
            .map_err(|source| Failure::io("read", &self.path, source))
    }
}

/// Reads so many bytes, or less where the file ends.
fn read_at(file: &mut File, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes =
        Vec::with_capacity(usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?);
    file.seek(SeekFrom::Start(offset))?;
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A frame that was checked.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) lsn: u64,
    pub(crate) header: FrameHeader,
    /// Empty for a padding.
    pub(crate) payload: &'a [u8],
    /// What a trailer sums: all bytes, or of a padding the header.
    pub(crate) summed: &'a [u8],
}

/// Why a walk can't go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// What lies at the walk's place is no frame.
    Defect(Defect),
    Failed(Failure),
}

/// A walk from frame to frame.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    segment: &'a mut SegmentFile,
    at: u64,
    until: u64,
    window: Vec<u8>,
    /// The address of the window's first byte.
    window_start: u64,
}

impl Frames<'_> {
    /// Where the walk has come to.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next frame, checked; `None` at the end. After a defect the walk stays where it is.
    pub(crate) fn next(&mut self) -> Result<Option<Checked<'_>>, Stop> {
        let (lsn, left) = (self.at, self.until.saturating_sub(self.at));
        // A remainder that no frame fits into is the end too.
        if left < FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let header = self.header()?;
        let frame_bytes = header.frame_bytes();
        if frame_bytes > left {
            let max = left - FRAME_HEADER_BYTES;
            return Err(Stop::Defect(Defect::Length { max, found: u64::from(header.len) }));
        }
        let salt = Salt::new(&self.segment.header.id);
        if header.kind == Kind::Padding {
            let expected = header.expected_checksum(0, salt.at(lsn));
            if header.checksum != expected {
                let found = header.checksum;
                return Err(Stop::Defect(Defect::Checksum { expected, found }));
            }
            self.at = lsn + frame_bytes;
            let summed = self.window_at(lsn, FRAME_HEADER_BYTES);
            return Ok(Some(Checked { lsn, header, payload: &[], summed }));
        }
        self.load(frame_bytes)?;
        let bytes = self.window_at(lsn, frame_bytes);
        frame_at(bytes, lsn, lsn, salt).map_err(Stop::Defect)?;
        self.at = lsn + frame_bytes;
        let summed = self.window_at(lsn, frame_bytes);
        let (_, body) = summed.split_at_checked(FRAME_HEADER_LEN).unwrap_or_default();
        let payload = usize::try_from(header.len).ok().and_then(|len| body.get(..len));
        Ok(Some(Checked { lsn, header, payload: payload.unwrap_or_default(), summed }))
    }

    /// Goes on elsewhere.
    pub(crate) fn resume(&mut self, at: u64) {
        self.at = at;
    }

    fn header(&mut self) -> Result<FrameHeader, Stop> {
        self.load(FRAME_HEADER_BYTES)?;
        let encoded = self.window_at(self.at, FRAME_HEADER_BYTES).first_chunk();
        let encoded = *encoded.ok_or(Stop::Defect(Defect::Malformed))?;
        FrameHeader::decode(encoded).map_err(Stop::Defect)
    }

    /// Has so many bytes from `at` on in the window, as far as they are there.
    fn load(&mut self, len: u64) -> Result<(), Stop> {
        let window_end = self.window_start + self.window.len() as u64;
        if self.at < self.window_start || window_end < self.at + len {
            let to = self.at.saturating_add(len.max(WINDOW_BYTES)).min(self.until);
            self.window = self.segment.read(self.at, to).map_err(Stop::Failed)?;
            self.window_start = self.at;
        }
        Ok(())
    }

    /// Bytes of the window; fewer where it ends.
    fn window_at(&self, at: u64, len: u64) -> &[u8] {
        let offset = |at: u64| usize::try_from(at - self.window_start).unwrap_or(usize::MAX);
        let rest = self.window.get(offset(at)..).unwrap_or_default();
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        rest.get(..len).unwrap_or(rest)
    }
}
