//! Recycling: a dropped segment's file becomes a new segment, so that its blocks need not be found
//! again.
//!
//! Invariant: a file is written over only when nobody maps it, in this process or another, no other
//! name leads to it, and a power cut can't give it its old name back. It bears a segment's name again
//! only when all of it but the header is zeros, durable: recovery never sees what it held before.
//!
//! 1. [`set_aside`], when it is dropped: while nobody holds `READERS`, rename it to a temporary name.
//!    Whoever comes later finds no segment of that name. Look whether other names lead to it.
//! 2. [`prepare_recycled`], when a spare is made: sync the directory. Write zeros over everything
//!    behind the header, in steps, then the header; sync. Rename it; sync the directory.
//!
//! Power lost in between leaves the segment as it was, below the head, or a temporary file: opening
//! removes either.

use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::{
    BLOCK_BYTES, LogId, READERS_NAME, SegmentHeader, TEMPORARY_SUFFIX, segment_name,
};
use crate::segment::prepare::{Spare, fill, name_it, next_step};
use crate::segment::segment::Segment;
use crate::storage::{Access, LockKind, Storage, StorageFile, is_no_space, write_all_at};

/// A file that waits to be a segment again.
#[derive(Debug)]
pub(crate) struct Recycled {
    name: String,
    bytes: u64,
    file: Arc<dyn StorageFile>,
}

impl Recycled {
    /// The size of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes the file. If that can't be done now, opening does it.
    pub(crate) fn discard(self, storage: &dyn Storage) {
        drop(self.file);
        let _ = storage.remove(&self.name);
    }
}

/// What became of a segment that was to be recycled.
#[derive(Debug)]
pub(crate) enum SetAside {
    Recycled(Recycled),
    /// It was removed: another name leads to it.
    Removed,
    /// It can't be recycled, and is as it was.
    No,
}

/// Takes the name from a dropped segment that nobody in this process holds.
///
/// # Errors
///
/// `Io` if it can't be renamed or removed; opening does it then.
pub(crate) fn set_aside(storage: &dyn Storage, segment: &Segment) -> Result<SetAside> {
    let name = segment.name();
    let Ok(Some(readers)) = storage.lock(READERS_NAME, LockKind::Exclusive) else {
        return Ok(SetAside::No);
    };
    let Ok(file) = storage.open(&name, Access::ReadWrite) else { return Ok(SetAside::No) };
    // Elsewhere zeros cost more than new blocks.
    if !file.wants_zero_fill() {
        return Ok(SetAside::No);
    }
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let failed = |op, name: &str| {
        let path = storage.path(name);
        move |source| Error::io(op, path, source)
    };
    storage.rename(&name, &temporary).map_err(failed(Op::Rename, &name))?;
    drop(readers);
    // Only now, as nobody makes another name for it any more.
    if file.is_shared().unwrap_or(true) {
        storage.remove(&temporary).map_err(failed(Op::Remove, &temporary))?;
        return Ok(SetAside::Removed);
    }
    Ok(SetAside::Recycled(Recycled { name: temporary, bytes: segment.bytes, file }))
}

/// Prepares the segment at `base` from a file that was set aside, as long as `go_on` says so; gives it
/// up otherwise, or where there is no room for all of its blocks.
pub(crate) fn prepare_recycled(
    storage: &dyn Storage,
    recycled: Recycled,
    id: &LogId,
    base: u64,
    go_on: impl FnMut(u64) -> Option<u64>,
) -> Result<Option<Spare>> {
    // Before it is written to: the old name must not come back over what is written.
    storage
        .sync_directory()
        .map_err(|error| Error::io(Op::SyncDirectory, storage.path(""), error))?;
    let name = segment_name(base);
    let header = SegmentHeader { id: *id, base, segment_bytes: recycled.bytes }.encode();
    match write(&*recycled.file, &header, recycled.bytes, go_on) {
        Ok(true) => {}
        Ok(false) => {
            recycled.discard(storage);
            return Ok(None);
        }
        Err((_, error)) if is_no_space(&error) => {
            recycled.discard(storage);
            return Ok(None);
        }
        Err((op, error)) => return Err(Error::io(op, storage.path(&name), error)),
    }
    let Recycled { name: temporary, bytes, file } = recycled;
    name_it(storage, &temporary, &name)?;
    Ok(Some(Spare { base, bytes, file, filled: base + bytes - BLOCK_BYTES }))
}

/// Writes zeros over all but the first block, and then that. False if it was stopped.
fn write(
    file: &dyn StorageFile,
    header: &[u8],
    bytes: u64,
    mut go_on: impl FnMut(u64) -> Option<u64>,
) -> Result<bool, (Op, std::io::Error)> {
    let mut filled = BLOCK_BYTES;
    while filled < bytes {
        let Some(sync_bytes) = go_on(filled) else { return Ok(false) };
        let to = next_step(0, filled).min(bytes);
        fill(file, filled, to).map_err(|error| (Op::Write, error))?;
        if to.is_multiple_of(sync_bytes) {
            file.sync().map_err(|error| (Op::Sync, error))?;
        }
        filled = to;
    }
    write_all_at(file, header, 0).map_err(|error| (Op::Write, error))?;
    file.sync().map_err(|error| (Op::Sync, error))?;
    Ok(true)
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;
