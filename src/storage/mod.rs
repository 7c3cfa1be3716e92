//! [`Storage`]: the directory that a log lives in, and [`StorageFile`]: a file of it.
//!
//! Invariant: nothing above this floor calls the operating system for a file, and nothing above it
//! is unsafe. Files with maps ([`FileStorage`]) and memory ([`MemoryStorage`]) are here; with the
//! feature `test-util` memory that loses power and fails (`FaultStorage`); and your own is any type
//! that implements the two traits.
//!
//! # A storage of your own
//!
//! [`SharedBytes`] is memory that can be read and mapped while it is written, so a storage needs no
//! unsafe code. This one keeps files in a map and counts the syncs:
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::io::{self, ErrorKind};
//! use std::path::PathBuf;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use std::sync::{Arc, Mutex};
//! use stratalog::storage::*;
//!
//! #[derive(Debug, Default)]
//! struct Tiny {
//!     files: Mutex<BTreeMap<String, Arc<TinyFile>>>,
//! }
//!
//! #[derive(Debug)]
//! struct TinyFile {
//!     bytes: SharedBytes,
//!     syncs: AtomicU64,
//! }
//!
//! #[derive(Debug)]
//! struct Unlocked;
//! impl StorageLock for Unlocked {}
//!
//! impl Storage for Tiny {
//!     fn names(&self) -> io::Result<Vec<String>> {
//!         Ok(self.files.lock().unwrap().keys().cloned().collect())
//!     }
//!     fn create_directory(&self) -> io::Result<()> {
//!         Ok(())
//!     }
//!     fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
//!         let mut files = self.files.lock().unwrap();
//!         if files.contains_key(name) {
//!             return Err(ErrorKind::AlreadyExists.into());
//!         }
//!         let bytes = SharedBytes::new(bytes)?;
//!         let file = Arc::new(TinyFile { bytes, syncs: AtomicU64::new(0) });
//!         files.insert(name.to_owned(), Arc::clone(&file));
//!         Ok(file)
//!     }
//!     fn open(&self, name: &str, _: Access) -> io::Result<Arc<dyn StorageFile>> {
//!         let file = self.files.lock().unwrap().get(name).cloned();
//!         Ok(file.ok_or(ErrorKind::NotFound)?)
//!     }
//!     fn rename(&self, from: &str, to: &str) -> io::Result<()> {
//!         let mut files = self.files.lock().unwrap();
//!         let file = files.remove(from).ok_or(ErrorKind::NotFound)?;
//!         files.insert(to.to_owned(), file);
//!         Ok(())
//!     }
//!     fn remove(&self, name: &str) -> io::Result<()> {
//!         let file = self.files.lock().unwrap().remove(name);
//!         file.map(drop).ok_or(ErrorKind::NotFound.into())
//!     }
//!     fn sync_directory(&self) -> io::Result<()> {
//!         Ok(())
//!     }
//!     // One process, one log: nobody to exclude. A storage that is shared has to.
//!     fn lock(&self, _: &str, _: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
//!         Ok(Some(Box::new(Unlocked)))
//!     }
//!     fn path(&self, name: &str) -> PathBuf {
//!         PathBuf::from("tiny").join(name)
//!     }
//! }
//!
//! impl StorageFile for TinyFile {
//!     fn size(&self) -> io::Result<u64> {
//!         Ok(self.bytes.len())
//!     }
//!     fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
//!         self.bytes.read_at(buffer, offset)
//!     }
//!     fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
//!         self.bytes.write_at(bytes, offset)
//!     }
//!     fn sync(&self) -> io::Result<()> {
//!         self.syncs.fetch_add(1, Ordering::Relaxed);
//!         Ok(())
//!     }
//!     fn map(&self) -> io::Result<Option<Region>> {
//!         Ok(Some(self.bytes.region()))
//!     }
//! }
//!
//! let storage: Box<dyn Storage> = Box::new(Tiny::default());
//! let file = storage.create("a", 4096)?;
//! assert_eq!(file.write_at(b"hello", 4093)?, 3);
//! assert_eq!(storage.open("a", Access::Read)?.map()?.unwrap().len(), 4096);
//! # Ok::<(), io::Error>(())
//! ```

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(any(test, feature = "test-util"))]
mod fault;
mod file;
mod locks;
mod memory;
mod os;
mod region;

#[cfg(any(test, feature = "test-util"))]
pub use fault::{Event, EventKind, Fault, FaultStorage, SECTOR_BYTES};
pub use file::FileStorage;
pub use memory::{Image, MemoryStorage};
pub(crate) use os::is_no_space;
pub use region::{Region, SharedBytes};

