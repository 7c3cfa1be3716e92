//! `Cargo.toml`: which crates every user of this one must build, and that no feature is on unasked.
//!
//! Invariant: a crate under a `dependencies` table, of any target, is required unless it says
//! `optional = true`; the required ones are exactly the agreed ones. loom is needed under this
//! crate's own cfg only, which no user sets.

use std::collections::BTreeMap;

use crate::source::Finding;

const REQUIRED: [&str; 4] = ["crc32c", "libc", "memmap2", "parking_lot"];
const LOOM_TABLE: &str = "target.'cfg(stratalog_loom)'.dependencies";

pub(crate) fn check(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let entries = entries(text);
    let mut default = None;
    let mut required = BTreeMap::new();
    for entry in &entries {
        if entry.table == "features" && entry.key == "default" {
            default = Some((entry.line, entry.value.as_str()));
        }
        if let Some(name) = entry.dependency() {
            let optional = required.entry(name).or_insert((entry.line, false));
            optional.1 |= entry.says_optional();
        }
    }
    required.retain(|_, (_, optional)| !*optional);
    for (name, (line, _)) in &required {
        if !REQUIRED.contains(name) {
            let message = format!("`{name}` is required, which only {REQUIRED:?} may be");
            findings.push(Finding::new("Cargo.toml", *line, message));
        }
    }
    for name in REQUIRED.iter().filter(|name| !required.contains_key(*name)) {
        findings.push(Finding::new("Cargo.toml", 1, format!("`{name}` is not required any more")));
    }
    match default {
        Some((_, "[]")) => {}
        Some((line, value)) => {
            let message = format!("`default` is {value}, expected []");
            findings.push(Finding::new("Cargo.toml", line, message));
        }
        None => findings.push(Finding::new("Cargo.toml", 1, "`default = []` is missing")),
    }
    findings
}

/// One `key = value`, in the table that it stands in.
struct Entry<'a> {
    table: &'a str,
    key: &'a str,
    value: String,
    line: usize,
}

impl<'a> Entry<'a> {
    /// The crate that the entry makes a dependency, unless it is one for tests only or for loom.
    fn dependency(&self) -> Option<&'a str> {
        if self.table == LOOM_TABLE {
            return None;
        }
        for kind in ["dependencies", "build-dependencies"] {
            let of_kind = |table: &str| table == kind || table.ends_with(&format!(".{kind}"));
            if of_kind(self.table) {
                return Some(self.key.split('.').next().unwrap_or(self.key));
            }
            // `[dependencies.name]` holds the parts of one.
            if let Some((table, name)) = self.table.rsplit_once('.')
                && of_kind(table)
            {
                return Some(name);
            }
        }
        None
    }

    fn says_optional(&self) -> bool {
        let value = self.value.replace(' ', "");
        value.contains("optional=true") || (self.key.ends_with("optional") && value == "true")
    }
}

/// The entries of all tables; a value that goes on over several lines is joined.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let (mut entries, mut table) = (Vec::<Entry<'_>>::new(), "");
    let mut is_open = false;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split(" #").next().unwrap_or(text).trim();
        if text.starts_with('#') || text.is_empty() {
            continue;
        }
        if is_open && let Some(entry) = entries.last_mut() {
            entry.value.push_str(text);
        } else if text.starts_with('[') {
            table = text.trim_matches(['[', ']']);
            continue;
        } else if let Some((key, value)) = text.split_once('=') {
            let value = value.trim().to_owned();
            entries.push(Entry { table, key: key.trim(), value, line });
        }
        let value = entries.last().map_or("", |entry| entry.value.as_str());
        is_open = value.matches(['[', '{']).count() > value.matches([']', '}']).count();
    }
    entries
}

mod tests {
    use super::*;

    const FINE: &str = "[package]\nname = \"a\"\n[features]\ndefault = []\ncli = [\n  \"dep:x\",\n]\n\n\
        [dependencies]\ncrc32c = \"0.6\"\nlibc = { version = \"0.2\" }\nmemmap2 = \"0.9\" # maps\n\
        parking_lot = \"0.12\"\nx = { version = \"1\", optional = true }\n\n[dependencies.y]\n\
        version = \"1\"\noptional = true\n\n[target.'cfg(stratalog_loom)'.dependencies]\nloom = \"0.7\"\n\n\
        [dev-dependencies]\nz = \"1\"\n";

    fn messages(text: &str) -> Vec<String> {
        check(text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_agreed_crates_are_accepted() {
        assert_eq!(messages(FINE), [""; 0]);
    }

    #[test]
    fn another_required_crate_is_reported() {
        for more in [
            "[dependencies]\nrocksdb = \"1\"",
            "[dependencies]\nrocksdb.workspace = true",
            "[dependencies.rocksdb]\nversion = \"1\"",
            "[target.'cfg(windows)'.dependencies]\nrocksdb = { version = \"1\" }",
            "[build-dependencies]\nrocksdb = \"1\"",
            "[dependencies]\nrocksdb = { version = \"1\", features = [\n\"a\",\n] }",
        ] {
            let found = messages(&format!("{FINE}{more}\n"));
            assert_eq!(found.len(), 1, "{more}: {found:?}");
            assert!(found[0].contains("`rocksdb` is required"), "{found:?}");
        }
    }

    #[test]
    fn a_missing_crate_is_reported() {
        let found = messages(&FINE.replace("memmap2", "# memmap2"));
        assert_eq!(found, ["Cargo.toml:1: `memmap2` is not required any more"]);
    }

    #[test]
    fn an_agreed_crate_that_became_optional_is_reported() {
        let optional = "libc = { version = \"0.2\", optional = true }";
        let found = messages(&FINE.replace("libc = { version = \"0.2\" }", optional));
        assert_eq!(found, ["Cargo.toml:1: `libc` is not required any more"]);
    }

    #[test]
    fn a_feature_that_is_on_unasked_is_reported() {
        let found = messages(&FINE.replace("default = []", "default = [\"cli\"]"));
        assert_eq!(found, ["Cargo.toml:4: `default` is [\"cli\"], expected []"]);
        let found = messages(&FINE.replace("default = []", ""));
        assert_eq!(found, ["Cargo.toml:1: `default = []` is missing"]);
    }
}
