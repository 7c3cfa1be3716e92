//! [`Disk`]: the protocol's medium on segment files.
//!
//! Invariant: a run is written to the segment that its address names, through the descriptor that
//! later syncs it. A sync covers, in address order, every segment with bytes in its range, found by
//! address. Any failure is noted before the protocol hears of it.

use std::sync::Arc;

use crate::append::gather::Gather;
use crate::append::upkeep::Upkeep;
use crate::error::{Error, Op, Result};
use crate::lsn::Lsn;
use crate::options::{AtLimit, Options, SealHook};
use crate::protocol::{Failed, Medium, Protocol, Run, Stopped};
use crate::segment::bell::Bell;
use crate::segment::control::Control;
use crate::segment::failure::Cause;
use crate::segment::holds::Holds;
use crate::segment::segment::Segment;
use crate::segment::set::{SegmentSet, Segments};
use crate::segment::supply::{Supply, is_limit};
use crate::storage::{PAGE_BYTES, Storage, StorageFile, write_all_at};
use crate::sync::{AtomicU64, Instant, Mutex, Ordering};

/// A run is taken out of the ring and written in pieces of at most this size: the copy then stays in
/// the processor's cache. Under test most batches take several.
const PIECE_BYTES: usize = if cfg!(test) { 512 } else { 64 << 10 };

/// With more unsealed segments than this the appender that needs another seals some first: each of
/// them has a descriptor.
pub(super) const UNSEALED_MAX: usize = 8;

/// The segment written last, and its descriptor.
pub(super) type Target = Option<(Arc<Segment>, Arc<dyn StorageFile>)>;

/// What the commit leader keeps from run to run. The lock is never waited for: the lead is its key.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) target: Target,
    pub(super) buffer: Vec<u8>,
    /// The end of the last page that was covered as a whole.
    pub(super) covered: u64,
    /// The log is closed: nothing is written any more. A leader can be under way still if the log
    /// was poisoned before.
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) segments: Segments,
    pub(crate) supply: Supply,
    pub(crate) control: Control,
    pub(crate) cause: Cause,
    pub(crate) bell: Arc<Bell>,
    pub(crate) gather: Gather,
    pub(super) writer: Mutex<Writer>,
    /// Segments based below were there when the log was opened, so their pages may be on the disk only.
    old_below: u64,
    writes: AtomicU64,
    /// Whether a thread of the log's own does the upkeep.
    pub(super) background: bool,
    pub(super) at_limit: AtLimit,
    pub(super) on_seal: Option<SealHook>,
    pub(crate) holds: Arc<Holds>,
    /// Held by whoever makes the log shorter, who meanwhile leads no sync and runs no code of the
    /// caller's.
    pub(crate) truncation: Mutex<()>,
    pub(super) upkeep: Mutex<Upkeep>,
}

impl Disk {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        segments: Segments,
        supply: Supply,
        control: Control,
        last_checksum: u32,
        options: &Options,
    ) -> Self {
        let last = segments.with(|set| set.segments.last().map(|segment| segment.base));
        let spares = supply.spares();
        let old = last.into_iter().chain(spares.iter().map(|(base, _)| *base)).max();
        Self {
            storage,
            segments,
            old_below: old.map_or(0, |base| base + 1),
            bell: Arc::clone(&supply.bell),
            supply,
            control,
            cause: Cause::default(),
            gather: Gather::new(options.commit_delay),
            writer: Mutex::new(Writer::default()),
            writes: AtomicU64::new(0),
            background: options.background,
            at_limit: options.at_limit,
            on_seal: options.on_seal.clone(),
            holds: Arc::default(),
            truncation: Mutex::new(()),
            upkeep: Mutex::new(Upkeep { last_checksum, closed: false }),
        }
    }

    /// How many positioned writes there were.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Notes the cause; the protocol poisons itself when it hears of a failure of its leaders.
    fn failed(&self, op: Op, segment: &Segment, error: std::io::Error) -> Failed {
        self.cause.note(&Error::io(op, self.storage.path(&segment.name()), error));
        Failed
    }

    /// Writes the buffer at an address of the segment based at `base`, behind which nothing was written
    /// yet. In an [old](Self::old_below) segment it writes zeros up to the end of the last page too: they
    /// are there already, but without them the system would have to read the page first.
    pub(super) fn write_covering(
        &self,
        (target, covered): (&mut Target, &mut u64),
        base: u64,
        buffer: &mut Vec<u8>,
        at: u64,
    ) -> Result<(), Failed> {
        let end = at + buffer.len() as u64;
        if base < self.old_below && end > *covered {
            // A segment's frames end where a page does.
            *covered = base + (end - base).next_multiple_of(PAGE_BYTES);
            let zeros = usize::try_from(*covered - end).unwrap_or_default();
            buffer.resize(buffer.len() + zeros, 0);
        }
        self.write_to(target, base, buffer, at)
    }

    /// Writes `bytes` at an address of the segment based at `base`.
    pub(super) fn write_to(
        &self,
        target: &mut Target,
        base: u64,
        bytes: &[u8],
        at: u64,
    ) -> Result<(), Failed> {
        if target.as_ref().is_none_or(|(segment, _)| segment.base != base) {
            *target = self
                .segments
                .with(|set| set.at_base(base).cloned())
                .and_then(|segment| segment.file().map(|file| (segment, file)));
        }
        let Some((segment, file)) = target else {
            debug_assert!(false, "a segment is attached before it is written, and open until then");
            return Err(Failed);
        };
        // Only the holder of the lead's key counts.
        self.writes.store(self.writes.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        write_all_at(&**file, bytes, at - base)
            .map_err(|error| self.failed(Op::Write, segment, error))
    }

    /// Ends all writing: waits for whoever is at it, and lets nobody begin.
    pub(crate) fn retire(&self) {
        *self.writer.lock() = Writer { closed: true, ..Writer::default() };
        self.upkeep.lock().closed = true;
        // Whoever comes for it later finds the log closed.
        let _shorter = self.truncation.lock();
        self.supply.pool.empty();
        self.control.close();
    }

    /// Prepares a spare if one is wanted, and drops the oldest segment for it if that is what is to
    /// happen at the limit. True if there may be more to do.
    pub(crate) fn keep_spares(&self, protocol: &Protocol) -> Result<bool> {
        let poison = |error: &Error| self.poison(protocol, error);
        let kept = self.supply.keep_spares(protocol, &self.segments, &self.control, &poison);
        match kept {
            // Whoever needs the segment hears of it, and by then there may be room.
            Err(error) if is_limit(&error) => self.drops_oldest(protocol),
            Err(Error::NoSpace { .. }) => Ok(false),
            kept => kept,
        }
    }

    /// What changes when there comes to be room: the tail, the number of spares, and the segments.
    fn sight(&self, protocol: &Protocol) -> (u64, usize, Option<u64>, Option<u64>) {
        let base = |segment: Option<&Arc<Segment>>| segment.map(|segment| segment.base);
        let (first, last) =
            self.segments.with(|set| (base(set.segments.first()), base(set.segments.last())));
        (protocol.tail(), self.supply.spares().len(), first, last)
    }

    /// The error for a thread whose waiting or claiming was stopped.
    #[cold]
    pub(crate) fn stopped(&self, stopped: Stopped) -> Error {
        match stopped {
            Stopped::Failed => self.cause.io(),
            Stopped::Poisoned => self.cause.poisoned(),
            Stopped::Closed => Error::Closed,
            // A target is the end of a record, or one more than its address.
            Stopped::Cut(target) => Error::Cut { lsn: Lsn::new(target & !7) },
        }
    }

    /// Notes the cause and refuses claims. Who holds a lock does this before it lets go of it, and
    /// [poisons](Self::poison) after that.
    pub(super) fn refuse(&self, protocol: &Protocol, error: &Error) {
        self.cause.note(error);
        protocol.refuse();
    }

    /// Ends the use of the log: notes the cause, refuses claims, wakes all.
    pub(crate) fn poison(&self, protocol: &Protocol, error: &Error) {
        self.cause.note(error);
        protocol.poison();
    }
}

