//! Numbers as they are given on the command line: sizes with a unit, seconds with a fraction.
//!
//! Invariant: what is not understood is refused, with an example of what would be.

use std::time::Duration;

/// A longer run is a mistake.
const MOST_SECONDS: f64 = 604_800.0;

/// A size in bytes: `4096`, `4k`, `4KiB`, `1.5 MiB`. Units are powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is no size: expected one such as 4096, 4KiB or 64M");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(refused()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| refused())?;
    let whole = whole.checked_mul(1 << shift).ok_or_else(refused)?;
    if fraction.is_empty() {
        return Ok(whole);
    }
    if shift == 0 || fraction.len() > 3 {
        return Err(refused());
    }
    let part: u64 = fraction.parse().map_err(|_| refused())?;
    let parts = 10_u64.pow(u32::try_from(fraction.len()).unwrap_or(0));
    whole.checked_add((part << shift) / parts).ok_or_else(refused)
}

/// A time in seconds: `5`, `0.25`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is no time: expected seconds such as 5 or 0.25");
    let seconds: f64 = text.parse().map_err(|_| refused())?;
    if !(0.001..=MOST_SECONDS).contains(&seconds) {
        return Err(format!("`{text}` seconds: expected 0.001 to {MOST_SECONDS}"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_may_have_a_unit() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("4k", 4096),
            ("4 KiB", 4096),
            ("1.5MiB", 1_572_864),
            ("2G", 2 << 30),
            ("16b", 16),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "-1", "1.5", "4 apples", "1e3", "18446744073709551616", "99999999T"] {
            assert!(bytes(text).expect_err(text).contains("is no size"), "{text}");
        }
    }

    #[test]
    fn a_time_is_in_seconds() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        for text in ["", "0", "-1", "nan", "inf", "1 min", "1e9"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