/// What is read, written and mapped as a whole at least: no system has smaller pages.
pub(crate) const PAGE_BYTES: u64 = 4 << 10;

/// A flat directory of files, as a log needs it.
///
/// A log uses few names: `LOCK`, `READERS`, `control`, segments of 20 digits and `.seg`, and
/// temporary ones that end in `.tmp`, `.bak` or `.drop`. All methods may be called from several
/// threads at once. An error of kind [`StorageFull`](io::ErrorKind::StorageFull) or
/// [`QuotaExceeded`](io::ErrorKind::QuotaExceeded) from [`create`](Self::create) is answered with
/// `NoSpace`; any other error of a call that changes something poisons the log.
///
/// # Durability
///
/// The log relies on this: after [`StorageFile::sync`] returned `Ok` the bytes written before the
/// call survive a loss of power, and after [`sync_directory`](Self::sync_directory) so do the names
/// made, renamed and removed before that call. In between, anything may survive or not.
#[expect(clippy::missing_errors_doc, reason = "what the log makes of errors is told above")]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Lists the names of all files, in any order. A directory that does not exist is an error of
    /// kind [`NotFound`](io::ErrorKind::NotFound), a path that is no directory one of kind
    /// [`NotADirectory`](io::ErrorKind::NotADirectory).
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes the directory with its parents, durably; does nothing where it is there.
    fn create_directory(&self) -> io::Result<()>;

    /// Makes a file of exactly `bytes` bytes, all zero, with its blocks reserved, open for reading
    /// and writing. A file of that name is an error of kind
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists). After an error no file of that name is left.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens a file that is there.
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>>;

    /// Renames a file, replacing `to` where it exists.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Regions mapped from it stay readable.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names durable as they are now.
    fn sync_directory(&self) -> io::Result<()>;

    /// Takes an advisory lock, making its file if need be; `None` where another holder excludes it.
    /// It is held until the value is dropped, or the process ends.
    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>>;

    /// The path to name in messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file of a [`Storage`], of a size that was fixed when it was made.
#[expect(clippy::missing_errors_doc, reason = "what the log makes of errors is told above")]
pub trait StorageFile: fmt::Debug + Send + Sync + 'static {
    /// The size, in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads at `offset` into `buffer` and returns how many bytes were read; 0 only at the end of
    /// the file. Fewer than asked for are allowed: the log asks again.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at `offset` and returns how many bytes were written. Fewer than given are allowed:
    /// the log goes on with the rest. An error of kind [`Interrupted`](io::ErrorKind::Interrupted)
    /// is tried again, any other is final.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all bytes durable that were written before the call. After an error the log never
    /// tries again.
    fn sync(&self) -> io::Result<()>;

    /// Gives the file's bytes as memory that follows later writes, or `None` where there is no such
    /// thing: the log then reads through [`read_at`](Self::read_at) into memory of its own.
    fn map(&self) -> io::Result<Option<Region>> {
        Ok(None)
    }

    /// Whether writing zeros ahead makes later syncs cheaper: true for files written in place,
    /// false for memory and for file systems that write every block anew.
    fn wants_zero_fill(&self) -> bool {
        false
    }

    /// Lets go of what is held in memory of a range that was just synced, so that the next read asks
    /// the device. Recovery reads back in this way what it has written again. The default does
    /// nothing, which is right where reads and syncs can't differ.
    fn drop_cached(&self, offset: u64, bytes: u64) {
        let _ = (offset, bytes);
    }

    /// Whether other names lead to the same file, as hard links do: such a one is never written over.
    /// The default says no, which is right where there is no such thing.
    fn is_shared(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Gives the blocks of a range back that will never be read again, where that can be done
    /// without changing the file's size. The default does nothing.
    fn discard(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let _ = (offset, bytes);
        Ok(())
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// How a lock excludes others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Excludes exclusive holders only.
    Shared,
    /// Excludes every other holder.
    Exclusive,
}

/// A held lock; released when dropped.
pub trait StorageLock: fmt::Debug + Send + Sync {}

/// Fills `buffer` from `offset`, in as many reads as it takes.
///
/// # Errors
///
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the file ends before.
pub(crate) fn read_exact_at(
    file: &dyn StorageFile,
    mut buffer: &mut [u8],
    mut offset: u64,
) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = buffer.get_mut(read..).ok_or(io::ErrorKind::InvalidData)?;
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`, in as many writes as it takes.
///
/// # Errors
///
/// The first error but `Interrupted`; [`WriteZero`](io::ErrorKind::WriteZero) where a write takes
/// nothing.
pub(crate) fn write_all_at(
    file: &dyn StorageFile,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = bytes.get(written..).ok_or(io::ErrorKind::InvalidData)?;
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
