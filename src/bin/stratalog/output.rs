//! [`Output`]: standard output, as text or as JSON; and how numbers are written.
//!
//! Invariant: a closed pipe ends the command quietly, and colour is there only on a terminal whose
//! user did not refuse it.

use std::env;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;

/// Text is laid out for so many columns.
pub(crate) const COLUMNS: usize = 80;

/// Where a command writes what it found.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    json: bool,
    colour: bool,
    /// Whether standard error is a terminal, on which progress may be drawn.
    progress: bool,
}

/// What a text is painted for; by colour alone nothing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Good,
    Bad,
    Warning,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let is_plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        let stdout = io::stdout();
        Self {
            colour: !json && !is_plain && stdout.is_terminal(),
            progress: io::stderr().is_terminal(),
            out: BufWriter::with_capacity(64 << 10, stdout),
            json,
        }
    }

    /// Whether JSON is asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress is to be drawn on standard error.
    pub(crate) fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Writes a line of text.
    pub(crate) fn line(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(Failure::stdout)
    }

    /// Writes one JSON value, on a line of its own.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        let text = value.to_string();
        if !text.contains(char::is_control) {
            return self.line(text);
        }
        // They stand in strings only, where they may be escaped; a terminal might obey them.
        let escaped = text.chars().map(|character| match character {
            control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
            character => character.to_string(),
        });
        let escaped: String = escaped.collect();
        self.line(escaped)
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::stdout)
    }

    /// Hands everything on, so that who reads a pipe has it.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::stdout)
    }

    /// The text, painted where there is colour.
    pub(crate) fn paint(&self, paint: Paint, text: impl fmt::Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match paint {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Warning => "33",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in the unit that suits it: `4.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = "B";
    let (mut whole, mut tenths) = (bytes, 0);
    for next in UNITS {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        (whole, unit) = (whole / 1024, next);
    }
    if unit == "B" { format!("{whole} B") } else { format!("{whole}.{tenths} {unit}") }
}

/// A time in the unit that suits it: `1.3 us`.
pub(crate) fn time(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    let scaled = |unit: u128, name| {
        let tenths = nanoseconds * 10 / unit;
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    };
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => scaled(1_000, "us"),
        1_000_000..1_000_000_000 => scaled(1_000_000, "ms"),
        _ => scaled(1_000_000_000, "s"),
    }
}

/// A path without control characters, which could end the line or confuse a terminal.
pub(crate) fn one_line(path: &Path) -> String {
    let text = path.to_string_lossy();
    let shown = |character: char| {
        let escaped = character.is_control().then(|| character.escape_default());
        let plain = escaped.is_none().then_some(character);
        escaped.into_iter().flatten().chain(plain)
    };
    text.chars().flat_map(shown).collect()
}

/// `1 record`, `2 records`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts = [0, 7, 999, 1_000, 1_234_567, u64::MAX].map(grouped);
        let expected = ["0", "7", "999", "1,000", "1,234,567", "18,446,744,073,709,551,615"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_size_has_the_unit_that_suits_it() {
        let texts = [0, 1023, 1024, 1536, 4_404_019, 1 << 30, u64::MAX].map(size);
        let expected = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "4.1 MiB", "1.0 GiB", "16383.9 PiB"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_time_has_the_unit_that_suits_it() {
        let texts = [999, 1_300, 45_000_000, 61_250_000_000].map(Duration::from_nanos).map(time);
        assert_eq!(texts, ["999 ns", "1.3 us", "45.0 ms", "61.2 s"]);
    }

    #[test]
    fn a_path_is_one_line() {
        assert_eq!(one_line(Path::new("a\nb\u{1b}c")), "a\\nb\\u{1b}c");
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(
            [0, 1, 2000].map(|n| counted(n, "record")),
            ["0 records", "1 record", "2,000 records"]
        );
    }
}
