//! Words that may stand in few places or in none, and the sentence that must open every file.
//!
//! Invariant: only code counts, not what a string or a comment says; marks of unfinished work
//! count in comments too.

use crate::source::{Finding, Kind, Source};

/// A package of its own, whose other systems are met on their terms.
const PEERS: &str = "benches/peers";

/// Loop devices, mounts and the shutdown of a file system have no safe interface.
const POWER: &str = "tests/power/src/os.rs";

/// An allocator that counts can't be made without.
const ALLOCATIONS: &str = "tests/allocations.rs";

/// An instruction that not every processor has can't be used without.
const CRC: &str = "src/format/crc.rs";

/// `unsafe` stands on the storage floor, in two places, and where checksums are computed.
pub(crate) fn unsafe_code(source: &Source) -> Vec<Finding> {
    let allowed = source.path == "src/storage/region.rs"
        || source.is_below("src/storage/os")
        || [CRC, POWER, ALLOCATIONS].contains(&source.path.as_str())
        || source.is_below(PEERS);
    if allowed {
        return Vec::new();
    }
    let code = source.code();
    let found = code.iter().filter(|token| token.is("unsafe"));
    let message = "`unsafe` stands only in src/storage/{region.rs,os/} and src/format/crc.rs";
    found.map(|token| source.finding(token.line, message)).collect()
}

/// In the library only `src/sync.rs`, and what stands below it for tests, names atomics, locks and
/// thread parking. loom's models of the protocol may start themselves and their threads.
pub(crate) fn locks(source: &Source) -> Vec<Finding> {
    let is_sync = source.path == "src/sync.rs" || source.is_below("src/sync");
    if !source.is_below("src") || is_sync {
        return Vec::new();
    }
    let is_model = source.is_below("src/protocol");
    let named = source.named_paths();
    let found = named.iter().filter(|path| is_lock(&path.segments, is_model));
    let message =
        |name: String| format!("`{name}` is named only in src/sync.rs: import it from there");
    found.map(|path| source.finding(path.line, message(path.segments.join("::")))).collect()
}

fn is_lock(path: &[&str], is_model: bool) -> bool {
    const LOCKS: [&str; 4] = ["Mutex", "RwLock", "Condvar", "Barrier"];
    match path {
        ["loom", "model", ..] if is_model => false,
        ["loom", "thread", name, ..] if is_model => parks(name),
        ["loom" | "parking_lot", ..] => true,
        ["thread", name, ..] | ["std", "thread", name, ..] => parks(name) || *name == "*",
        // The module as a whole would let any of its names through.
        ["std" | "core", "sync", inner @ ..] => match inner {
            [] | ["self" | "*" | "atomic", ..] => true,
            [name, ..] => LOCKS.iter().any(|lock| name.starts_with(lock)),
        },
        _ => false,
    }
}

fn parks(name: &str) -> bool {
    name.starts_with("park")
}

/// The first line is the module's documentation.
pub(crate) fn opening(source: &Source) -> Vec<Finding> {
    let opens = source.text.starts_with("//! ");
    let message = "the file does not open with `//!` and what it is for";
    if opens { Vec::new() } else { vec![source.finding(1, message)] }
}

pub(crate) fn ascii(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(source.text.lines()) {
        if let Some(found) = text.chars().find(|c| !c.is_ascii()) {
            findings.push(source.finding(line, format!("{} is not ASCII", found.escape_unicode())));
        }
    }
    findings
}

/// No marks of work that was put off, and no test that is switched off.
pub(crate) fn left_open(source: &Source) -> Vec<Finding> {
    const MARKS: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];
    let mut findings = Vec::new();
    for token in source.tokens().iter().filter(|token| token.kind == Kind::Comment) {
        for (line, text) in (token.line..).zip(token.text.lines()) {
            let mut words = text.split(|c: char| !c.is_alphanumeric());
            if let Some(mark) = words.find(|word| MARKS.contains(word)) {
                findings.push(source.finding(line, format!("{mark} marks work that is not done")));
            }
        }
    }
    let code = source.code();
    for (at, token) in code.iter().enumerate() {
        let next =
            |steps: usize, text: &str| code.get(at + steps).is_some_and(|token| token.is(text));
        if (token.is("todo") || token.is("unimplemented")) && next(1, "!") {
            let message = format!("{}! stands for work that is not done", token.text);
            findings.push(source.finding(token.line, message));
        }
        if token.is("#") && next(1, "[") && next(2, "ignore") {
            findings.push(source.finding(token.line, "a test is switched off"));
        }
    }
    findings
}

