//! `archive`, `restore`, `salvage` and `truncate`.
//!
//! Invariant: what is made or left holds the records that it is to hold, and reads as such.

use std::path::Path;

use crate::golden::{copy, folder};
use crate::tool::{dumped, files, run};

#[test]
fn an_archive_is_made_beside_the_log_and_made_a_log_again() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = copy("good", place.path());
    let [archive, new] = ["archive", "new"].map(|name| place.path().join(name));
    let archive_it = |more: &[&str]| {
        let arguments = [Path::new("archive"), &dir, &archive].map(Path::as_os_str);
        run(arguments.into_iter().chain(more.iter().map(std::ffi::OsStr::new)))
    };
    let before = files(&dir);
    let text = archive_it(&[]).fine();
    assert!(text.contains("4 segments copied") && text.contains("see --roll"), "{text}");
    assert_eq!(files(&dir), before, "the log was changed");
    let golden = files(&folder().join("archived"));
    let made = files(&archive);
    for (path, (bytes, _)) in golden {
        let copy = archive.join(path.file_name().expect("a name"));
        assert!(made.get(&copy).is_some_and(|(there, _)| *there == bytes), "{}", copy.display());
    }
    let json = archive_it(&["--roll", "--json"]).json();
    assert_eq!((json["present"].as_u64(), json["end"] == json["log_end"]), (Some(4), true));
    let restored = |until: &[&str]| {
        let arguments = [Path::new("restore"), &archive, &new].map(Path::as_os_str);
        run(arguments.into_iter().chain(until.iter().map(std::ffi::OsStr::new)))
    };
    let whole = dumped(&dir);
    restored(&[]).fine();
    assert_eq!(dumped(&new), whole);
    // It is there now.
    assert!(restored(&[]).refused().contains("expected nothing or the same"));
    std::fs::remove_dir_all(&new).expect("removed");
    let json = restored(&["--until", "6376", "--json"]).json();
    assert_eq!(json["records"].as_u64(), Some(4));
    assert_eq!(dumped(&new), whole.split_inclusive('\n').take(4).collect::<String>());
    assert_eq!(run(["restore".as_ref(), dir.as_os_str(), place.path().as_os_str()]).code, Some(2));
}

#[test]
fn a_damaged_archive_is_not_restored() {
    let place = tempfile::tempdir().expect("a folder");
    let archive = copy("archived", place.path());
    let path = files(&archive).into_keys().find(|path| path.extension().is_some());
    crate::golden::flip(&path.expect("a segment"), 6000);
    let new = place.path().join("new");
    let ran = run([Path::new("restore"), &archive, &new]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.one_line().contains("damaged at offset"));
    let info = run([Path::new("info"), &new]);
    assert_eq!(info.code, Some(2), "{info:?}");
}

#[test]
fn what_is_left_of_a_damaged_log_is_saved_and_the_rest_is_told() {
    let place = tempfile::tempdir().expect("a folder");
    let (dir, new) = (copy("corrupt", place.path()), place.path().join("new"));
    let before = files(&dir);
    let ran = run([Path::new("salvage"), &dir, &new]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("lsn     27224 to 28024"), "{ran:?}");
    assert!(ran.stdout.contains("47 records saved"), "{ran:?}");
    assert_eq!(dumped(&new), dumped(&dir));
    assert_eq!(run([Path::new("verify"), &new]).code, Some(0));
    assert_eq!(files(&dir), before);
    let ran = run([
        "salvage".as_ref(),
        folder().join("good").as_os_str(),
        place.path().join("x").as_os_str(),
    ]);
    assert!(ran.fine().contains("48 records saved"));
}

#[test]
fn a_truncation_is_shown_confirmed_and_done() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = copy("good", place.path());
    let truncate = |more: &[&str]| {
        let arguments = ["truncate".as_ref(), dir.as_os_str()].into_iter();
        run(arguments.chain(more.iter().map(std::ffi::OsStr::new)))
    };
    let whole = dumped(&dir);
    let before = files(&dir);
    for place in [["--before", "36912"], ["--after", "36912"]] {
        let text = truncate(&[&place[..], &["--dry-run"]].concat()).fine();
        assert!(text.contains("Nothing was changed"), "{text}");
        let ran = truncate(&place);
        assert_eq!(ran.code, Some(2));
        assert!(ran.one_line().contains("not confirmed"));
    }
    for refused in [&["--before", "5", "--yes"], &["--after", "36920", "--yes"]] {
        assert!(truncate(refused).refused().contains("lsn"));
    }
    assert_eq!(truncate(&["--yes"]).code, Some(2));
    assert_eq!(truncate(&["--before", "36912", "--after", "36912", "--yes"]).code, Some(2));
    assert_eq!(files(&dir), before, "something was changed without a word");
    let lines = |range: std::ops::Range<usize>| {
        whole.split_inclusive('\n').skip(range.start).take(range.len()).collect::<String>()
    };
    let json = truncate(&["--after", "53296", "--yes", "--json"]).json();
    let numbers =
        ["dropped_records", "kept_records", "dropped_segments"].map(|it| json[it].as_u64());
    assert_eq!(numbers, [Some(15), Some(33), Some(1)]);
    assert_eq!(dumped(&dir), lines(0..33));
    let text = truncate(&["--before", "36912", "--yes"]).fine();
    assert!(text.contains("21 records") && text.contains("2 whole segments"), "{text}");
    assert!(text.contains("to be kept: 12 records") && text.ends_with("Done.\n"), "{text}");
    assert_eq!(dumped(&dir), lines(21..33));
    assert_eq!(run([Path::new("verify"), &dir]).code, Some(0));
}
