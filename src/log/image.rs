//! [`SegmentImage`]: a sealed segment in memory, every byte of which was checked, to be written
//! elsewhere; and [`verify_segment`].
//!
//! Invariant: what is written are the bytes that were checked. Bodies of paddings are neither read
//! nor written: a copy has zeros there, so that copies of one segment are the same to the byte.

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::error::{Corruption, Error, Op, Result};
use crate::format::layout::BLOCK_LEN;
use crate::format::{
    BLOCK_BYTES, Defect, FRAME_HEADER_BYTES, FrameHeader, Kind, Link, MAX_ADDRESS, Salt,
    SegmentHeader, Stopped, Summary, Trailer, VERSION, archived, frame_at, frames_end,
    frames_start, scan, summarize,
};
use crate::lsn::Lsn;
use crate::segment::control::no_space_or_io;
use crate::segment::seal::trailer_of;
use crate::storage::{Access, FileStorage, Storage, StorageFile, read_exact_at, write_all_at};

use super::info::{SegmentInfo, SegmentSeal, SegmentState};

/// How much is read at once.
const STEP_BYTES: usize = 1 << 20;
/// A body of a padding from this size on is not written, and given back to the file system.
const HOLE_BYTES: u64 = 64 << 10;

/// Checks one sealed segment file by itself: its header, its name where that says a base or a
/// checksum, every frame's checksum, and that the trailer sums up exactly these frames. It may lie in
/// a log, in an archive, or anywhere else under any name.
///
/// # Errors
///
/// [`Corrupt`](Error::Corrupt) names the first place that is not as it was written, also where the
/// segment is not sealed; [`UnsupportedFormat`](Error::UnsupportedFormat); [`Io`](Error::Io).
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path().join("wal");
/// use stratalog::{Log, SegmentState, verify_segment};
/// let log = Log::open(&dir)?;
/// let lsn = log.append(b"one")?;
/// log.roll()?;
/// log.close()?;
///
/// let log = Log::open(&dir)?;
/// let sealed = log.segments().into_iter().find(|it| it.state == SegmentState::Sealed);
/// let sealed = sealed.expect("a sealed segment");
/// let copy = folder.path().join("a copy");
/// std::fs::copy(&sealed.path, &copy)?;
/// let checked = verify_segment(&copy)?;
/// assert_eq!(checked.seal, sealed.seal);
/// assert_eq!(checked.seal.expect("it is sealed").first, Some(lsn));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify_segment(path: impl AsRef<Path>) -> Result<SegmentInfo> {
    let path = path.as_ref();
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        return Err(Error::io(Op::Open, path, io::ErrorKind::InvalidFilename.into()));
    };
    verify_segment_with(&FileStorage::new(path.parent().unwrap_or(Path::new(""))), name)
}

/// Checks one sealed segment file of a storage. See [`verify_segment`].
///
/// # Errors
///
/// As [`verify_segment`].
pub fn verify_segment_with(storage: &dyn Storage, name: &str) -> Result<SegmentInfo> {
    let image = SegmentImage::open(storage, name)?;
    if let crate::format::FileKind::Segment(base) = crate::format::classify(name) {
        image.expect_base(base, &storage.path(name))?;
    }
    Ok(image.info(&storage.path(name)))
}

/// A sealed segment that was read whole and checked.
#[derive(Debug)]
pub(super) struct SegmentImage {
    pub(super) header: SegmentHeader,
    pub(super) link: Link,
    pub(super) trailer: Trailer,
    /// The trailer's checksum.
    pub(super) checksum: u32,
    /// The file from its beginning to the end of its frames.
    bytes: Vec<u8>,
    /// Where in them bodies of paddings lie.
    holes: Vec<Range<u64>>,
}

fn corrupt(path: &Path, base: u64, at: u64, reason: Corruption) -> Error {
    let (offset, lsn) = (at.saturating_sub(base), Some(Lsn::new(at)));
    Error::Corrupt { path: path.into(), offset, lsn, reason }
}

fn mismatch(field: &'static str, expected: u64, found: u64) -> Corruption {
    Corruption::Mismatch { field, expected, found }
}

fn defect_error(path: &Path, offset: u64, defect: Defect) -> Error {
    match defect {
        Defect::Version { found } => {
            Error::UnsupportedFormat { path: path.into(), found, supported: VERSION }
        }
        defect => Error::Corrupt {
            path: path.into(),
            offset,
            lsn: None,
            reason: Corruption::from(defect),
        },
    }
}

