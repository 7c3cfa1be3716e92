//! How the tool ends when someone else ends it: a pipe that is closed, Ctrl-C.
//!
//! Invariant: a closed pipe is no error, and Ctrl-C leaves what was appended durable and told.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use crate::live::following;
use crate::tool::{Ran, command, finished, run, small_log};

#[cfg(unix)]
fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(status.expect("kill is there").success());
}

fn ended(child: Child) -> Ran {
    finished(&child.wait_with_output().expect("it ends"))
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let log = small_log(&dir);
    // More than a pipe holds.
    for _ in 0..400 {
        log.append(&[b'x'; 1000]).expect("appended");
    }
    for arguments in
        [&["dump"][..], &["dump", "--frames", "--json"], &["dump", "--json"], &["export"]]
    {
        let mut child = command()
            .args(arguments)
            .arg(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool is there");
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut [0; 10]).expect("some bytes");
        drop(stdout);
        let ran = ended(child);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_tail_with_what_it_has_shown() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let log = small_log(&dir);
    log.append(b"one").expect("appended");
    let (child, mut lines) = following(&dir);
    assert!(lines.next().expect("a line").ends_with("one"));
    interrupt(&child);
    assert_eq!(lines.next(), None);
    let ran = ended(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_append_with_all_that_came_durable() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let mut child = command()
        .args(["append", "--create", "--print", "--segment-bytes", "16384"])
        .arg(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool is there");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"one\ntwo\nhal").expect("written");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    // The pause ends the batch.
    for _ in 0..2 {
        let lsn: u64 = lines.next().expect("a line").expect("a line").parse().expect("an address");
        assert!(lsn > 0);
    }
    interrupt(&child);
    let ran = ended(child);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.one_line().contains("stopped before the input ended"));
    drop(stdin);
    let dumped = run(["dump".as_ref(), dir.as_os_str()]).fine();
    let texts: Vec<_> = dumped.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(texts, ["one", "two"]);
    assert!(run(["info".as_ref(), dir.as_os_str()]).fine().contains("state      closed"));
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_full_is_an_error() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    small_log(&dir).append(b"one").expect("appended");
    for arguments in [["info"], ["dump"], ["export"], ["verify"]] {
        let full = std::fs::File::create("/dev/full").expect("it is there");
        let output = command().args(arguments).arg(&dir).stdout(full).output();
        let ran = finished(&output.expect("the tool is there"));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.one_line().contains("failed to write standard output"));
    }
}

#[test]
fn no_bytes_of_a_record_reach_a_terminal_unescaped() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let log = small_log(&dir);
    let all: Vec<u8> = (0..=255).collect();
    log.append(&all).expect("appended");
    log.append("\u{9b}2J \u{202e}".as_bytes()).expect("appended");
    for arguments in [&["dump"][..], &["tail"], &["dump", "--format", "hex"], &["dump", "--json"]] {
        let text = run(arguments.iter().map(std::ffi::OsStr::new).chain([dir.as_os_str()])).fine();
        let is_unsafe = |c: &char| c.is_control() && *c != '\n';
        assert_eq!(text.chars().find(is_unsafe), None, "{arguments:?}");
    }
}
