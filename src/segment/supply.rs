//! [`Supply`]: makes segments before they are needed, and attaches them when they are.
//!
//! Invariant: segments are attached in ascending order of base, under one lock. No address of a
//! segment is offered before its name is durable and `next_base` in the control file, durable as
//! well, lies above it; so no address is ever offered twice, whatever crashes. Zeros are written only
//! above `attached_end`, the mark up to which addresses may be claimed, and the mark is raised after
//! them: they cannot hit a frame.

mod pace;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::{LINK_FRAME_BYTES, LogId, MAX_ADDRESS, frames_end, segment_name};
use crate::options::Options;
use crate::protocol::{Extent, Protocol};
use crate::segment::bell::Bell;
use crate::segment::control::Control;
use crate::segment::pool::Pool;
use crate::segment::prepare::{FILL_STEP_BYTES, FILL_SYNC_BYTES, Spare, fill, next_step, prepare};
use crate::segment::recycle::{SetAside, prepare_recycled, set_aside};
use crate::segment::segment::Segment;
use crate::segment::set::Segments;
use crate::storage::{Access, Storage};
use crate::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering};

/// How many spares are kept at most; one is kept from the start, misses raise the number.
const SPARES_MAX: u64 = 3;

#[derive(Debug)]
struct State {
    spares: VecDeque<Spare>,
    /// The segment attached last, and up to which address it is filled.
    newest: Option<Arc<Segment>>,
    filled: u64,
    /// What the next link names.
    previous_base: u64,
    previous_end: u64,
    /// Where the next prepared segment goes.
    next_base: u64,
    /// Someone is preparing a segment.
    preparing: bool,
    /// The log is closed: nothing is made, filled or attached any more.
    closed: bool,
}

#[derive(Debug)]
pub(crate) struct Supply {
    storage: Arc<dyn Storage>,
    id: LogId,
    segment_bytes: u64,
    /// The most that segments may take together; 0 is no limit.
    max_log_bytes: u64,
    state: Mutex<State>,
    /// The files of dropped segments.
    pub(crate) pool: Arc<Pool>,
    /// What wakes the thread that keeps spares.
    pub(crate) bell: Arc<Bell>,
    /// A preparation ended.
    prepared: Condvar,
    /// An appender waits for the preparation that is under way.
    hurry: AtomicBool,
    /// How many spares to keep.
    wanted: AtomicU64,
    /// How often an appender had to wait for a segment or make it.
    misses: AtomicU64,
    /// How many segments were made of dropped ones.
    recycled: AtomicU64,
}

/// Where the supply goes on after opening.
#[derive(Debug)]
pub(crate) struct Start {
    /// The active segment, if one is to be continued.
    pub(crate) active: Option<Arc<Segment>>,
    /// Spares that are there already, ascending.
    pub(crate) spares: VecDeque<Spare>,
    /// What the link of the next segment names.
    pub(crate) previous_base: u64,
    pub(crate) previous_end: u64,
    /// Where the next prepared segment goes.
    pub(crate) next_base: u64,
}

