//! [`Rig`]: a disk in memory, and a plan of which calls to it fail.
//!
//! Invariant: a failing call does nothing, or only as much as the plan says.

use std::sync::{Arc, Mutex};

use stratalog::Log;
use stratalog::format::{FileKind, classify};
use stratalog::storage::MemoryStorage;

use super::common::{TINY, tiny};
use super::tap::{Call, Event, Tap, Verdict, Watch};

/// Which calls fail, and how.
#[derive(Debug)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    applies: fn(&Event) -> bool,
    /// How many calls that it applies to are let through first, and how many then fail.
    skip: u64,
    fail: u64,
    verdict: Verdict,
    failed: u64,
}

const NEVER: Plan = Plan { applies: |_| false, skip: 0, fail: 0, verdict: Verdict::Go, failed: 0 };

impl Watch for Faults {
    fn before(&self, event: &Event) -> Verdict {
        let mut plan = self.plan.lock().unwrap();
        if !(plan.applies)(event) {
            Verdict::Go
        } else if plan.skip > 0 {
            plan.skip -= 1;
            Verdict::Go
        } else if plan.fail > 0 {
            plan.fail -= 1;
            plan.failed += 1;
            plan.verdict
        } else {
            Verdict::Go
        }
    }
}

/// A disk, and a way to make it fail.
pub(crate) struct Rig {
    pub(crate) disk: MemoryStorage,
    pub(crate) faults: Arc<Faults>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self { disk: MemoryStorage::new(), faults: Arc::new(Faults { plan: Mutex::new(NEVER) }) }
    }

    pub(crate) fn plan(&self, applies: fn(&Event) -> bool, skip: u64, fail: u64, verdict: Verdict) {
        let plan = Plan { applies, skip, fail, verdict, failed: 0 };
        *self.faults.plan.lock().unwrap() = plan;
    }

    pub(crate) fn failed(&self) -> u64 {
        self.faults.plan.lock().unwrap().failed
    }

    pub(crate) fn open(&self, background: bool) -> stratalog::Result<Log> {
        let tap = Tap::new(self.disk.clone(), self.faults.clone());
        tiny().background(background).open_with(tap)
    }
}

pub(crate) fn is_temporary(event: &Event) -> bool {
    classify(&event.name) == FileKind::Temporary
}

pub(crate) fn is_segment(event: &Event) -> bool {
    matches!(classify(&event.name), FileKind::Segment(_))
}

pub(crate) fn is_frame_write(event: &Event) -> bool {
    let frames = 4096..TINY - 4096;
    event.call == Call::Write && is_segment(event) && frames.contains(&event.offset)
}

pub(crate) fn is_segment_sync(event: &Event) -> bool {
    event.call == Call::Sync && is_segment(event)
}

pub(crate) fn is_create(event: &Event) -> bool {
    event.call == Call::Create
}
