//! The control file's two slots.
//!
//! Invariant: a slot that is being written just now is not taken for a damaged one.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::thread;
use std::time::Duration;

use stratalog::Corruption;
use stratalog::format::{BLOCK_BYTES, CONTROL_FILE_BYTES, ControlState, Defect};

use crate::damage::{Finding, Part};
use crate::failure::Failure;

/// A writer writes the slots in turn: one that is not valid so many times in a row is not being written.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(2);

/// Checks both slots. One that is not valid is a note, two are damage.
pub(crate) fn check(
    path: &Path,
    damage: &mut Vec<Finding>,
    notes: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let mut invalid = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            thread::sleep(PAUSE);
        }
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            // The log's links say that it is missing.
            Err(Failure::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        invalid = invalid_slots(&bytes);
        if invalid.is_empty() {
            return Ok(());
        }
    }
    let both = invalid.len() > 1;
    let findings = invalid.into_iter().map(|(offset, defect)| Finding {
        path: path.into(),
        offset,
        lsn: 0..0,
        part: Part::Control,
        reason: Corruption::from(defect).to_string(),
    });
    if both {
        damage.extend(findings);
    } else {
        notes.extend(findings);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|source| Failure::io("open", path, source))?;
    // One byte more tells a file that is too long.
    let read = file.take(CONTROL_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| Failure::io("read", path, source))?;
    Ok(bytes)
}

/// The offsets of the slots that are not valid, and why.
fn invalid_slots(bytes: &[u8]) -> Vec<(u64, Defect)> {
    let slot = |number: usize| {
        let len = usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX);
        let slot = bytes.get(number * len..).unwrap_or_default();
        let decoded = ControlState::decode(slot.get(..len).unwrap_or(slot));
        decoded.err().map(|defect| (number as u64 * BLOCK_BYTES, defect))
    };
    [slot(0), slot(1)].into_iter().flatten().collect()
}
