//! Places that are full, can't be written, or are memory; and text whose figures are masked.
//!
//! Invariant: what was mounted is unmounted when the value goes. Mounting takes root: who can't do it
//! skips the test, and says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A mounted file system, for as long as the value lives.
pub(crate) struct Mounted {
    at: PathBuf,
}

impl Mounted {
    /// A file system in memory.
    pub(crate) fn memory(folder: &Path, options: &str) -> Option<Self> {
        let at = folder.join("mounted");
        fs::create_dir(&at).expect("a folder");
        let arguments = ["-t", "tmpfs", "-o", options, "tmpfs"];
        let done = Command::new("mount").args(arguments).arg(&at).output();
        if done.is_ok_and(|output| output.status.success()) {
            return Some(Self { at });
        }
        println!("skipped: a file system can't be mounted here; it takes root");
        None
    }

    pub(crate) fn path(&self) -> &str {
        self.at.to_str().expect("a path in UTF-8")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
    }
}

/// How many names there are in a folder.
pub(crate) fn names(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

/// The text with `N` for each number, whatever its unit, and one blank for several.
pub(crate) fn masked(text: &str) -> String {
    const UNITS: [&str; 9] = ["ns", "us", "ms", "s", "B", "KiB", "MiB", "GiB", "TiB"];
    let is_number = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_digit() || ",.".contains(c))
    };
    let mut masked = String::new();
    for line in text.lines() {
        let mut words: Vec<String> = Vec::new();
        for word in line.split_whitespace() {
            let after_number = words.last().is_some_and(|last| last == "N" || last == "(N");
            let bare = word.trim_end_matches([',', '.', ')', ':']);
            let rest = word.strip_prefix(bare).unwrap_or_default();
            let open = if bare.starts_with('(') { "(" } else { "" };
            if after_number && UNITS.contains(&bare) {
                words.last_mut().expect("a number").push_str(rest);
            } else if is_number(bare.trim_start_matches('(')) {
                words.push(format!("{open}N{rest}"));
            } else {
                words.push(word.to_owned());
            }
        }
        let indent = if line.starts_with("  ") { "  " } else { "" };
        masked.extend([indent, &words.join(" "), "\n"]);
    }
    masked
}

/// The names in a JSON value, and in what it holds, that `docs/measuring.md` does not name.
pub(crate) fn undocumented(value: &Value) -> Vec<String> {
    let documented = include_str!("../../docs/measuring.md");
    let inner: Vec<&Value> = match value {
        Value::Object(object) => object.values().collect(),
        Value::Array(list) => list.iter().collect(),
        _ => Vec::new(),
    };
    let names = value.as_object().into_iter().flat_map(|object| object.keys());
    let unnamed = names.filter(|name| !documented.contains(&format!("`{name}`"))).cloned();
    unnamed.chain(inner.into_iter().flat_map(undocumented)).collect()
}

#[test]
fn numbers_and_their_units_are_masked_and_words_are_not() {
    let text = "  p50    1.3 us  12,345 a second (4.0 KiB), up to 99.9\nround 5 things in 2.0 s.";
    assert_eq!(masked(text), "  p50 N N a second (N), up to N\nround N things in N.\n");
}
