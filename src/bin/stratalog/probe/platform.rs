//! What probing takes from the operating system, by safe interfaces only.
//!
//! Invariant: this is the only file of the command that knows platforms; a way to sync that a platform
//! does not have is not in its list.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// A way to write so that the bytes are, or are not, durable afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// As it is called in reports.
    pub(super) name: &'static str,
    pub(super) note: &'static str,
    /// Whether what was written is meant to survive power loss.
    pub(super) is_durable: bool,
    /// Whether it goes past the page cache, from memory that is aligned.
    pub(super) is_direct: bool,
    open_flags: Flags,
    write: fn(&File, &[u8], u64) -> io::Result<()>,
    then: fn(&File) -> io::Result<()>,
}

impl Way {
    /// Opens a file that is there for writing in this way.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        set_flags(&mut options, self.open_flags);
        options.open(path)
    }

    /// Writes, and does what this way does about durability.
    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        (self.write)(file, bytes, offset)?;
        (self.then)(file)
    }
}

/// Space on the file system of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) free_bytes: u64,
    pub(super) bytes: u64,
    pub(super) block_bytes: u64,
}

#[expect(clippy::unnecessary_wraps, reason = "one of several ways to go on after a write")]
fn nothing(_: &File) -> io::Result<()> {
    Ok(())
}

pub(super) use system::{
    Flags, allocated_bytes, device_of, preallocate, set_flags, space, sync_directory, ways,
    write_at,
};

#[cfg(unix)]
mod system {
    use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

    use rustix::fs::OFlags;

    use super::{File, OpenOptions, Path, Space, Way, io, nothing};

    pub(in crate::probe) type Flags = OFlags;

    pub(in crate::probe) fn set_flags(options: &mut OpenOptions, flags: Flags) {
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }

    pub(in crate::probe) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    const PLAIN: Way = Way {
        name: "",
        note: "",
        is_durable: true,
        is_direct: false,
        open_flags: OFlags::empty(),
        write: write_at,
        then: nothing,
    };

    fn fsync(file: &File) -> io::Result<()> {
        Ok(rustix::fs::fsync(file)?)
    }

    /// All ways; the first is the log's own.
    #[cfg(not(target_vendor = "apple"))]
    pub(in crate::probe) fn ways() -> Vec<Way> {
        const LOGS: &str = "what the log does";
        let fdatasync = |file: &File| file.sync_data();
        let mut ways = vec![
            Way { name: "write, fdatasync", note: LOGS, then: fdatasync, ..PLAIN },
            Way { name: "write, fsync", then: fsync, ..PLAIN },
            Way { name: "O_DSYNC", open_flags: OFlags::DSYNC, ..PLAIN },
            Way { name: "O_SYNC", open_flags: OFlags::SYNC, ..PLAIN },
        ];
        #[cfg(target_os = "linux")]
        ways.extend(linux_ways());
        ways
    }

    #[cfg(target_os = "linux")]
    fn linux_ways() -> [Way; 3] {
        const RAW: &str = "not durable: past the cache, without a sync";
        let direct = Way { is_direct: true, open_flags: OFlags::DIRECT, ..PLAIN };
        let both = OFlags::DIRECT | OFlags::DSYNC;
        [
            Way { name: "pwritev2, RWF_DSYNC", write: write_dsync, ..PLAIN },
            Way { name: "O_DIRECT | O_DSYNC", open_flags: both, ..direct },
            Way { name: "O_DIRECT", note: RAW, is_durable: false, ..direct },
        ]
    }

