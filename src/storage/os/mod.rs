//! What differs between operating systems: one file for each, all with the same functions.
//!
//! Invariant: no call site outside this folder has a `cfg` for a platform, and a function that
//! returns `Ok` has done what its name says on that platform, or says here why nothing was needed.
//!
//! | function | Linux | macOS | Windows | others |
//! |---|---|---|---|---|
//! | `sync_file` | fdatasync | `F_FULLFSYNC`, else fsync | `FlushFileBuffers` | fsync |
//! | `preallocate` | fallocate, else zeros | `F_PREALLOCATE`, zeros | length, zeros | zeros |
//! | `sync_directory` | fsync | as `sync_file` | nothing | fsync |
//! | `discard` | punches a hole | nothing | nothing | nothing |
//! | `drop_cached` | `POSIX_FADV_DONTNEED` | nothing | nothing | nothing |
//! | `is_shared` | link count | link count | yes | link count |
//! | `populate` | `MADV_POPULATE_READ` | `MADV_WILLNEED` | nothing | `MADV_WILLNEED` |

use std::fs::File;
use std::io;

#[cfg(not(any(unix, windows)))]
compile_error!("stratalog needs positioned reads and writes, which std has for Unix and Windows");

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(target_vendor = "apple", path = "macos.rs")]
#[cfg_attr(windows, path = "windows.rs")]
#[cfg_attr(not(any(target_os = "linux", target_vendor = "apple", windows)), path = "other.rs")]
mod platform;
#[cfg(unix)]
mod unix;

pub(super) use platform::{
    discard, drop_cached, populate, preallocate, read_at, sync_directory, sync_file, write_at,
    zero_fill_helps,
};

/// Whether the error says that the disk, or what this user may have of it, is full.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the file has more names than one, or its number of names is not known.
#[cfg(unix)]
pub(super) fn is_shared(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    // Without any name it is nobody's.
    Ok(file.metadata()?.nlink() > 1)
}

/// Whether the file has more names than one, or its number of names is not known: std has no stable
/// way to ask.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same on all platforms")]
pub(super) fn is_shared(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Gives a file real blocks by writing zeros, and syncs it: a file system that assigns blocks late
/// would otherwise report a full disk at a later sync, where it is no longer a clean error.
///
/// The steps are small, as pages that were filled in big writes make small ones dearer.
fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    static ZEROS: [u8; 4096] = [0; 4096];
    let mut at = 0;
    while at < bytes {
        let step = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
        let zeros = ZEROS.get(..step).unwrap_or(&ZEROS);
        match write_at(file, zeros, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => at += written as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    sync_file(file)
}
