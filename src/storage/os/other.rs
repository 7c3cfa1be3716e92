//! Other Unix systems, through what std has for all of them.
//!
//! Invariant: nothing here is unsafe, and a file that `preallocate` accepted has every block
//! written.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::{Advice, MmapRaw};

pub(in crate::storage) use super::unix::{read_at, write_at};

/// Makes the written bytes durable, with all metadata: not every system tells the two apart.
pub(in crate::storage) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Makes the names in a directory durable.
pub(in crate::storage) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Gives an empty file its size and its blocks.
pub(in crate::storage) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    super::write_zeros(file, bytes)
}

/// Does nothing: there is no call for it that all these systems have.
#[expect(clippy::unnecessary_wraps, reason = "the same signature on all platforms")]
pub(in crate::storage) fn discard(_file: &File, _offset: u64, _bytes: u64) -> io::Result<()> {
    Ok(())
}

/// Does nothing: `preallocate` has written every block, so that none is marked as never written.
pub(in crate::storage) fn drop_cached(_file: &File, _offset: u64, _bytes: u64) {}

/// False, as `preallocate` has filled the file with zeros already.
pub(in crate::storage) fn zero_fill_helps(_file: &File) -> bool {
    false
}

/// Asks for a range of a map ahead. Systems here have no call that reports a failing disk, so a
/// hint is all that this can be.
#[expect(clippy::unnecessary_wraps, reason = "the same signature on all platforms")]
pub(in crate::storage) fn populate(map: &MmapRaw, offset: usize, bytes: usize) -> io::Result<()> {
    let _ = map.advise_range(Advice::WillNeed, offset, bytes);
    Ok(())
}
