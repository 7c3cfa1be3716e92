//! Holds the source tree to its own rules: floors, sizes, where `unsafe` and locks may stand, what
//! a file opens with, and which crates are required.
//!
//! Invariant: a rule is a pure function from text to findings, so each has tests beside it in which
//! a small violation must be reported. A finding names the file and the line.
//!
//! 1. Read every `.rs` file of `src`, `tests`, `benches` and `examples`, but nothing built.
//! 2. Cut each into tokens ([`source`]), so that strings and comments never count as code.
//! 3. Apply the rules: [`floors`], [`size`], [`words`]; and [`manifest`] to `Cargo.toml`.

use std::fs;
use std::path::Path;

#[cfg(test)]
#[path = "tidy/floors.rs"]
mod floors;
#[cfg(test)]
#[path = "tidy/manifest.rs"]
mod manifest;
#[cfg(test)]
#[path = "tidy/size.rs"]
mod size;
#[cfg(test)]
#[path = "tidy/source.rs"]
mod source;
#[cfg(test)]
#[path = "tidy/words.rs"]
mod words;

use floors::Floors;
use source::{Finding, Source};

const FOLDERS: [&str; 4] = ["src", "tests", "benches", "examples"];

/// Collects the sources below `folder`, named by their path from the root with `/` between.
fn collect(root: &Path, folder: &str, sources: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries {
        let entry = entry.expect("the folder can be listed");
        let name = entry.file_name().into_string().expect("source names are UTF-8");
        let path = format!("{folder}/{name}");
        if entry.file_type().expect("the entry has a type").is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(root, &path, sources);
            }
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).expect("a source is UTF-8");
            sources.push(Source::new(path, text));
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in FOLDERS {
        collect(root, folder, &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn report(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), lines.join("\n"));
}

fn report_each(rule: fn(&Source) -> Vec<Finding>) {
    report(&sources().iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn the_tree_is_found() {
    let sources = sources();
    for expected in ["src/lib.rs", "src/storage/mod.rs", "tests/tidy.rs", "tests/tidy/source.rs"] {
        assert!(sources.iter().any(|source| source.path == expected), "{expected} is not seen");
    }
}

#[test]
fn every_module_uses_only_its_own_floor_and_those_below() {
    let sources = sources();
    let root = sources.iter().find(|source| source.path == "src/lib.rs").expect("src/lib.rs");
    let (floors, mut findings) = Floors::of(root);
    findings.extend(sources.iter().flat_map(|source| floors.check(source)));
    report(&findings);
}

#[test]
fn files_and_functions_are_short() {
    report_each(size::check);
}

#[test]
fn unsafe_code_stands_only_where_it_may() {
    report_each(words::unsafe_code);
}

#[test]
fn only_the_sync_module_names_atomics_locks_and_parking() {
    report_each(words::locks);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    report_each(words::opening);
}

#[test]
fn sources_are_ascii() {
    report_each(words::ascii);
}

#[test]
fn nothing_is_left_for_later() {
    report_each(words::left_open);
}

#[test]
fn the_required_crates_are_the_agreed_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    report(&manifest::check(&fs::read_to_string(path).expect("Cargo.toml is readable")));
}
