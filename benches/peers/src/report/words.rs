//! Numbers as a reader wants them.

/// `991 ns`, `12.3 us`, `4.56 ms`.
pub(super) fn time(nanos: f64) -> String {
    match nanos {
        nanos if nanos < 9_999.5 => format!("{nanos:.0} ns"),
        nanos if nanos < 99_950.0 => format!("{:.1} us", nanos / 1e3),
        nanos if nanos < 999_500.0 => format!("{:.0} us", nanos / 1e3),
        nanos if nanos < 9_995_000.0 => format!("{:.2} ms", nanos / 1e6),
        nanos if nanos < 99_950_000.0 => format!("{:.1} ms", nanos / 1e6),
        nanos => format!("{:.0} ms", nanos / 1e6),
    }
}

/// How many a second there are of what takes so long.
pub(super) fn rate(nanos: f64) -> String {
    match 1e9 / nanos {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} K/s", rate / 1e3),
        rate => format!("{rate:.1} /s"),
    }
}

/// `0.98`, `12.3`, `123`; `-` where there is none.
pub(super) fn ratio(ratio: Option<f64>) -> String {
    match ratio {
        None => "-".to_owned(),
        Some(ratio) if ratio < 9.995 => format!("{ratio:.2}"),
        Some(ratio) if ratio < 99.95 => format!("{ratio:.1}"),
        Some(ratio) => format!("{ratio:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_have_fitting_units() {
        assert_eq!([75.4, 9999.4, 12_340.0].map(time), ["75 ns", "9999 ns", "12.3 us"]);
        assert_eq!([123_456.0, 999_499.0].map(time), ["123 us", "999 us"]);
        assert_eq!([4.56e6, 45.6e6, 1.479e9].map(time), ["4.56 ms", "45.6 ms", "1479 ms"]);
        assert_eq!([rate(100.0), rate(50_000.0), rate(2e9)], ["10.00 M/s", "20.0 K/s", "0.5 /s"]);
    }

    #[test]
    fn a_ratio_has_three_digits() {
        assert_eq!(
            [0.123, 9.99, 12.34, 987.6].map(|value| ratio(Some(value))),
            ["0.12", "9.99", "12.3", "988"]
        );
        assert_eq!(ratio(None), "-");
    }
}
