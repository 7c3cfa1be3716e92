//! Archiving: copies of sealed segments in another directory.
//!
//! Invariant: a file has its name in an archive only when it holds every byte that the name stands
//! for, checked and durable; it is never written again, replaced or removed. What was not durable in
//! the log is never there.
//!
//! 1. Seal what has ended. Pin the segments: one that is dropped from now on stays readable.
//!    Sync the directory: an earlier run may have ended before it did.
//! 2. For each, oldest first: read it into memory and check every frame; write that memory under a
//!    temporary name; sync it. If the segment was cut meanwhile, the copy is discarded: it may hold
//!    what is no part of the log any more. Rename it to base and trailer checksum. Sync the directory.
//!
//! A cut that comes after step 2 leaves what it cut away in the archive, as one that comes after the
//! whole run does. The archive then holds two histories; links tell which one goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Log;
use super::image::{Outline, SegmentImage};
use crate::error::{Corruption, Error, NotALog, Op, Result};
use crate::format::{
    CONTROL_NAME, FileKind, LOCK_NAME, TEMPORARY_SUFFIX, archived, archived_name, classify,
};
use crate::lsn::Lsn;
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::storage::{Access, FileStorage, LockKind, Storage, StorageLock};

/// How far archiving, restoring or salvaging has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many segments are done, and durable under their names or to be renamed at the end.
    pub done: usize,
    /// How many there are in all.
    pub segments: usize,
    /// How many bytes of frames were copied so far.
    pub bytes: u64,
}

/// What [`Log::archive`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveReport {
    /// The files that were made.
    pub copied: Vec<PathBuf>,
    /// How many bytes of frames they hold.
    pub copied_bytes: u64,
    /// How many segments were there already.
    pub present: usize,
    /// Where the log's first segment begins: the archive may hold more below it.
    pub start: Lsn,
    /// Every record from `start` up to here is in the archive, durable there: what is to be given to
    /// `truncate_before`. Records from here on are in segments that are not sealed yet.
    pub end: Lsn,
}

impl Log {
    /// Copies all sealed segments into the directory `dir` that are not there yet, and makes the
    /// directory if need be. To have the newest records there too, [`roll`](Self::roll) first.
    ///
    /// Each segment's frames are checked while it is copied. A file is named by its base and its
    /// trailer's checksum (see [`archived_name`]), so that what was cut away and what was written in
    /// its place do not collide. Running it again copies what has been sealed since; of what is there
    /// already header and trailer are compared, and nothing is ever overwritten.
    ///
    /// The archive is made into a log again by [`restore`](crate::restore), whole or up to a record.
    /// It holds nothing but segments and an empty file for its lock, and can be copied by any tool.
    /// An archive and its log replay without a gap if nothing was truncated above the last report's
    /// `end`: take from the archive the records below [`Log::head`], or below any address up to that
    /// `end`, and the rest from the log. A hold keeps others from truncating more.
    ///
    /// Keep the archive of a log that was restored for testing, while the log itself goes on, in a
    /// directory of its own: two histories that both go on can't be told apart by anyone.
    ///
    /// # Durability
    ///
    /// What the report names survives power loss. Only what is durable in the log is ever copied.
    ///
    /// Runs beside appends, truncation and cuts. It holds one segment in memory at a time, and pins
    /// those that are not copied yet: their space is not given back before.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](Error::Corrupt) for a damaged segment: it is not copied, those before it are.
    /// [`ArchiveConflict`](Error::ArchiveConflict) if a file of the same name differs, or there is a
    /// log in `dir`; [`NotALog`](Error::NotALog) if `dir` is a file;
    /// [`Locked`](Error::Locked) while somebody else archives there; [`NoSpace`](Error::NoSpace);
    /// [`Closed`](Error::Closed), [`Poisoned`](Error::Poisoned), [`Io`](Error::Io). After any of
    /// them it can be run again.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let [dir, archive, copy] = ["wal", "archive", "copy"].map(|name| folder.path().join(name));
    /// let log = stratalog::Log::open(&dir)?;
    /// let lsn = log.append(b"kept for good")?;
    /// log.roll()?;
    /// let report = log.archive(&archive)?;
    /// assert_eq!((report.copied.len(), report.present), (1, 0));
    /// assert!(report.end > lsn);
    /// assert_eq!(log.archive(&archive)?.present, 1);
    ///
    /// stratalog::restore(&archive, &copy, None)?;
    /// let restored = stratalog::Log::open(&copy)?;
    /// assert_eq!(restored.snapshot().get(lsn)?.payload(), b"kept for good");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn archive(&self, dir: impl AsRef<Path>) -> Result<ArchiveReport> {
        self.archive_with(&FileStorage::new(dir.as_ref()), |_| {})
    }

    /// As [`archive`](Self::archive), to a storage of your own, or to a
    /// [`FileStorage`](crate::storage::FileStorage), and tells how far it has come after each segment.
    /// What `progress` counts as done is durable.
    ///
    /// # Errors
    ///
    /// As [`archive`](Self::archive).
    pub fn archive_with(
        &self,
        archive: &dyn Storage,
        mut progress: impl FnMut(&Progress),
    ) -> Result<ArchiveReport> {
        let appender = self.appender();
        appender.check_open()?;
        appender.commit_until(appender.protocol.tail())?;
        let disk = &appender.disk;
        if let Err(error) = disk.seal_ended(&appender.protocol) {
            if !matches!(error, Error::Poisoned { .. }) {
                disk.poison(&appender.protocol, &error);
            }
            return Err(error);
        }
        let durable = appender.protocol.durable();
        let set = disk.segments.load();
        let sealed = |it: &&Arc<Segment>| it.is_sealed() && it.end <= durable;
        let segments: Vec<_> = set.segments.iter().take_while(sealed).cloned().collect();
        drop(set);
        let now = || Ok(disk.segments.load());
        archive_segments((&*disk.storage, &now), segments, archive, &mut progress)
    }
}

