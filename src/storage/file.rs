//! [`FileStorage`]: a directory of the file system.
//!
//! Invariant: a name that [`create_directory`](Storage::create_directory) returned `Ok` for, with
//! all names above it, is durable; and [`create`](Storage::create) leaves a file of the full size
//! with all its blocks, or none.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Access, LockKind, Region, Storage, StorageFile, StorageLock, os};

/// A directory of the file system, with files that are mapped for reading.
///
/// The file system should be a local one, and nobody else may write, shorten or replace the log's
/// files while it is open: the documentation of `Log::open` says what rests on that.
#[derive(Clone, Debug)]
pub struct FileStorage {
    directory: PathBuf,
}

impl FileStorage {
    /// Names the directory; touches nothing.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The path of a file: `name` has to be one name, so that nothing outside the directory is ever
    /// reached.
    fn resolve(&self, name: &str) -> io::Result<PathBuf> {
        let mut components = Path::new(name).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(one)), None) if one == name => Ok(self.directory.join(name)),
            _ => Err(io::ErrorKind::InvalidFilename.into()),
        }
    }
}

impl Storage for FileStorage {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) => {
                let is_file = fs::metadata(&self.directory).is_ok_and(|facts| !facts.is_dir());
                return Err(if is_file { io::ErrorKind::NotADirectory.into() } else { error });
            }
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create_directory(&self) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut at = self.directory.as_path();
        loop {
            match fs::metadata(here(at)) {
                Ok(facts) if facts.is_dir() => break,
                Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(error) => {
                    missing.push(at);
                    at = at.parent().ok_or(error)?;
                }
            }
        }
        sync_parent_of_found(at)?;
        for directory in missing.into_iter().rev() {
            create_one(directory)?;
        }
        Ok(())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.resolve(name)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        if let Err(error) = os::preallocate(&file, bytes) {
            // Closed first: elsewhere an open file cannot be removed.
            drop(file);
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Arc::new(OpenFile { file }))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let path = self.resolve(name)?;
        // Asked before opening, as opening a pipe would wait for its other end.
        let facts = fs::metadata(&path)?;
        if facts.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !facts.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let write = access == Access::ReadWrite;
        let file = OpenOptions::new().read(true).write(write).open(&path)?;
        Ok(Arc::new(OpenFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.resolve(from)?, self.resolve(to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.resolve(name)?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        os::sync_directory(here(&self.directory))
    }

    fn lock(&self, name: &str, kind: LockKind) -> io::Result<Option<Box<dyn StorageLock>>> {
        let file = open_lock(&self.resolve(name)?, kind)?;
        loop {
            let result = match kind {
                LockKind::Exclusive => file.try_lock(),
                LockKind::Shared => file.try_lock_shared(),
            };
            match result {
                Ok(()) => return Ok(Some(Box::new(FileLock { file }))),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// A path to hand to the operating system: for it the empty path is no directory.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// Makes one directory whose parent is there, and its name durable.
fn create_one(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        // Somebody else was faster. The name may still be theirs to sync, or nobody's.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !fs::metadata(directory)?.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        result => result?,
    }
    directory.parent().map_or(Ok(()), |parent| os::sync_directory(here(parent)))
}

/// Makes the name of a directory durable that was found, not made: the process that made it may have
/// been killed before it did so. Of a parent that may not be opened, or that cannot be synced at
/// all, nothing can be asked.
fn sync_parent_of_found(directory: &Path) -> io::Result<()> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    match os::sync_directory(here(parent)) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Unsupported
                    | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Opens a lock's file, making it where it is missing. To share it takes reading only, so that whoever
/// may not write can, and nothing is changed where it is there.
fn open_lock(path: &Path, kind: LockKind) -> io::Result<File> {
    if kind == LockKind::Shared {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[derive(Debug)]
struct OpenFile {
    file: File,
}

impl StorageFile for OpenFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        os::read_at(&self.file, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        os::write_at(&self.file, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        os::sync_file(&self.file)
    }

    fn map(&self) -> io::Result<Option<Region>> {
        match self.size()? {
            0 => Ok(None),
            bytes => Region::map_log_file(&self.file, bytes).map(Some),
        }
    }

    fn wants_zero_fill(&self) -> bool {
        os::zero_fill_helps(&self.file)
    }

    fn drop_cached(&self, offset: u64, bytes: u64) {
        os::drop_cached(&self.file, offset, bytes);
    }

    fn is_shared(&self) -> io::Result<bool> {
        os::is_shared(&self.file)
    }

    fn discard(&self, offset: u64, bytes: u64) -> io::Result<()> {
        os::discard(&self.file, offset, bytes)
    }
}

/// An open file whose lock is held.
#[derive(Debug)]
struct FileLock {
    file: File,
}

impl StorageLock for FileLock {}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing alone would not release it where a forked process still has the descriptor.
        let _ = self.file.unlock();
    }
}

// Miri has neither files nor maps.
#[cfg(not(miri))]
#[cfg(test)]
mod tests;
