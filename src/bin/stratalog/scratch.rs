//! [`Scratch`]: a folder for measuring, which is gone afterwards.
//!
//! Invariant: only a folder that was made here is ever removed. It is removed however the command
//! ends by itself, also by Ctrl-C and by an error; only a process that is killed leaves it behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::failure::Failure;

/// So many folders may have been left behind under the same process number.
const TRIES: u32 = 100;

/// A folder of our own.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    is_removed: bool,
}

impl Scratch {
    /// Makes a folder for `purpose` in `dir`; or beside it, if `dir` is itself a log and its parent is
    /// on the same disk: a log's folder should hold nothing else.
    pub(crate) fn new(dir: &Path, purpose: &str) -> Result<Self, Failure> {
        let place = beside_log(dir).unwrap_or_else(|| dir.to_path_buf());
        for number in 0..TRIES {
            let name = format!(".stratalog-{purpose}-{}-{number}", process::id());
            let path = place.join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, is_removed: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Failure::io("make a folder in", &place, error)),
            }
        }
        let error = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(Failure::io("make a folder in", &place, error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder and what is in it.
    pub(crate) fn remove(mut self) -> Result<(), Failure> {
        self.is_removed = true;
        fs::remove_dir_all(&self.path).map_err(|error| Failure::io("remove", &self.path, error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_removed {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The folder that a log's folder is in, if `dir` is one, and if the disk is the same.
fn beside_log(dir: &Path) -> Option<PathBuf> {
    if !dir.join("control").is_file() {
        return None;
    }
    let parent = fs::canonicalize(dir).ok()?.parent()?.to_path_buf();
    is_on_same_disk(dir, &parent).then_some(parent)
}

#[cfg(unix)]
fn is_on_same_disk(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| fs::metadata(path).map(|facts| facts.dev());
    matches!((device(one), device(other)), (Ok(one), Ok(other)) if one == other)
}

/// A parent is taken to be on the same disk where that can't be asked.
#[cfg(not(unix))]
fn is_on_same_disk(_: &Path, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> usize {
        fs::read_dir(dir).expect("a folder").count()
    }

    #[test]
    fn it_is_gone_afterwards_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let (one, other) = (Scratch::new(dir.path(), "test"), Scratch::new(dir.path(), "test"));
        let (one, other) = (one.expect("made"), other.expect("made"));
        fs::write(one.path().join("a"), "a").expect("written");
        fs::write(other.path().join("a"), "a").expect("written");
        assert_eq!(names(dir.path()), 2);
        one.remove().expect("removed");
        drop(other);
        assert_eq!(names(dir.path()), 0);
    }

    #[test]
    fn a_log_gets_nothing_put_into_its_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let wal = dir.path().join("wal");
        stratalog::Log::open(&wal).expect("a log").close().expect("closed");
        let before = names(&wal);
        let scratch = Scratch::new(&wal, "test").expect("made");
        assert_eq!((names(&wal), names(dir.path())), (before, 2));
        scratch.remove().expect("removed");
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_made() {
        let dir = tempfile::tempdir().expect("a folder");
        let nowhere = dir.path().join("nowhere");
        let failure = Scratch::new(&nowhere, "test").expect_err("it is not there");
        assert!(failure.to_string().starts_with("failed to make a folder in "), "{failure}");
        assert!(!nowhere.exists());
    }
}
