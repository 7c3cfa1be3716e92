//! [`FaultFile`]: an open file of a [`FaultStorage`](super::FaultStorage).
//!
//! Invariant: it stays readable and writable after its name is gone.

use std::io;
use std::sync::Arc;

use super::disk::Change;
use super::journal::{Event, EventKind};
use super::state::{Node, State};
use crate::storage::{Access, Region, StorageFile};
use crate::sync::Mutex;

#[derive(Debug)]
pub(super) struct FaultFile {
    pub(super) node: Arc<Node>,
    pub(super) access: Access,
    pub(super) shared: Arc<Mutex<State>>,
}

impl FaultFile {
    fn check_access(&self) -> io::Result<()> {
        match self.access {
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
            Access::ReadWrite => Ok(()),
        }
    }

    fn write(&self, kind: EventKind, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.check_access()?;
        let mut state = self.shared.lock();
        let event = state.event(kind, &self.node.name());
        let event = Event { offset, len: bytes.len() as u64, ..event };
        state.write(&self.node, event, bytes)
    }
}

impl StorageFile for FaultFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.node.bytes().len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.shared.lock().plan.read()?;
        self.node.bytes().read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.write(EventKind::Write, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        let event = state.event(EventKind::Sync, &self.node.name());
        state.happen(event, Change::Sync { inode: self.node.inode })
    }

    fn map(&self) -> io::Result<Option<Region>> {
        self.shared.lock().plan.read()?;
        let bytes = self.node.bytes();
        Ok((!bytes.is_empty()).then(|| bytes.region()))
    }

    fn wants_zero_fill(&self) -> bool {
        self.shared.lock().wants_zero_fill
    }

    fn discard(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let end = offset.saturating_add(bytes).min(self.node.bytes().len());
        let zeros = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.write(EventKind::Discard, &vec![0; zeros], offset).map(drop)
    }
}
