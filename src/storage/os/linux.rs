//! Linux: fdatasync, fallocate, populated maps.
//!
//! Invariant: a file that `preallocate` accepted has its blocks, and a map that `populate` accepted
//! could be read at that moment.
#![expect(unsafe_code, reason = "fallocate and fstatfs have no safe interface in std")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::path::Path;

use memmap2::{Advice, MmapRaw};

pub(in crate::storage) use super::unix::{read_at, write_at};

/// Makes the written bytes durable, and of the metadata what reading them takes.
pub(in crate::storage) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Makes the names in a directory durable: by fsync, as fdatasync may leave out what changed in it.
pub(in crate::storage) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Gives an empty file its size and its blocks.
pub(in crate::storage) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    match allocate(file, 0, 0, bytes) {
        Err(error) if is_unsupported(&error) => super::write_zeros(file, bytes),
        result => result,
    }
}

/// Gives the blocks of a range back; the range reads as zeros afterwards.
pub(in crate::storage) fn discard(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    match allocate(file, mode, offset, bytes) {
        Err(error) if is_unsupported(&error) => Ok(()),
        result => result,
    }
}

/// Lets go of the pages of a range that are clean and not mapped; widened to the size of the largest
/// pages there are, as only whole ones are dropped. A hint: it has no error that would mean anything.
pub(in crate::storage) fn drop_cached(file: &File, offset: u64, bytes: u64) {
    const LARGEST_PAGE_BYTES: u64 = 2 << 20;
    let from = offset - offset % LARGEST_PAGE_BYTES;
    let to = offset.saturating_add(bytes).next_multiple_of(LARGEST_PAGE_BYTES);
    let range = (libc::off_t::try_from(from), libc::off_t::try_from(to - from));
    let (Ok(from), Ok(bytes)) = range else { return };
    // SAFETY: the descriptor is open as long as `file` is borrowed; the other arguments are numbers,
    // and no memory is handed over.
    let _ =
        unsafe { libc::posix_fadvise(file.as_raw_fd(), from, bytes, libc::POSIX_FADV_DONTNEED) };
}

/// False on file systems that write every block anew, or in memory: there a block that was written
/// before is no cheaper to write again.
pub(in crate::storage) fn zero_fill_helps(file: &File) -> bool {
    const WRITTEN_ANEW: [u32; 6] = [
        0x9123_683e, // btrfs
        0xca45_1a4e, // bcachefs
        0x2fc1_2fc1, // zfs
        0x0000_3434, // nilfs
        0x0102_1994, // tmpfs
        0x8584_58f6, // ramfs
    ];
    file_system_magic(file).is_ok_and(|magic| !WRITTEN_ANEW.contains(&magic))
}

/// Reads a range of a map into memory, so that a failing disk is an error here and not a signal at
/// the first load. Kernels before 5.14 do not know how: they read when the range is used.
pub(in crate::storage) fn populate(map: &MmapRaw, offset: usize, bytes: usize) -> io::Result<()> {
    loop {
        match map.advise_range(Advice::PopulateRead, offset, bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            result => return result,
        }
    }
}

fn allocate(file: &File, mode: libc::c_int, offset: u64, bytes: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
    let offset = libc::off_t::try_from(offset).map_err(too_large)?;
    let bytes = libc::off_t::try_from(bytes).map_err(too_large)?;
    loop {
        // SAFETY: the descriptor is open as long as `file` is borrowed; the other arguments are
        // numbers, and no memory is handed over.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset, bytes) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}

fn file_system_magic(file: &File) -> io::Result<u32> {
    let mut facts = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the pointer is to memory of
    // our own of the size that the call fills.
    let result = unsafe { libc::fstatfs(file.as_raw_fd(), facts.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled the structure, which was all zero before: valid
    // for its fields, which are all integers.
    let facts = unsafe { facts.assume_init() };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the type differs between architectures; the magic number is its low 32 bits"
    )]
    Ok(facts.f_type as u32)
}
