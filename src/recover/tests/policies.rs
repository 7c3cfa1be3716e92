//! The decision, for every combination of facts and policy, against the table told another way.

use crate::RecoveryPolicy;
use crate::recover::decide::{Decision, Refusal, decide};
use crate::recover::facts::{Facts, Mark, Presence, StopKind};

const POLICIES: [RecoveryPolicy; 3] =
    [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt];

fn all_facts() -> Vec<Facts> {
    let mut all = Vec::new();
    for presence in [Presence::Nothing, Presence::NoControl, Presence::Log] {
        for mark in [Mark::Absent, Mark::Stale, Mark::Holds] {
            for stop in [
                None,
                Some(StopKind::Invalid),
                Some(StopKind::TornBatch),
                Some(StopKind::BrokenBatch),
            ] {
                for bits in 0_u32..1 << 8 {
                    let bit = |number: u32| bits & (1 << number) != 0;
                    all.push(Facts {
                        presence,
                        create: bit(0),
                        stranger: bit(1),
                        foreign: bit(2),
                        mark,
                        damage: bit(3),
                        missing: bit(4),
                        stop,
                        evidence: bit(5),
                        torn: bit(6),
                        leftover: bit(7),
                    });
                }
            }
        }
    }
    all
}

/// One row of the table: the facts it is about, and what each policy makes of them.
type Row = (fn(&Facts) -> bool, [Option<Refusal>; 3]);

fn rotten(facts: &Facts) -> bool {
    let proven = facts.evidence || facts.mark == Mark::Holds;
    facts.damage || facts.stop == Some(StopKind::BrokenBatch) || (facts.stop.is_some() && proven)
}

fn torn(facts: &Facts) -> bool {
    let stop = facts.stop;
    let proven = facts.evidence || facts.mark == Mark::Holds;
    let unproven = !proven && stop.is_some() && stop != Some(StopKind::BrokenBatch);
    unproven && (facts.torn || stop == Some(StopKind::TornBatch))
}

const fn all(refusal: Refusal) -> [Option<Refusal>; 3] {
    [Some(refusal); 3]
}

/// Of several rows that apply the first one counts.
const TABLE: &[Row] = &[
    (|facts| facts.stranger, all(Refusal::Stranger)),
    (
        |facts| facts.presence == Presence::NoControl,
        [Some(Refusal::NoControl), Some(Refusal::NoControl), None],
    ),
    (
        |facts| facts.presence == Presence::Nothing && facts.foreign,
        [None, Some(Refusal::Foreign), Some(Refusal::Nothing)],
    ),
    (
        |facts| facts.presence == Presence::Nothing && !facts.create,
        [Some(Refusal::Nothing), Some(Refusal::Nothing), Some(Refusal::Nothing)],
    ),
    (|facts| facts.presence == Presence::Nothing, [None, None, Some(Refusal::Nothing)]),
    (rotten, [Some(Refusal::Corrupt), Some(Refusal::Corrupt), None]),
    (|facts| facts.missing, [Some(Refusal::Missing), Some(Refusal::Missing), None]),
    (|facts| facts.foreign, [None, Some(Refusal::Foreign), None]),
    (torn, [None, Some(Refusal::Torn), None]),
    (|facts| facts.leftover, [None, Some(Refusal::Leftover), None]),
];

fn expected_refusal(facts: &Facts, policy: usize) -> Option<Refusal> {
    // The rows about segments are about a log.
    let rows = if facts.presence == Presence::Log { TABLE } else { &TABLE[..5] };
    let applying = rows.iter().filter(|(applies, _)| applies(facts));
    applying.map(|(_, columns)| columns[policy]).find_map(|refusal| refusal)
}

#[test]
fn every_combination_of_facts_is_decided_as_the_table_says() {
    let mut decided = 0;
    for facts in all_facts() {
        for (column, policy) in POLICIES.into_iter().enumerate() {
            let decision = decide(&facts, policy);
            let in_log = facts.presence == Presence::Log;
            match (expected_refusal(&facts, column), decision) {
                (Some(expected), Decision::Refuse(refusal)) => assert_eq!(expected, refusal),
                (None, Decision::Create) => assert_eq!(facts.presence, Presence::Nothing),
                (None, Decision::ReadOnly) => assert_eq!(facts.presence, Presence::NoControl),
                (None, Decision::Continue) => {
                    assert!(in_log && facts.mark == Mark::Holds);
                    assert!(!rotten(&facts) && !facts.missing);
                }
                (None, Decision::Recover { cut, damaged }) => {
                    assert!(in_log);
                    assert!(facts.mark != Mark::Holds || damaged);
                    assert_eq!(damaged, rotten(&facts) || facts.missing);
                    assert!(!damaged || policy == RecoveryPolicy::SkipCorrupt);
                    assert!(!cut || policy != RecoveryPolicy::Strict);
                }
                other => panic!("{facts:?} {policy:?}: {other:?}"),
            }
            decided += 1;
        }
    }
    assert_eq!(decided, 3 * 3 * 4 * 256 * 3);
}

#[test]
fn durable_bytes_are_never_cut() {
    for facts in all_facts() {
        let proven = facts.evidence || facts.mark == Mark::Holds;
        for policy in POLICIES {
            if let Decision::Recover { cut: true, .. } = decide(&facts, policy) {
                assert!(!(proven && facts.stop.is_some()), "{facts:?} {policy:?}");
            }
        }
    }
}

#[test]
fn a_stricter_policy_opens_no_more_than_a_laxer_one() {
    let opens = |facts: &Facts, policy| {
        matches!(decide(facts, policy), Decision::Continue | Decision::Recover { .. })
    };
    for facts in all_facts() {
        let [default, strict, skip] = POLICIES.map(|policy| opens(&facts, policy));
        assert!(strict <= default && default <= skip, "{facts:?}");
    }
}

/// Readers that change nothing rely on it.
#[test]
fn skipping_damage_refuses_only_what_is_no_log_of_ours() {
    for facts in all_facts() {
        let decision = decide(&facts, RecoveryPolicy::SkipCorrupt);
        let readable =
            matches!(decision, Decision::Continue | Decision::Recover { .. } | Decision::ReadOnly);
        let strange = facts.stranger || facts.presence == Presence::Nothing;
        assert_eq!(readable, !strange, "{facts:?}");
    }
}