impl Supply {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        id: LogId,
        options: &Options,
        start: Start,
    ) -> Self {
        // What an earlier run has filled is not known; reading zeros or nothing is the same.
        let filled = start.active.as_ref().map_or(0, |segment| segment.frames_end());
        Self {
            pool: Pool::new(Arc::clone(&storage)),
            storage,
            id,
            segment_bytes: options.segment_bytes,
            max_log_bytes: options.max_log_bytes,
            state: Mutex::new(State {
                spares: start.spares,
                newest: start.active,
                filled,
                previous_base: start.previous_base,
                previous_end: start.previous_end,
                next_base: start.next_base,
                preparing: false,
                closed: false,
            }),
            bell: Arc::default(),
            prepared: Condvar::new(),
            hurry: AtomicBool::new(false),
            wanted: AtomicU64::new(1),
            misses: AtomicU64::new(0),
            recycled: AtomicU64::new(0),
        }
    }

    /// The spares there are: base and size.
    pub(crate) fn spares(&self) -> Vec<(u64, u64)> {
        self.state.lock().spares.iter().map(|spare| (spare.base, spare.bytes)).collect()
    }

    pub(crate) fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// How many segments were made of dropped ones.
    pub(crate) fn recycled(&self) -> u64 {
        self.recycled.load(Ordering::Relaxed)
    }

    /// How many bytes the segments take, with the spares, and with the files of dropped ones.
    pub(crate) fn used_bytes(&self, segments: &Segments) -> u64 {
        self.state.lock().used_bytes(segments).saturating_add(self.pool.bytes())
    }

    /// Whether the limit does not allow another segment.
    pub(crate) fn is_full(&self, segments: &Segments) -> bool {
        let used = self.state.lock().used_bytes(segments);
        self.max_log_bytes != 0 && used.saturating_add(self.segment_bytes) > self.max_log_bytes
    }

    /// Keeps the file of a dropped segment that nobody in this process holds, to make a spare of it.
    /// False if that can't be: then it is to be removed.
    pub(crate) fn recycle(&self, segments: &Segments, segment: &Segment) -> Result<bool> {
        let fits = |state: &State| {
            let wanted = self.wanted.load(Ordering::Relaxed);
            // One that is being prepared has looked at the pool, or will.
            let kept = self.pool.recycled();
            let more = 1 + kept + u64::from(state.preparing);
            let used = state.used_bytes(segments).saturating_add(more * self.segment_bytes);
            let below = self.max_log_bytes == 0 || used <= self.max_log_bytes;
            below && !state.closed && kept < wanted
        };
        if segment.bytes != self.segment_bytes || !fits(&self.state.lock()) {
            return Ok(false);
        }
        match set_aside(&*self.storage, segment)? {
            SetAside::No => Ok(false),
            SetAside::Removed => Ok(true),
            SetAside::Recycled(recycled) => {
                let state = self.state.lock();
                if fits(&state) {
                    self.pool.keep(recycled);
                } else {
                    drop(state);
                    recycled.discard(&*self.storage);
                }
                Ok(true)
            }
        }
    }

    /// Lets a claim of `need` bytes at `tail` succeed: fills more of the active segment, or attaches
    /// another, and makes it if there is none. Does nothing if the tail has moved. False if what is
    /// claimed already has to be committed first.
    ///
    /// # Errors
    ///
    /// `NoSpace`, after which everything is as before; `Io`, after which the log must be poisoned,
    /// and where a segment was being prepared is: by `poison`, before anybody else could try again.
    pub(crate) fn make_room(
        &self,
        protocol: &Protocol,
        segments: &Segments,
        control: &Control,
        (tail, need): (u64, u64),
        poison: &dyn Fn(&Error),
    ) -> Result<bool> {
        loop {
            let mut state = self.state.lock();
            let extent = protocol.extent();
            // Once closed or poisoned, the next try at a claim is refused.
            if state.closed
                || protocol.refuses()
                || protocol.tail() != tail
                || state.has_room(extent, tail, need)
            {
                return Ok(true);
            }
            if let Some(extent) = extent
                && state.filled < extent.end
                && need <= extent.end - tail
            {
                let to = (tail + need.max(LINK_FRAME_BYTES) + FILL_STEP_BYTES).min(extent.end);
                state.fill_to(&*self.storage, to)?;
                protocol.raise_attached_end(state.filled);
                return Ok(true);
            }
            if !protocol.can_attach() {
                return Ok(false);
            }
            if let Some(spare) = state.spares.pop_front() {
                state.attach(protocol, segments, &spare, self.id);
                return Ok(true);
            }
            if state.newest.is_some() {
                self.misses.fetch_add(1, Ordering::Relaxed);
                self.wanted.fetch_min(SPARES_MAX - 1, Ordering::Relaxed);
                self.wanted.fetch_add(1, Ordering::Relaxed);
            }
            if state.preparing {
                self.hurry();
                self.prepared.wait(&mut state);
                continue;
            }
            drop(state);
            let made_by_appender = Making { segments, recycles: false };
            self.prepare_one(protocol, control, poison, made_by_appender, |_| None)?;
        }
    }

    /// Lets a preparation that is under way end soon.
    fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
        self.bell.ring();
    }

    /// Ends the making, filling and attaching of segments, and waits for whoever is at it. Claims
    /// are refused already.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.hurry();
        while state.preparing {
            self.prepared.wait(&mut state);
        }
    }

    /// The log was cut at `end`, in the segment based at `base`: whatever is attached or prepared is
    /// given up. Claims are refused already. Returns the base where the log goes on, and those of the
    /// spares, which the caller removes.
    pub(crate) fn cut(&self, base: u64, end: u64) -> (u64, Vec<u64>) {
        let mut state = self.state.lock();
        self.hurry();
        while state.preparing {
            self.prepared.wait(&mut state);
        }
        let spares = state.spares.drain(..).map(|spare| spare.base).collect();
        (state.newest, state.filled) = (None, 0);
        (state.previous_base, state.previous_end) = (base, end);
        (state.next_base, spares)
    }

    /// Prepares a spare if there are fewer than wanted, with rests; leaves most of its zeros for later if
    /// someone waits for it, or for a sync by this thread. True if one was made. Errors are as those of
    /// `make_room`.
    pub(crate) fn keep_spares(
        &self,
        protocol: &Protocol,
        segments: &Segments,
        control: &Control,
        poison: &dyn Fn(&Error),
    ) -> Result<bool> {
        {
            let state = self.state.lock();
            let spares = state.spares.len() as u64;
            if state.preparing
                || state.closed
                || protocol.refuses()
                || spares >= self.wanted.load(Ordering::Relaxed)
            {
                return Ok(false);
            }
        }
        let making = Making { segments, recycles: true };
        self.prepare_one(protocol, control, poison, making, self.paced(protocol))?;
        Ok(true)
    }

    /// Zero-fills one more step of the active segment, ahead of the tail. False if there is nothing
    /// to fill.
    pub(crate) fn fill_ahead(&self, protocol: &Protocol) -> Result<bool> {
        let mut state = self.state.lock();
        let Some(segment) = state.newest.clone() else { return Ok(false) };
        if state.closed || protocol.refuses() || state.filled >= segment.frames_end() {
            return Ok(false);
        }
        let to = next_step(segment.base, state.filled).min(segment.frames_end());
        state.fill_to(&*self.storage, to)?;
        protocol.raise_attached_end(state.filled);
        let write_out = (to - segment.base).is_multiple_of(FILL_SYNC_BYTES);
        drop(state);
        // Only paces the zeros: what makes frames durable is the sync leader's own call. Through
        // another descriptor: the system tells each one once of a failed write-back, and the one
        // that the leader syncs has to tell the leader.
        if write_out && let Ok(file) = self.storage.open(&segment.name(), Access::ReadWrite) {
            file.sync()
                .map_err(|error| Error::io(Op::Sync, self.storage.path(&segment.name()), error))?;
        }
        Ok(true)
    }

    /// Makes the file of the segment at `base`, of a dropped one if there is one and time for it.
    fn make(
        &self,
        base: u64,
        making: Making<'_>,
        mut go_on: impl FnMut(u64) -> Option<u64>,
    ) -> Result<Spare> {
        let bytes = self.segment_bytes;
        if self.is_full(making.segments) {
            let source = Arc::new(io::Error::new(ErrorKind::QuotaExceeded, Limit));
            return Err(Error::NoSpace { path: self.storage.path(&segment_name(base)), source });
        }
        let recycled = if making.recycles { self.pool.take_recycled() } else { None };
        if let Some(recycled) = recycled
            && let Some(spare) =
                prepare_recycled(&*self.storage, recycled, &self.id, base, &mut go_on)?
        {
            self.recycled.fetch_add(1, Ordering::Relaxed);
            return Ok(spare);
        }
        let above = || self.used_bytes(making.segments).saturating_add(bytes) > self.max_log_bytes;
        while self.max_log_bytes != 0 && above() && self.pool.remove_one() {}
        loop {
            let ended = self.pool.ended();
            let made = prepare(&*self.storage, &self.id, base, bytes, &mut go_on);
            // What dropped segments take may be all that is lacking. It may also have gone since there
            // was no room.
            let is_full = matches!(made, Err(Error::NoSpace { .. }));
            if !(is_full && (self.pool.remove_one() || self.pool.ended() != ended)) {
                return made;
            }
        }
    }

    /// A failure poisons while everybody else still waits for the preparation: a sync of the
    /// directory that was tried again could say `Ok` for a name that is not durable.
    fn prepare_one(
        &self,
        protocol: &Protocol,
        control: &Control,
        poison: &dyn Fn(&Error),
        making: Making<'_>,
        go_on: impl FnMut(u64) -> Option<u64>,
    ) -> Result<()> {
        let base = {
            let mut state = self.state.lock();
            if state.preparing || state.closed || protocol.refuses() {
                return Ok(());
            }
            state.preparing = true;
            state.next_base
        };
        let preparing = Preparing(self);
        let next_base = base.saturating_add(self.segment_bytes);
        if next_base > MAX_ADDRESS {
            // Every address is used up; only a control file made for it says so.
            let source = Arc::new(ErrorKind::StorageFull.into());
            return Err(Error::NoSpace { path: self.storage.path(&segment_name(base)), source });
        }
        let durable = protocol.durable();
        let made = self.make(base, making, go_on);
        // The name is durable; only now may its addresses be taken, and only after this is synced
        // may they be offered.
        let made = made.and_then(|spare| {
            control.update(|state| {
                state.next_base = next_base;
                state.newest = Some(base);
                state.durable_end = state.durable_end.max(durable);
            })?;
            Ok(spare)
        });
        if let Err(error) = &made
            && !matches!(error, Error::NoSpace { .. })
        {
            poison(error);
        }
        let spare = made?;
        let mut state = self.state.lock();
        state.next_base = next_base;
        state.spares.push_back(spare);
        drop(state);
        drop(preparing);
        Ok(())
    }
}