mod tests {
    use super::*;

    fn lines(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(path, text)).iter().map(|finding| finding.line).collect()
    }

    const NONE: [usize; 0] = [];

    #[test]
    fn unsafe_code_elsewhere_is_reported() {
        let text = "//! unsafe\nfn f() { unsafe { g() } }\nunsafe impl Send for A {}";
        assert_eq!(lines(unsafe_code, "src/log/mod.rs", text), [2, 3]);
        assert_eq!(lines(unsafe_code, "src/storage/file.rs", text), [2, 3]);
        assert_eq!(lines(unsafe_code, "tests/it/main.rs", text), [2, 3]);
        assert_eq!(lines(unsafe_code, "src/format/checksum.rs", text), [2, 3]);
        for allowed in [
            "src/storage/region.rs",
            "src/storage/os/linux.rs",
            "benches/peers/src/raw.rs",
            CRC,
            POWER,
        ] {
            assert_eq!(lines(unsafe_code, allowed, text), NONE);
        }
        assert_eq!(lines(unsafe_code, "src/log/mod.rs", "#![deny(unsafe_code)]"), NONE);
    }

    #[test]
    fn a_lock_outside_the_sync_module_is_reported() {
        for text in [
            "use std::sync::atomic::AtomicU64;",
            "use std::sync::{Arc, Mutex};",
            "use std::{io, sync::RwLockReadGuard};",
            "use core::sync::atomic;",
            "use std::sync;",
            "use std::sync::*;",
            "static A: std::sync::Condvar = a();",
            "use parking_lot::Mutex;",
            "fn f() { std::thread::park() }",
            "use std::thread;\nfn f() { thread::park_timeout(d) }",
            "use loom::sync::Arc;",
            "use loom::thread::park;",
        ] {
            assert_eq!(lines(locks, "src/protocol/ring.rs", text).len(), 1, "{text}");
            assert_eq!(lines(locks, "src/sync.rs", text), NONE, "{text}");
            assert_eq!(lines(locks, "src/sync/schedule.rs", text), NONE, "{text}");
            assert_eq!(lines(locks, "src/synchrony.rs", text).len(), 1, "{text}");
            assert_eq!(lines(locks, "tests/it/main.rs", text), NONE, "{text}");
        }
    }

    #[test]
    fn what_is_no_lock_may_be_named() {
        let text = "use std::sync::{Arc, OnceLock, Weak};\nuse crate::sync::{Mutex, park};\nuse std::thread;\n\
            fn f() { thread::spawn(g) }\n// std::sync::Mutex";
        assert_eq!(lines(locks, "src/log/mod.rs", text), NONE);
        let model = "fn f() { loom::model(|| loom::thread::spawn(g)) }";
        assert_eq!(lines(locks, "src/protocol/ring.rs", model), NONE);
        assert_eq!(lines(locks, "src/log/mod.rs", model).len(), 2);
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_for_is_reported() {
        assert_eq!(lines(opening, "src/lsn.rs", "//! Why.\nuse a;"), NONE);
        assert_eq!(lines(opening, "src/lsn.rs", "// Why.\n//! Why."), [1]);
        assert_eq!(lines(opening, "src/lsn.rs", "\n//! Why."), [1]);
        assert_eq!(lines(opening, "src/lsn.rs", ""), [1]);
    }

    #[test]
    fn a_character_beyond_ascii_is_reported() {
        assert_eq!(lines(ascii, "src/lsn.rs", "//! a\n// b \u{2014} c\n"), [2]);
        assert_eq!(lines(ascii, "src/lsn.rs", "//! a\n"), NONE);
    }

    #[test]
    fn work_left_for_later_is_reported() {
        let text = "// TODO: a\n/* b\n FIXME */\nfn f() { todo!() }\nfn g() { unimplemented!() }\n#[ignore]\n\
            #[ignore = \"slow\"]\nfn h() {}";
        assert_eq!(lines(left_open, "src/lsn.rs", text), [1, 3, 4, 5, 6, 7]);
        let fine =
            "// Nothing to do.\nconst A: &str = \"TODO\";\n#[cfg_attr(miri, ignore)]\nfn todo() {}";
        assert_eq!(lines(left_open, "src/lsn.rs", fine), NONE);
    }
}