/// What the first and the last block of a segment file say, and its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) header: SegmentHeader,
    pub(super) link: Link,
    pub(super) trailer: Trailer,
    pub(super) checksum: u32,
}

impl Outline {
    /// Reads and checks header, link and trailer, each against the others and the length of the file.
    pub(super) fn read(file: &dyn StorageFile, path: &Path) -> Result<Self> {
        let failed = |source| Error::io(Op::Read, path, source);
        let found = file.size().map_err(failed)?;
        let mut block = [0; BLOCK_LEN];
        let too_short = |expected| Error::Corrupt {
            path: path.into(),
            offset: found,
            lsn: None,
            reason: Corruption::FileLength { expected, found },
        };
        if found < 2 * BLOCK_BYTES + FRAME_HEADER_BYTES {
            return Err(too_short(crate::format::MIN_SEGMENT_BYTES));
        }
        read_exact_at(file, &mut block, 0).map_err(failed)?;
        let header =
            SegmentHeader::decode(&block).map_err(|defect| defect_error(path, 0, defect))?;
        let SegmentHeader { id, base, segment_bytes } = header;
        if found != segment_bytes {
            return Err(too_short(segment_bytes));
        }
        if base + segment_bytes > MAX_ADDRESS {
            // No log goes on behind it.
            let reason = mismatch("base below", MAX_ADDRESS - segment_bytes, base);
            return Err(corrupt(path, base, base, reason));
        }
        let start = frames_start(base);
        let mut first = [0; 48];
        read_exact_at(file, &mut first, BLOCK_BYTES).map_err(failed)?;
        let link = link_of(&first, start, Salt::new(&id))
            .map_err(|defect| corrupt(path, base, start, defect.into()))?;
        read_exact_at(file, &mut block, segment_bytes - BLOCK_BYTES).map_err(failed)?;
        let (trailer, checksum) = Trailer::decode(&block, &id, base)
            .map_err(|defect| defect_error(path, segment_bytes - BLOCK_BYTES, defect))?;
        let most = frames_end(base, segment_bytes);
        if trailer.end > most {
            let reason = mismatch("end up to", most, trailer.end);
            return Err(corrupt(path, base, most, reason));
        }
        Ok(Self { header, link, trailer, checksum })
    }

    /// Refuses a file whose name in an archive says something else.
    pub(super) fn check_name(&self, name: &str, path: &Path) -> Result<()> {
        let Some((base, checksum)) = archived(name) else { return Ok(()) };
        expect_base(self.header.base, base, path)?;
        if checksum != self.checksum {
            let reason = Corruption::Checksum { expected: checksum, found: self.checksum };
            let offset = self.header.segment_bytes - BLOCK_BYTES;
            return Err(Error::Corrupt { path: path.into(), offset, lsn: None, reason });
        }
        Ok(())
    }
}

fn expect_base(found: u64, expected: u64, path: &Path) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let reason = mismatch("base", expected, found);
    Err(Error::Corrupt { path: path.into(), offset: 0, lsn: None, reason })
}

fn link_of(bytes: &[u8], start: u64, salt: Salt) -> Result<Link, Defect> {
    let frame = frame_at(bytes, start, start, salt)?;
    match frame.header.kind {
        Kind::Link => Link::decode(frame.payload),
        Kind::Record | Kind::Padding => Err(Defect::Malformed),
    }
}

impl SegmentImage {
    /// Reads and checks the file of that name.
    pub(super) fn open(storage: &dyn Storage, name: &str) -> Result<Self> {
        let path = storage.path(name);
        let file = storage
            .open(name, Access::Read)
            .map_err(|source| Error::io(Op::Open, path.clone(), source))?;
        let outline = Outline::read(&*file, &path)?;
        outline.check_name(name, &path)?;
        Self::read(&*file, &path, outline)
    }

    /// Reads and checks everything between header and trailer.
    pub(super) fn read(file: &dyn StorageFile, path: &Path, outline: Outline) -> Result<Self> {
        let Outline { header, link, trailer, checksum } = outline;
        let mut reading = Reading::new(file, trailer.end - header.base)
            .map_err(|source| Error::io(Op::Read, path, source))?;
        reading.run().map_err(|source| Error::io(Op::Read, path, source))?;
        let Reading { bytes, holes, .. } = reading;
        let image = Self { header, link, trailer, checksum, bytes, holes };
        image.check(path)?;
        Ok(image)
    }

