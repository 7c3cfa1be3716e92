//! [`Source`]: a file of Rust cut into tokens, and the paths that it names.
//!
//! Invariant: the tokens cover all of the text but white space, and nothing inside a comment, a
//! string or a character is taken for code.
//!
//! The lexer knows as much of Rust as the rules need: nested comments, raw strings, and that `'a`
//! is a lifetime where `'a'` is a character. A path is read with its use-tree, so that
//! `a::{b, c::d}` gives `a::b` and `a::c::d`.

use std::fmt;

/// One violation, at one line.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    /// One character that is none of the others.
    Punct,
    /// A string or a character.
    Literal,
    Comment,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// The line of its first character, from 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Punct) && self.text == text
    }
}

/// A path as written, such as `crate::storage::Storage`; `*` may be its last segment.
#[derive(Debug)]
pub(crate) struct NamedPath<'a> {
    pub(crate) segments: Vec<&'a str>,
    /// The name it is renamed to by `as`, else its last segment.
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    /// How many modules of this file's own it stands in.
    pub(crate) inline_modules: usize,
}

/// A file of Rust, named by its path from the root of the package.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    pub(crate) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding::new(&self.path, line, message)
    }

    pub(crate) fn is_below(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }

    pub(crate) fn tokens(&self) -> Vec<Token<'_>> {
        let (mut tokens, mut rest, mut line) = (Vec::new(), self.text.as_str(), 1);
        while let Some(first) = rest.chars().next() {
            let (kind, bytes) = token_at(rest, first);
            let (text, after) = rest.split_at(bytes);
            if let Some(kind) = kind {
                tokens.push(Token { kind, text, line });
            }
            line += text.matches('\n').count();
            rest = after;
        }
        tokens
    }

    /// The tokens without comments.
    pub(crate) fn code(&self) -> Vec<Token<'_>> {
        let mut tokens = self.tokens();
        tokens.retain(|token| token.kind != Kind::Comment);
        tokens
    }

    /// All paths of two or more segments, use-trees resolved.
    pub(crate) fn named_paths(&self) -> Vec<NamedPath<'_>> {
        let code = self.code();
        let (mut paths, mut at, mut depth) = (Vec::new(), 0, 0_usize);
        let mut modules = Vec::new();
        while let Some(token) = code.get(at) {
            if token.is("mod") && code.get(at + 2).is_some_and(|token| token.is("{")) {
                modules.push(depth);
            }
            if token.kind == Kind::Word && colons(&code, at + 1) {
                at = use_tree(&code, at, &[], modules.len(), &mut paths);
                continue;
            }
            if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
                modules.pop_if(|opened| *opened == depth);
            }
            at += 1;
        }
        paths
    }
}

fn colons(code: &[Token<'_>], at: usize) -> bool {
    [at, at + 1].iter().all(|at| code.get(*at).is_some_and(|token| token.is(":")))
}

/// Reads the path or use-tree at `at`, and returns the index behind it.
fn use_tree<'a>(
    code: &[Token<'a>],
    mut at: usize,
    prefix: &[&'a str],
    inline_modules: usize,
    paths: &mut Vec<NamedPath<'a>>,
) -> usize {
    let (start, mut segments, mut line) = (at, prefix.to_vec(), 0);
    while let Some(token) = code.get(at) {
        line = token.line;
        if token.is("{") && at > start {
            at += 1;
            while code.get(at).is_some_and(|token| !token.is("}")) {
                let after = use_tree(code, at, &segments, inline_modules, paths);
                at = after.max(at + 1);
            }
            return at + 1;
        }
        if token.kind != Kind::Word && !token.is("*") {
            break;
        }
        segments.push(token.text);
        at += 1;
        if !colons(code, at) {
            break;
        }
        at += 2;
    }
    if at == start {
        return at;
    }
    let mut name = segments.last().copied().unwrap_or_default();
    if code.get(at).is_some_and(|token| token.is("as")) {
        name = code.get(at + 1).map_or(name, |token| token.text);
        at += 2;
    }
    paths.push(NamedPath { segments, name, line, inline_modules });
    at
}

/// The token that `rest` begins with (none: white space) and its length.
fn token_at(rest: &str, first: char) -> (Option<Kind>, usize) {
    if first.is_whitespace() {
        (None, first.len_utf8())
    } else if rest.starts_with("//") {
        (Some(Kind::Comment), rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (Some(Kind::Comment), block_comment_bytes(rest))
    } else if let Some(bytes) = literal_bytes(rest) {
        (Some(Kind::Literal), bytes)
    } else if first.is_alphanumeric() || first == '_' {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        (Some(Kind::Word), end.unwrap_or(rest.len()))
    } else {
        (Some(Kind::Punct), first.len_utf8())
    }
}

fn block_comment_bytes(rest: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(next) = rest[at..].find(['/', '*']) else { return rest.len() };
        at += next;
        let step = match rest.get(at..at + 2) {
            Some("/*") => 1,
            Some("*/") => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
    }
    at
}

/// The length of the string or character that `rest` begins with.
fn literal_bytes(rest: &str) -> Option<usize> {
    let raw = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix));
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(body) = raw[hashes..].strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(
                body.find(&end).map_or(rest.len(), |at| rest.len() - body.len() + at + end.len()),
            );
        }
    }
    let body = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    let prefix = rest.len() - body.len();
    if body.starts_with('"') {
        return Some(prefix + quoted_bytes(body, '"'));
    }
    let mut inside = body.strip_prefix('\'')?.chars();
    let character = inside.next()? == '\\' || inside.next()? == '\'';
    character.then(|| prefix + quoted_bytes(body, '\''))
}

/// The length of what opens with `quote` and ends at the next one that no backslash precedes.
fn quoted_bytes(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return at + quote.len_utf8();
        }
    }
    rest.len()
}

mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let source = Source::new("a.rs", text);
        let code = source.code();
        let words = code.iter().filter(|token| token.kind == Kind::Word);
        words.map(|token| token.text.to_owned()).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        let source = Source::new("a.rs", text);
        source.named_paths().iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(words("a /* b /* c */ d */ e // f\n g"), ["a", "e", "g"]);
        assert_eq!(words(r#"a "b \" c" d"#), ["a", "d"]);
        assert_eq!(words("a r##\"b \"# c\"## d br\"e\\\" f"), ["a", "d", "f"]);
        assert_eq!(words(r"a 'b' c '\'' d b'\n' e '{'"), ["a", "c", "d", "e"]);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(words("f<'a>(x: &'a u8) -> &'a [u8]"), ["f", "a", "x", "a", "u8", "a", "u8"]);
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let source = Source::new("a.rs", "/*\n*/ \"\n\" a // b\nc");
        let lines: Vec<usize> = source.code().iter().map(|token| token.line).collect();
        assert_eq!(lines, [2, 3, 4]);
    }

    #[test]
    fn a_use_tree_gives_each_of_its_paths() {
        let found =
            paths("use crate::{a::{self, B as C}, d::*, E};\nfn f() { x::y::<u8>(z::W { v: 1 }) }");
        let expected = ["crate::a::self", "crate::a::B", "crate::d::*", "crate::E", "x::y", "z::W"];
        assert_eq!(found, expected);
    }

    #[test]
    fn inline_modules_are_counted_at_each_path() {
        let source =
            Source::new("a.rs", "a::b; mod m { c::d; fn f() { e::f } mod n { g::h } } i::j");
        let depths: Vec<usize> =
            source.named_paths().iter().map(|path| path.inline_modules).collect();
        assert_eq!(depths, [0, 1, 1, 2, 0]);
    }
}