/// The log has come to `max_log_bytes`.
#[derive(Debug)]
struct Limit;

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log has come to max_log_bytes")
    }
}

impl std::error::Error for Limit {}

/// Whether it is the limit that leaves no room, and not the disk.
pub(crate) fn is_limit(error: &Error) -> bool {
    let Error::NoSpace { source, .. } = error else { return false };
    source.get_ref().and_then(|inner| inner.downcast_ref::<Limit>()).is_some()
}

/// For whom a segment is made.
#[derive(Clone, Copy)]
struct Making<'a> {
    segments: &'a Segments,
    /// There is time to write over a dropped segment.
    recycles: bool,
}

/// Ends a preparation, however it went.
struct Preparing<'a>(&'a Supply);

impl Drop for Preparing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.preparing = false;
        // Under the lock, or it would take back what the next one in a hurry says.
        self.0.hurry.store(false, Ordering::Relaxed);
        drop(state);
        self.0.prepared.notify_all();
    }
}

impl State {
    /// How many bytes the attached segments and the spares take.
    fn used_bytes(&self, segments: &Segments) -> u64 {
        let spares: u64 = self.spares.iter().map(|spare| spare.bytes).sum();
        let attached: u64 =
            segments.with(|set| set.segments.iter().map(|segment| segment.bytes).sum());
        attached.saturating_add(spares)
    }