/// Makes the directory, takes its lock, and removes what an earlier run left unfinished.
fn prepare(archive: &dyn Storage) -> Result<Box<dyn StorageLock>> {
    let at = |op| move |source| Error::io(op, archive.path(""), source);
    archive.create_directory().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotADirectory => {
            Error::NotALog { path: archive.path(""), found: NotALog::File }
        }
        _ => Error::io(Op::OpenDirectory, archive.path(""), source),
    })?;
    let check = || -> Result<Vec<String>> {
        let names = archive.names().map_err(at(Op::OpenDirectory))?;
        match names
            .iter()
            .find(|it| matches!(classify(it), FileKind::Segment(_)) || *it == CONTROL_NAME)
        {
            Some(name) => Err(Error::ArchiveConflict { path: archive.path(name) }),
            None => Ok(names),
        }
    };
    // Nothing is made in the directory of a log.
    check()?;
    let path = archive.path(LOCK_NAME);
    let lock = match archive.lock(LOCK_NAME, LockKind::Exclusive) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Err(Error::Locked { path }),
        Err(source) => return Err(Error::io(Op::Lock, path, source)),
    };
    for name in check()? {
        if name.strip_suffix(TEMPORARY_SUFFIX).is_some_and(|stem| archived(stem).is_some()) {
            archive
                .remove(&name)
                .map_err(|source| Error::io(Op::Remove, archive.path(&name), source))?;
        }
    }
    Ok(lock)
}

/// Archives segments that are sealed and durable; `now` tells what the log consists of at the moment.
pub(super) fn archive_segments(
    (storage, now): (&dyn Storage, &dyn Fn() -> Result<Arc<SegmentSet>>),
    segments: Vec<Arc<Segment>>,
    archive: &dyn Storage,
    progress: &mut dyn FnMut(&Progress),
) -> Result<ArchiveReport> {
    Archiving { storage, now, _lock: prepare(archive)?, archive }.run(segments, progress)
}

struct Archiving<'a> {
    storage: &'a dyn Storage,
    now: &'a dyn Fn() -> Result<Arc<SegmentSet>>,
    archive: &'a dyn Storage,
    _lock: Box<dyn StorageLock>,
}

/// What became of one segment.
enum Outcome {
    /// Under this name.
    Copied(String),
    Present,
    /// The log was cut in it, or below it.
    Cut,
}

