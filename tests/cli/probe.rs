//! `stratalog probe`: what it finds out, and that it leaves nothing behind.

use std::path::Path;

use serde_json::Value;

use crate::places::{Mounted, masked, names, undocumented};
use crate::tool::{run, small_log};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn json(dir: &str) -> Value {
    let said = run(["probe", dir, "--seconds", "0.05", "--json"]).fine();
    serde_json::from_str(&said).expect("one object")
}

#[test]
fn every_way_kind_and_size_is_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = json(text(folder.path()));
    assert_eq!(names(folder.path()), 0, "the folder is as it was");
    assert_eq!(undocumented(&found), Vec::<String>::new());
    let trials = found["trials"].as_array().expect("trials");
    for trial in trials {
        if trial["not_offered"].is_null() {
            let figures =
                ["samples", "p50_ns", "p99_ns", "max_ns"].map(|name| trial[name].as_u64());
            let [Some(samples), Some(p50), Some(p99), Some(max)] = figures else {
                panic!("figures are missing in {trial}");
            };
            assert!(samples > 0 && p50 > 0 && p50 <= p99 && p99 <= max, "{trial}");
        }
    }
    let of =
        |name: &str, value: &Value| trials.iter().filter(|trial| trial[name] == *value).count();
    assert_eq!(of("file", &"growing".into()), 1);
    for bytes in [512, 1024, 2048, 8192, 16384, 32768, 65536] {
        assert_eq!(of("bytes", &bytes.into()), 1, "{bytes}");
    }
    if cfg!(target_os = "linux") {
        for way in
            ["write, fsync", "O_DSYNC", "O_SYNC", "O_DIRECT | O_DSYNC", "pwritev2, RWF_DSYNC"]
        {
            assert_eq!(of("way", &way.into()), 1, "{way}");
        }
        assert_eq!(of("durable", &false.into()), 1, "only what is not synced is not durable");
        assert!(found["file_system"]["type"].is_string(), "{found}");
        assert!(found["space"]["free_bytes"].as_u64() > Some(0), "{found}");
    }
    assert_eq!((&found["locks"]["works"], &found["log"]["works"]), (&true.into(), &true.into()));
    assert_eq!(found["directory_sync"]["works"], true);
    assert!(!found["advice"].as_array().expect("advice").is_empty());
}

/// All of it, on a file system in memory.
#[cfg(target_os = "linux")]
const REPORT: &str = "\
probe of FOLDER
  file system tmpfs on tmpfs, at FOLDER
  mount options OPTIONS
  space N free of N, in blocks of N

Ways to make N durable, in place, in a file of zeros
  p50 p99 a second
  write, fdatasync N N N what the log does
  write, fsync N N N
  O_DSYNC N N N
  O_SYNC N N N
  pwritev2, RWF_DSYNC N N N
  DIRECT
  sync_file_range not measured: it starts writing, but makes nothing durable

N and a sync, by kind of file
  p50 p99 a second
  filled with zeros N N N
  preallocated N N N
  growing N N N
  filling with zeros N a second

A write and a sync, by size
  p50 p99 a second
  N N N N
  N N N N
  N N N N
  N N N N
  N N N N
  N N N N
  N N N N
  N N N N

What a log takes for granted
  real preallocation yes: N of blocks for N
  directory sync yes: in N
  locks yes: one writer, or any number of readers
  a small log yes: appended, read through the map, opened again

This is no place for a log.
  ! tmpfs is memory: a power cut, or a restart, takes the whole log.
";

#[cfg(target_os = "linux")]
#[test]
fn memory_is_no_place_for_a_log_and_the_report_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mounted) = Mounted::memory(folder.path(), "size=64m") else { return };
    let report = run(["probe", mounted.path(), "--seconds", "0.05"]).fine();
    assert_eq!(names(Path::new(mounted.path())), 0, "the folder is as it was");
    let words = |line: &str| line.chars().count() > 80 && !line.contains(mounted.path());
    assert_eq!(report.lines().find(|line| words(line)), None);
    // Its options, and whether it can be written past the cache, depend on the kernel.
    let mut lines: Vec<String> = Vec::new();
    for line in masked(&report.replace(mounted.path(), "FOLDER")).lines() {
        let direct = line.starts_with("  O_DIRECT") || line.starts_with("  (not durable");
        let is_more_of_options = lines.last().is_some_and(|last| last == "  mount options OPTIONS")
            && !line.starts_with("  space");
        if line.starts_with("  mount options") {
            lines.push("  mount options OPTIONS".to_owned());
        } else if direct && lines.last().is_some_and(|last| last != "  DIRECT") {
            lines.push("  DIRECT".to_owned());
        } else if !direct && !is_more_of_options {
            lines.push(line.to_owned());
        }
    }
    assert_eq!(lines.join("\n") + "\n", REPORT);
    let found = json(mounted.path());
    assert_eq!(
        (&found["verdict"], &found["file_system"]["type"]),
        (&"unfit".into(), &"tmpfs".into())
    );
}

#[test]
fn a_log_in_the_directory_is_not_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = folder.path().join("wal");
    let log = small_log(&wal);
    json(text(&wal));
    let names_in_log = std::fs::read_dir(&wal).expect("a folder");
    let hidden = names_in_log.filter(|entry| {
        entry.as_ref().expect("a name").file_name().to_string_lossy().starts_with('.')
    });
    assert_eq!((hidden.count(), names(folder.path())), (0, 1));
    log.append_durable(b"still mine").expect("nothing happened to it");
}

#[test]
fn a_directory_that_is_not_there_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    let line = run(["probe", text(&nowhere)]).refused();
    assert!(line.starts_with(&format!("failed to read {}: ", text(&nowhere))), "{line}");
}

#[test]
fn a_directory_that_cannot_be_written_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mounted) = Mounted::memory(folder.path(), "ro") else { return };
    let line = run(["probe", mounted.path()]).refused();
    assert!(line.starts_with("failed to make a folder in "), "{line}");
}

#[test]
fn a_full_disk_is_one_line_and_is_left_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for size in ["size=64k", "size=20m"] {
        let Some(mounted) = Mounted::memory(folder.path(), size) else { return };
        let line = run(["probe", mounted.path()]).refused();
        assert!(line.starts_with("failed to ") && line.contains("space"), "{line}");
        assert_eq!(names(Path::new(mounted.path())), 0);
        let at = mounted.path().to_owned();
        drop(mounted);
        std::fs::remove_dir(at).expect("unmounted");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_early_with_what_it_has_and_removes_the_files() {
    use std::process::Stdio;

    let folder = tempfile::tempdir().expect("a folder");
    let child = crate::tool::command()
        .args(["probe", text(folder.path()), "--seconds", "86400"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool is there");
    // Its folder is made after it listens for signals.
    while names(folder.path()) == 0 {
        std::thread::yield_now();
    }
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("there is a kill");
    assert!(interrupted.success());
    let output = child.wait_with_output().expect("it ends");
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.ends_with("\nInterrupted: the figures are few.\n"), "{report}");
    assert_eq!(names(folder.path()), 0);
}
