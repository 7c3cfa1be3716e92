//! What all Unix systems have in common.
//!
//! Invariant: nothing here is unsafe, and nothing depends on which Unix it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Reads at `offset`; 0 only at the end of the file.
pub(in crate::storage) fn read_at(
    file: &File,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

/// Writes at `offset`, perhaps fewer bytes than were given.
pub(in crate::storage) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    file.write_at(bytes, offset)
}
