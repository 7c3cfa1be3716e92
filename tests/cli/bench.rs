//! `stratalog bench`: what it reports, and that it leaves nothing behind.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::places::{Mounted, masked, names, undocumented};
use crate::tool::{run, small_log};

/// A run of a fifth of a second on a small log, which rolls often.
fn bench(dir: &str, more: &[&str]) -> Vec<String> {
    let small = ["--seconds", "0.2", "--segment-bytes", "16KiB", "--keep", "64KiB"];
    ["bench", dir].iter().chain(&small).chain(more).map(ToString::to_string).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

const REPORT: &str = "\
durable appends, N a record, N threads, N
in FOLDER, which is removed afterwards

  records N N a second
  payload N N a second
  syncs N N a second, N records each
  writes N N records each
  rolls N WAITS
  last sync N after the last append

Latency of an append
  p50 p90 p99 p99.9 max
  N N N N N

  up to count share (bars grow with the logarithm)
";

#[test]
fn a_run_is_reported_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = run(bench(text(folder.path()), &["--durable", "--threads", "2"])).fine();
    assert_eq!(names(folder.path()), 0, "the folder is as it was");
    let wide = report.lines().find(|line| line.chars().count() > 80 && !line.starts_with("in "));
    assert_eq!(wide, None);
    let (heading, rest) = report.split_once("(bars grow with the logarithm)\n").expect("{report}");
    let place = heading.lines().nth(1).expect("a second line");
    let place = place.trim_start_matches("in ").trim_end_matches(", which is removed afterwards");
    assert!(place.starts_with(text(&folder.path().join(".stratalog-bench-"))), "{place}");
    let masked = masked(&heading.replace(place, "FOLDER"));
    let waits = |line: &str| {
        let waited = line.ends_with("no append waited for a segment")
            || line.ends_with("N wait for a segment")
            || line.ends_with("N waits for a segment");
        if line.starts_with("  rolls N ") && waited {
            "  rolls N WAITS".to_owned()
        } else {
            line.to_owned()
        }
    };
    let lines: Vec<String> = masked.lines().map(waits).collect();
    assert_eq!(lines.join("\n") + " (bars grow with the logarithm)\n", REPORT);
    assert!(rest.lines().filter(|line| line.contains('#')).count() > 0, "{rest}");
    assert!(rest.contains("Each was timed, at about "), "{rest}");
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn sum(value: &Value, list: &str, name: &str) -> u64 {
    value[list].as_array().expect(list).iter().map(|one| number(one, name)).sum()
}

#[test]
fn figures_of_each_mode_agree_with_each_other() {
    for (more, mode, records_per_append) in [
        (&[][..], "committed", 1),
        (&["--durable"], "durable", 1),
        (&["--durable", "--threads", "3"], "durable", 1),
        (&["--batch", "5"], "batch", 5),
        (&["--batch", "5", "--durable", "--size", "1KiB"], "durable batch", 5),
        (&["--buffered", "--size", "8"], "buffered", 1),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut arguments = bench(text(folder.path()), more);
        arguments.push("--json".to_owned());
        let report: Value = serde_json::from_str(&run(arguments).fine()).expect("one object");
        assert_eq!((names(folder.path()), undocumented(&report)), (0, Vec::new()));
        assert_eq!((&report["mode"], &report["interrupted"]), (&mode.into(), &false.into()));
        let records = number(&report, "records");
        assert!(records > 0, "{report}");
        assert_eq!(number(&report, "records_per_append"), records_per_append);
        assert_eq!(number(&report, "payload_bytes"), records * number(&report, "record_bytes"));
        assert_eq!(sum(&report, "slices", "records"), records, "{mode}");
        assert_eq!(sum(&report, "histogram", "count"), number(&report, "timed"), "{mode}");
        if mode != "buffered" {
            assert_eq!(number(&report, "timed") * records_per_append, records, "{mode}");
        }
        let latency = ["p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns"]
            .map(|name| number(&report["latency"], name));
        assert!(latency[0] > 0 && latency.is_sorted(), "{mode}: {latency:?}");
        let syncs = number(&report, "syncs");
        if mode.starts_with("durable") {
            assert!(syncs > 0 && syncs <= records / records_per_append + 10, "{mode}: {syncs}");
        }
        let rate = u128::from(records) * 1_000_000_000 / u128::from(number(&report, "elapsed_ns"));
        assert_eq!(u128::from(number(&report, "records_per_second")), rate);
    }
}

#[test]
fn a_picture_shows_rolls_and_syncs_and_stays_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("bench.svg");
    let draw = |seconds: &str| {
        let mut arguments = bench(text(folder.path()), &["--durable", "--plot", text(&picture)]);
        *arguments.iter_mut().find(|argument| *argument == "0.2").expect("a time") = seconds.into();
        run(arguments).fine();
        fs::read_to_string(&picture).expect("a picture")
    };
    // A busy disk syncs so seldom that a short run fills no segment.
    let has_rolls = |svg: &String| svg.matches("class=\"roll\"").count() > 1;
    let drawn = ["0.2", "0.8", "3.2", "13"].iter().map(|seconds| draw(seconds)).find(has_rolls);
    let svg = drawn.expect("a picture with rolls");
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
    // One of the lines is the legend's.
    assert!(svg.matches("class=\"sync\"").count() > 1, "{svg}");
    assert_eq!(
        svg.matches("<path").count() + svg.matches("<rect").count(),
        svg.matches("/>").count()
    );
}