    /// Makes the image of frames that were made: `bytes` from the beginning of the file on.
    pub(super) fn made(
        header: SegmentHeader,
        link: Link,
        (bytes, holes): (Vec<u8>, Vec<Range<u64>>),
        previous_checksum: u32,
        path: &Path,
    ) -> Result<Self> {
        let end = header.base + bytes.len() as u64;
        let frames = bytes.get(BLOCK_LEN..).unwrap_or_default();
        let summary = summarize(frames, frames_start(header.base))
            .map_err(|it| corrupt(path, header.base, it.at, it.defect.into()))?;
        let trailer = trailer_of(&summary, end, previous_checksum);
        let mut image = Self { header, link, trailer, checksum: 0, bytes, holes };
        image.checksum = image.encoded_trailer().1;
        image.check(path)?;
        Ok(image)
    }

    fn frames(&self) -> &[u8] {
        self.bytes.get(BLOCK_LEN..).unwrap_or_default()
    }

    fn start(&self) -> u64 {
        frames_start(self.header.base)
    }

    /// Every frame is valid, and the trailer sums up exactly these.
    fn check(&self, path: &Path) -> Result<()> {
        let (base, start, end) = (self.header.base, self.start(), self.trailer.end);
        let salt = Salt::new(&self.header.id);
        let found = scan(self.frames(), start, start, Some(end), salt);
        match found.stopped {
            Stopped::Complete => {}
            Stopped::Invalid { at, defect } | Stopped::TornBatch { at, defect, .. } => {
                return Err(corrupt(path, base, at, defect.into()));
            }
            Stopped::BrokenBatch { at, .. } => {
                return Err(corrupt(path, base, at, Corruption::BrokenBatch));
            }
        }
        let Summary { records, first, last, frames_crc } = summarize(self.frames(), start)
            .map_err(|it| corrupt(path, base, it.at, it.defect.into()))?;
        let sums = [
            ("records", self.trailer.records, records),
            ("first", self.trailer.first.unwrap_or(0), first.unwrap_or(0)),
            ("last", self.trailer.last.unwrap_or(0), last.unwrap_or(0)),
            ("frames_crc", self.trailer.frames_crc.into(), frames_crc.into()),
        ];
        match sums.into_iter().find(|(_, expected, found)| expected != found) {
            None => Ok(()),
            Some((field, expected, found)) => {
                Err(corrupt(path, base, end, mismatch(field, expected, found)))
            }
        }
    }

    pub(super) fn expect_base(&self, base: u64, path: &Path) -> Result<()> {
        expect_base(self.header.base, base, path)
    }

    pub(super) fn info(&self, path: &Path) -> SegmentInfo {
        let SegmentHeader { id, base, segment_bytes } = self.header;
        SegmentInfo {
            path: path.into(),
            state: SegmentState::Sealed,
            base,
            bytes: segment_bytes,
            start: Lsn::new(self.start()),
            end: Lsn::new(self.trailer.end),
            id,
            seal: Some(SegmentSeal::new(&self.trailer, self.checksum)),
        }
    }

