//! What is waited for, or taken away, before a clock starts.
//!
//! Invariant: what earlier rounds left dirty is synced, and the system's own preparations are over,
//! as long as they take: this process has written nothing for [`QUIET`].

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::system::Outcome;

/// Longer than a background thread that prepares a segment is held up by one sync.
const QUIET: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(20);
/// A system that goes on writing for so long would never stop.
const PATIENCE: Duration = Duration::from_mins(1);
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// The size of the file that tells whether caches can be dropped.
const PROBE_BYTES: usize = 1 << 20;

/// Waits for the system's own threads, and syncs the whole file system, so that no one pays for what
/// another wrote.
pub(crate) fn settle(place: &Path) -> Outcome {
    let directory = File::open(place)?;
    let mut written = bytes("wchar")?;
    let begun = Instant::now();
    let mut changed = begun;
    while changed.elapsed() < QUIET {
        thread::sleep(LOOK);
        let now = bytes("wchar")?;
        if now != written {
            (written, changed) = (now, Instant::now());
        }
        if begun.elapsed() > PATIENCE {
            return Err("the system's preparations do not end".into());
        }
    }
    // SAFETY: the descriptor is open for the length of the call, which takes no memory.
    let result = unsafe { libc::syncfs(directory.as_raw_fd()) };
    if result != 0 {
        return Err(io::Error::last_os_error().into());
    }
    thread::sleep(LOOK);
    Ok(())
}

/// How much this process has read or written since it began, by its name in `/proc/self/io`.
fn bytes(name: &str) -> Outcome<u64> {
    let counts = fs::read_to_string("/proc/self/io")?;
    let mut pairs = counts.lines().filter_map(|line| line.split_once(": "));
    let found = pairs.find(|(found, _)| *found == name);
    Ok(found.ok_or("/proc/self/io lacks a line")?.1.parse()?)
}

/// How much this process has had read from devices since it began.
pub(crate) fn bytes_from_devices() -> Outcome<u64> {
    bytes("read_bytes")
}

/// Leaves nothing of the files in `place` in the page cache, all of which are synced and closed.
///
/// Where the whole machine's caches can't be dropped, which takes root, it is the files' pages only:
/// the names and sizes of files stay cached then.
pub(crate) fn drop_caches(place: &Path) -> Outcome {
    if fs::write(DROP_CACHES, "3").is_ok() {
        return Ok(());
    }
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            drop_caches(&entry.path())?;
        } else {
            let file = File::open(entry.path())?;
            // SAFETY: the descriptor is open for the length of the call, which takes no memory.
            let result =
                unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            if result != 0 {
                return Err(io::Error::from_raw_os_error(result).into());
            }
        }
    }
    Ok(())
}

/// Whether [`drop_caches`] does anything to files below `directory`.
pub(crate) fn can_drop_caches(directory: &Path) -> Outcome<bool> {
    let place = directory.join("probe");
    fs::create_dir_all(&place)?;
    let path = place.join("file");
    fs::write(&path, vec![1; PROBE_BYTES])?;
    File::open(&path)?.sync_all()?;
    drop_caches(&place)?;
    let before = bytes_from_devices()?;
    let read = fs::read(&path)?.len() as u64;
    let is_cold = bytes_from_devices()? - before >= read;
    fs::remove_dir_all(&place)?;
    Ok(is_cold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_writes_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let before = bytes("wchar").unwrap();
        fs::write(directory.path().join("file"), [1; 1000]).unwrap();
        assert!(bytes("wchar").unwrap() >= before + 1000);
        assert!(bytes("nothing").is_err());
    }

    #[test]
    fn the_probe_of_the_caches_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        can_drop_caches(directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
