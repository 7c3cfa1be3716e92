//! [`Kind`]: the file systems, how each is made and mounted, and what can be done to it.
//!
//! Invariant: nothing here discards blocks: a device of these tests knows writes and flushes only.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Ext4, Self::Xfs, Self::Btrfs];

    /// The name that the kernel knows it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// How large a device it gets: xfs refuses to be smaller than 300 MiB, btrfs than 109.
    pub(crate) fn device_bytes(self) -> u64 {
        match self {
            Self::Ext4 | Self::Btrfs => 128 << 20,
            Self::Xfs => 300 << 20,
        }
    }

    /// Why it can't be tested here, if it can't.
    pub(crate) fn missing(self) -> Option<String> {
        let program = format!("mkfs.{self}");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<_> = std::env::split_paths(&path).collect();
        folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
        if !folders.iter().any(|folder| folder.join(&program).exists()) {
            return Some(format!("there is no {program}"));
        }
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let loads = || {
            let status = Command::new("modprobe").arg(self.name()).status();
            status.is_ok_and(|status| status.success())
        };
        if known.split_whitespace().any(|name| name == self.name()) || loads() {
            return None;
        }
        Some(format!("the kernel does not know {self}"))
    }

    /// Makes the file system on a device.
    pub(crate) fn make(self, device: &Path) -> Result<(), String> {
        let arguments: &[&str] = match self {
            Self::Ext4 => {
                let lazy = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
                &["-q", "-F", "-b", "4096", "-J", "size=4", "-E", lazy]
            }
            Self::Xfs | Self::Btrfs => &["-q", "-f", "-K"],
        };
        let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let output = Command::new(format!("mkfs.{self}"))
            .env("PATH", folders)
            .args(arguments)
            .arg(device)
            .output()
            .map_err(|error| format!("mkfs.{self}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("mkfs.{self}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Ways to mount it in which a log must keep its promises. The first is the default.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["", "commit=1", "data=writeback,noauto_da_alloc", "data=journal"],
            Self::Xfs => &["", "logbsize=256k"],
            Self::Btrfs => &["nodiscard", "nodiscard,commit=1", "nodiscard,nodatacow"],
        }
    }

    /// Whether a file's bytes stay where they are on the device, so that some writes of the device
    /// are known to be the log's and no other's.
    pub(crate) fn writes_in_place(self) -> bool {
        self != Self::Btrfs
    }
}