    /// Ends the image behind the record at `until`, or behind the batch that it is part of; leaves it
    /// whole where no record follows.
    pub(super) fn end_after(&mut self, until: u64, path: &Path) -> Result<()> {
        let start = self.start();
        let (mut at, mut met) = (start, false);
        let mut end = None;
        while self.trailer.end.saturating_sub(at) >= FRAME_HEADER_BYTES {
            let header = crate::format::header_at(self.frames(), start, at)
                .map_err(|defect| corrupt(path, self.header.base, at, defect.into()))?;
            let is_record = header.kind == Kind::Record;
            if end.is_some() && is_record {
                break;
            }
            met |= at == until && is_record;
            at += header.frame_bytes();
            if met && is_record && !header.continues {
                end = Some(at);
            }
        }
        let Some(end) = end else { return Err(Error::NotARecord { lsn: Lsn::new(until) }) };
        if self.trailer.end.saturating_sub(at) < FRAME_HEADER_BYTES {
            return Ok(());
        }
        self.bytes.truncate(usize::try_from(end - self.header.base).unwrap_or(usize::MAX));
        self.holes.retain(|hole| hole.end <= end - self.header.base);
        let kept = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.holes));
        *self = Self::made(self.header, self.link, kept, self.trailer.previous_checksum, path)?;
        Ok(())
    }

    fn encoded_trailer(&self) -> (Vec<u8>, u32) {
        let SegmentHeader { id, base, .. } = &self.header;
        let block = self.trailer.encode(id, *base);
        let checksum = Trailer::decode(&block, id, *base).map_or(0, |(_, checksum)| checksum);
        (block, checksum)
    }

    /// Makes a file of it, and syncs the file. After an error none is left.
    pub(super) fn write(&self, storage: &dyn Storage, name: &str) -> Result<()> {
        let path = storage.path(name);
        let file = storage
            .create(name, self.header.segment_bytes)
            .map_err(|error| no_space_or_io(Op::Create, &path, error))?;
        let written = self.write_to(&*file, &path);
        if written.is_err() {
            drop(file);
            // If it can't be removed now, it is a leftover that the next try removes.
            let _ = storage.remove(name);
        }
        written
    }

    fn write_to(&self, file: &dyn StorageFile, path: &Path) -> Result<()> {
        let failed = |op| move |error| no_space_or_io(op, path, error);
        let last = self.header.segment_bytes - BLOCK_BYTES;
        let rest = self.trailer.end - self.header.base..last;
        let mut from = 0;
        for hole in self.holes.iter().cloned().chain([rest]) {
            // Whole blocks only; of what has no bytes here nothing is to be written.
            let (start, end) = (
                hole.start.next_multiple_of(BLOCK_BYTES),
                hole.end.min(last) / BLOCK_BYTES * BLOCK_BYTES,
            );
            if end.saturating_sub(start) >= HOLE_BYTES {
                self.write_range(file, from..start).map_err(failed(Op::Write))?;
                // It costs space if it fails, nothing else.
                let _ = file.discard(start, end - start);
                from = end;
            }
        }
        self.write_range(file, from..last).map_err(failed(Op::Write))?;
        let (trailer, _) = self.encoded_trailer();
        write_all_at(file, &trailer, last).map_err(failed(Op::Write))?;
        file.sync().map_err(failed(Op::Sync))
    }

    /// Writes what there is of a range of offsets.
    fn write_range(&self, file: &dyn StorageFile, range: Range<u64>) -> io::Result<()> {
        let offset = |at| usize::try_from(at).unwrap_or(usize::MAX).min(self.bytes.len());
        let bytes = self.bytes.get(offset(range.start)..offset(range.end)).unwrap_or_default();
        write_all_at(file, bytes, range.start)
    }
}

/// Reads a segment's header and frames, but no body of a padding.
struct Reading<'a> {
    file: &'a dyn StorageFile,
    bytes: Vec<u8>,
    /// Everything below is read, or passed over.
    reached: usize,
    holes: Vec<Range<u64>>,
}

impl<'a> Reading<'a> {
    /// `len` is below the length of the file.
    fn new(file: &'a dyn StorageFile, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // Fresh memory is zero without being touched.
        Ok(Self { file, bytes: vec![0; len], reached: 0, holes: Vec::new() })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut at = BLOCK_LEN;
        loop {
            self.reach(at.saturating_add(16))?;
            let Some(encoded) = self.bytes.get(at..).and_then(<[u8]>::first_chunk) else { break };
            // What is wrong with it, the check tells.
            let Ok(header) = FrameHeader::decode(*encoded) else { break };
            let frame = usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
            let end = at.saturating_add(frame);
            if end > self.bytes.len() {
                break;
            }
            if header.kind == Kind::Padding {
                let body = at + 16..end;
                self.holes.push(body.start as u64..body.end as u64);
                let read = body.start..self.reached.clamp(body.start, end);
                self.bytes.get_mut(read).unwrap_or_default().fill(0);
                self.reached = self.reached.max(end);
            }
            at = end;
        }
        self.reach(self.bytes.len())
    }

    /// Reads on, if need be, until everything below `to` is there.
    fn reach(&mut self, to: usize) -> io::Result<()> {
        let to = to.min(self.bytes.len());
        if self.reached < to {
            let end = to.max(self.reached + STEP_BYTES).min(self.bytes.len());
            let buffer = self.bytes.get_mut(self.reached..end).unwrap_or_default();
            read_exact_at(self.file, buffer, self.reached as u64)?;
            self.reached = end;
        }
        Ok(())
    }
}
