//! `append`, `export` and `import`.
//!
//! Invariant: what a log gives back is what was put in; a stream that is not whole is noticed, and only
//! what comes before the damage is appended.

use std::fs;
use std::path::Path;

use stratalog::{Log, Options};

use crate::golden::folder;
use crate::tool::{command, run, run_with};

fn payloads(dir: &Path) -> Vec<Vec<u8>> {
    let reader = Options::new().open_read_only(dir).expect("a log");
    let snapshot = reader.snapshot();
    snapshot.iter().map(|record| record.expect("a record").payload().to_vec()).collect()
}

fn appended(options: &[&str], input: &[u8]) -> (Vec<Vec<u8>>, String) {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let text = dir.to_str().expect("UTF-8");
    let arguments = [&["append", text, "--create", "--segment-bytes", "16384"], options].concat();
    let said = run_with(arguments, input).fine();
    assert!(Options::new().preview(&dir).expect("a log").recovery.clean);
    (payloads(&dir), said)
}

#[test]
fn records_are_cut_as_asked() {
    let split = |options: &[&str], input: &[u8]| appended(options, input).0;
    assert_eq!(split(&[], b"one\n\ntwo"), [&b"one"[..], b"", b"two"]);
    assert_eq!(split(&[], b""), [b""; 0]);
    assert_eq!(split(&[], b"\n"), [b""]);
    assert_eq!(split(&["--by", "nul"], b"a\nb\0c\0"), [&b"a\nb"[..], b"c"]);
    let prefixed = b"\x02\0\0\0hi\0\0\0\0\x01\0\0\0!";
    assert_eq!(split(&["--by", "length"], prefixed), [&b"hi"[..], b"", b"!"]);
    // Records, and batches of them, that come to more than a segment holds.
    let long = [vec![b'x'; 8000], vec![b'y'; 8000], vec![b'z'; 3]];
    assert_eq!(split(&["--batch", "10"], &long.join(&b'\n')), long);
    for durable in ["each", "batch", "end"] {
        let many: Vec<_> = (0..300).map(|number| format!("{number}").into_bytes()).collect();
        assert_eq!(split(&["--durable", durable, "--batch", "7"], &many.join(&b'\n')), many);
    }
}

#[test]
fn the_addresses_that_are_printed_are_those_of_the_records() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let text = dir.to_str().expect("UTF-8");
    let input: Vec<u8> = (0..500).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    let create = ["append", text, "--create", "--segment-bytes", "16384", "--print"];
    let printed = run_with(create, &input).fine();
    let log = Log::open(&dir).expect("a log");
    let snapshot = log.snapshot();
    let lsns = snapshot.iter().map(|record| record.expect("a record").lsn().to_string());
    assert_eq!(printed.lines().collect::<Vec<_>>(), lsns.collect::<Vec<_>>());
    drop((snapshot, log));
    let json = run_with(["append", text, "--json"], b"last").json();
    assert_eq!((json["records"].as_u64(), &json["first"]), (Some(1), &json["last"]));
}

#[test]
fn an_input_that_ends_within_a_record_is_told_and_what_came_before_is_kept() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let text = dir.to_str().expect("UTF-8");
    let ran = run_with(["append", text, "--create", "--by", "length"], b"\x01\0\0\0a\x09\0\0\0b");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.starts_with("1 record, "), "{ran:?}");
    assert!(ran.one_line().contains("ends within a record"));
    assert_eq!(payloads(&dir), [b"a"]);
}

#[test]
fn a_log_is_made_only_where_that_is_asked_for_and_keeps_its_segments_size() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = place.path().join("wal");
    let text = dir.to_str().expect("UTF-8");
    run_with(["append", text], b"x").refused();
    assert!(!dir.exists());
    run_with(["append", text, "--create", "--segment-bytes", "20480"], b"x").fine();
    let many = b"0123456789\n".repeat(3000);
    run_with(["append", text], &many).fine();
    let reader = Options::new().open_read_only(&dir).expect("a log");
    assert!(reader.segments().len() > 3);
    assert!(reader.segments().iter().all(|segment| segment.bytes == 20480));
    let line = run_with(["append", text, "--segment-bytes", "5"], b"x").refused();
    assert!(line.contains("segment_bytes"), "{line}");
}

