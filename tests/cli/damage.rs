//! The tool on damaged logs.
//!
//! Invariant: where `verify` finds no damage, every record is there as it was; where it does, it names
//! a file that is damaged; and neither it nor any other command that only reads changes a byte.

use std::fs;
use std::path::{Path, PathBuf};

use crate::golden::{copy, copy_files, flip, folder};
use crate::tool::{Ran, dumped, files, run};

fn on(command: &str, dir: &Path) -> Ran {
    run([command.as_ref(), dir.as_os_str()])
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{:020}.seg", number << 14))
}

/// The log is damaged in this way: `verify` says so, naming the file.
fn is_found(what: &str, damaged: &Path, dir: &Path) -> String {
    let before = files(dir);
    let ran = on("verify", dir);
    assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
    let name = damaged.file_name().expect("a name").to_str().expect("UTF-8");
    assert!(ran.stdout.contains(name), "{what} is not named: {ran:?}");
    assert!(ran.stdout.contains("What to do next"), "{what}: {ran:?}");
    for command in ["info", "dump", "tail", "verify"] {
        let ran = on(command, dir);
        assert!(matches!(ran.code, Some(0..=2)), "{command}, {what}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{command}, {what}: {ran:?}");
    }
    assert_eq!(files(dir), before, "{what}: something was changed");
    ran.stdout
}

/// Makes a copy of `good`, damages it, and looks at it.
fn damaged(what: &str, damage: impl Fn(&Path) -> PathBuf) -> String {
    let place = tempfile::tempdir().expect("a folder");
    let dir = copy("good", place.path());
    let damaged = damage(&dir);
    is_found(what, &damaged, &dir)
}

#[test]
fn every_kind_of_damage_is_found_and_told_with_its_file() {
    let text = damaged("a record of a sealed segment", |dir| {
        flip(&segment(dir, 1), 8000);
        segment(dir, 1)
    });
    assert!(text.contains("lsn") && text.contains("can't be read"), "{text}");
    damaged("a record of the last segment", |dir| {
        flip(&segment(dir, 4), 4800);
        segment(dir, 4)
    });
    damaged("two records", |dir| {
        flip(&segment(dir, 1), 6000);
        flip(&segment(dir, 2), 9000);
        segment(dir, 2)
    });
    damaged("a link", |dir| {
        flip(&segment(dir, 2), 4096 + 20);
        segment(dir, 2)
    });
    damaged("a header", |dir| {
        flip(&segment(dir, 2), 30);
        segment(dir, 2)
    });
    damaged("a trailer", |dir| {
        flip(&segment(dir, 2), (12 << 10) + 30);
        segment(dir, 2)
    });
    damaged("both slots of the control file", |dir| {
        let path = dir.join("control");
        flip(&path, 100);
        flip(&path, 4196);
        path
    });
    damaged("no control file", |dir| {
        fs::remove_file(dir.join("control")).expect("removed");
        dir.join("control")
    });
    damaged("a segment that is cut short", |dir| {
        let path = segment(dir, 2);
        let bytes = fs::read(&path).expect("a file");
        fs::write(&path, &bytes[..9000]).expect("written");
        path
    });
    damaged("a missing segment", |dir| {
        fs::remove_file(segment(dir, 2)).expect("removed");
        segment(dir, 2)
    });
    damaged("two segments in each other's place", |dir| {
        let (a, b) = (segment(dir, 1), segment(dir, 2));
        let bytes = fs::read(&a).expect("a file");
        fs::copy(&b, &a).expect("copied");
        fs::write(&b, bytes).expect("written");
        a
    });
    damaged("a segment of another log", |dir| {
        fs::copy(segment(&folder().join("torn"), 2), segment(dir, 2)).expect("copied");
        segment(dir, 2)
    });
}

#[test]
fn one_bad_slot_of_the_control_file_is_a_note() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = copy("good", place.path());
    flip(&dir.join("control"), 100);
    let text = on("verify", &dir).fine();
    assert!(text.contains("note: one slot of the control file"), "{text}");
}

#[test]
fn what_verify_does_not_find_costs_no_record() {
    let place = tempfile::tempdir().expect("a folder");
    let original = folder().join("good");
    let whole = dumped(&original);
    let mut found = 0;
    let mut tried = 0;
    for path in files(&original).into_keys().filter(|path| !path.ends_with("LOCK")) {
        let name = path.file_name().expect("a name").to_owned();
        let len = fs::metadata(&path).expect("a file").len() as usize;
        // Another offset in each page of each file.
        for offset in (7..len).step_by(1021) {
            tried += 1;
            let dir = place.path().join(format!("{tried}"));
            copy_files(&original, &dir);
            flip(&dir.join(&name), offset);
            let ran = on("verify", &dir);
            let what = || format!("{} at {offset}: {ran:?}", path.display());
            match ran.code {
                Some(0) => assert_eq!(dumped(&dir), whole, "{}", what()),
                Some(1) => {
                    found += 1;
                    assert!(ran.stdout.contains(name.to_str().expect("UTF-8")), "{}", what());
                }
                _ => panic!("{}", what()),
            }
            fs::remove_dir_all(&dir).expect("removed");
        }
    }
    // Headers, frames and trailers fill more than half of the segments.
    assert!(found * 2 > tried && found < tried, "{found} of {tried}");
}

#[test]
fn a_file_by_itself_is_verified() {
    let place = tempfile::tempdir().expect("a folder");
    let archive = copy("archived", place.path());
    let paths: Vec<_> = files(&archive).into_keys().filter(|it| it.extension().is_some()).collect();
    let verify = |paths: &[PathBuf]| run([PathBuf::from("verify")].iter().chain(paths));
    assert!(verify(&paths).fine().contains("no damage"));
    flip(&paths[1], 7000);
    let ran = verify(&paths);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let name = |path: &Path| path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    let told = |path: &Path| ran.stdout.contains(&name(path));
    assert!(told(&paths[1]) && !told(&paths[0]) && !told(&paths[2]), "{ran:?}");
    // A copy under the name of another one.
    fs::copy(&paths[0], &paths[2]).expect("copied");
    assert_eq!(verify(&paths[2..3]).code, Some(1));
    assert_eq!(verify(&[archive.join("nothing.seg")]).code, Some(2));
    let control = copy("good", place.path()).join("control");
    verify(&[control]).fine();
}

#[test]
fn what_is_no_log_is_refused_in_one_line() {
    let place = tempfile::tempdir().expect("a folder");
    let other = place.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("notes"), "mine").expect("written");
    let strange = place.path().join("line\nfeed");
    for (dir, expected) in [
        (place.path().join("nothing"), "found nothing"),
        (other.clone(), "found a directory of other files"),
        (other.join("notes"), "found a file"),
        (strange, "found nothing"),
    ] {
        for command in ["info", "dump", "tail", "export", "append"] {
            let line = on(command, &dir).refused();
            assert!(line.contains(expected), "{command}: {line}");
        }
    }
    let empty = place.path().join("empty");
    fs::create_dir(&empty).expect("made");
    on("info", &empty).refused();
    on("verify", &empty).refused();
    assert_eq!(files(&empty).len(), 0);
    assert_eq!(files(&other).len(), 1);
}
