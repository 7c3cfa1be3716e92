//! [`contents`]: what a directory holds, before anything in it is touched.
//!
//! Invariant: a directory of other things is never taken for a log or for an empty one.

use std::io::ErrorKind;

use crate::error::{Error, Op, Result};
use crate::format::{CONTROL_NAME, Defect, FileKind, classify};
use crate::segment::control::read_slots;
use crate::storage::{Access, Storage};

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// A log, whole or damaged.
    Log,
    /// Nothing, but perhaps locks and what an unfinished creation leaves.
    Nothing,
    /// Other things.
    OtherFiles,
}

/// The directory that a file system keeps at its root.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

/// Tells what a directory with these names holds.
pub(crate) fn contents(storage: &dyn Storage, names: &[String]) -> Result<Contents> {
    let mut found = Contents::Nothing;
    for name in names {
        match classify(name) {
            FileKind::Segment(_) => return Ok(Contents::Log),
            FileKind::Control if has_slot(storage)? => return Ok(Contents::Log),
            FileKind::Lock | FileKind::Readers | FileKind::Temporary => {}
            FileKind::Foreign if name == LOST_AND_FOUND => {}
            // A control file without a valid slot may be anybody's; a log's data without one is
            // not to be built upon.
            FileKind::Control | FileKind::SetAside | FileKind::Dropped | FileKind::Foreign => {
                found = Contents::OtherFiles;
            }
        }
    }
    Ok(found)
}

/// Whether the control file has a slot that is valid, in this version or a newer one.
fn has_slot(storage: &dyn Storage) -> Result<bool> {
    let error = |op| move |source| Error::io(op, storage.path(CONTROL_NAME), source);
    let file = match storage.open(CONTROL_NAME, Access::Read) {
        Ok(file) => file,
        // Something else of that name.
        Err(source)
            if matches!(source.kind(), ErrorKind::IsADirectory | ErrorKind::InvalidInput) =>
        {
            return Ok(false);
        }
        Err(source) => return Err(error(Op::Open)(source)),
    };
    let slots = read_slots(&*file).map_err(error(Op::Read))?;
    Ok(slots.iter().any(|slot| matches!(slot, Ok(_) | Err(Defect::Version { .. }))))
}
