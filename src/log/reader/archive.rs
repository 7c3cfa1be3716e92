//! [`LogReader::archive`]: archiving by a process that does not write the log.
//!
//! Invariant: that of [archiving](crate::Log::archive). What is copied has a valid trailer, which is
//! written only when the frames that it sums up are durable; and every frame of a copy was checked.

use std::path::Path;
use std::sync::Arc;

use super::LogReader;
use crate::error::{Error, Result};
use crate::log::archive::{ArchiveReport, Progress, archive_segments};
use crate::lsn::Lsn;
use crate::segment::segment::Segment;
use crate::storage::{FileStorage, Storage};

impl LogReader {
    /// Copies all sealed segments into the directory `dir` that are not there yet, as
    /// [`Log::archive`](crate::Log::archive) does; beside the process that writes the log, or of a log
    /// that nobody writes. Of the log nothing is changed.
    ///
    /// Records of segments that are not sealed are not archived: of a log that is not in use too, so
    /// look at the report's `end`. Nothing is pinned: a segment that is dropped before it was copied
    /// ends it.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let [dir, archive] = ["wal", "archive"].map(|name| folder.path().join(name));
    /// use stratalog::{Log, Options};
    /// let log = Log::open(&dir)?;
    /// let lsn = log.append(b"kept for good")?;
    /// log.roll()?;
    /// log.archive(folder.path().join("by the writer"))?;
    ///
    /// // In another process:
    /// let reader = Options::new().open_read_only(&dir)?;
    /// let report = reader.archive(&archive)?;
    /// assert!(report.copied.len() == 1 && report.end > lsn);
    /// assert_eq!(reader.archive(&archive)?.present, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Durability
    ///
    /// What the report names survives power loss. Only what is durable in the log is ever copied.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](Error::Corrupt) for a damaged segment: it is not copied, those before it are.
    /// [`Truncated`](Error::Truncated) if the writer dropped a segment that was to be copied next: go on
    /// by archiving again, and keep the writer from it by a [`hold`](crate::Log::hold).
    /// [`ArchiveConflict`](Error::ArchiveConflict), [`NotALog`](Error::NotALog),
    /// [`Locked`](Error::Locked), [`NoSpace`](Error::NoSpace) as [`Log::archive`](crate::Log::archive);
    /// those of [`refresh`](Self::refresh). After any of them it can be run again.
    pub fn archive(&self, dir: impl AsRef<Path>) -> Result<ArchiveReport> {
        self.archive_with(&FileStorage::new(dir.as_ref()), |_| {})
    }

    /// As [`archive`](Self::archive), to a storage of your own, and tells how far it has come after each
    /// segment. What `progress` counts as done is durable.
    ///
    /// # Errors
    ///
    /// As [`archive`](Self::archive).
    pub fn archive_with(
        &self,
        archive: &dyn Storage,
        mut progress: impl FnMut(&Progress),
    ) -> Result<ArchiveReport> {
        self.refresh()?;
        let storage = &self.shared.storage;
        let current = self.current();
        // A valid trailer that names this end.
        let is_sealed = |segment: &&Arc<Segment>| segment.summary(storage).is_some();
        let segments: Vec<_> = current.set.segments.iter().take_while(is_sealed).cloned().collect();
        let places: Vec<_> = segments.iter().map(|it| (it.start(), it.end)).collect();
        let mut done = 0;
        let now = || {
            self.refresh()?;
            Ok(Arc::clone(&self.current().set))
        };
        let mut told = |progressed: &Progress| {
            done = progressed.done;
            progress(progressed);
        };
        let result = archive_segments((storage, &now), segments, archive, &mut told);
        match (result, places.get(done)) {
            // One that can't be read any more may have been dropped meanwhile.
            (Err(error @ (Error::Io { .. } | Error::Corrupt { .. })), Some((start, end))) => {
                let _ = self.refresh();
                let (lsn, head) = (Lsn::new(*start), self.head());
                if head.get() >= *end { Err(Error::Truncated { lsn, head }) } else { Err(error) }
            }
            (result, _) => result,
        }
    }
}
