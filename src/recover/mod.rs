//! Opening a log after whatever stop: what is there, what it means, what is done about it.
//!
//! Invariant: what opening hands out is durable. Bytes that were durable are never given up without
//! the caller's word, an address that was ever offered is never offered again, and a refusal changes
//! no byte.
//!
//! [`survey`] reads names, headers and trailers; [`order`] and [`chain`] find out which segments
//! follow one another and how far they are valid, [`proof`] what proves that there was more; what they
//! have to read, several threads read [ahead];
//! [`decide`] is the table of what that means; [`plan`] says where the log goes on, and [`repair`]
//! brings it there. [`report`] is what the caller learns of it.
//!
//! A reader beside the writer needs the first half of it: [`view`] is what it sees, and [`advance`]
//! how that grows; so does who asks only what would be done: [`preview`]. Both look again where files
//! have [gone] meanwhile.

mod advance;
mod ahead;
mod bytes;
mod chain;
pub(crate) mod contents;
mod decide;
mod facts;
mod findings;
mod gone;
mod order;
mod persist;
mod plan;
mod preview;
mod proof;
mod repair;
pub(crate) mod report;
mod salvage;
mod survey;
mod view;
mod windows;

use std::sync::Arc;

use crate::error::{Corruption, Error, Result};
use crate::format::{CONTROL_NAME, LogId};
use crate::options::Options;
use crate::recover::bytes::Bytes;
use crate::recover::decide::{Decision, Refusal, decide};
use crate::recover::findings::Findings;
use crate::recover::repair::{Repair, create};
use crate::segment::control::Control;
use crate::segment::segment::Segment;
use crate::segment::supply::Start;
use crate::storage::{Storage, StorageFile};

pub(crate) use advance::Advance;
pub(crate) use contents::{Contents, LOST_AND_FOUND, contents};
pub(crate) use gone::{is_gone, unless_gone};
pub use preview::Preview;
pub(crate) use repair::new_id;
pub use report::{CutReport, Damage, Recovery};
pub(crate) use salvage::{Salvageable, Stretch};
pub(crate) use view::{Shown, View};

/// A log that can be appended to.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Both slots say that the log is not closed.
    pub(crate) control: Control,
    pub(crate) id: LogId,
    /// The logs from which this one was restored: each with the base of its last segment.
    pub(crate) earlier: Vec<(u64, LogId)>,
    /// The first address that is kept.
    pub(crate) head: u64,
    /// All segments that hold kept frames, and the last one in any case, ascending. The active one is the last, if there is one;
    /// the others have no descriptor.
    pub(crate) segments: Vec<Arc<Segment>>,
    /// Where appends go on: in the active segment, or where the next one's frames will begin.
    pub(crate) tail: u64,
    pub(crate) start: Start,
    /// The checksum of the newest trailer; 0 if there is none.
    pub(crate) last_checksum: u32,
    pub(crate) report: Recovery,
    /// Files that were removed, and take a while to be given back once nobody has them open.
    pub(crate) doomed: Vec<Arc<dyn StorageFile>>,
}

/// Opens the log in `storage`, or makes one. The caller holds the lock.
///
/// # Errors
///
/// Refusals as the table of recovery has them; then nothing was changed. `Io` for anything that the
/// storage refuses: opening again goes on where it was.
pub(crate) fn recover(storage: &Arc<dyn Storage>, options: &Options) -> Result<Recovered> {
    let storage = &**storage;
    let mut bytes = Bytes::new(storage);
    bytes.may_use_threads = options.background;
    let findings = Findings::collect(&mut bytes, options.recovery)?;
    let (clean, cut) = match decide(&findings.facts(options), options.recovery) {
        Decision::Create => return create(storage, &findings.survey),
        Decision::Continue => (true, false),
        Decision::Recover { cut, .. } => (false, cut),
        // A log without a control file can be read, but not appended to.
        Decision::ReadOnly => return Err(findings.refuse(storage, Refusal::NoControl)),
        Decision::Refuse(refusal) => return Err(findings.refuse(storage, refusal)),
    };
    let Findings { survey, chain, .. } = &findings;
    let Some(control) = &survey.control else {
        let path = storage.path(CONTROL_NAME);
        return Err(Error::Corrupt { path, offset: 0, lsn: None, reason: Corruption::NoControl });
    };
    Repair::open(&mut bytes, survey, control, chain, options, (clean, cut))
}

#[cfg(test)]
mod tests;
