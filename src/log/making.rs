//! [`Making`]: a new log made of whole segments, for [`restore`](super::restore()) and
//! [`salvage`](super::salvage()).
//!
//! Invariant: power lost at any moment leaves a directory that does not open as a log, and in which
//! making can begin anew, or the whole log. `control.tmp` is there from before the first segment until
//! the log is whole; without `control` beside it, it says that what lies there is unfinished.
//!
//! 1. Check that nothing is in the way; remove what an unfinished making left, `control.tmp` last.
//! 2. Make `control.tmp`; sync the directory.
//! 3. Write each segment under a temporary name, and sync it.
//! 4. Rename the segments; sync the directory.
//! 5. Write both slots into `control.tmp`, sync it, rename it to `control`: the log is there. Sync the
//!    directory.

use std::io::ErrorKind;
use std::sync::Arc;

use super::image::SegmentImage;
use crate::error::{Error, NotALog, Op, Result};
use crate::format::{
    BLOCK_BYTES, CONTROL_FILE_BYTES, CONTROL_NAME, ControlState, CutMark, FileKind, LOCK_NAME,
    LogId, TEMPORARY_SUFFIX, classify, frames_start, segment_name,
};
use crate::recover::{LOST_AND_FOUND, new_id};
use crate::segment::control::no_space_or_io;
use crate::storage::{LockKind, Storage, StorageFile, StorageLock, write_all_at};

const UNFINISHED: &str = "control.tmp";

/// A log that is being made. Dropped before it is finished, it removes what it has made.
pub(super) struct Making<'a> {
    storage: &'a dyn Storage,
    control: Option<Arc<dyn StorageFile>>,
    id: LogId,
    /// Bases of the segments written so far, ascending.
    bases: Vec<u64>,
    /// The last of them: base and end.
    last: Option<(u64, u64)>,
    is_log: bool,
    _lock: Box<dyn StorageLock>,
}

/// What the control file of a log that was made says.
pub(super) struct Finish {
    pub(super) head: u64,
    /// The base of the segment in which the log goes on.
    pub(super) next_base: u64,
    pub(super) app_state: Vec<u8>,
}

