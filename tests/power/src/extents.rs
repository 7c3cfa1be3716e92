//! [`extents`]: where on the device the log's files lie.
//!
//! Invariant: an extent is named only if the file's bytes are there now, all written out.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use crate::os;
use crate::workplace::{Mounted, log_files};

/// The bytes of the device that hold files of the log whose names end with one of `endings`; none
/// where the file system moves them.
pub(crate) fn extents(mounted: &Mounted, directory: &Path, endings: &[&str]) -> Vec<Range<u64>> {
    if !mounted.kind.writes_in_place() {
        return Vec::new();
    }
    if let Ok(root) = fs::File::open(&mounted.point) {
        let _ = os::sync_file_system(&root);
    }
    let files = log_files(directory);
    let named = files.iter().filter(|name| endings.iter().any(|ending| name.ends_with(ending)));
    let mut command = Command::new("filefrag");
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    command.env("PATH", folders).args(["-b512", "-e"]);
    command.args(named.map(|name| directory.join(name)));
    let Ok(output) = command.output() else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(extent).collect()
}

/// Reads a line such as `   0:        0..     127:      68912..     69039:    128:   last,eof`.
fn extent(line: &str) -> Option<Range<u64>> {
    let fields: Vec<&str> = line.split(':').map(str::trim).collect();
    let [number, _, physical, _, flags] = fields[..] else { return None };
    number.parse::<u64>().ok()?;
    let inexact = ["unknown_loc", "delalloc", "encoded", "not_aligned", "inline"];
    if inexact.iter().any(|flag| flags.contains(flag)) {
        return None;
    }
    let (first, last) = physical.split_once("..")?;
    let sector = |text: &str| text.trim().parse::<u64>().ok();
    Some(sector(first)? * 512..(sector(last)? + 1) * 512)
}
