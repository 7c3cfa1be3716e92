//! [`Finding`]: one damage, told with where it is, what it means and what to do next.
//!
//! Invariant: nothing is told twice: what several checks find at one place is one finding.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stratalog::format::{FileKind, classify};
use stratalog::{Corruption, CutReport, Damage, Error, Lsn};

use crate::failure::Failure;
use crate::output::{Output, Paint, one_line};

/// What is damaged, which decides what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Control,
    Header,
    Link,
    Frame,
    Trailer,
    /// The file as a whole: it is missing, or has another length, or belongs to another log.
    File,
}

/// One damage.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) path: PathBuf,
    /// In the file, in bytes.
    pub(crate) offset: u64,
    /// The addresses that can't be read; empty if all can.
    pub(crate) lsn: Range<u64>,
    pub(crate) part: Part,
    pub(crate) reason: String,
}

impl Finding {
    /// What the library reports.
    pub(crate) fn of(damage: &Damage) -> Self {
        let part = match damage.reason {
            Corruption::NoControl => Part::Control,
            Corruption::MissingSegment | Corruption::FileLength { .. } | Corruption::ForeignLog => {
                Part::File
            }
            _ if damage.offset == 0 => Part::Header,
            _ if damage.lsn.is_empty() => Part::Trailer,
            _ => Part::Frame,
        };
        Self {
            path: damage.path.clone(),
            offset: damage.offset,
            lsn: damage.lsn.start.get()..damage.lsn.end.get(),
            part,
            reason: damage.reason.to_string(),
        }
    }

    /// What an error names as damaged; `None` where it is about something else.
    pub(crate) fn of_error(error: &Error) -> Option<Self> {
        let (path, offset, lsn, reason) = match error {
            Error::Corrupt { path, offset, lsn, reason, .. } => (path, *offset, *lsn, *reason),
            Error::MissingSegment { path, lsn, .. } => {
                (path, 0, Some(*lsn), Corruption::MissingSegment)
            }
            _ => return None,
        };
        let at = lsn.map_or(0, Lsn::get);
        let part = match reason {
            Corruption::NoControl => Part::Control,
            Corruption::MissingSegment | Corruption::FileLength { .. } | Corruption::ForeignLog => {
                Part::File
            }
            _ if offset == 0 => Part::Header,
            _ => Part::Frame,
        };
        Some(Self { path: path.clone(), offset, lsn: at..at, part, reason: reason.to_string() })
    }

    /// Leftovers of a crash, which opening will cut off.
    pub(crate) fn of_cut(cut: &CutReport) -> Self {
        let at = cut.lsn.get();
        let lsn = at..at.saturating_add(cut.bytes);
        let reason = cut.reason.to_string();
        let name = cut.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let offset = match classify(name) {
            FileKind::Segment(base) => at.saturating_sub(base),
            _ => 0,
        };
        Self { path: cut.path.clone(), offset, lsn, part: Part::Frame, reason }
    }

    /// Whether the other one tells of the same bytes.
    fn is_told_by(&self, other: &Self) -> bool {
        let inside = other.lsn.start <= self.lsn.start && self.lsn.end <= other.lsn.end;
        let same = self.offset == other.offset || (inside && !self.lsn.is_empty());
        self.path == other.path && same
    }

    fn what(&self) -> &'static str {
        match self.part {
            Part::Control => "the control file",
            Part::Header => "a segment's header",
            Part::Link => "the link to the segment before",
            Part::Frame => "frames",
            Part::Trailer => "a segment's trailer",
            Part::File => "a whole file",
        }
    }

    fn meaning(&self) -> &'static str {
        match self.part {
            Part::Control => {
                "Neither slot says where the log begins and ends. The records are not touched by that."
            }
            Part::Header => "Which log the segment belongs to is lost; its records may be intact.",
            Part::Link => "What comes before the segment is not proven by its link.",
            Part::Frame => "The records in this range can't be read. All others can.",
            Part::Trailer => "No record is lost; the sum that proves the segment whole is.",
            Part::File => "The file is not there as a whole; records in it may be lost.",
        }
    }

    /// What it is, and what it means, where it is no damage.
    fn note(&self) -> (&'static str, &'static str) {
        match self.part {
            Part::Control => (
                "one slot of the control file is not valid",
                "A crash while it was written leaves this. The other slot counts.",
            ),
            Part::Trailer => (
                "a trailer is not valid, or names another one before it",
                "A crash while it was written leaves this. The frames prove themselves.",
            ),
            _ => (
                "leftovers behind the end",
                "A crash leaves this. It was never durable, and opening cuts it off.",
            ),
        }
    }

    fn as_json(&self, meaning: &str) -> Value {
        json!({
            "path": self.path.to_string_lossy(),
            "offset": self.offset,
            "lsn_start": self.lsn.start,
            "lsn_end": self.lsn.end,
            "part": format!("{:?}", self.part).to_lowercase(),
            "reason": self.reason,
            "meaning": meaning,
        })
    }
}

