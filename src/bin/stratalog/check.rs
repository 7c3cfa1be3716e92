//! [`check`]: one segment file, every frame of it.
//!
//! Invariant: behind damage the check goes on at the next frame that is valid where it lies, so that
//! all damage of a file is found in one go.

use std::fmt;
use std::path::{Path, PathBuf};

use stratalog::Corruption;
use stratalog::format::{
    BLOCK_BYTES, Kind, Link, Salt, Trailer, archived, evidence, frames_start, next_valid,
};

use crate::damage::{Finding, Part};
use crate::failure::Failure;
use crate::frames::{Frames, Sealing, SegmentFile, Stop};
use crate::interrupt;

/// How many bytes are checked between two reports of progress.
const STEP_BYTES: u64 = 4 << 20;

/// What was found in one file.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) path: PathBuf,
    /// 0 where the header does not say it.
    pub(crate) base: u64,
    /// Where the trailer lies.
    pub(crate) trailer_offset: u64,
    pub(crate) end: u64,
    pub(crate) records: u64,
    /// Of frames.
    pub(crate) bytes: u64,
    pub(crate) sealed: Option<(Trailer, u32)>,
    /// The segment that its link names before it.
    pub(crate) previous_base: Option<u64>,
    pub(crate) damage: Vec<Finding>,
    /// What may be there after a crash, and opening takes care of: no damage by itself.
    pub(crate) notes: Vec<Finding>,
    /// The check was not finished, as it was to end.
    pub(crate) interrupted: bool,
}

/// What frames come to, as a trailer sums them.
#[derive(Default)]
struct Sums {
    records: u64,
    first: Option<u64>,
    last: Option<u64>,
    crc: u32,
    previous_base: Option<u64>,
}

/// Checks a file: its frames up to `known_end` if the log says where they end, otherwise up to where the
/// trailer says, or as far as they are valid. `progress` is told how many bytes were checked.
pub(crate) fn check(
    path: &Path,
    known_end: Option<u64>,
    progress: &dyn Fn(u64),
) -> Result<Checked, Failure> {
    let mut segment = match SegmentFile::open(path)? {
        Ok(segment) => segment,
        Err(defect) => {
            let reason = Corruption::from(defect);
            let damage = vec![finding(path, (0, 0), 0..0, Part::Header, reason)];
            return Ok(Checked { path: path.into(), damage, ..Checked::default() });
        }
    };
    let base = segment.header.base;
    let offset = segment.header.segment_bytes - BLOCK_BYTES;
    let path_too = path.to_path_buf();
    let mut checked =
        Checked { path: path_too, base, trailer_offset: offset, ..Checked::default() };
    check_file(&segment, &mut checked);
    match segment.sealing()? {
        Sealing::Blank => {}
        Sealing::Sealed(trailer, checksum) => checked.sealed = Some((trailer, checksum)),
        Sealing::Invalid(defect) => {
            let reason = Corruption::from(defect);
            checked.notes.push(finding(path, (base, offset), 0..0, Part::Trailer, reason));
        }
    }
    let ends = checked.sealed.as_ref().map(|(trailer, _)| trailer.end);
    let end = known_end.or(ends);
    let sums = walk(&mut segment, end, &mut checked, progress)?;
    (checked.records, checked.previous_base) = (sums.records, sums.previous_base);
    if let Some((trailer, checksum)) = checked.sealed
        && checked.damage.is_empty()
        && !checked.interrupted
        && checked.end == trailer.end
    {
        let name = path.file_name().and_then(|name| name.to_str());
        let named = name.and_then(archived).map_or(checksum, |(_, checksum)| checksum);
        for (field, expected, found) in [
            ("records", trailer.records, sums.records),
            ("first", trailer.first.unwrap_or(0), sums.first.unwrap_or(0)),
            ("last", trailer.last.unwrap_or(0), sums.last.unwrap_or(0)),
            ("frames_crc", trailer.frames_crc.into(), sums.crc.into()),
            ("checksum", named.into(), checksum.into()),
        ] {
            if expected != found {
                let reason = mismatch(field, expected, found);
                checked.damage.push(finding(path, (base, offset), 0..0, Part::Trailer, reason));
                break;
            }
        }
    }
    Ok(checked)
}

fn mismatch(field: &str, expected: u64, found: u64) -> String {
    format!("expected {field} {expected}, found {found}")
}

fn finding(
    path: &Path,
    (base, at): (u64, u64),
    lsn: std::ops::Range<u64>,
    part: Part,
    reason: impl fmt::Display,
) -> Finding {
    let offset = if lsn.is_empty() { at } else { at.saturating_sub(base) };
    Finding { path: path.into(), offset, lsn, part, reason: reason.to_string() }
}

