//! [`State`]: everything that the clones and files of one storage share.
//!
//! Invariant: events happen one at a time, in the order of their numbers. What the handles read is
//! what the model of the disk holds for them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::disk::{Change, Disk, Inode};
use super::journal::{Event, EventKind, Journal};
use super::plan::{Fault, Plan};
use crate::storage::SharedBytes;
use crate::storage::locks::Locks;
use crate::sync::Mutex;

/// What the handles of one file share.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) inode: Inode,
    /// The newest name, also when it was removed.
    name: Mutex<String>,
    /// What reads see, as memory that can be mapped. Another one once caches were dropped.
    bytes: Mutex<SharedBytes>,
}

impl Node {
    pub(super) fn name(&self) -> String {
        self.name.lock().clone()
    }

    pub(super) fn bytes(&self) -> SharedBytes {
        self.bytes.lock().clone()
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) disk: Disk,
    /// How many events there were.
    pub(super) events: u64,
    pub(super) journal: Option<Journal>,
    pub(super) plan: Plan,
    pub(super) locks: Locks,
    pub(super) capacity: Option<u64>,
    pub(super) wants_zero_fill: bool,
    /// Every file that has a name.
    nodes: BTreeMap<Inode, Arc<Node>>,
    next_inode: Inode,
}

impl State {
    /// Goes on with a disk after so many events.
    pub(super) fn new(disk: Disk, events: u64) -> Self {
        let node = |(name, inode): (&String, &Inode)| {
            let bytes = SharedBytes::from(disk.cached(*inode).unwrap_or_default());
            let (name, bytes) = (Mutex::new(name.clone()), Mutex::new(bytes));
            (*inode, Arc::new(Node { inode: *inode, name, bytes }))
        };
        let nodes = disk.names().iter().map(node).collect();
        Self {
            nodes,
            next_inode: disk.next_inode(),
            journal: Some(Journal::new(&disk, events)),
            disk,
            events,
            plan: Plan::default(),
            locks: Locks::default(),
            capacity: None,
            wants_zero_fill: false,
        }
    }

    /// The event that comes next.
    pub(super) fn event(&self, kind: EventKind, name: &str) -> Event {
        let (name, to) = (name.to_owned(), String::new());
        Event { number: self.events, kind, name, to, offset: 0, len: 0, ok: true }
    }

    /// Lets an event happen that is done wholly or not at all, unless it is to fail.
    pub(super) fn happen(&mut self, event: Event, change: Change) -> io::Result<()> {
        let Some(fault) = self.plan.of_event(&event) else {
            self.record(event, change);
            return Ok(());
        };
        let change = match (change, fault) {
            (change, fault) if fault.is_late(event.kind) => change,
            (Change::Sync { inode }, Fault::LostSync { seed }) => Change::LoseSync { inode, seed },
            _ => Change::Nothing,
        };
        self.record(Event { ok: false, ..event }, change);
        Err(fault.error())
    }

    /// Writes, as far as the event's fault and the end of the file let it. `bytes` are those of a
    /// write or the zeros of a discard.
    pub(super) fn write(&mut self, node: &Node, event: Event, bytes: &[u8]) -> io::Result<usize> {
        let fault = self.plan.of_event(&event);
        let taken = fault.map_or(bytes.len(), |fault| fault.taken(bytes.len()));
        let bytes = bytes.get(..taken).unwrap_or(bytes);
        let written = node.bytes().write_at(bytes, event.offset);
        // None where the memory is mapped and read, and did not take it.
        let change = match (&written, usize::try_from(event.offset)) {
            (Ok(written @ 1..), Ok(offset)) => {
                let bytes = bytes.get(..*written).unwrap_or(bytes).to_vec();
                Change::Write { inode: node.inode, offset, bytes }
            }
            _ => Change::Nothing,
        };
        let result = match fault {
            None | Some(Fault::Short(_)) => written,
            Some(fault) => written.and_then(|_| Err(fault.error())),
        };
        self.record(Event { ok: result.is_ok(), ..event }, change);
        result
    }

    /// Makes a file.
    pub(super) fn create(&mut self, name: &str, bytes: u64) -> io::Result<Arc<Node>> {
        let event = Event { len: bytes, ..self.event(EventKind::Create, name) };
        if self.disk.names().contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if self.capacity.is_some_and(|most| self.disk.used().saturating_add(bytes) > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let size = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let (inode, memory) = (self.next_inode, SharedBytes::new(bytes)?);
        self.happen(event, Change::Create { inode, name: name.to_owned(), bytes: size })?;
        self.next_inode += 1;
        let (name, bytes) = (Mutex::new(name.to_owned()), Mutex::new(memory));
        let node = Arc::new(Node { inode, name, bytes });
        self.nodes.insert(inode, Arc::clone(&node));
        Ok(node)
    }

    /// A file that is there.
    pub(super) fn node(&self, name: &str) -> io::Result<Arc<Node>> {
        let inode = self.disk.names().get(name).ok_or(io::ErrorKind::NotFound)?;
        self.nodes.get(inode).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn record(&mut self, event: Event, change: Change) {
        self.disk.apply(event.number, &change);
        self.events = event.number + 1;
        match &change {
            Change::Rename { to, .. } => {
                if let Ok(node) = self.node(to) {
                    to.clone_into(&mut node.name.lock());
                }
                self.forget_unnamed();
            }
            Change::Remove { .. } => self.forget_unnamed(),
            Change::DropCaches => self.read_again(),
            _ => {}
        }
        if let Some(journal) = &mut self.journal {
            journal.push(event, change);
        }
    }

    /// Lets go of files that only handles reach.
    fn forget_unnamed(&mut self) {
        let named: Vec<Inode> = self.disk.names().values().copied().collect();
        self.nodes.retain(|inode, _| named.contains(inode));
    }

    /// Gives each file new memory whose cache differs from what is on the disk now. The old one may
    /// be mapped, and is left as it is.
    fn read_again(&mut self) {
        for node in self.nodes.values() {
            let Some(cached) = self.disk.cached(node.inode) else { continue };
            let mut there = vec![0; cached.len()];
            let read = node.bytes().read_at(&mut there, 0);
            if read.is_err() || there != cached {
                *node.bytes.lock() = SharedBytes::from(cached);
            }
        }
    }
}
