//! macOS and its relatives: `F_FULLFSYNC`, `F_PREALLOCATE`.
//!
//! Invariant: a file that `preallocate` accepted has every block written. Plain fsync leaves bytes
//! in the drive's cache here, so it is the fallback only where the file system has nothing better.
#![expect(unsafe_code, reason = "the commands of fcntl have no safe interface in std")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use memmap2::{Advice, MmapRaw};

pub(in crate::storage) use super::unix::{read_at, write_at};

/// Makes the written bytes durable, through the drive's own cache.
pub(in crate::storage) fn sync_file(file: &File) -> io::Result<()> {
    let full = retry(|| {
        // SAFETY: the descriptor is open as long as `file` is borrowed; this command takes no
        // argument.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_FULLFSYNC) }
    });
    match full {
        Err(error) if is_unsupported(&error) => retry(|| {
            // SAFETY: the descriptor is open as long as `file` is borrowed.
            unsafe { libc::fsync(file.as_raw_fd()) }
        }),
        result => result,
    }
}

/// Makes the names in a directory durable.
pub(in crate::storage) fn sync_directory(path: &Path) -> io::Result<()> {
    sync_file(&File::open(path)?)
}

/// Gives an empty file its size and its blocks. Reserving first keeps them together on the disk and
/// reports a full one early; the zeros are what makes them written.
pub(in crate::storage) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let mut request = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: libc::off_t::try_from(bytes).map_err(too_large)?,
        fst_bytesalloc: 0,
    };
    let reserved = retry(|| {
        let request = &raw mut request;
        // SAFETY: the descriptor is open as long as `file` is borrowed, and the pointer is to a
        // structure of our own of the type that this command reads and fills.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, request) }
    });
    match reserved {
        Err(error) if super::is_no_space(&error) => return Err(error),
        // Any other error says that this file system cannot reserve. The zeros do it then.
        _ => file.set_len(bytes)?,
    }
    super::write_zeros(file, bytes)
}

/// Does nothing: the space comes back when the file is removed.
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

/// Asks for a range of a map ahead. There is no call here that reports a failing disk, so a hint is
/// all that this can be.
#[expect(clippy::unnecessary_wraps, reason = "the same signature on all platforms")]
pub(in crate::storage) fn populate(map: &MmapRaw, offset: usize, bytes: usize) -> io::Result<()> {
    let _ = map.advise_range(Advice::WillNeed, offset, bytes);
    Ok(())
}

fn retry(mut call: impl FnMut() -> libc::c_int) -> io::Result<()> {
    loop {
        if call() != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What file systems answer to a command that they do not have: network and FAT volumes differ.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOTSUP | libc::EOPNOTSUPP | libc::EINVAL | libc::ENOTTY)
    )
}