/// The file's name and length are those that its header says.
fn check_file(segment: &SegmentFile, checked: &mut Checked) {
    let (path, header) = (&segment.path, &segment.header);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = archived(name).map(|(base, _)| base);
    let named = named.or_else(|| name.strip_suffix(".seg").and_then(|base| base.parse().ok()));
    if let Some(named) = named.filter(|named| *named != header.base) {
        let reason = mismatch("base", named, header.base);
        checked.damage.push(finding(path, (0, 0), 0..0, Part::File, reason));
    }
    if segment.bytes != header.segment_bytes {
        let (expected, found) = (header.segment_bytes, segment.bytes);
        let lsn = header.base.saturating_add(found)..header.base.saturating_add(expected);
        let reason = Corruption::FileLength { expected, found };
        let at = if lsn.is_empty() { expected } else { lsn.start };
        checked.damage.push(finding(path, (header.base, at), lsn, Part::File, reason));
    }
}

/// Checks all frames up to `end`, or as far as they go.
fn walk(
    segment: &mut SegmentFile,
    end: Option<u64>,
    checked: &mut Checked,
    progress: &dyn Fn(u64),
) -> Result<Sums, Failure> {
    let (path, base) = (segment.path.clone(), segment.header.base);
    let (start, limit) = (segment.start(), segment.limit());
    let salt = Salt::new(&segment.header.id);
    let mut from = start;
    let mut sums = Sums::default();
    let mut batch = false;
    loop {
        let mut frames = segment.frames(from, end.unwrap_or(limit));
        let stop = run(&mut frames, &mut sums, &mut batch, (start, progress))?;
        let at = frames.at();
        checked.end = at;
        checked.bytes = at - start;
        let (defect, first_damaged) = match stop {
            Ended::Complete => return Ok(sums),
            Ended::Interrupted => {
                checked.interrupted = true;
                return Ok(sums);
            }
            Ended::At(reason) => (reason, at),
        };
        let rest = segment.read(at, end.unwrap_or(limit))?;
        if end.is_none() && evidence(&rest, at, at, at, salt).is_none() {
            if rest.iter().any(|byte| *byte != 0) {
                let lsn = at..limit;
                checked.notes.push(finding(&path, (base, at), lsn, Part::Frame, defect));
            }
            return Ok(sums);
        }
        let next = next_valid(&rest, at, at + 8, salt).unwrap_or(end.unwrap_or(limit));
        let lsn = first_damaged..next.max(first_damaged + 8);
        let part = if at == frames_start(base) { Part::Link } else { Part::Frame };
        checked.damage.push(finding(&path, (base, at), lsn, part, defect));
        (from, batch) = (next, false);
        if next >= end.unwrap_or(limit) {
            checked.end = next;
            return Ok(sums);
        }
    }
}

enum Ended {
    Complete,
    Interrupted,
    /// At what is no valid frame, or can't follow there.
    At(String),
}

/// Walks as far as frames are valid.
fn run(
    frames: &mut Frames<'_>,
    sums: &mut Sums,
    batch: &mut bool,
    (start, progress): (u64, &dyn Fn(u64)),
) -> Result<Ended, Failure> {
    let mut told = frames.at();
    loop {
        let at = frames.at();
        if at - told >= STEP_BYTES {
            progress(at - told);
            told = at;
            if interrupt::is_requested() {
                return Ok(Ended::Interrupted);
            }
        }
        let frame = match frames.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                progress(at - told);
                return Ok(Ended::Complete);
            }
            Err(Stop::Failed(failure)) => return Err(failure),
            Err(Stop::Defect(defect)) => {
                progress(at - told);
                return Ok(Ended::At(Corruption::from(defect).to_string()));
            }
        };
        let is_record = frame.header.kind == Kind::Record;
        let wrong = if frame.lsn == start {
            let link = Link::decode(frame.payload);
            sums.previous_base = link.ok().map(|link| link.previous_base);
            link.err().map(|defect| Corruption::from(defect).to_string())
        } else if *batch && !is_record {
            Some(Corruption::BrokenBatch.to_string())
        } else {
            None
        };
        sums.crc = crc32c::crc32c_append(sums.crc, frame.summed);
        if is_record {
            sums.records += 1;
            sums.first = sums.first.or(Some(frame.lsn));
            sums.last = Some(frame.lsn);
        }
        *batch = frame.header.continues;
        if let Some(wrong) = wrong {
            frames.resume(at);
            return Ok(Ended::At(wrong));
        }
    }
}