impl Medium for Disk {
    type NoRoom = Error;

    fn make_room(&self, protocol: &Protocol, tail: u64, need: u64) -> Result<bool> {
        let poison = |error: &Error| self.poison(protocol, error);
        let (segments, control) = (&self.segments, &self.control);
        let make = || self.supply.make_room(protocol, segments, control, (tail, need), &poison);
        let mut seen = None;
        let mut made = make();
        while made.as_ref().is_err_and(is_limit) {
            match self.drops_oldest(protocol) {
                // Others attach and drop segments as well: there may be room by now, unless nothing has
                // changed since the last try.
                Ok(dropped) => {
                    let now = Some(self.sight(protocol));
                    if !dropped && now == seen {
                        break;
                    }
                    seen = now;
                    made = make();
                }
                Err(error) => made = Err(error),
            }
        }
        if self.background {
            self.bell.ring();
        }
        let kept = made.and_then(|made| {
            if !self.background || self.segments.with(SegmentSet::unsealed) > UNSEALED_MAX {
                self.seal_ended(protocol)?;
            }
            Ok(made)
        });
        match kept {
            Err(error) if !matches!(error, Error::NoSpace { .. } | Error::Poisoned { .. }) => {
                self.poison(protocol, &error);
                Err(error)
            }
            kept => kept,
        }
    }

    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed> {
        let mut writer = self.writer.lock();
        let Writer { target, buffer, covered, closed } = &mut *writer;
        if *closed {
            return Err(Failed);
        }
        let mut at = run.from;
        while at < run.data_end {
            let bytes =
                usize::try_from(run.data_end - at).map_or(PIECE_BYTES, |n| n.min(PIECE_BYTES));
            buffer.resize(bytes, 0);
            protocol.take(at, buffer);
            self.write_covering((target, covered), run.base, buffer, at)?;
            at += bytes as u64;
        }
        Ok(())
    }

    fn sync(&self, from: u64, to: u64) -> Result<(), Failed> {
        let start = Instant::now();
        // Only these: whoever truncates meanwhile should not find the others pinned. Nearly always it
        // is one, for which nothing is allocated.
        let (first, others) = self.segments.with(|set| {
            let mut overlapping = set.overlapping(from, to).cloned();
            (overlapping.next(), overlapping.collect::<Vec<_>>())
        });
        for segment in first.iter().chain(&others) {
            let Some(file) = segment.file() else {
                debug_assert!(false, "a segment stays open until all of it is durable");
                return Err(Failed);
            };
            file.sync().map_err(|error| self.failed(Op::Sync, segment, error))?;
        }
        self.gather.took(start.elapsed());
        Ok(())
    }

    fn await_cut(&self) {
        drop(self.truncation.lock());
    }

    fn gather(&self, waiting: &dyn Fn() -> u64) {
        self.gather.wait(waiting);
    }

    fn gathered(&self, waiting: u64) {
        self.gather.synced(waiting);
    }
}
