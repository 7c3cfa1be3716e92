//! [`Recovery`]: what opening found and did, as data.
//!
//! Invariant: everything that was cut off, set aside, removed or left damaged is named here.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use crate::error::Corruption;
use crate::error::one_line::OneLine;
use crate::lsn::Lsn;

/// What opening found, and what it did about it. Its `Display` is several lines for a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Whether the log was made by this opening.
    pub created: bool,
    /// Whether the log had been closed, with nothing left to do.
    pub clean: bool,
    /// The first address that is kept.
    pub head: Lsn,
    /// The end of what was kept. Appends go on there or at a later address.
    pub end: Lsn,
    /// How many segments hold what was kept.
    pub segments: usize,
    /// How many bytes of frames were read and checked.
    pub scanned_bytes: u64,
    /// How many bytes of frames were written again and synced, as nothing proved them durable.
    pub rewritten_bytes: u64,
    /// What was cut off the end, if anything.
    pub cut: Option<CutReport>,
    /// Segments that did not belong to the log and were renamed, by their new names.
    pub set_aside: Vec<PathBuf>,
    /// Files that were removed: unfinished or unused ones, and segments below the head.
    pub removed: Vec<PathBuf>,
    /// Files that are not the log's, and were left alone.
    pub foreign: Vec<PathBuf>,
    /// Damage that the log was opened with, as the policy is
    /// [`SkipCorrupt`](crate::RecoveryPolicy::SkipCorrupt).
    pub damage: Vec<Damage>,
}

/// Leftovers of a crash that were cut off the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutReport {
    /// Where the log was cut. Nothing at or above this address had been proven durable.
    pub lsn: Lsn,
    /// The segment in which the leftovers begin.
    pub path: PathBuf,
    /// How many bytes of leftovers there are in that segment, up to the last one that is not zero.
    pub bytes: u64,
    /// What is wrong with the first frame behind the cut.
    pub reason: Corruption,
}

/// A damaged stretch of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The damaged file, or the one that is missing.
    pub path: PathBuf,
    /// Where in that file the damage begins, in bytes.
    pub offset: u64,
    /// The addresses that can't be read, up to the next frame that can; empty where only a header
    /// is damaged.
    pub lsn: Range<Lsn>,
    /// What was expected there, and what was found.
    pub reason: Corruption,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: offset {}", OneLine(&self.path), self.offset)?;
        if self.lsn.start < self.lsn.end {
            write!(f, ", lsn {} to {}", self.lsn.start, self.lsn.end)?;
        }
        write!(f, ":\n  {}", self.reason)
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match (self.created, self.clean) {
            (true, _) => "new log",
            (_, true) => "closed log",
            _ => "log that was not closed",
        };
        writeln!(f, "opened a {how}: lsn {} to {}", self.head, self.end)?;
        write!(
            f,
            "segments {}, bytes scanned {}, written again {}",
            self.segments, self.scanned_bytes, self.rewritten_bytes
        )?;
        if let Some(cut) = &self.cut {
            write!(f, "\ncut at lsn {}, {} bytes of leftovers:", cut.lsn, cut.bytes)?;
            write!(f, "\n  {}\n  {}", OneLine(&cut.path), cut.reason)?;
        }
        for (what, paths) in [
            ("set aside", &self.set_aside),
            ("removed", &self.removed),
            ("not the log's, left alone", &self.foreign),
        ] {
            if !paths.is_empty() {
                write!(f, "\n{what}:")?;
            }
            for path in paths {
                write!(f, "\n  {}", OneLine(path))?;
            }
        }
        for damage in &self.damage {
            write!(f, "\ndamaged: {damage}")?;
        }
        Ok(())
    }
}
