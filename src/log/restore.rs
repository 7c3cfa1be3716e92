//! [`restore()`]: an archive becomes a log again.
//!
//! Invariant: the log that is made holds nothing but what its links prove to follow one another,
//! every frame of which was checked; and it goes on under an id of its own, above all addresses that
//! the archive holds.

use std::path::Path;

use super::archive::Progress;
use super::histories::Histories;
use super::image::SegmentImage;
use super::making::{Finish, Making};
use crate::error::{Error, NotALog, Result};
use crate::format::{BLOCK_BYTES, LogId, frames_start};
use crate::lsn::Lsn;
use crate::storage::{FileStorage, Storage};

/// What [`restore()`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The first address of the new log.
    pub head: Lsn,
    /// The end of its last record, or of its last segment. It goes on at a higher address.
    pub end: Lsn,
    /// How many segments it has.
    pub segments: usize,
    /// How many records they hold.
    pub records: u64,
    /// How many bytes of frames were copied.
    pub bytes: u64,
    /// The id of the new log. Its old segments keep theirs.
    pub id: LogId,
}

/// Makes a log in `dir` of what [`Log::archive`](crate::Log::archive) has put into `archive`: all of
/// it, or up to and including the record at `until`. A batch that this record is part of is restored
/// as a whole.
///
/// Records keep their addresses. The new log has an id of its own, and goes on above every address
/// that the archive holds, so that whatever it appends is never taken for anything of the old log. It
/// begins where the archive does; its application's state is empty. It is closed: open it.
///
/// Every frame is checked while it is copied. Of several histories, where the log was cut after it was
/// archived, the latest is restored, or the latest that holds a record at `until`.
///
/// # Durability
///
/// On return the log is durable. A crash before leaves a directory that opens as no log, and in which
/// restoring can be run again: it removes what the crash has left, which it knows by `control.tmp`
/// without `control`. After an error nothing is left but the directory and an empty file for its lock; if the very
/// last step failed, which makes the name of the control file durable, the whole log is.
///
/// # Errors
///
/// - [`Corrupt`](Error::Corrupt) names the archived file that is damaged, or is not what its name
///   says; [`MissingSegment`](Error::MissingSegment) the one whose predecessor is not there. That the
///   oldest segments of an archive are missing can't be noticed: look at the report's `head`. Nor can
///   it that the newest are: look at its `end`.
/// - [`ArchiveConflict`](Error::ArchiveConflict) if `dir` holds anything, or the archive two
///   histories that both went on.
/// - [`NotARecord`](Error::NotARecord), [`NotYet`](Error::NotYet), [`Truncated`](Error::Truncated) if
///   the archive has no record at `until`; [`NotALog`](Error::NotALog) if it has no segments at all.
/// - [`Locked`](Error::Locked), [`NoSpace`](Error::NoSpace), [`Io`](Error::Io).
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let [dir, archive, copy] = ["wal", "archive", "copy"].map(|name| folder.path().join(name));
/// let log = stratalog::Log::open(&dir)?;
/// let good = log.append(b"good")?;
/// log.append(b"a mistake")?;
/// log.roll()?;
/// log.archive(&archive)?;
///
/// let report = stratalog::restore(&archive, &copy, Some(good))?;
/// assert_eq!(report.records, 1);
/// let restored = stratalog::Log::open(&copy)?;
/// assert!(restored.append(b"done right")? > log.durable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn restore(
    archive: impl AsRef<Path>,
    dir: impl AsRef<Path>,
    until: Option<Lsn>,
) -> Result<RestoreReport> {
    let (archive, dir) = (FileStorage::new(archive.as_ref()), FileStorage::new(dir.as_ref()));
    restore_with(&archive, &dir, until, |_| {})
}

/// As [`restore()`], between storages of your own, and tells how far it has come after each segment.
///
/// # Errors
///
/// As [`restore()`].
pub fn restore_with(
    archive: &dyn Storage,
    into: &dyn Storage,
    until: Option<Lsn>,
    mut progress: impl FnMut(&Progress),
) -> Result<RestoreReport> {
    let until = until.map(Lsn::get);
    let histories = Histories::read(archive)?;
    if histories.is_empty() {
        return Err(Error::NotALog { path: archive.path(""), found: NotALog::Nothing });
    }
    let chosen = histories.choose(archive, until)?;
    let old = chosen.last().map(|last| last.outline.header.id);
    let mut making = Making::begin(into, old)?;
    let head = chosen.first().map_or(0, |first| frames_start(first.outline.header.base));
    let mut report = RestoreReport {
        head: Lsn::new(head),
        end: Lsn::new(head),
        segments: chosen.len(),
        records: 0,
        bytes: 0,
        id: making.id(),
    };
    for (index, file) in chosen.iter().enumerate() {
        let mut image = SegmentImage::open(archive, &file.name)?;
        if let Some(until) = until.filter(|_| index + 1 == chosen.len()) {
            image.end_after(until, &archive.path(&file.name))?;
        }
        making.add(&image)?;
        let end = image.trailer.end;
        report.end = Lsn::new(end);
        report.records += image.trailer.records;
        report.bytes += end - image.header.base - BLOCK_BYTES;
        progress(&Progress { done: index + 1, segments: chosen.len(), bytes: report.bytes });
    }
    let next_base = histories.next_base();
    making.finish(Finish { head, next_base, app_state: Vec::new() })?;
    Ok(report)
}