impl Archiving<'_> {
    fn run(
        &self,
        segments: Vec<Arc<Segment>>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<ArchiveReport> {
        let start = match segments.first() {
            Some(first) => first.start(),
            None => (self.now)()?.head,
        };
        let start = Lsn::new(start);
        let mut report = ArchiveReport { start, end: start, ..ArchiveReport::default() };
        let count = segments.len();
        // Names that are there already may not be durable: an earlier run may have been killed.
        self.sync_directory()?;
        // Each is unpinned as soon as it is copied.
        for (index, segment) in segments.into_iter().enumerate() {
            match self.segment(&segment)? {
                Outcome::Copied(name) => {
                    if let Err(error) = self.sync_directory() {
                        // Another sync could say Ok without making this name durable.
                        let _ = self.archive.remove(&name);
                        return Err(error);
                    }
                    report.copied.push(self.archive.path(&name));
                    report.copied_bytes += segment.end - segment.start();
                }
                Outcome::Present => report.present += 1,
                Outcome::Cut => break,
            }
            report.end = Lsn::new(segment.end);
            progress(&Progress { done: index + 1, segments: count, bytes: report.copied_bytes });
        }
        Ok(report)
    }

    fn sync_directory(&self) -> Result<()> {
        self.archive
            .sync_directory()
            .map_err(|source| Error::io(Op::SyncDirectory, self.archive.path(""), source))
    }

    fn segment(&self, segment: &Segment) -> Result<Outcome> {
        let path = self.storage.path(&segment.name());
        let file = match segment.reader(self.storage) {
            // Who pins nothing may find it gone.
            Err(_) if self.was_cut(segment)? => return Ok(Outcome::Cut),
            file => file?,
        };
        let outline = match Outline::read(&*file, &path) {
            // Its trailer may be about to be written anew.
            Err(_) if self.was_cut(segment)? => return Ok(Outcome::Cut),
            outline => outline?,
        };
        if self.was_cut(segment)? {
            return Ok(Outcome::Cut);
        }
        let is_other = outline.trailer.end != segment.end;
        if is_other && (outline.header.base, outline.header.id) == (segment.base, segment.id) {
            // A cut has written its trailer, or is about to. Whether the segment is still there says
            // nothing: it may have been dropped since.
            return Ok(Outcome::Cut);
        }
        let found = (outline.header.base, outline.header.id, outline.trailer.end);
        if found != (segment.base, segment.id, segment.end) {
            let reason = Corruption::Mismatch {
                field: "end",
                expected: segment.end,
                found: outline.trailer.end,
            };
            return Err(Error::Corrupt { path, offset: 0, lsn: None, reason });
        }
        let name = archived_name(segment.base, outline.checksum);
        if self.is_present(&name, &outline)? {
            return Ok(Outcome::Present);
        }
        let image = SegmentImage::read(&*file, &path, outline)?;
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        image.write(self.archive, &temporary)?;
        if self.was_cut(segment)? {
            self.archive
                .remove(&temporary)
                .map_err(|source| Error::io(Op::Remove, self.archive.path(&temporary), source))?;
            return Ok(Outcome::Cut);
        }
        self.archive
            .rename(&temporary, &name)
            .map_err(|source| Error::io(Op::Rename, self.archive.path(&name), source))?;
        Ok(Outcome::Copied(name))
    }

    /// Whether the log was cut in a segment or below it since it was pinned. One that was dropped from
    /// the other side is as good as ever.
    fn was_cut(&self, segment: &Segment) -> Result<bool> {
        let set = (self.now)()?;
        Ok(match set.at_base(segment.base) {
            Some(current) => current.end != segment.end,
            None => set.head < segment.end,
        })
    }

    /// Whether the archive has the segment already: the same header, link and trailer, which holds the
    /// checksum of all frames.
    fn is_present(&self, name: &str, outline: &Outline) -> Result<bool> {
        let path = self.archive.path(name);
        let file = match self.archive.open(name, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(Error::io(Op::Open, path, source)),
        };
        match Outline::read(&*file, &path) {
            Ok(there) if there == *outline => Ok(true),
            Ok(_) | Err(Error::Corrupt { .. } | Error::UnsupportedFormat { .. }) => {
                Err(Error::ArchiveConflict { path })
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
