//! [`Control`]: the one owner of the control file.
//!
//! Invariant: a change is written as a whole state into the slot that does *not* hold the newest one,
//! and synced, before it counts. At every moment one slot holds a state that was complete and
//! durable. `head` and `next_base` never go back.
//!
//! Losing power during a write damages one slot; the other still holds the state before it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::layout::BLOCK_LEN;
use crate::format::{BLOCK_BYTES, ControlState, Defect};
use crate::storage::{Storage, StorageFile, is_no_space, write_all_at};
use crate::sync::Mutex;

/// The name of the control file in the log's directory.
pub(crate) const CONTROL: &str = "control";
const CONTROL_TEMPORARY: &str = "control.tmp";

#[derive(Debug)]
struct Owned {
    state: ControlState,
    /// The number of the newest slot written; its parity says which of the two it is.
    sequence: u64,
    /// The log is closed: nothing is written any more.
    closed: bool,
}

#[derive(Debug)]
pub(crate) struct Control {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    owned: Mutex<Owned>,
}

impl Control {
    /// Makes the control file of a new log: written under a temporary name with both slots valid,
    /// synced, renamed; then the directory is synced. Power lost at any point leaves either no
    /// control file or a whole one.
    pub(crate) fn create(storage: &dyn Storage, state: ControlState) -> Result<Self> {
        let path = storage.path(CONTROL);
        let failed = |op| {
            let path = path.clone();
            move |source| Error::io(op, path, source)
        };
        let file = storage
            .create(CONTROL_TEMPORARY, 2 * BLOCK_BYTES)
            .map_err(|error| no_space_or_io(Op::Create, &path, error))?;
        for sequence in [1, 2] {
            let offset = slot_offset(sequence);
            write_all_at(&*file, &state.encode(sequence), offset).map_err(failed(Op::Write))?;
        }
        file.sync().map_err(failed(Op::Sync))?;
        storage.rename(CONTROL_TEMPORARY, CONTROL).map_err(failed(Op::Rename))?;
        storage
            .sync_directory()
            .map_err(|error| Error::io(Op::SyncDirectory, storage.path(""), error))?;
        Ok(Self { file, path, owned: Mutex::new(Owned { state, sequence: 2, closed: false }) })
    }

    /// Takes over a control file whose newest valid slot is `state`, numbered `sequence`. The next
    /// change goes to the other slot.
    pub(crate) fn adopt(
        storage: &dyn Storage,
        file: Arc<dyn StorageFile>,
        state: ControlState,
        sequence: u64,
    ) -> Self {
        let path = storage.path(CONTROL);
        Self { file, path, owned: Mutex::new(Owned { state, sequence, closed: false }) }
    }

    /// Writes the newest state again into its own slot and syncs it, so that what was read at open
    /// is known to be on the disk and not only in the page cache.
    pub(crate) fn rewrite(&self) -> Result<()> {
        let owned = self.owned.lock();
        self.write(&owned.state, owned.sequence)
    }

    /// The newest state.
    pub(crate) fn state(&self) -> ControlState {
        self.owned.lock().state.clone()
    }

    /// Changes the state, durably. After an error but `Closed` the log must be poisoned: what the disk
    /// holds is the old state or the new.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ControlState)) -> Result<()> {
        self.update_if(|_| true, change)
    }

    /// The same if the state is one that calls for it.
    pub(crate) fn update_if(
        &self,
        calls: impl FnOnce(&ControlState) -> bool,
        change: impl FnOnce(&mut ControlState),
    ) -> Result<()> {
        let mut owned = self.owned.lock();
        if !calls(&owned.state) {
            return Ok(());
        }
        if owned.closed {
            return Err(Error::Closed);
        }
        let mut state = owned.state.clone();
        change(&mut state);
        debug_assert!(state.head >= owned.state.head, "the head never goes back");
        debug_assert!(state.next_base >= owned.state.next_base, "next_base never goes back");
        let sequence = owned.sequence + 1;
        self.write(&state, sequence)?;
        *owned = Owned { state, sequence, closed: false };
        Ok(())
    }

    /// Refuses all later changes: another process may own the file from here on.
    pub(crate) fn close(&self) {
        self.owned.lock().closed = true;
    }

    fn write(&self, state: &ControlState, sequence: u64) -> Result<()> {
        write_all_at(&*self.file, &state.encode(sequence), slot_offset(sequence))
            .map_err(|error| Error::io(Op::Write, &self.path, error))?;
        self.file.sync().map_err(|error| Error::io(Op::Sync, &self.path, error))
    }
}

/// Slots are written in turn.
fn slot_offset(sequence: u64) -> u64 {
    sequence % 2 * BLOCK_BYTES
}

/// A full disk while making a file is not a failure of what is there.
pub(crate) fn no_space_or_io(op: Op, path: &Path, source: io::Error) -> Error {
    if is_no_space(&source) {
        Error::NoSpace { path: path.to_path_buf(), source: Arc::new(source) }
    } else {
        Error::io(op, path, source)
    }
}

/// What the two slots of a control file decode to.
pub(crate) type Slots = [Result<(u64, ControlState), Defect>; 2];

/// Reads and decodes both slots; what the file lacks counts as zeros.
pub(crate) fn read_slots(file: &dyn StorageFile) -> io::Result<Slots> {
    let mut bytes = vec![0; 2 * BLOCK_LEN];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let (first, second) = bytes.split_at(BLOCK_LEN);
    Ok([ControlState::decode(first), ControlState::decode(second)])
}

#[cfg(test)]
mod tests;
