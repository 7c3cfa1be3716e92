//! What `docs/tool.md` promises: the names in JSON are the documented ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::golden::{copy, folder};
use crate::tool::{Ran, command, finished, run_with};

fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.insert(name.clone());
                names(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[test]
fn every_name_in_json_is_documented() {
    let place = tempfile::tempdir().expect("a folder");
    let dir = copy("good", place.path());
    let damaged = copy("corrupt", place.path());
    let at = |name: &str| place.path().join(name).to_str().expect("UTF-8").to_owned();
    let (good, corrupt) = (dir.to_str().expect("UTF-8"), damaged.to_str().expect("UTF-8"));
    let stream = command().args(["export", "good"]).current_dir(folder()).output();
    let stream = finished_bytes(stream.expect("the tool is there"));
    let mut said: Vec<Ran> = Vec::new();
    for arguments in [
        vec!["info", corrupt],
        vec!["verify", corrupt],
        vec!["dump", good],
        vec!["dump", corrupt, "--frames"],
        vec!["get", good, "4144"],
        vec!["tail", good],
        vec!["append", good],
        vec!["archive", good, &at("archive")],
        vec!["restore", &at("archive"), &at("restored")],
        vec!["salvage", corrupt, &at("saved")],
        vec!["truncate", good, "--before", "36912", "--dry-run"],
    ] {
        said.push(run_with(arguments.into_iter().chain(["--json"]), b"x"));
    }
    said.push(run_with(["import", &at("new"), "--create", "--print", "--json"], &stream));
    let torn = command().args(["info", "torn", "--json"]).current_dir(folder()).output();
    said.push(finished(&torn.expect("the tool is there")));
    let mut found = BTreeSet::new();
    for ran in said {
        assert!(!ran.stdout.is_empty(), "{ran:?}");
        for line in ran.stdout.lines() {
            names(&serde_json::from_str(line).expect("it is JSON"), &mut found);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tool.md");
    let page = fs::read_to_string(path).expect("the page");
    let missing: Vec<_> =
        found.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty() && found.len() > 50, "{missing:?} of {}", found.len());
}

fn finished_bytes(output: std::process::Output) -> Vec<u8> {
    assert!(output.status.success());
    output.stdout
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = crate::tool::run(["completions", shell]).fine();
        for command in ["info", "verify", "truncate", "skip-damage", "dry-run"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}
