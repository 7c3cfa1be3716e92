//! Directories that are not as usual: not writable, read-only, reached by a link, gone.
//!
//! Invariant: each is an error that names the place, or no difference at all; nobody hangs, and
//! nothing is made where the log was not opened.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use stratalog::{Error, Log, Op};

use super::common::{Records, filled, read, records, tiny, without_hanging};
use super::process::{Task, say};

fn append(log: &Log, count: u64) -> Records {
    (0..count)
        .map(|key| filled(key, 700))
        .map(|payload| (log.append(&payload).unwrap(), payload))
        .collect()
}

/// All names in a directory with their sizes, sorted.
fn listing(directory: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let mut all: Vec<_> = entries
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), entry.metadata().unwrap().len())
        })
        .collect();
    all.sort();
    all
}

/// The child: opens the log and says what comes of it. As a test of its own it does nothing.
#[test]
fn child_that_opens_where_it_may_not() {
    let Some(task) = Task::given() else { return };
    match tiny().open(&task.directory) {
        Ok(log) => say(&format!("opened {}", records(&log).len())),
        Err(Error::Io { op, path, source, .. }) => {
            say(&format!("refused {op:?} {:?} {}", source.kind(), path.display()));
        }
        Err(other) => say(&format!("{other:?}")),
    }
}

/// What opening says to a user who is nobody special.
fn opened_by_nobody(directory: &Path) -> Option<String> {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let is_root = fs::write("/proc/self/comm", "it").is_ok()
        && Command::new("setpriv")
            .args(&nobody[1..])
            .arg("test")
            .arg("-x")
            .arg(std::env::current_exe().unwrap())
            .status()
            .is_ok_and(|status| status.success());
    let wrapper: &[&str] = if is_root { &nobody } else { &[] };
    if !is_root && fs::File::create(directory.join("probe")).is_ok() {
        let _ = fs::remove_file(directory.join("probe"));
        println!("skipped: this user may write everywhere, and can't become another");
        return None;
    }
    let task = Task { seed: 0, writers: 0, calls: 0, directory: directory.to_owned() };
    let child = task.start(wrapper, "oddities::child_that_opens_where_it_may_not");
    let (told, status) = child.finish();
    assert!(status.success(), "{:?}", told.lines);
    told.lines.into_iter().find(|line| line.starts_with("opened") || line.starts_with("refused"))
}

#[test]
fn a_directory_that_may_not_be_written_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let directory = folder.path().join("log");
    let log = tiny().open(&directory).unwrap();
    append(&log, 30);
    log.close().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let before = listing(&directory);
    for (place, lock) in [(&directory, directory.join("LOCK")), (&empty, empty.join("LOCK"))] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o555)).unwrap();
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
        }
        let Some(said) = opened_by_nobody(place) else { return };
        assert_eq!(said, format!("refused Lock PermissionDenied {}", lock.display()));
    }
    let below = empty.join("below");
    let said = opened_by_nobody(&below);
    let refused = format!("refused OpenDirectory PermissionDenied {}", below.join("").display());
    assert_eq!(said.as_deref(), Some(refused.as_str()));
    assert_eq!(listing(&directory), before);
    assert!(listing(&empty).is_empty());
    // Others may use the directory again.
    for place in [&directory, &empty] {
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_read_only_file_system_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (real, view) = (folder.path().join("real"), folder.path().join("view"));
    let log = tiny().open(&real).unwrap();
    let expected = append(&log, 30);
    log.close().unwrap();
    fs::create_dir(&view).unwrap();
    let mount = |arguments: &[&str]| {
        let done = Command::new("mount").args(arguments).output();
        done.is_ok_and(|output| output.status.success())
    };
    let [from, to] = [&real, &view].map(|path| path.to_str().unwrap());
    if !mount(&["--bind", from, to]) {
        println!("skipped: a directory can't be mounted here; it takes root");
        return;
    }
    let read_only = mount(&["-o", "remount,bind,ro", to]);
    let before = listing(&real);
    let refused = tiny().open(&view);
    let unmounted = Command::new("umount").arg(&view).status().unwrap().success();
    assert!(read_only && unmounted);
    let Err(Error::Io { op: Op::Lock, path, source, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(path, view.join("LOCK"));
    assert_eq!(listing(&real), before);
    assert_eq!(records(&tiny().open(&real).unwrap()), expected);
}

#[test]
fn a_log_that_is_reached_by_a_link_is_the_same_log() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("real"), folder.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink("real", &link).unwrap();
    let log = tiny().open(&link).unwrap();
    let expected = append(&log, 60);
    assert!(log.segments().len() > 2);
    let locked = tiny().open(&real).unwrap_err();
    assert!(matches!(&locked, Error::Locked { path, .. } if *path == real.join("LOCK")));
    log.close().unwrap();
    let log = tiny().open(&real).unwrap();
    assert!(log.recovery().clean);
    assert_eq!(records(&log), expected);
    assert!(matches!(tiny().open(&link), Err(Error::Locked { .. })));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    drop(log);
    // A link to nothing is not followed to make something.
    symlink("missing", folder.path().join("dangling")).unwrap();
    let refused = tiny().open(folder.path().join("dangling"));
    assert!(refused.is_err() && !folder.path().join("missing").exists());
}

#[test]
fn a_directory_that_is_removed_under_an_open_log_is_an_error_at_the_next_roll() {
    for background in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("log");
        let log = tiny().background(background).open(&directory).unwrap();
        let expected = append(&log, 60);
        let held = log.snapshot();
        // The log's own thread may be making a file in it.
        while directory.exists() {
            let _ = fs::remove_dir_all(&directory);
        }
        let ends = without_hanging("an appender without a directory", {
            let log = log.clone();
            move || {
                let until_failure = || loop {
                    if let Err(error) = log.append_durable(&[1; 700]) {
                        return error;
                    }
                };
                std::thread::scope(|scope| {
                    let threads: Vec<_> = (0..4).map(|_| scope.spawn(until_failure)).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
                })
            }
        });
        for end in &ends {
            let (Error::Io { path, source, .. } | Error::Poisoned { path, source, .. }) = end
            else {
                panic!("{end:?}");
            };
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound, "{end:?}");
            assert!(path.starts_with(&directory), "{end:?}");
        }
        let told = without_hanging("closing without a directory", move || log.close());
        assert!(matches!(told, Err(Error::Poisoned { .. })), "{told:?}");
        assert!(!directory.exists(), "the directory is made again");
        // What is mapped stays; what is not, is an error and no signal.
        let (seen, error) = read(&held);
        assert_eq!(seen, expected[..seen.len()]);
        assert!(error.is_none() == (seen.len() == expected.len()), "{error:?}");
    }
}

#[test]
fn a_snapshot_outlives_rolls_closing_and_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("log");
    let log = tiny().background(true).open(&directory).unwrap();
    let expected = append(&log, 40);
    let held = log.snapshot();
    assert_eq!(read(&held).0, expected);
    append(&log, 60);
    log.close().unwrap();
    assert_eq!(read(&held).0, expected);
    let again = tiny().open(&directory).unwrap();
    append(&again, 60);
    assert_eq!(read(&held).0, expected);
    drop(again);
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(read(&held).0, expected, "its maps hold what it has read");
}
