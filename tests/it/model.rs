//! Random programs of operations, crashes between any two calls to the disk, and reopening, against a
//! list of what was appended.
//!
//! Invariant: what the model says must be there is there, in order, at its address; what may be there
//! is a prefix of the rest, batches whole; and an address once returned is never returned again.
//!
//! What operations there are, and what has to come of them, is in `fuzz/model.rs`, which the fuzzers
//! run as well. Here programs are longer, and logs may have a thread of their own.

use super::common::{filled, number, seed};
use super::fuzz::Reached;
use super::fuzz::model::{Limits, run};

const LIMITS: Limits = Limits { operations: 150, segments: 1000, background: true };
/// More than so many operations take.
const PROGRAM_BYTES: usize = 2000;
/// So many programs come to every outcome.
const CASES: u64 = 60;

#[test]
fn a_log_is_the_list_of_what_was_appended_through_crashes_and_reopening() {
    let first = seed("model");
    let cases = number("STRATALOG_CASES").unwrap_or(CASES);
    let mut reached = Reached::new();
    for case in 0..cases {
        let seed = first.wrapping_add(case);
        println!("case {case}: STRATALOG_SEED={seed} STRATALOG_CASES=1");
        reached.extend(run(&filled(seed, PROGRAM_BYTES), LIMITS));
    }
    let crashes = ["crash", "crash while opening", "cut", "pending kept", "pending lost"];
    for outcome in crashes.iter().chain(&[
        "close",
        "clean",
        "drop",
        "too large",
        "truncate_after",
        "truncate_from",
        "truncate_before",
    ]) {
        assert!(cases < CASES || reached.contains(outcome), "no program comes to {outcome}");
    }
}