    #[cfg(target_os = "linux")]
    fn write_dsync(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        use rustix::io::{ReadWriteFlags, pwritev2};
        let slices = [io::IoSlice::new(bytes)];
        let written = pwritev2(file, &slices, offset, ReadWriteFlags::DSYNC)?;
        if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// All ways; the first is the log's own.
    #[cfg(target_vendor = "apple")]
    pub(in crate::probe) fn ways() -> Vec<Way> {
        let full = |file: &File| file.sync_all();
        let drive = "reaches the drive, perhaps only its cache";
        vec![
            Way { name: "write, F_FULLFSYNC", note: "what the log does", then: full, ..PLAIN },
            Way { name: "write, fsync", note: drive, is_durable: false, then: fsync, ..PLAIN },
            Way {
                name: "O_DSYNC",
                note: drive,
                is_durable: false,
                open_flags: OFlags::DSYNC,
                ..PLAIN
            },
        ]
    }

    /// Gives a file its size and its blocks; false where the file system does not know how.
    #[cfg(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple"))]
    pub(in crate::probe) fn preallocate(file: &File, bytes: u64) -> io::Result<bool> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "freebsd", target_vendor = "apple")))]
    #[expect(clippy::unnecessary_wraps, reason = "the same on all platforms")]
    pub(in crate::probe) fn preallocate(_: &File, _: u64) -> io::Result<bool> {
        Ok(false)
    }

    /// How much of the disk a file takes, where that can be asked.
    pub(in crate::probe) fn allocated_bytes(file: &File) -> io::Result<Option<u64>> {
        Ok(Some(file.metadata()?.blocks() * 512))
    }

    /// Makes the names in a directory durable; None where there is no such call.
    #[expect(clippy::unnecessary_wraps, reason = "the same on all platforms")]
    pub(in crate::probe) fn sync_directory(path: &Path) -> Option<io::Result<()>> {
        Some(File::open(path).and_then(|directory| directory.sync_all()))
    }

    pub(in crate::probe) fn space(path: &Path) -> io::Result<Option<Space>> {
        let facts = rustix::fs::statvfs(path)?;
        Ok(Some(Space {
            free_bytes: facts.f_bavail.saturating_mul(facts.f_frsize),
            bytes: facts.f_blocks.saturating_mul(facts.f_frsize),
            block_bytes: facts.f_bsize,
        }))
    }

    /// The numbers of the device that a path is on, or that it is.
    pub(in crate::probe) fn device_of(path: &Path) -> io::Result<Option<(u32, u32)>> {
        use std::os::unix::fs::FileTypeExt;
        let facts = std::fs::metadata(path)?;
        let device = if facts.file_type().is_block_device() { facts.rdev() } else { facts.dev() };
        #[allow(clippy::useless_conversion, reason = "the type differs between systems")]
        let device = rustix::fs::Dev::try_from(device).map_err(io::Error::other)?;
        Ok(Some((rustix::fs::major(device), rustix::fs::minor(device))))
    }
}

#[cfg(windows)]
mod system {
    use std::os::windows::fs::{FileExt, OpenOptionsExt};

    use super::{File, OpenOptions, Path, Space, Way, io, nothing};

    pub(in crate::probe) type Flags = u32;

    const FILE_FLAG_WRITE_THROUGH: u32 = 0x8000_0000;
    const FILE_FLAG_NO_BUFFERING: u32 = 0x2000_0000;

    pub(in crate::probe) fn set_flags(options: &mut OpenOptions, flags: Flags) {
        options.custom_flags(flags);
    }

    pub(in crate::probe) fn write_at(
        file: &File,
        mut bytes: &[u8],
        mut offset: u64,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = file.seek_write(bytes, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = bytes.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }

    /// All ways; the first is the log's own.
    pub(in crate::probe) fn ways() -> Vec<Way> {
        const PLAIN: Way = Way {
            name: "write, FlushFileBuffers",
            note: "what the log does",
            is_durable: true,
            is_direct: false,
            open_flags: 0,
            write: write_at,
            then: nothing,
        };
        const THROUGH: Way = Way {
            name: "WRITE_THROUGH",
            note: "as far as the drive honours it",
            open_flags: FILE_FLAG_WRITE_THROUGH,
            ..PLAIN
        };
        let direct = FILE_FLAG_WRITE_THROUGH | FILE_FLAG_NO_BUFFERING;
        vec![
            Way { then: |file| file.sync_all(), ..PLAIN },
            THROUGH,
            Way {
                name: "WRITE_THROUGH | NO_BUFFERING",
                is_direct: true,
                open_flags: direct,
                ..THROUGH
            },
        ]
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same on all platforms")]
    pub(in crate::probe) fn preallocate(_: &File, _: u64) -> io::Result<bool> {
        Ok(false)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same on all platforms")]
    pub(in crate::probe) fn allocated_bytes(_: &File) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// Names are durable without one.
    pub(in crate::probe) fn sync_directory(_: &Path) -> Option<io::Result<()>> {
        None
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same on all platforms")]
    pub(in crate::probe) fn space(_: &Path) -> io::Result<Option<Space>> {
        Ok(None)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same on all platforms")]
    pub(in crate::probe) fn device_of(_: &Path) -> io::Result<Option<(u32, u32)>> {
        Ok(None)
    }
}