fn exported(arguments: &[&str]) -> Vec<u8> {
    let output = command().arg("export").args(arguments).current_dir(folder()).output();
    output.expect("the tool is there").stdout
}

#[test]
fn what_was_exported_is_imported() {
    let place = tempfile::tempdir().expect("a folder");
    for log in ["good", "torn", "truncated", "archived"] {
        let dir = place.path().join(log);
        let text = dir.to_str().expect("UTF-8");
        let stream = exported(&[log]);
        let printed = run_with(["import", text, "--create", "--print"], &stream).fine();
        let expected = payloads(&folder().join(log));
        assert_eq!(payloads(&dir), expected);
        assert_eq!(printed.lines().count(), expected.len());
        // From the middle on.
        let old: Vec<_> = printed.lines().filter_map(|line| line.split(' ').next()).collect();
        let rest = exported(&[log, "--from", old[9]]);
        run_with(["import", text], &rest).fine();
        run_with(["import", text, "--after", old[old.len() - 2]], &stream).fine();
        let twice = [&expected[..], &expected[9..], &expected[expected.len() - 1..]].concat();
        assert_eq!(payloads(&dir), twice);
    }
}

#[test]
fn a_stream_that_is_not_whole_is_noticed_and_can_be_gone_on_with() {
    let place = tempfile::tempdir().expect("a folder");
    let expected = payloads(&folder().join("good"));
    let stream = exported(&["good"]);
    let mut damaged: Vec<(usize, Vec<u8>)> = Vec::new();
    for at in (32..stream.len()).step_by(stream.len() / 23) {
        damaged.push((at, stream[..at].to_vec()));
        let mut flipped = stream.clone();
        flipped[at] ^= 1;
        damaged.push((at, flipped));
    }
    for (at, bytes) in damaged {
        let dir = place.path().join(format!("{at} {}", bytes.len()));
        let text = dir.to_str().expect("UTF-8");
        let ran = run_with(["import", text, "--create"], &bytes);
        assert_eq!(ran.code, Some(1), "at {at}: {ran:?}");
        let kept = payloads(&dir);
        assert!(expected.starts_with(&kept) && kept.len() < expected.len(), "at {at}");
        let line = ran.one_line();
        let on = line.split_once("--after ").map(|(_, lsn)| lsn.to_owned());
        assert_eq!(on.is_some(), !kept.is_empty(), "{line}");
        let arguments = ["import", text].map(str::to_owned).into_iter();
        let after = on.into_iter().flat_map(|lsn| ["--after".to_owned(), lsn]);
        run_with(arguments.chain(after), &stream).fine();
        assert_eq!(payloads(&dir), expected);
        fs::remove_dir_all(dir).expect("removed");
    }
    // The end mark alone tells that there is no more.
    let dir = place.path().join("no end");
    let text = dir.to_str().expect("UTF-8");
    let ran = run_with(["import", text, "--create"], &stream[..stream.len() - 1]);
    assert_eq!((ran.code, payloads(&dir)), (Some(1), expected));
    // What is no stream makes no log.
    let none = place.path().join("none");
    run_with(["import", none.to_str().expect("UTF-8"), "--create"], b"hello").refused();
    assert!(!none.exists());
}

#[test]
fn an_export_that_meets_damage_has_no_end() {
    let place = tempfile::tempdir().expect("a folder");
    let run_export = |arguments: &[&str]| {
        let output = command().arg("export").args(arguments).current_dir(folder()).output();
        output.expect("the tool is there")
    };
    let output = run_export(&["corrupt"]);
    assert_eq!(output.status.code(), Some(1));
    let dir = place.path().join("wal");
    let text = dir.to_str().expect("UTF-8");
    assert_eq!(run_with(["import", text, "--create"], &output.stdout).code, Some(1));
    assert_eq!(payloads(&dir).len(), 20);
    let output = run_export(&["corrupt", "--skip-damage"]);
    assert_eq!(output.status.code(), Some(1));
    let all = place.path().join("all");
    run_with(["import", all.to_str().expect("UTF-8"), "--create"], &output.stdout).fine();
    assert_eq!(payloads(&all).len(), 47);
    let code = run(["get", folder().join("corrupt").to_str().expect("UTF-8"), "27224"]).code;
    assert_eq!(code, Some(1));
}