/// Leaves one finding for each place, ascending.
pub(crate) fn merged(mut findings: Vec<Finding>) -> Vec<Finding> {
    // The widest of those that begin at one place comes first.
    findings.sort_by(|a, b| {
        let key = |it: &Finding| (it.path.clone(), it.lsn.start, u64::MAX - it.lsn.end, it.offset);
        key(a).cmp(&key(b))
    });
    let mut merged: Vec<Finding> = Vec::new();
    for finding in findings {
        if !merged.iter().any(|known| finding.is_told_by(known)) {
            merged.push(finding);
        }
    }
    merged
}

/// All findings as JSON.
pub(crate) fn as_json(findings: &[Finding]) -> Value {
    findings.iter().map(|finding| finding.as_json(finding.meaning())).collect()
}

/// All notes as JSON.
pub(crate) fn notes_as_json(notes: &[Finding]) -> Value {
    notes.iter().map(|note| note.as_json(note.note().1)).collect()
}

/// Tells of all findings.
pub(crate) fn tell(findings: &[Finding], output: &mut Output) -> Result<(), Failure> {
    for finding in findings {
        let Finding { path, offset, lsn, reason, .. } = finding;
        let title = output.paint(Paint::Bad, format_args!("damaged: {}", finding.what()));
        output.line(title)?;
        output.line(format_args!("  file    {}", one_line(path)))?;
        output.line(format_args!("  offset  {offset}"))?;
        if !lsn.is_empty() {
            output.line(format_args!("  lsn     {} to {}", lsn.start, lsn.end))?;
        }
        output.line(format_args!("  found   {reason}"))?;
        output.line(format_args!("  {}", finding.meaning()))?;
    }
    Ok(())
}

/// Tells what may be there after a crash.
pub(crate) fn tell_notes(notes: &[Finding], output: &mut Output) -> Result<(), Failure> {
    for note in notes {
        let Finding { path, offset, lsn, reason, .. } = note;
        let (what, meaning) = note.note();
        let title = output.paint(Paint::Warning, format_args!("note: {what}"));
        output.line(title)?;
        output.line(format_args!("  file    {}", one_line(path)))?;
        if lsn.is_empty() {
            output.line(format_args!("  offset  {offset}"))?;
        } else {
            output.line(format_args!("  lsn     {} to {}", lsn.start, lsn.end))?;
        }
        output.line(format_args!("  found   {reason}"))?;
        output.line(format_args!("  {meaning}"))?;
    }
    Ok(())
}

/// What to do about damage to the log in `dir`, or to single files.
pub(crate) fn advise(dir: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    let dir = dir.map_or_else(|| "DIR".to_owned(), one_line);
    for line in [
        "What to do next:".to_owned(),
        "  1. Copy the directory away as it is, before anything else.".to_owned(),
        "  2. With an archive or a replica: put the damaged file's copy in its place,".to_owned(),
        "     or make a log of the archive: stratalog restore ARCHIVE NEW".to_owned(),
        format!("  3. Otherwise save what is left: stratalog salvage {dir} NEW"),
        "  4. Look at the disk (dmesg, smartctl) before the log goes on there.".to_owned(),
    ] {
        output.line(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_told_once() {
        let finding = |offset, lsn| Finding {
            path: "a".into(),
            offset,
            lsn,
            part: Part::Frame,
            reason: String::new(),
        };
        let found = merged(vec![
            finding(5000, 5000..5100),
            finding(4096, 4096..8000),
            finding(9000, 9000..9000),
            finding(9000, 9000..9000),
        ]);
        assert_eq!(found.iter().map(|it| it.offset).collect::<Vec<_>>(), [4096, 9000]);
    }
}
