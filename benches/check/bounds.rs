//! What a measured figure is held to: bounds read from a file, and the verdict over a row's rounds.
//!
//! Invariant: a figure that is no number holds no bound, and a file that is not understood to the last
//! line is refused: a gate that compares with nothing would be none.
//!
//! The file is the part of TOML that is needed: `toolchain = ".."` before all tables, then tables
//! `[at_most]` and `[at_least]` of `"row" = number`, with comments. Nothing is measured here, so the
//! tests in `tests/it/gate.rs` are of this very file.

#![allow(dead_code, reason = "each of those who include it uses a part of it")]

use std::fmt;

/// What a row's figure has to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    pub(crate) fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtMost(bound) => figure <= bound,
            Self::AtLeast(bound) => figure >= bound,
        }
    }

    /// The same with room for another `share` of it.
    pub(crate) fn widened(self, share: f64) -> Self {
        match self {
            Self::AtMost(bound) => Self::AtMost(bound * (1.0 + share)),
            Self::AtLeast(bound) => Self::AtLeast(bound / (1.0 + share)),
        }
    }

    pub(crate) fn figure(self) -> f64 {
        match self {
            Self::AtMost(bound) | Self::AtLeast(bound) => bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(2);
        match self {
            Self::AtMost(bound) => write!(f, "at most {bound:.precision$}"),
            Self::AtLeast(bound) => write!(f, "at least {bound:.precision$}"),
        }
    }
}

/// The bounds of a file.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    /// What the figures depend on, where they do on more than the source.
    pub(crate) toolchain: Option<String>,
    rows: Vec<(String, Bound)>,
}

impl Bounds {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut bounds = Self::default();
        let mut table = None;
        for (number, line) in (1..).zip(text.lines()) {
            let refuse = |why: &str| format!("line {number}: {why}: {line}");
            let entry = without_comment(line).trim();
            if let Some(name) = entry.strip_prefix('[') {
                let known: fn(f64) -> Bound = match name {
                    "at_most]" => Bound::AtMost,
                    "at_least]" => Bound::AtLeast,
                    _ => return Err(refuse("a table that is not known")),
                };
                table = Some(known);
                continue;
            }
            if entry.is_empty() {
                continue;
            }
            let (key, value) = entry.rsplit_once('=').ok_or(refuse("neither table nor entry"))?;
            let (key, value) = (key.trim(), value.trim());
            let Some(bound) = table else {
                let known = key == "toolchain" && bounds.toolchain.is_none();
                let toolchain = quoted(value).filter(|_| known);
                bounds.toolchain = Some(toolchain.ok_or(refuse("an entry before a table"))?.into());
                continue;
            };
            let name = quoted(key).ok_or(refuse("a row without quotes"))?;
            let value: f64 = value.parse().map_err(|_| refuse("no number"))?;
            if !value.is_finite() || value <= 0.0 {
                return Err(refuse("a bound that is no finite number above 0"));
            }
            if bounds.of(name).is_some() {
                return Err(refuse("a row's second bound"));
            }
            bounds.rows.push((name.to_owned(), bound(value)));
        }
        Ok(bounds)
    }

    pub(crate) fn of(&self, row: &str) -> Option<Bound> {
        self.rows.iter().find(|(name, _)| name == row).map(|(_, bound)| *bound)
    }

    /// Each row that has no bound, and each bound that has no row, in a sentence.
    pub(crate) fn mismatches(&self, rows: &[&str]) -> Vec<String> {
        let unbound = rows.iter().filter(|row| self.of(row).is_none());
        let mut found: Vec<String> =
            unbound.map(|row| format!("no bound is recorded for \"{row}\"")).collect();
        let stale = self.rows.iter().filter(|(name, _)| !rows.contains(&name.as_str()));
        found.extend(stale.map(|(name, _)| format!("a bound is recorded for no row: \"{name}\"")));
        found
    }
}

/// A `#` within quotes begins no comment.
fn without_comment(line: &str) -> &str {
    let mut is_quoted = false;
    let begin = line.find(|c: char| {
        is_quoted ^= c == '"';
        c == '#' && !is_quoted
    });
    begin.map_or(line, |begin| line.split_at(begin).0)
}

fn quoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.is_empty() && !inner.contains('"')).then_some(inner)
}

/// The middle one, or the mean of the two middle ones. Of none it is no number.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        f64::midpoint(middle(half.wrapping_sub(1)), middle(half))
    } else {
        middle(half)
    }
}

/// A row's rounds, and again those of the second measurement, where there was one.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) first: Vec<f64>,
    pub(crate) again: Option<Vec<f64>>,
    pub(crate) held: bool,
}

impl Verdict {
    /// The median that counts: that of the last measurement.
    pub(crate) fn median(&self) -> f64 {
        median(self.again.as_ref().unwrap_or(&self.first))
    }
}

/// Measures `count` rounds. Only if their median does not hold, measures once more, with twice the
/// rounds, whose median then counts.
pub(crate) fn judge(bound: Bound, count: usize, mut round: impl FnMut() -> f64) -> Verdict {
    let mut measure = |count| (0..count).map(|_| round()).collect::<Vec<f64>>();
    let first = measure(count);
    if bound.holds(median(&first)) {
        return Verdict { first, again: None, held: true };
    }
    let again = measure(2 * count);
    let held = bound.holds(median(&again));
    Verdict { first, again: Some(again), held }
}
