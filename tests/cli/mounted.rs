//! The tool on a full disk and on a read-only one. Both are mounted, which takes root; what can't be
//! mounted is skipped, and says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::golden::copy;
use crate::tool::{run, run_with};

/// A file system in memory, for as long as the value lives.
struct Memory {
    at: PathBuf,
}

impl Memory {
    fn mount(at: PathBuf, bytes: u64) -> Option<Self> {
        std::fs::create_dir(&at).expect("made");
        let size = format!("size={bytes}");
        let place = at.to_str().expect("UTF-8").to_owned();
        let mounted = mount(&["-t", "tmpfs", "-o", &size, "tmpfs", &place]);
        if !mounted {
            println!("skipped: memory can't be mounted here; it takes root");
        }
        mounted.then_some(Self { at })
    }
}

fn mount(arguments: &[&str]) -> bool {
    Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success())
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

#[test]
fn a_full_disk_is_one_line_and_what_was_appended_before_is_kept() {
    let place = tempfile::tempdir().expect("a folder");
    let Some(memory) = Memory::mount(place.path().join("disk"), 200 << 10) else { return };
    let dir = memory.at.join("wal");
    let text = dir.to_str().expect("UTF-8");
    let input = b"0123456789abcdef\n".repeat(30_000);
    let ran = run_with(["append", text, "--create", "--segment-bytes", "16384"], &input);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains("all durable"), "{ran:?}");
    let json = run(["info", text, "--json"]).json();
    let told = ran.stdout.replace(',', "");
    let count = told.split(' ').next().and_then(|count| count.parse::<u64>().ok());
    assert!(count > Some(1000) && json["records"].as_u64() == count, "{ran:?}");
    assert!(ran.one_line().contains("no space"));
    let archive = memory.at.join("archive");
    let line = run([Path::new("archive"), &dir, &archive]).refused();
    assert!(line.contains("no space"), "{line}");
}

#[test]
fn a_read_only_disk_is_read_and_not_written() {
    let place = tempfile::tempdir().expect("a folder");
    let Some(memory) = Memory::mount(place.path().join("disk"), 1 << 20) else { return };
    let dir = copy("torn", &memory.at);
    let at = memory.at.to_str().expect("UTF-8");
    assert!(mount(&["-o", "remount,ro", at]), "it can't be made read-only");
    for command in ["info", "verify", "dump", "tail"] {
        run([command.as_ref(), dir.as_os_str()]).fine();
    }
    let text = dir.to_str().expect("UTF-8");
    let new = memory.at.join("new");
    let new = new.to_str().expect("UTF-8");
    for arguments in [
        &["append", text][..],
        &["truncate", text, "--before", "4144", "--yes"],
        &["archive", text, new],
        &["salvage", text, new],
        &["restore", text, new],
    ] {
        let ran = run_with(arguments, b"x");
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(!ran.one_line().is_empty());
    }
}
