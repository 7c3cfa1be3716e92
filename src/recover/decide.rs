//! [`decide`]: from what was found to what is done, the table of recovery as one pure function.
//!
//! Invariant: bytes that were durable are never given up silently, whatever the policy; and a
//! refusal comes before anything is changed.

use crate::options::RecoveryPolicy;
use crate::recover::facts::{Facts, Mark, Presence, StopKind};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    /// Make a new log.
    Create,
    /// Go on where the log was closed.
    Continue,
    /// Persist what is kept, end the log there, and go on at fresh addresses.
    Recover {
        /// Leftovers are cut off.
        cut: bool,
        /// Damage is left standing and reported.
        damaged: bool,
    },
    /// Nothing can be written; what is there can be read.
    ReadOnly,
    Refuse(Refusal),
}

/// Why a log is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Refusal {
    /// There is no log.
    Nothing,
    /// A file belongs to another log, or to a newer version.
    Stranger,
    /// No slot of the control file is valid.
    NoControl,
    /// Durable bytes are damaged.
    Corrupt,
    /// A segment is missing.
    Missing,
    /// There is a foreign file, and the policy is strict.
    Foreign,
    /// There is a torn tail, and the policy is strict.
    Torn,
    /// There is a segment that does not belong to the chain, and the policy is strict.
    Leftover,
}

/// Decides. The first that applies wins: what can't be understood, what is damaged, what is
/// missing, what only a strict policy minds.
pub(super) fn decide(facts: &Facts, policy: RecoveryPolicy) -> Decision {
    let strict = policy == RecoveryPolicy::Strict;
    let skip = policy == RecoveryPolicy::SkipCorrupt;
    if facts.stranger {
        return Decision::Refuse(Refusal::Stranger);
    }
    match facts.presence {
        Presence::Log => {}
        Presence::NoControl if skip => return Decision::ReadOnly,
        Presence::NoControl => return Decision::Refuse(Refusal::NoControl),
        Presence::Nothing if strict && facts.foreign => {
            return Decision::Refuse(Refusal::Foreign);
        }
        Presence::Nothing if facts.create && !skip => return Decision::Create,
        Presence::Nothing => return Decision::Refuse(Refusal::Nothing),
    }
    let clean = facts.mark == Mark::Holds;
    let rotten = match facts.stop {
        None => false,
        Some(StopKind::BrokenBatch) => true,
        // A clean stop left nothing invalid before its end.
        Some(StopKind::Invalid | StopKind::TornBatch) => facts.evidence || clean,
    };
    let corrupt = facts.damage || rotten;
    // Behind a stop there may be nothing but zeros: then the log just ended without being closed.
    let torn =
        facts.stop.is_some() && !rotten && (facts.stop == Some(StopKind::TornBatch) || facts.torn);
    let refusal = if corrupt && !skip {
        Some(Refusal::Corrupt)
    } else if facts.missing && !skip {
        Some(Refusal::Missing)
    } else if strict && facts.foreign {
        Some(Refusal::Foreign)
    } else if strict && torn {
        Some(Refusal::Torn)
    } else if strict && facts.leftover {
        Some(Refusal::Leftover)
    } else {
        None
    };
    let damaged = corrupt || facts.missing;
    match refusal {
        Some(refusal) => Decision::Refuse(refusal),
        None if clean && !damaged => Decision::Continue,
        None => Decision::Recover { cut: torn, damaged },
    }
}