    /// Whether a claim can succeed already: another appender may have been here first.
    fn has_room(&self, extent: Option<Extent>, tail: u64, need: u64) -> bool {
        let Some(extent) = extent else { return false };
        let need = if tail == extent.start() { LINK_FRAME_BYTES } else { need };
        if need <= extent.end - tail {
            tail + need <= self.filled
        } else {
            self.newest.as_ref().is_some_and(|newest| newest.base > extent.base)
        }
    }

    /// Readers and leaders find the segment before anything can be in it.
    fn attach(&mut self, protocol: &Protocol, segments: &Segments, spare: &Spare, id: LogId) {
        let end = frames_end(spare.base, spare.bytes);
        let extent = Extent {
            base: spare.base,
            end,
            previous_base: self.previous_base,
            previous_end: self.previous_end,
        };
        let segment =
            Segment::new((spare.base, spare.bytes), end, id, Some(Arc::clone(&spare.file)));
        segments.push(Arc::clone(&segment));
        protocol.attach(extent);
        protocol.raise_attached_end(spare.filled.max(extent.start()));
        (self.previous_base, self.previous_end) = (spare.base, end);
        self.filled = spare.filled;
        self.newest = Some(segment);
    }

    fn fill_to(&mut self, storage: &dyn Storage, to: u64) -> Result<()> {
        let Some(segment) = &self.newest else { return Ok(()) };
        let Some(file) = segment.file() else { return Ok(()) };
        if to > self.filled {
            if file.wants_zero_fill() {
                fill(&*file, self.filled - segment.base, to - segment.base)
                    .map_err(|error| Error::io(Op::Write, storage.path(&segment.name()), error))?;
            }
            self.filled = to;
        }
        Ok(())
    }
}
