//! Sizes: a file has at most 500 lines, a function at most 70.
//!
//! Invariant: a function is counted from its `fn` to its closing brace, both included, and one
//! inside another counts for both.

use crate::source::{Finding, Kind, Source, Token};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_FILE_LINES {
        let message = format!("the file has {lines} lines, at most {MAX_FILE_LINES} are allowed");
        findings.push(source.finding(lines, message));
    }
    let code = source.code();
    for (at, token) in code.iter().enumerate() {
        let Some(name) = code.get(at + 1) else { break };
        if !token.is("fn") || name.kind != Kind::Word {
            continue;
        }
        let lines = last_line(&code[at..]) - token.line + 1;
        if lines > MAX_FUNCTION_LINES {
            let message = format!(
                "function `{}` has {lines} lines, at most {MAX_FUNCTION_LINES} are allowed",
                name.text
            );
            findings.push(source.finding(token.line, message));
        }
    }
    findings
}

/// The last line of the function that the tokens begin with: that of the brace that closes its
/// body, or of the `;` in its place.
fn last_line(code: &[Token<'_>]) -> usize {
    let (mut nesting, mut in_body) = (0_usize, false);
    for token in code {
        if token.kind != Kind::Punct {
            continue;
        }
        match token.text {
            "{" if nesting == 0 => (nesting, in_body) = (1, true),
            "(" | "[" | "{" => nesting += 1,
            ")" | "]" | "}" => nesting = nesting.saturating_sub(1),
            ";" if nesting == 0 => return token.line,
            _ => continue,
        }
        if in_body && nesting == 0 {
            return token.line;
        }
    }
    code.last().map_or(0, |token| token.line)
}

mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let findings = check(&Source::new("src/lsn.rs", text));
        findings.iter().map(|finding| finding.message.clone()).collect()
    }

    fn function(inner: usize) -> String {
        format!("fn long(a: [u8; 2]) {{\n{}}}\n", "x();\n".repeat(inner))
    }

    #[test]
    fn a_file_of_501_lines_is_reported() {
        assert!(findings(&"//\n".repeat(500)).is_empty());
        assert_eq!(findings(&"//\n".repeat(501)).len(), 1);
    }

    #[test]
    fn a_function_of_71_lines_is_reported_where_it_begins() {
        assert!(findings(&function(68)).is_empty());
        let text = format!("fn short();\n{}fn other() {{}}", function(69));
        let found = check(&Source::new("src/lsn.rs", text));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
        assert!(found[0].message.contains("`long` has 71 lines"), "{}", found[0]);
    }

    #[test]
    fn braces_in_strings_characters_and_comments_do_not_end_a_function() {
        for text in ["\"}\"", "'}'", "r#\"}\"#", "// }", "/* } */", "b'}'"] {
            let body = format!("fn long() {{\n{text}\n{}}}\n", "x();\n".repeat(69));
            assert_eq!(findings(&body).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_function_pointer_is_no_function() {
        assert!(findings(&format!("type F = fn(u8);\n{}", "mod a {}\n".repeat(80))).is_empty());
    }
}
