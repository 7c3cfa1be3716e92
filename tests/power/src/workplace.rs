//! [`Workplace`]: the directory in which devices are served and mounted, and [`Mounted`]: one of
//! them in use.
//!
//! Invariant: whatever ends this process, nothing of it stays mounted for longer than to the next
//! run. A mount is a guard; a signal unmounts all; and a new run unmounts what is left of one that
//! was killed. A loop device detaches itself when nothing uses it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::device::{Device, Recording};
use crate::kind::Kind;
use crate::os;
use crate::pages::Pages;
use crate::served::{Served, Server};

const PREFIX: &str = "stratalog-power-";

pub(crate) struct Workplace {
    root: PathBuf,
    server: Server,
}

impl Workplace {
    /// To be made while there is but one thread: signals are held from here on.
    pub(crate) fn new() -> io::Result<Self> {
        sweep()?;
        os::hold_signals();
        let root = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(root.join("devices"))?;
        let interrupted = root.clone();
        thread::spawn(move || {
            os::wait_for_signal();
            leave(&interrupted, "interrupted", 130);
        });
        let server = Server::start(&root.join("devices"))?;
        Ok(Self { root, server })
    }

    /// Ends the process with an error if it runs for so long.
    pub(crate) fn end_after(&self, time: Duration) {
        let root = self.root.clone();
        thread::spawn(move || {
            thread::sleep(time);
            leave(&root, "something hangs", 1);
        });
    }

    /// A device with a new file system on it.
    pub(crate) fn make(&self, kind: Kind) -> Result<Pages, String> {
        let told = |error: io::Error| format!("a loop device for {kind}: {error}");
        let served = self.server.serve(Device::new(Pages::new(kind.device_bytes())));
        let (device, path) = attach(&served).map_err(told)?;
        kind.make(&path)?;
        device.sync_all().map_err(told)?;
        drop(device);
        Ok(served.device.pages())
    }

    /// Mounts a device that holds `pages`.
    pub(crate) fn mount(&self, kind: Kind, pages: Pages, options: &str) -> io::Result<Mounted> {
        let served = self.server.serve(Device::new(pages));
        let point = self.root.join(format!(
            "{kind}-{}",
            served
                .path
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned(),)
        ));
        fs::create_dir_all(&point)?;
        let (loop_device, path) = attach(&served)?;
        os::mount(&path, &point, kind.name(), options)?;
        Ok(Mounted { kind, point, loop_device: Some(loop_device), path, served })
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        clean(&self.root);
    }
}

fn attach(served: &Served) -> io::Result<(File, PathBuf)> {
    let backing = OpenOptions::new().read(true).write(true).open(&served.path)?;
    os::attach_loop(&backing)
}

/// A mounted file system. Dropped, it is unmounted whether or not something still uses it.
pub(crate) struct Mounted {
    pub(crate) kind: Kind,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    loop_device: Option<File>,
    path: PathBuf,
    served: Served,
}

impl Mounted {
    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.served.device
    }

    /// Unmounts and mounts again; what the device was told in between stays.
    pub(crate) fn remount(&self) -> io::Result<()> {
        self.unmount_now()?;
        os::mount(&self.path, &self.point, self.kind.name(), self.kind.options()[0])
    }

    /// Unmounts, and returns all that was done to the device.
    pub(crate) fn unmount(mut self) -> io::Result<Recording> {
        self.unmount_now()?;
        self.loop_device = None;
        fs::remove_dir(&self.point)?;
        Ok(self.served.device.recording())
    }

    fn unmount_now(&self) -> io::Result<()> {
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            match os::unmount(&self.point, false) {
                // A file that was closed just now may still be on its way.
                Err(error)
                    if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < limit =>
                {
                    thread::yield_now();
                }
                result => return result,
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.loop_device.is_some() {
            let _ = os::unmount(&self.point, true);
            let _ = fs::remove_dir(&self.point);
        }
    }
}

fn leave(root: &Path, why: &str, code: i32) -> ! {
    eprintln!("{why}");
    clean(root);
    std::process::exit(code);
}

/// Unmounts all below `root`, the youngest first, and removes it.
fn clean(root: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let mut points: Vec<_> = points.filter(|point| point.starts_with(root)).collect();
    points.reverse();
    for point in points {
        let _ = os::unmount(point, true);
    }
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let _ = fs::remove_dir(entry.path());
    }
    let _ = fs::remove_dir(root);
}

/// Cleans up after runs that were killed.
fn sweep() -> io::Result<()> {
    for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(owner) = owner.and_then(|owner| owner.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{owner}")).exists() {
            clean(&entry.path());
        }
    }
    Ok(())
}

/// The names of the files in a log's directory.
pub(crate) fn log_files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
