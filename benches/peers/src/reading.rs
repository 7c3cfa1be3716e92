//! One round of a work that opens a log, and replays it or not.
//!
//! Invariant: the log is whole and synced, and the process or the handle that filled it is gone,
//! before the clock starts.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::child;
use crate::measure::{Round, nanos_each, payload};
use crate::stillness::{bytes_from_devices, drop_caches, settle};
use crate::system::{Outcome, Plan, System};
use crate::works::Work;

/// The log is filled once, and opened in every round.
pub(crate) fn replay(
    work: &Work,
    system: &dyn System,
    place: &Path,
    plan: &Plan,
) -> Outcome<Round> {
    if !place.exists() {
        fs::create_dir_all(place)?;
        let log = system.open(place, plan)?;
        log.fill(&payload(plan.record_bytes), plan.records)?;
        log.close()?;
    }
    settle(place)?;
    if work.cold {
        drop_caches(place)?;
    }
    let before = bytes_from_devices()?;
    let start = Instant::now();
    let log = system.open(place, plan)?;
    let found = log.replay(plan.threads)?;
    let time = start.elapsed();
    log.close()?;
    if found != plan.records {
        return Err(format!("{found} records were replayed, {} were appended", plan.records).into());
    }
    let from_devices = bytes_from_devices()? - before;
    if work.cold && from_devices < plan.records * plan.record_bytes as u64 {
        return Err("the log was in the page cache all the same".into());
    }
    Ok(Round::new(nanos_each(time, found)))
}

/// The log is filled by a child process, which closes it or is killed. Only the first opening after
/// a kill is one, so that log is filled in every round.
pub(crate) fn open(work: &Work, system: &dyn System, place: &Path, plan: &Plan) -> Outcome<Round> {
    if work.killed && place.exists() {
        fs::remove_dir_all(place)?;
    }
    if !place.exists() {
        fs::create_dir_all(place)?;
        settle(place)?;
        child::fill(system.name(), place, plan, work.killed)?;
    }
    if !work.killed {
        settle(place)?;
    }
    let start = Instant::now();
    let log = system.open(place, plan)?;
    let time = start.elapsed();
    log.close()?;
    Ok(Round::new(nanos_each(time, 1)))
}
