//! The floors: a module uses only modules of its own floor and of those below.
//!
//! Invariant: every name at the crate root has a floor or is reported; a name that `lib.rs`
//! re-exports stands on the floor of the module that it comes from.
//!
//! 1. From `lib.rs`: the modules, in order, and what is re-exported from which.
//! 2. In every other file each path from `crate`, and each from `super` that leaves the file's own
//!    top module, leads to a name at the root. Its floor must not lie above the file's.

use std::collections::BTreeMap;

use crate::source::{Finding, NamedPath, Source};

/// The modules of each floor, bottom-up.
const FLOORS: [&[&str]; 8] = [
    &["lsn", "error", "options", "random", "sync"],
    &["format"],
    &["protocol"],
    &["storage"],
    &["segment"],
    &["append", "read", "recover"],
    &["log"],
    &["adapters", "simulation"],
];

fn floor_of_module(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// The floor of every name at the crate root.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    names: BTreeMap<String, usize>,
}

impl Floors {
    /// Reads `lib.rs`, and reports what in it has no floor or is out of order.
    pub(crate) fn of(root: &Source) -> (Self, Vec<Finding>) {
        let (mut floors, mut findings) = (Self::default(), Vec::new());
        let code = root.code();
        let mut highest = 0;
        for pair in code.windows(2) {
            let [keyword, name] = pair else { continue };
            if !keyword.is("mod") {
                continue;
            }
            let Some(floor) = floor_of_module(name.text) else {
                let message = format!("module `{}` stands on no floor", name.text);
                findings.push(root.finding(name.line, message));
                continue;
            };
            if floor < highest {
                let message = format!("module `{}` of floor {floor} is listed above it", name.text);
                findings.push(root.finding(name.line, message));
            }
            highest = highest.max(floor);
            floors.names.insert(name.text.to_owned(), floor);
        }
        for path in root.named_paths() {
            let mut segments =
                path.segments.iter().filter(|name| !["crate", "self"].contains(name));
            let Some(floor) = segments.next().and_then(|module| floor_of_module(module)) else {
                continue;
            };
            if path.name == "*" {
                findings
                    .push(root.finding(path.line, "a glob at the root hides the floors of names"));
            }
            floors.names.insert(path.name.to_owned(), floor);
        }
        (floors, findings)
    }

    /// Reports each use of a higher floor. Only the library has floors; its root may use all.
    pub(crate) fn check(&self, source: &Source) -> Vec<Finding> {
        let Some(modules) = modules_of(&source.path) else { return Vec::new() };
        let own = modules.first().copied().unwrap_or_default();
        let Some(floor) = floor_of_module(own) else {
            return vec![source.finding(1, format!("module `{own}` stands on no floor"))];
        };
        let mut findings = Vec::new();
        for path in source.named_paths() {
            let Some(name) = root_name(&path, modules.len()) else { continue };
            let message = match self.names.get(name) {
                Some(used) if *used <= floor => continue,
                Some(used) => {
                    format!("`{own}` of floor {floor} uses `{name}` of floor {used}, above it")
                }
                None => format!("`crate::{name}` has no floor: lib.rs does not name it"),
            };
            findings.push(source.finding(path.line, message));
        }
        findings
    }
}

/// The module path of a library file, or `None` where there are no floors.
fn modules_of(path: &str) -> Option<Vec<&str>> {
    let inner = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    if inner == "lib" || inner == "main" || inner.starts_with("bin/") {
        return None;
    }
    Some(inner.split('/').filter(|name| *name != "mod").collect())
}

/// The name at the crate root that a path leads to, if it leads there, for a file whose own module
/// is `depth` deep.
fn root_name<'a>(path: &NamedPath<'a>, depth: usize) -> Option<&'a str> {
    let mut segments = path.segments.iter().copied().peekable();
    let mut depth = match *segments.peek()? {
        "crate" => {
            segments.next();
            0
        }
        "self" | "super" => depth + path.inline_modules,
        _ => return None,
    };
    while let Some(step) = segments.next_if(|name| ["self", "super"].contains(name)) {
        if step == "super" {
            depth = depth.checked_sub(1)?;
        }
    }
    if depth > 0 { None } else { Some(segments.next().unwrap_or("*")) }
}

mod tests {
    use super::*;

    const ROOT: &str = "mod error;\nmod lsn;\n\npub mod format;\n#[cfg(a)]\npub mod storage;\nmod log;\n\
        pub use error::{Error, Result};\npub use log::{Log, Stats as Figures};\n";

    fn floors() -> Floors {
        let (floors, findings) = Floors::of(&Source::new("src/lib.rs", ROOT));
        assert!(findings.is_empty(), "{findings:?}");
        floors
    }

    fn lines(path: &str, text: &str) -> Vec<usize> {
        floors().check(&Source::new(path, text)).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_use_of_a_higher_floor_is_reported_at_its_line() {
        assert_eq!(
            lines("src/format/frame.rs", "use crate::Error;\nuse crate::storage::Storage;"),
            [2]
        );
        assert_eq!(lines("src/storage/mod.rs", "fn f() -> crate::Log {}"), [1]);
        assert_eq!(
            lines("src/storage/mod.rs", "use crate::{\nError,\nformat::frame,\nlog::Log\n};"),
            [4]
        );
        assert_eq!(lines("src/lsn.rs", "macro_rules! m { () => { $crate::format::F } }"), [1]);
    }

    #[test]
    fn a_reexported_name_stands_where_it_comes_from() {
        assert_eq!(lines("src/storage/mod.rs", "use crate::Figures;\nuse crate::Result;"), [1]);
        assert_eq!(lines("src/log/mod.rs", "use crate::{Figures, Error, storage};"), [0; 0]);
    }

    #[test]
    fn super_is_followed_up_to_the_root() {
        assert_eq!(
            lines("src/format/frame.rs", "use super::super::storage;\nuse super::header;"),
            [1]
        );
        assert_eq!(lines("src/format/mod.rs", "use super::storage::X;"), [1]);
        assert_eq!(lines("src/format/mod.rs", "mod tests {\nuse super::storage::X;\n}"), [0; 0]);
        assert_eq!(lines("src/format/mod.rs", "mod tests {\nuse super::super::storage;\n}"), [2]);
        assert_eq!(lines("src/format/mod.rs", "use self::{frame::{super::super::log}};"), [0; 0]);
    }

    #[test]
    fn what_cannot_be_placed_is_reported() {
        assert_eq!(lines("src/format/mod.rs", "use crate::*;\nuse crate::unheard_of;"), [1, 2]);
        assert_eq!(lines("src/cellar/mod.rs", ""), [1]);
    }

    #[test]
    fn words_in_text_and_outside_the_library_are_free() {
        assert_eq!(
            lines("src/format/mod.rs", "//! [`crate::Log`]\nconst S: &str = \"crate::Log\";"),
            [0; 0]
        );
        assert_eq!(lines("tests/it/main.rs", "use crate::anything;"), [0; 0]);
        assert_eq!(lines("src/bin/stratalog/main.rs", "use crate::anything;"), [0; 0]);
    }

    #[test]
    fn the_root_is_in_order_and_complete() {
        let findings = |text| {
            let (_, findings) = Floors::of(&Source::new("src/lib.rs", text));
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert_eq!(findings("mod storage;\nmod format;"), [2]);
        assert_eq!(findings("mod lsn;\nmod cellar;"), [2]);
        assert_eq!(findings("mod lsn;\n\npub use lsn::*;"), [3]);
    }
}
