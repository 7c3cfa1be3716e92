//! What the tool says of the golden logs, word for word.
//!
//! Invariant: each file of `tests/cli/snapshots` holds what one call printed and how it exited.
//! `STRATALOG_SNAPSHOTS=1` writes them anew; look at the difference before it is committed.

use std::fs;
use std::path::Path;

use crate::golden;
use crate::tool::{command, finished};

/// Runs the tool where the golden logs are, and compares.
fn compare(name: &str, arguments: &str) {
    let output = command()
        .current_dir(golden::folder())
        .args(arguments.split_whitespace())
        .output()
        .expect("the tool is there");
    let ran = finished(&output);
    // Of what is meant for people; a log's own bytes may be as wide as they are.
    if !["dump", "tail", "get", "json", "completions"].iter().any(|word| arguments.contains(word)) {
        let wide = ran.stdout.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "`{arguments}` prints a line of more than 80 columns");
    }
    let code = ran.code.expect("it was not killed");
    let said = format!("$ stratalog {arguments}\n{}{}exit {code}\n", ran.stdout, ran.stderr);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("STRATALOG_SNAPSHOTS").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(&path, &said).expect("written");
    }
    let expected = fs::read_to_string(&path).expect("a snapshot");
    assert!(said == expected, "{name}: expected\n{expected}\nbut it said\n{said}");
}

const LOGS: [&str; 5] = ["good", "torn", "corrupt", "truncated", "archived"];

#[test]
fn info_of_each_golden_log() {
    for log in LOGS {
        compare(&format!("info-{log}"), &format!("info {log}"));
        compare(&format!("info-{log}-json"), &format!("info {log} --json"));
    }
}

#[test]
fn verify_of_each_golden_log() {
    for log in LOGS {
        compare(&format!("verify-{log}"), &format!("verify {log}"));
        compare(&format!("verify-{log}-json"), &format!("verify {log} --json"));
    }
}

#[test]
fn dump_of_each_golden_log() {
    for log in LOGS {
        compare(&format!("dump-{log}"), &format!("dump {log} --limit 3"));
        compare(&format!("frames-{log}"), &format!("dump {log} --frames"));
    }
    compare("frames-json", "dump good --frames --json --limit 3");
    compare("dump-json", "dump good --json --limit 2");
    compare("dump-skip", "dump corrupt --skip-damage --format hex --grep xyz");
    compare("dump-grep", "dump good --grep debit");
    compare("tail", "tail good -n 3 --format hex");
    compare("tail-json", "tail truncated -n 2 --json");
}

#[test]
fn help_and_version() {
    compare("help", "--help");
    compare("version", "--version");
    let commands = "info verify dump get tail append import export archive restore salvage truncate bench probe";
    for command in commands.split(' ').chain(["completions"]) {
        compare(&format!("help-{command}"), &format!("{command} --help"));
    }
}