#[test]
fn a_log_in_the_directory_is_not_touched_and_gets_nothing_put_beside_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let wal = folder.path().join("wal");
    let log = small_log(&wal);
    log.append_durable(b"mine").expect("appended");
    // Beside the process that writes it.
    let report = run(bench(text(&wal), &[])).fine();
    let place = report.lines().nth(1).expect("a second line");
    let beside = folder.path().canonicalize().expect("a folder").join(".stratalog-bench-");
    assert!(place.starts_with(&format!("in {}", text(&beside))), "{report}");
    assert_eq!((log.snapshot().iter().count(), names(folder.path())), (1, 1));
    log.close().expect("nothing happened to it");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = text(folder.path());
    for (more, expected) in [
        (&["--threads", "0"][..], "--threads 0: expected 1 to 256"),
        (&["--batch", "0"], "--batch 0: expected at least one record"),
        (&["--size", "16KiB"], "one append takes 16400 bytes, and a segment has room for 8128"),
        (&["--plot", "/nowhere/at/all.svg"], "failed to write into /nowhere/at: "),
    ] {
        let line = run(bench(dir, more)).refused();
        assert!(line.starts_with(expected), "{line}");
    }
    let line =
        run(["bench", dir, "--segment-bytes", "20000", "--keep", "80000", "--seconds", "0.1"]);
    assert!(line.stderr.contains("segment_bytes") && line.code == Some(2), "{line:?}");
    for wrong in [["--seconds", "0"], ["--size", "big"], ["--keep", "1Q"]] {
        let ran = run(bench(dir, &wrong));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(wrong[0]), "{ran:?}");
    }
    assert_eq!(names(folder.path()), 0);
}

#[test]
fn a_directory_that_is_not_there_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("nowhere");
    let line = run(bench(text(&nowhere), &[])).refused();
    assert!(
        line.starts_with(&format!("failed to make a folder in {}: ", text(&nowhere))),
        "{line}"
    );
    assert!(!nowhere.exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mounted) = Mounted::memory(folder.path(), "ro") else { return };
    let line = run(bench(mounted.path(), &[])).refused();
    assert!(line.starts_with("failed to make a folder in "), "{line}");
}

#[test]
fn a_full_disk_is_one_line_and_is_left_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mounted) = Mounted::memory(folder.path(), "size=48k") else { return };
    let ran = run(bench(mounted.path(), &["--json"]));
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.one_line().to_lowercase().contains("space"), "it says of what there is too little");
    assert_eq!(names(Path::new(mounted.path())), 0);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_run_early_with_its_report_and_removes_the_files() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let folder = tempfile::tempdir().expect("a folder");
    let mut arguments = bench(text(folder.path()), &["--durable"]);
    let seconds = arguments.iter_mut().find(|argument| *argument == "0.2").expect("a time");
    *seconds = "86400".to_owned();
    let mut child = crate::tool::command()
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool is there");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut heading = String::new();
    while !heading.contains("removed afterwards") {
        assert!(said.read_line(&mut heading).expect("text") > 0, "it ended: {heading}");
    }
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("there is a kill");
    assert!(interrupted.success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{rest}");
    assert!(rest.starts_with("interrupted after "), "{rest}");
    assert!(rest.contains("Latency of an append"), "{rest}");
    assert_eq!(names(folder.path()), 0);
}
