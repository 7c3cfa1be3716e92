//! Windows: `FlushFileBuffers`, zeros up to the valid data length, no syncing of directories.
//!
//! Invariant: a file that `preallocate` accepted has every byte written, so that no later write has
//! to move the valid data length, which is metadata.

use std::fs::File;
use std::io;
use std::os::windows::fs::FileExt;
use std::path::Path;

use memmap2::MmapRaw;

/// Makes the written bytes durable, with all metadata: there is nothing cheaper.
pub(in crate::storage) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Does nothing, as there is no call that an ordinary user may make. What is relied on instead is
/// that the journal of NTFS keeps the order of changes to names and files: flushing a file makes
/// durable the names that were made before. Whoever needs a name durable flushes a file after it.
#[expect(clippy::unnecessary_wraps, reason = "the same signature on all platforms")]
pub(in crate::storage) fn sync_directory(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Gives an empty file its size, its clusters and zeros in all of them.
pub(in crate::storage) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    file.set_len(bytes)?;
    super::write_zeros(file, bytes)
}

/// Reads at `offset`; 0 only at the end of the file.
pub(in crate::storage) fn read_at(
    file: &File,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Writes at `offset`, perhaps fewer bytes than were given.
pub(in crate::storage) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.seek_write(bytes, offset)
}

/// Does nothing: only files that were marked sparse have holes here.
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

/// Does nothing: there is no call that reads a map ahead and reports what fails.
#[expect(clippy::unnecessary_wraps, reason = "the same signature on all platforms")]
pub(in crate::storage) fn populate(_map: &MmapRaw, _at: usize, _bytes: usize) -> io::Result<()> {
    Ok(())
}
