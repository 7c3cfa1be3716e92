//! How many threads append to one log: reserve, fill, commit, sync, wait. Atomics and no I/O.
//!
//! Invariant: `durable <= committed <= tail`; every address below `committed` was handed to
//! [`Medium::write`] in address order, every address below `durable` was covered by a
//! [`Medium::sync`] that returned `Ok` after it was written; neither ever lies inside a batch.
//!
//! 1. **Reserve** ([`Protocol::reserve`]): one compare-and-swap on the tail claims an address range.
//!    Whatever could refuse it is asked before, so a claim is never abandoned and never waits. A
//!    segment begins with a link, claimed by whoever finds the tail at its start; what does not fit
//!    claims the rest of the segment as padding and tries again in the next.
//! 2. **Fill**: the owner of a claim copies its frames into the [`Ring`](ring::Ring) and publishes
//!    them with one release store.
//! 3. **Commit**: one leader at a time takes the contiguous published prefix out of the ring, has it
//!    written, and advances `committed`. Who finds nobody in the way takes the lead before it claims,
//!    and writes [beside] the ring.
//! 4. **Sync**: one leader at a time has what is published committed, captures `committed`, has
//!    everything below it synced, and advances `durable`. Others go on committing meanwhile.
//! 5. **Wait** ([`Waiters`](waiters::Waiters)): enlist, look again, park. Futures and callbacks
//!    ([`Listener`](listener::Listener)) do the same but park nobody, and someone leads for them.
//!    Followers wait for whatever comes ([`following`]), and nobody leads for them.
//!
//! Leading is bounded: a commit leader serves its own record, and one round more if there are any who
//! may sleep; a sync leader its own; then a waiter leads. A commit leader waits a moment for
//! [`company`].

mod beside;
mod commit;
mod company;
mod cut;
mod following;
mod layout;
mod lead;
mod listener;
#[cfg(all(test, stratalog_loom))]
mod models;
mod reserve;
mod ring;
mod stage;
mod tail;
#[cfg(test)]
#[cfg(not(stratalog_loom))]
mod tests;
mod wait;
mod waiters;
mod watermark;

pub(crate) use commit::Run;
pub(crate) use following::{Ahead, Followed};
pub(crate) use layout::Extent;
#[cfg(not(stratalog_loom))]
pub(crate) use listener::call;
pub(crate) use listener::{Outcome, Place, Polled};
use reserve::{Claim, Refusal};
pub(crate) use stage::{Part, Refused};
pub(crate) use tail::State;

use company::Company;
use cut::Cuts;
use layout::Layout;
use lead::Lead;
use ring::Ring;
use tail::Tail;
use waiters::Waiters;
use watermark::Watermark;

use crate::format::{LogId, Salt};
use crate::sync::Padded;

/// What the leaders do to a disk. The log gives files, the models a list.
pub(crate) trait Medium {
    /// Why there is no room for another segment.
    type NoRoom;

    /// Attaches what is needed for a claim of `need` bytes at `tail`, unless the tail has moved on.
    /// False if what is claimed already must be committed first.
    fn make_room(&self, protocol: &Protocol, tail: u64, need: u64) -> Result<bool, Self::NoRoom>;

    /// Takes the frames of `run` out of the ring with [`Protocol::take`] and writes them.
    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed>;

    /// Makes everything in `from..to` durable, all of which is written.
    fn sync(&self, from: u64, to: u64) -> Result<(), Failed>;

    /// Returns when a cut that was under way at the call is over.
    fn await_cut(&self);

    /// Called by a leader about to sync; may wait a moment while `waiting` rises.
    fn gather(&self, waiting: &dyn Fn() -> u64);

    /// Called by a leader that has synced, before it wakes anyone: so many wait now.
    fn gathered(&self, _waiting: u64) {}
}

/// A write or sync failed. The medium has noted the cause before it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

/// Why waiting ended without reaching its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The call of this very thread failed.
    Failed,
    /// Another's call failed, now or earlier.
    Poisoned,
    /// The log is closed. Only claims are refused for that; waiting goes on.
    Closed,
    /// What ends at this address was cut away.
    Cut(u64),
}

impl From<State> for Stopped {
    fn from(state: State) -> Self {
        match state {
            State::Closed => Self::Closed,
            State::Poisoned => Self::Poisoned,
        }
    }
}

