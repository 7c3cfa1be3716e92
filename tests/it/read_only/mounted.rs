//! A read-only mount, and a directory that may only be read.
//!
//! Invariant: reading works without a single right to write.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{append, files, use_it};
use crate::common::{records, tiny};

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn cannot_write(directory: &Path) -> bool {
    fs::write(directory.join("probe"), b"").is_err()
}

#[test]
fn a_log_on_a_read_only_mount_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let log_at = directory.path().join("log");
    let mount = directory.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let log = tiny().open(&log_at).unwrap();
    append(&log, 60, 700);
    let expected = records(&log);
    let [from, to] = [&log_at, &mount].map(|path| path.to_str().unwrap());
    let bound = run("mount", &["--bind", from, to])
        && (run("mount", &["-o", "remount,bind,ro", to]) || !run("umount", &[to]));
    if !bound || !cannot_write(&mount) {
        println!("skipped: no read-only mount can be made here");
        run("umount", &[to]);
        return;
    }
    let tried = std::panic::catch_unwind(|| {
        let reader = tiny().open_read_only(&mount).unwrap();
        assert_eq!(use_it(&reader), expected);
    });
    // The writer goes on beside it.
    append(&log, 60, 700);
    let after = std::panic::catch_unwind(|| {
        let reader = tiny().open_read_only(&mount).unwrap();
        use_it(&reader).len()
    });
    assert!(run("umount", &[to]));
    tried.unwrap();
    assert_eq!(after.unwrap(), 120);
}

#[test]
fn a_log_in_a_directory_that_may_only_be_read_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let log = tiny().open(directory.path()).unwrap();
    append(&log, 60, 700);
    let expected = records(&log);
    log.close().unwrap();
    let before = files(directory.path());
    let change = |mode, file_mode| {
        for path in before.keys() {
            fs::set_permissions(path, fs::Permissions::from_mode(file_mode)).unwrap();
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    change(0o555, 0o444);
    if !cannot_write(directory.path()) {
        println!("skipped in part: this user may write everywhere");
        let _ = fs::remove_file(directory.path().join("probe"));
    }
    let reader = tiny().open_read_only(directory.path()).unwrap();
    assert_eq!(use_it(&reader), expected);
    drop(reader);
    change(0o755, 0o644);
    assert!(files(directory.path()) == before);
}
