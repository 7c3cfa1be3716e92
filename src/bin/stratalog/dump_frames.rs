//! `dump --frames`: header, frames, paddings and trailer of each segment file.
//!
//! Invariant: it shows what lies in the files, whether the log counts it or not; where no valid frame
//! lies it says what is there instead.

use std::path::{Path, PathBuf};

use serde_json::json;
use stratalog::Corruption;
use stratalog::format::{Defect, Kind, Link, Salt, next_valid};

use crate::directory::{self, Directory};
use crate::dump::Dump;
use crate::failure::{Failure, Outcome};
use crate::frames::{Checked, Sealing, SegmentFile, Stop};
use crate::interrupt;
use crate::output::{Output, Paint, counted, grouped, one_line};

pub(crate) fn run(arguments: &Dump, output: &mut Output) -> Result<Outcome, Failure> {
    let mut dumping = Dumping {
        from: arguments.from.map_or(0, stratalog::Lsn::get),
        to: arguments.to.map_or(u64::MAX, stratalog::Lsn::get),
        left: arguments.limit.unwrap_or(u64::MAX),
        skip: arguments.skip_damage,
        outcome: Outcome::Fine,
        output,
    };
    for path in files(&arguments.dir)? {
        if dumping.left == 0 || interrupt::is_requested() {
            break;
        }
        match dumping.file(&path) {
            // The writer has dropped it meanwhile.
            Err(failure) if failure.is_not_found() && path != arguments.dir => {}
            done => done?,
        }
    }
    Ok(dumping.outcome)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let directory = Directory::list(path)?;
    let segments = directory.files.into_iter().filter_map(|file| match file.kind {
        directory::Kind::Segment { .. } => Some(file.path),
        _ => None,
    });
    let segments: Vec<_> = segments.collect();
    if segments.is_empty() {
        let text = format!("{}: expected segment files, found none", one_line(path));
        return Err(Failure::Usage(text));
    }
    Ok(segments)
}

struct Dumping<'a> {
    from: u64,
    to: u64,
    left: u64,
    skip: bool,
    outcome: Outcome,
    output: &'a mut Output,
}

