//! The gates that compare measured figures with recorded bounds: reading, comparing, judging. Nothing
//! is measured here.

#[path = "../../benches/check/bounds.rs"]
mod bounds;
#[path = "../../benches/instructions/profile.rs"]
mod profile;

use bounds::{Bound, Bounds, Verdict, judge, median};
use profile::Profile;

const FILE: &str = "# A file.\ntoolchain = \"rustc 1.89.0\"\n\n[at_most]\n\"a # b\" = 1.5 # why\n\
    \"a = b\"=2\n\n[at_least]\n\"c\" = 0.25\n";

#[test]
fn bounds_are_read_with_their_kind() {
    let bounds = Bounds::parse(FILE).unwrap();
    assert_eq!(bounds.toolchain.as_deref(), Some("rustc 1.89.0"));
    assert_eq!(bounds.of("a # b"), Some(Bound::AtMost(1.5)));
    assert_eq!(bounds.of("a = b"), Some(Bound::AtMost(2.0)));
    assert_eq!(bounds.of("c"), Some(Bound::AtLeast(0.25)));
    assert_eq!(bounds.of("d"), None);
}

#[test]
fn a_file_that_is_not_understood_is_refused_with_its_line() {
    for (line, more) in [
        (10, "[at_lest]"),
        (10, "\"d\""),
        (10, "d = 1"),
        (10, "\"\" = 1"),
        (10, "\"d\" = fast"),
        (10, "\"d\" = nan"),
        (10, "\"d\" = inf"),
        (10, "\"d\" = 0"),
        (10, "\"d\" = -1"),
        (10, "\"a # b\" = 1"),
        (11, "[at_most]\n\"c\" = 1"),
    ] {
        let refused = Bounds::parse(&format!("{FILE}{more}")).unwrap_err();
        assert!(refused.starts_with(&format!("line {line}: ")), "{more}: {refused}");
    }
    for text in
        ["\"a\" = 1", "toolchain = 1", "toolchain = \"a\"\ntoolchain = \"b\"", "rustc = \"a\""]
    {
        assert!(Bounds::parse(text).unwrap_err().contains("before a table"), "{text}");
    }
}

#[test]
fn a_row_without_a_bound_and_a_bound_without_a_row_are_named() {
    let bounds = Bounds::parse(FILE).unwrap();
    assert_eq!(bounds.mismatches(&["a # b", "a = b", "c"]), [""; 0]);
    assert_eq!(
        bounds.mismatches(&["a # b", "c", "d"]),
        ["no bound is recorded for \"d\"", "a bound is recorded for no row: \"a = b\""]
    );
}

#[test]
fn a_bound_holds_up_to_itself_and_for_no_number_never() {
    let (cost, gain) = (Bound::AtMost(2.0), Bound::AtLeast(2.0));
    assert!(cost.holds(2.0) && cost.holds(0.1) && !cost.holds(2.001));
    assert!(gain.holds(2.0) && gain.holds(9.0) && !gain.holds(1.999));
    assert!(!cost.holds(f64::NAN) && !gain.holds(f64::NAN));
    assert_eq!((cost.widened(0.25), gain.widened(0.25)), (Bound::AtMost(2.5), Bound::AtLeast(1.6)));
}

#[test]
fn the_median_is_the_middle_whatever_the_order() {
    assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median(&[9.0, 1.0, 2.0, 4.0]) - 3.0).abs() < 1e-9);
    assert!((median(&[5.0]) - 5.0).abs() < 1e-9);
    assert!(median(&[]).is_nan());
    assert!(median(&[f64::NAN]).is_nan());
}

/// What becomes of these rounds under a bound of at most 2, measured by three.
fn judged(rounds: &[f64]) -> (Verdict, usize) {
    let mut left = rounds.iter();
    let verdict = judge(Bound::AtMost(2.0), 3, || *left.next().expect("no more rounds than that"));
    (verdict, rounds.len() - left.len())
}

#[test]
fn what_holds_is_measured_once() {
    let (verdict, rounds) = judged(&[1.0, 2.0, 99.0]);
    assert!(verdict.held && verdict.again.is_none() && rounds == 3);
    assert!((verdict.median() - 2.0).abs() < 1e-9);
}

#[test]
fn what_is_over_is_measured_again_with_twice_the_rounds_and_then_counts() {
    let (verdict, rounds) = judged(&[3.0, 1.0, 3.0, 1.0, 1.0, 1.0, 2.0, 9.0, 9.0]);
    assert!(verdict.held && rounds == 9, "{verdict:?}");
    let (verdict, rounds) = judged(&[3.0, 1.0, 3.0, 1.0, 1.0, 1.9, 2.2, 9.0, 9.0]);
    assert!(!verdict.held && rounds == 9, "{verdict:?}");
    assert!((verdict.median() - 2.05).abs() < 1e-9);
    assert!((median(&verdict.first) - 3.0).abs() < 1e-9);
    assert!(!judge(Bound::AtLeast(2.0), 3, || 1.9).held);
}

#[test]
fn the_recorded_bounds_can_be_read() {
    let ratios = Bounds::parse(include_str!("../../benches/bounds.toml")).unwrap();
    assert!(matches!(ratios.of("append 128 B / pwrite"), Some(Bound::AtMost(_))));
    let instructions = Bounds::parse(include_str!("../../benches/instructions.toml")).unwrap();
    assert!(instructions.toolchain.is_some_and(|toolchain| toolchain.starts_with("rustc ")));
}

const PROFILE: &str = "events: Ir\n\nfl=a.rs\nfn=main\n1 10\nfi=b.rs\n2 5\ncfn=copy\ncalls=3 0\n7 600\n\
    3 1\n\nfn=copy\n9 600\n\ntotals: 616\n";

#[test]
fn a_function_has_its_own_instructions_and_not_those_that_it_calls() {
    let profile = Profile::parse(PROFILE).unwrap();
    assert_eq!(profile.top(), [("copy", 600.0), ("main", 16.0)]);
    let once = Profile::parse("fn=main\n1 6\ntotals: 6\n").unwrap();
    assert!((profile.without(&once).total() - 610.0).abs() < 1e-9);
}

#[test]
fn a_profile_that_does_not_add_up_is_refused() {
    assert!(Profile::parse(&PROFILE.replace("616", "617")).is_err());
    assert!(Profile::parse(&PROFILE.replace("totals", "sum")).is_err());
    assert!(Profile::parse(&PROFILE.replace("9 600", "9 x")).is_err());
}
