//! What the fuzzers run, as plain functions, over inputs that are kept: see `fuzz/`.
//!
//! Invariant: each body is a pure function of its input, that panics where a promise is broken; and
//! the kept inputs reach every kind of outcome, so that they can't rot into ones that reach none.
//!
//! `scripts/fuzz.sh` looks for more inputs. One that fails is kept here by a name of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::common::{check_tags, open_image, records};

mod edit;
mod frames;
mod golden;
mod input;
mod make;
pub(crate) mod model;
mod open;
mod proof;
mod random;
mod rescue;
mod scan;

/// The outcomes that an input came to.
pub(crate) type Reached = BTreeSet<&'static str>;

/// The kept inputs of a target. A published package leaves them out; nothing else may.
fn corpus(target: &str) -> Option<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if root.join("Cargo.toml.orig").exists() {
        println!("skipped: a published package has no kept inputs");
        return None;
    }
    let folder = root.join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{folder:?} holds only {} inputs", files.len());
    Some(files)
}

fn run(target: &str, body: fn(&[u8]) -> Reached, expected: &[&str]) {
    let Some(files) = corpus(target) else { return };
    let mut reached = Reached::new();
    for file in &files {
        println!("{}", file.display());
        reached.extend(body(&fs::read(file).unwrap()));
    }
    let missing: Vec<_> = expected.iter().filter(|name| !reached.contains(*name)).collect();
    assert!(missing.is_empty(), "no input of {} comes to {missing:?}: {reached:?}", files.len());
}

#[test]
fn kept_inputs_are_scanned_as_the_format_says() {
    let frames = ["valid frame", "evidence", "complete", "invalid", "torn batch", "broken batch"];
    let blocks = ["header", "trailer", "control slot", "newer version", "no block"];
    let others = ["summary", "frame header", "link", "segment name", "foreign name"];
    run("scan", scan::scan, &[&frames[..], &blocks, &others].concat());
}

#[test]
fn kept_disks_are_refused_unchanged_or_opened_and_go_on() {
    let opened = ["opened", "created", "clean", "cut", "set aside", "removed", "persisted again"];
    let damaged = ["opened with damage", "read error", "foreign file left alone"];
    let refused = ["corrupt", "missing segment", "torn tail", "foreign file", "not a log"];
    let looked = ["read only", "not even read only"];
    run("open", open::open, &[&opened[..], &damaged, &refused, &looked].concat());
}

#[test]
fn kept_disks_are_looked_at_saved_archived_and_restored() {
    let looked = ["previewed", "refusal previewed", "verified", "not verified"];
    let salvaged = ["salvaged", "salvaged in part", "not salvaged", "nothing to salvage"];
    let archived = ["archived", "not archived", "archived and restored", "archived beside others"];
    let restored = ["restored", "restored in part", "made over leftovers", "nothing to restore"];
    let refused = ["damaged archive", "gap in the archive", "two histories", "no such record"];
    let conflicts = ["in the way", "in the archive's way"];
    let all = [&looked[..], &salvaged, &archived, &restored, &refused, &conflicts].concat();
    run("rescue", rescue::rescue, &all);
}

#[test]
fn kept_programs_leave_what_the_model_says() {
    let crashes = ["crash", "crash while opening", "cut", "pending kept", "pending lost"];
    run("model", model::model, &[&crashes[..], &["close", "clean", "drop", "too large"]].concat());
}

#[test]
fn golden_logs_hold_what_was_appended_to_them() {
    for (golden, count) in golden::ALL.iter().zip([12, 15, 13, 14, 13, 13, 13]) {
        let image = golden.image();
        let log = open_image(&image).unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        let tags = check_tags(&records(&log));
        assert_eq!(tags.len(), count, "{}", golden.name);
        assert_eq!(log.recovery().clean, golden.name == "closed");
        let reached = open::open_image(&image, true);
        assert!(reached.contains("opened"), "{}: {reached:?}", golden.name);
    }
}
