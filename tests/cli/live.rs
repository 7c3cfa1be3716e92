//! The tool on a log that this process writes meanwhile.
//!
//! Invariant: what only reads never fails, never tells of damage, shows what was appended and nothing
//! else, and never keeps the writer from anything; what writes is refused.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use stratalog::{Log, Lsn};

use crate::tool::{Ran, command, files, run, small_log};

fn on(command: &str, dir: &Path) -> Ran {
    run([command.as_ref(), dir.as_os_str()])
}

/// Says that it is enough, also where a test fails before its end.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A record that says which one it is.
fn numbered(number: u64) -> Vec<u8> {
    format!("record {number} ").repeat(1 + (number % 40) as usize).into_bytes()
}

#[test]
fn commands_that_read_do_so_beside_a_writer() {
    let place = tempfile::tempdir().expect("a folder");
    let (dir, archive) = (place.path().join("wal"), place.path().join("archive"));
    let log = small_log(&dir);
    log.append_durable(&numbered(0)).expect("appended");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| write(&log, &done));
        let _enough = Enough(&done);
        for _ in 0..8 {
            for command in ["info", "verify"] {
                let text = on(command, &dir).fine();
                assert!(!text.contains("damaged"), "{text}");
            }
            let dumped = on("dump", &dir);
            // It may have been overtaken by the truncation.
            if dumped.code == Some(0) {
                in_order(&dumped.stdout);
            } else {
                assert!(dumped.one_line().contains("truncated"));
            }
            let archived = run([Path::new("archive"), &dir, &archive]);
            if archived.code != Some(0) {
                assert!(archived.one_line().contains("truncated"));
            }
        }
    });
    let text = on("info", &dir).fine();
    let writer = format!("process {} writes it", std::process::id());
    assert!(text.contains(&writer) || cfg!(not(target_os = "linux")), "{text}");
    // The truncations may have left gaps in it.
    let copies = files(&archive).into_keys().filter(|path| path.extension().is_some());
    let verified = run([PathBuf::from("verify")].into_iter().chain(copies)).fine();
    assert!(verified.contains("no damage"), "{verified}");
    log.close().expect("closed");
    assert!(on("info", &dir).fine().contains("state      closed"));
}

/// Appends, rolls and truncates until it is enough.
fn write(log: &Log, done: &AtomicBool) {
    let mut lsns: Vec<Lsn> = Vec::new();
    for number in 1.. {
        lsns.push(log.append(&numbered(number)).expect("appended"));
        if number % 100 == 0 {
            log.sync().expect("synced");
        }
        if number % 1000 == 0 {
            log.truncate_before(lsns[lsns.len() - 400]).expect("truncated");
        }
        if done.load(Ordering::SeqCst) {
            break;
        }
    }
}

/// Each record is whole, and follows the one before it.
fn in_order(dumped: &str) {
    let mut last = None;
    for line in dumped.lines() {
        let (_, payload) = line.split_once(' ').expect("an address");
        let number: u64 = payload.split(' ').nth(1).expect("a number").parse().expect("a number");
        assert_eq!(payload.as_bytes(), numbered(number));
        assert!(last.is_none_or(|last| number == last + 1), "{number} behind {last:?}");
        last = Some(number);
    }
}

#[test]
fn commands_that_write_are_refused_beside_a_writer() {
    let place = tempfile::tempdir().expect("a folder");
    let (dir, new) = (place.path().join("wal"), place.path().join("new"));
    let log = small_log(&dir);
    let lsn = log.append(b"kept").expect("appended").to_string();
    let dir_text = dir.to_str().expect("UTF-8");
    let new_text = new.to_str().expect("UTF-8");
    for arguments in [
        &["append", dir_text][..],
        &["truncate", dir_text, "--before", &lsn, "--yes"],
        &["archive", dir_text, new_text, "--roll"],
        &["salvage", dir_text, new_text],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(!ran.stdout.contains("Done") && ran.one_line().contains("open"));
    }
    // To see what would happen is no writing.
    let text = run(["truncate", dir_text, "--before", &lsn, "--dry-run"]).fine();
    assert!(text.contains("Nothing was changed"), "{text}");
    log.append(b"and on").expect("appended");
}

#[test]
fn no_command_that_reads_ever_holds_the_lock_of_the_writer() {
    let place = tempfile::tempdir().expect("a folder");
    let (dir, archive) = (place.path().join("wal"), place.path().join("archive"));
    small_log(&dir).append(b"one").expect("appended");
    let lock = File::open(dir.join("LOCK")).expect("a file");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _enough = Enough(&done);
            for _ in 0..10 {
                for command in ["info", "verify", "dump", "tail", "export"] {
                    assert_eq!(on(command, &dir).code, Some(0));
                }
                run([Path::new("archive"), &dir, &archive]).fine();
            }
        });
        // A writer that comes at any time.
        let mut times = 0_u64;
        while !done.load(Ordering::SeqCst) {
            lock.try_lock().expect("nobody else holds it");
            lock.unlock().expect("unlocked");
            times += 1;
            if times.is_multiple_of(8) {
                thread::sleep(Duration::from_micros(50));
            }
        }
        assert!(times > 1000);
    });
}

/// `tail -f`, and the lines that it prints.
pub(crate) fn following(dir: &Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = command()
        .args(["tail".as_ref(), "-f".as_ref(), dir.as_os_str()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool is there");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    (child, lines.map(|line| line.expect("a line")))
}

#[test]
fn tail_follows_through_rolls_truncations_and_cuts() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let log = small_log(&dir);
    let first = log.append(b"first").expect("appended");
    let (mut child, mut lines) = following(&dir);
    let mut expect = |lsn: Lsn, text: &str| {
        assert_eq!(lines.next().expect("a line"), format!("{lsn} {text}"));
    };
    expect(first, "first");
    for number in 0..60 {
        let text = format!("{number} {}", "x".repeat(500));
        let lsn = log.append(text.as_bytes()).expect("appended");
        expect(lsn, &text);
    }
    let kept = log.append(b"kept").expect("appended");
    expect(kept, "kept");
    let cut = log.append(b"cut").expect("appended");
    expect(cut, "cut");
    log.truncate_before(kept).expect("truncated");
    log.truncate_after(kept).expect("cut");
    let next = log.append(b"next").expect("appended");
    expect(next, "next");
    child.kill().expect("killed");
    child.wait().expect("it ends");
}