/// The shared state of all appenders of one log.
#[derive(Debug)]
pub(crate) struct Protocol {
    tail: Padded<Tail>,
    /// Ring words below `free + ring.bytes()` may be filled. Raised by the commit leader; read by
    /// every claim. At least `committed`.
    free: Padded<Watermark>,
    committed: Padded<Watermark>,
    durable: Padded<Watermark>,
    /// Claims end at or below it. Raised by the supply of segments.
    attached_end: Padded<Watermark>,
    cuts: Cuts,
    layout: Layout,
    ring: Ring,
    salt: Salt,
    id: LogId,
    /// What earlier logs than this one, from which it was restored, have written: their ids, each with
    /// the base of its last segment. Ascending.
    earlier: Box<[(u64, LogId)]>,
    company: Company,
    commit_lead: Padded<Lead>,
    commit_waiters: Waiters,
    sync_lead: Padded<Lead>,
    sync_waiters: Waiters,
    /// Who waits for a watermark to move without asking for it, and leads for nobody.
    commit_followers: Waiters,
    sync_followers: Waiters,
}

impl Protocol {
    /// A protocol whose next address is `at`, all before it durable, and no segment attached.
    pub(crate) fn new(at: u64, ring_bytes: usize, id: LogId) -> Self {
        Self {
            tail: Padded(Tail::new(at)),
            free: Padded(Watermark::new(at)),
            committed: Padded(Watermark::new(at)),
            durable: Padded(Watermark::new(at)),
            attached_end: Padded(Watermark::new(at)),
            cuts: Cuts::new(),
            layout: Layout::new(),
            ring: Ring::new(ring_bytes),
            salt: Salt::new(&id),
            id,
            earlier: Box::default(),
            company: Company::default(),
            commit_lead: Padded(Lead::new()),
            commit_waiters: Waiters::new(),
            sync_lead: Padded(Lead::new()),
            sync_waiters: Waiters::new(),
            commit_followers: Waiters::new(),
            sync_followers: Waiters::new(),
        }
    }

    /// The same for a log that was restored from other logs: their ids, each with the base of the last
    /// segment that it wrote, ascending. A link names the id of the segment that it follows.
    pub(crate) fn restored_from(self, earlier: Vec<(u64, LogId)>) -> Self {
        Self { earlier: earlier.into(), ..self }
    }

    pub(crate) fn id(&self) -> LogId {
        self.id
    }

    /// The id of the log that wrote the segment at `base`.
    fn id_of(&self, base: u64) -> LogId {
        let earlier = self.earlier.iter().find(|(last, _)| base <= *last);
        earlier.map_or(self.id, |(_, id)| *id)
    }

    /// How often the log was cut.
    #[cfg(test)]
    #[cfg(not(stratalog_loom))]
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.count()
    }

    pub(crate) fn tail(&self) -> u64 {
        self.tail.view().address()
    }

    /// Whether the log stands still while it is cut, or for good.
    pub(crate) fn refuses(&self) -> bool {
        self.tail.view().refuses()
    }

    pub(crate) fn state(&self) -> Option<State> {
        self.tail.view().state()
    }

    #[inline]
    pub(crate) fn committed(&self) -> u64 {
        self.committed.get()
    }

    #[inline]
    pub(crate) fn durable(&self) -> u64 {
        self.durable.get()
    }

    #[cfg(stratalog_loom)]
    pub(crate) fn attached_end(&self) -> u64 {
        self.attached_end.get()
    }

    /// The extent that the tail is in.
    pub(crate) fn extent(&self) -> Option<Extent> {
        self.layout.find(self.tail()).map(|(_, extent)| extent)
    }

    /// The largest claim that goes through the ring; a larger one is written by its owner.
    pub(crate) fn staged_max(&self) -> u64 {
        self.ring.bytes() / 2
    }

    /// Takes the bytes of a run out of the ring, from `at` on, and frees their place.
    pub(crate) fn take(&self, at: u64, buffer: &mut [u8]) {
        self.ring.take(at, buffer);
        self.free.advance(at + buffer.len() as u64);
    }

    /// Refuses all later claims; those that were granted go on. Wakes all followers: there may be
    /// nothing left to come. Returns the tail, which is final unless a cut is under way. The caller
    /// holds no lock.
    pub(crate) fn close(&self) -> u64 {
        let tail = self.tail.refuse(State::Closed).address();
        self.tell_all_followers();
        tail
    }

    /// Refuses all later claims: the first half of [`poison`](Self::poison), for who holds a lock still
    /// and will do the other.
    pub(crate) fn refuse(&self) {
        self.tail.refuse(State::Poisoned);
    }

    /// Refuses all later claims, and wakes and tells everyone who waits. The caller holds no lock.
    pub(crate) fn poison(&self) {
        self.refuse();
        let of_commit = self.commit_waiters.wake_all();
        let of_sync = self.sync_waiters.wake_all();
        self.tell(of_commit, self.committed());
        self.tell(of_sync, self.durable());
        self.tell_all_followers();
    }
}