impl<'a> Making<'a> {
    /// Makes the directory if need be, and takes its lock. `old` is the log whose segments the new one
    /// will go on behind.
    pub(super) fn begin(storage: &'a dyn Storage, old: Option<LogId>) -> Result<Self> {
        let failed = |source| Error::io(Op::OpenDirectory, storage.path(""), source);
        let names = match storage.names() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                storage.create_directory().map_err(failed)?;
                Vec::new()
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(Error::NotALog { path: storage.path(""), found: NotALog::File });
            }
            names => names.map_err(failed)?,
        };
        check_free(storage, &names)?;
        // Also where the directory was found: whoever made it may not have come to sync its name.
        storage.create_directory().map_err(failed)?;
        let path = storage.path(LOCK_NAME);
        let lock = match storage.lock(LOCK_NAME, LockKind::Exclusive) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Err(Error::Locked { path }),
            Err(source) => return Err(Error::io(Op::Lock, path, source)),
        };
        let names = storage.names().map_err(failed)?;
        check_free(storage, &names)?;
        clear(storage, &names)?;
        let control = storage
            .create(UNFINISHED, CONTROL_FILE_BYTES)
            .map_err(|error| no_space_or_io(Op::Create, &storage.path(CONTROL_NAME), error))?;
        let control = Some(control);
        let id = old.map_or_else(new_id, |old| new_id().restored_from(old));
        let (bases, last) = (Vec::new(), None);
        let making = Self { storage, control, id, bases, last, is_log: false, _lock: lock };
        making.sync_directory()?;
        Ok(making)
    }

    /// The id of the new log.
    pub(super) fn id(&self) -> LogId {
        self.id
    }

    /// Adds the next segment.
    pub(super) fn add(&mut self, image: &SegmentImage) -> Result<()> {
        let base = image.header.base;
        self.bases.push(base);
        self.last = Some((base, image.trailer.end));
        image.write(self.storage, &temporary(base))
    }

    /// Makes the log one that can be opened, closed cleanly.
    pub(super) fn finish(mut self, finish: Finish) -> Result<()> {
        let storage = self.storage;
        for base in &self.bases {
            let name = segment_name(*base);
            storage
                .rename(&temporary(*base), &name)
                .map_err(|source| Error::io(Op::Rename, storage.path(&name), source))?;
        }
        self.sync_directory()?;
        let Finish { head, next_base, app_state } = finish;
        let state = ControlState {
            id: self.id,
            head,
            next_base,
            newest: self.last.map(|(base, _)| base),
            durable_end: frames_start(next_base),
            // The next link names where the last segment ends; until then this does.
            cut: self.last.map(|(segment, end)| CutMark { segment, end, fresh: next_base }),
            clean: true,
            app_state,
        };
        let path = storage.path(CONTROL_NAME);
        let failed = |op| {
            let path = path.clone();
            move |source| Error::io(op, path, source)
        };
        if let Some(control) = self.control.take() {
            for sequence in [1_u64, 2] {
                let slot = sequence % 2 * BLOCK_BYTES;
                write_all_at(&*control, &state.encode(sequence), slot)
                    .map_err(failed(Op::Write))?;
            }
            control.sync().map_err(failed(Op::Sync))?;
        }
        storage.rename(UNFINISHED, CONTROL_NAME).map_err(failed(Op::Rename))?;
        // From here on it is a log, durable or not: nothing is taken back.
        self.is_log = true;
        self.sync_directory()
    }

    fn sync_directory(&self) -> Result<()> {
        self.storage
            .sync_directory()
            .map_err(|source| Error::io(Op::SyncDirectory, self.storage.path(""), source))
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if self.is_log {
            return;
        }
        // Closed first: elsewhere an open file can't be removed. What can't be removed now is removed
        // when a log is made here again.
        self.control = None;
        // A rename that failed may have happened: then the log is there, and whole.
        if let Ok(names) = self.storage.names()
            && !names.iter().any(|name| name == CONTROL_NAME)
        {
            let _ = clear(self.storage, &names);
        }
    }
}

fn temporary(base: u64) -> String {
    format!("{}{TEMPORARY_SUFFIX}", segment_name(base))
}

/// Refuses a directory that holds anything but what an unfinished making leaves.
fn check_free(storage: &dyn Storage, names: &[String]) -> Result<()> {
    let unfinished = names.iter().any(|name| name == UNFINISHED);
    let in_the_way = names.iter().find(|name| match classify(name) {
        FileKind::Lock | FileKind::Readers | FileKind::Temporary => false,
        FileKind::Segment(_) => !unfinished,
        FileKind::Foreign => *name != LOST_AND_FOUND,
        FileKind::Control | FileKind::SetAside | FileKind::Dropped => true,
    });
    match in_the_way {
        Some(name) => Err(Error::ArchiveConflict { path: storage.path(name) }),
        None => Ok(()),
    }
}

/// Removes what an unfinished making left, the mark of it last.
fn clear(storage: &dyn Storage, names: &[String]) -> Result<()> {
    let remove = |name: &str| {
        storage.remove(name).map_err(|source| Error::io(Op::Remove, storage.path(name), source))
    };
    let ours = |name: &&String| {
        matches!(classify(name), FileKind::Segment(_) | FileKind::Temporary) && *name != UNFINISHED
    };
    let mut removed = false;
    for name in names.iter().filter(ours) {
        remove(name)?;
        removed = true;
    }
    if removed {
        storage
            .sync_directory()
            .map_err(|source| Error::io(Op::SyncDirectory, storage.path(""), source))?;
    }
    if names.iter().any(|name| name == UNFINISHED) {
        remove(UNFINISHED)?;
    }
    Ok(())
}
