//! What callgrind has counted: the instructions of each function by itself.
//!
//! Invariant: the functions add up to the total that callgrind states, or the text is refused.
//!
//! Of a file that was written without compression these lines matter: `fn=NAME` opens the lines of a
//! function; a line that begins with a position ends with its count; the one after `calls=` counts what
//! was called, which is that function's own; `totals:` states the sum.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Profile {
    functions: BTreeMap<String, f64>,
}

impl Profile {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut profile = Self::default();
        let (mut function, mut is_of_call, mut stated) = (String::new(), false, None);
        for line in text.lines() {
            let refuse = || format!("callgrind wrote what is not understood: {line}");
            if let Some(name) = line.strip_prefix("fn=") {
                name.clone_into(&mut function);
            } else if let Some(sum) = line.strip_prefix("totals:") {
                stated = Some(sum.trim().parse::<f64>().map_err(|_| refuse())?);
            } else if line.starts_with("calls=") {
                is_of_call = true;
            } else if line.starts_with(|c: char| c.is_ascii_digit())
                && !std::mem::take(&mut is_of_call)
            {
                let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
                let count = count.ok_or_else(refuse)?;
                *profile.functions.entry(function.clone()).or_default() += count;
            }
        }
        // Whole numbers of this size are exact.
        let (stated, sum) = (stated.ok_or("callgrind states no total")?, profile.total());
        if (stated - sum).abs() > 0.5 {
            return Err(format!(
                "callgrind states {stated} instructions, its functions have {sum}"
            ));
        }
        Ok(profile)
    }

    pub(crate) fn total(&self) -> f64 {
        self.functions.values().sum()
    }

    /// What is here beyond `other`.
    pub(crate) fn without(mut self, other: &Self) -> Self {
        for (function, count) in &other.functions {
            *self.functions.entry(function.clone()).or_default() -= count;
        }
        self
    }

    /// The functions, those with most instructions first.
    pub(crate) fn top(&self) -> Vec<(&str, f64)> {
        let functions = self.functions.iter();
        let mut functions: Vec<_> =
            functions.map(|(name, count)| (name.as_str(), *count)).collect();
        functions.sort_by(|a, b| b.1.total_cmp(&a.1));
        functions
    }
}