impl Dumping<'_> {
    fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let mut segment = match SegmentFile::open(path)? {
            Ok(segment) => segment,
            Err(defect) => return self.defect(path, 0, "header", defect),
        };
        let (start, limit) = (segment.start(), segment.limit());
        if self.to <= start || limit <= self.from {
            return Ok(());
        }
        self.header(&segment)?;
        let sealing = segment.sealing()?;
        let end = match &sealing {
            Sealing::Sealed(trailer, _) => trailer.end,
            Sealing::Blank | Sealing::Invalid(_) => limit,
        };
        let is_sealed = matches!(sealing, Sealing::Sealed(..));
        if self.frames(&mut segment, (start, end))? && is_sealed {
            self.outcome = Outcome::Damage;
        }
        match sealing {
            Sealing::Blank => self.note("not sealed"),
            Sealing::Invalid(defect) => self.defect(path, segment.bytes, "trailer", defect),
            Sealing::Sealed(trailer, checksum) => {
                if self.output.is_json() {
                    return self.output.json(&json!({
                        "trailer": {
                            "end": trailer.end,
                            "records": trailer.records,
                            "first": trailer.first,
                            "last": trailer.last,
                            "frames_crc": format!("{:08x}", trailer.frames_crc),
                            "previous_checksum": format!("{:08x}", trailer.previous_checksum),
                            "checksum": format!("{checksum:08x}"),
                        },
                    }));
                }
                let records = counted(trailer.records, "record");
                let (crc, previous) = (trailer.frames_crc, trailer.previous_checksum);
                let sums = format!("crc {crc:08x}, checksum {checksum:08x}, before {previous:08x}");
                self.note(&format!("trailer: end {}, {records}\n  {sums}", trailer.end))
            }
        }
    }

    fn header(&mut self, segment: &SegmentFile) -> Result<(), Failure> {
        let header = &segment.header;
        if self.output.is_json() {
            return self.output.json(&json!({
                "segment": {
                    "path": segment.path.to_string_lossy(),
                    "log_id": header.id.to_string(),
                    "base": header.base,
                    "bytes": header.segment_bytes,
                },
            }));
        }
        let path = self.output.paint(Paint::Bold, one_line(&segment.path));
        self.output.line(path)?;
        let bytes = grouped(header.segment_bytes);
        self.note(&format!("header: log {}\n  base {}, {bytes} bytes", header.id, header.base))?;
        let columns =
            format!("{:>20} {:<7} {:>10} checksum {:>20}", "lsn", "kind", "bytes", "durable");
        let columns = self.output.paint(Paint::Dim, columns);
        self.output.line(columns)
    }

    /// Shows the frames, and says whether there was anything else.
    fn frames(
        &mut self,
        segment: &mut SegmentFile,
        (mut at, end): (u64, u64),
    ) -> Result<bool, Failure> {
        let mut is_damaged = false;
        loop {
            let defect = {
                let mut frames = segment.frames(at, end);
                loop {
                    if self.left == 0 || frames.at() >= self.to || interrupt::is_requested() {
                        return Ok(is_damaged);
                    }
                    match frames.next() {
                        Ok(None) => return Ok(is_damaged),
                        Ok(Some(frame)) if frame.lsn < self.from => {}
                        Ok(Some(frame)) => {
                            self.frame(&frame)?;
                            self.left -= 1;
                        }
                        Err(Stop::Failed(failure)) => return Err(failure),
                        Err(Stop::Defect(defect)) => {
                            at = frames.at();
                            break defect;
                        }
                    }
                }
            };
            let rest = segment.read(at, end)?;
            let salt = Salt::new(&segment.header.id);
            let next = next_valid(&rest, at, at + 8, salt);
            let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
            if used == 0 {
                self.note(&format!("zeros from lsn {at} on"))?;
                return Ok(true);
            }
            is_damaged = true;
            let path = segment.path.clone();
            self.defect(&path, at, "frame", defect)?;
            match next {
                Some(next) if self.skip => at = next,
                Some(next) => {
                    self.note(&format!("the next valid frame is at lsn {next}"))?;
                    return Ok(true);
                }
                None => {
                    self.note(&format!("no valid frame in {}", counted(used, "byte")))?;
                    return Ok(true);
                }
            }
        }
    }

    fn frame(&mut self, frame: &Checked<'_>) -> Result<(), Failure> {
        let (lsn, header) = (frame.lsn, frame.header);
        let kind = match header.kind {
            Kind::Record => "record",
            Kind::Padding => "padding",
            Kind::Link => "link",
        };
        let durable = header.watermark(lsn);
        let link = Link::decode(frame.payload).ok().filter(|_| header.kind == Kind::Link);
        if self.output.is_json() {
            return self.output.json(&json!({
                "lsn": lsn,
                "kind": kind,
                "bytes": header.len,
                "checksum": format!("{:08x}", header.checksum),
                "durable": durable,
                "continues": header.continues,
                "previous_base": link.map(|link| link.previous_base),
                "previous_end": link.map(|link| link.previous_end),
            }));
        }
        let durable = durable.map_or("-".to_owned(), |durable| durable.to_string());
        let (len, checksum) = (header.len, header.checksum);
        let batch = if header.continues { " batch" } else { "" };
        let line = format!("{lsn:>20} {kind:<7} {len:>10} {checksum:08x} {durable:>20}{batch}");
        self.output.line(line)?;
        match link {
            Some(link) if link.previous_base == u64::MAX => self.note("the first of its log"),
            Some(link) => {
                self.note(&format!("behind {}, end {}", link.previous_base, link.previous_end))
            }
            None => Ok(()),
        }
    }

    fn note(&mut self, text: &str) -> Result<(), Failure> {
        if self.output.is_json() { Ok(()) } else { self.output.line(format_args!("  {text}")) }
    }

    fn defect(&mut self, path: &Path, at: u64, what: &str, defect: Defect) -> Result<(), Failure> {
        let reason = Corruption::from(defect);
        if self.output.is_json() {
            return self.output.json(&json!({
                "invalid": what, "path": path.to_string_lossy(), "at": at,
                "reason": reason.to_string(),
            }));
        }
        let text = format!("no valid {what}");
        let text = self.output.paint(Paint::Bad, text);
        let place = if what == "frame" { format!(" at lsn {at}") } else { String::new() };
        self.output.line(format_args!("  {text}{place}: {reason}"))
    }
}
