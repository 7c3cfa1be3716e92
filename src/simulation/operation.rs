//! [`Operation`]: what a thread does to a log, how it is drawn, and what it notes of it.
//!
//! Invariant: a note says after how many events of the disk its caller knew. Between the return of a
//! call and the count no other thread runs.

use std::sync::Arc;
use std::time::Duration;

use super::ledger::{Note, Records};
use crate::format::{FRAME_HEADER_BYTES, frame_bytes, max_record_bytes};
use crate::random::Random;
use crate::storage::FaultStorage;
use crate::sync::schedule::{nap, quietly};
use crate::{Error, FollowOptions, Hold, Log, Lsn, Options, Result, restore_with};

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Append(usize),
    AppendWith(usize),
    AppendBuffered(usize),
    AppendDurable(usize),
    /// Records of these sizes.
    Batch(Vec<usize>),
    Commit,
    Sync,
    /// Syncs up to the record that this thread appended last.
    SyncTo,
    Roll,
    Read,
    /// Archives to a disk of its own and makes a log of that.
    Archive,
    /// Follows for so many records, from the head or from the record that this thread appended last;
    /// what is durable only, if true.
    Follow(u64, bool),
    /// Looks at the watermarks.
    Look,
    /// Drops what lies before a place that the thread knows of: the number says which.
    Truncate(u64),
    /// Cuts the log at a record: the number says which.
    Cut(u64),
    /// Sets the application's state, of this size.
    State(usize),
    /// Holds the place that the thread appended last, until it holds another.
    Hold,
    /// Does nothing for a while; the log may fall idle.
    Nap,
    Close,
}

impl Operation {
    pub(super) fn draw(random: &mut Random, segment_bytes: u64) -> Self {
        match random.below(100) {
            0..20 => Self::Append(size(random, segment_bytes)),
            20..24 => Self::AppendWith(size(random, segment_bytes)),
            24..40 => Self::AppendBuffered(size(random, segment_bytes)),
            40..52 => Self::AppendDurable(size(random, segment_bytes)),
            52..55 => Self::Cut(random.next()),
            55..68 => Self::Batch(sizes(random, segment_bytes)),
            68..71 => Self::Commit,
            71..75 => Self::Sync,
            75..77 => Self::SyncTo,
            77..80 => Self::Roll,
            80..83 => Self::Read,
            83..87 => Self::Follow(random.below(40), random.chance(40)),
            87..89 => Self::Look,
            89..94 => Self::Truncate(random.next()),
            94..96 => Self::State(usize::try_from(random.below(1025)).unwrap_or(0)),
            96..97 => Self::Hold,
            97 => Self::Archive,
            _ => Self::Nap,
        }
    }
}

impl Operation {
    /// What meets a batch half-way, if there is a way: batches of several pieces, by one thread, and
    /// looks at what is committed, by others.
    pub(super) fn draw_of_batches(random: &mut Random, segment_bytes: u64, looks: bool) -> Self {
        match (looks, random.below(10)) {
            (true, 0..=4) => Self::Look,
            (true, 5..=6) => Self::Sync,
            (true, 7..=8) => Self::Read,
            (true, _) => Self::AppendDurable(8),
            (false, 0..=7) => Self::Batch(full_sizes(random, segment_bytes)),
            (false, _) => Self::AppendBuffered(size(random, segment_bytes)),
        }
    }
}

/// The size of a payload: mostly small, sometimes beyond half of the smallest ring, sometimes all
/// that fits in a segment.
fn size(random: &mut Random, segment_bytes: u64) -> usize {
    let most = max_record_bytes(segment_bytes);
    let size = match random.below(100) {
        0..45 => random.below(48),
        45..75 => 40 + random.below(400),
        75..88 => 400 + random.below(1700),
        88..96 => 1900 + random.below(2500),
        _ => most - random.below(40),
    };
    usize::try_from(size).unwrap()
}

/// The sizes of a batch that fits in a segment.
fn sizes(random: &mut Random, segment_bytes: u64) -> Vec<usize> {
    if random.chance(15) {
        return full_sizes(random, segment_bytes);
    }
    let count = 1 + random.below(8);
    let mut left = max_record_bytes(segment_bytes) + FRAME_HEADER_BYTES;
    let sizes = (0..count).map(|_| size(random, segment_bytes).min(3000));
    let fits = |size: &usize| {
        let need = frame_bytes(u32::try_from(*size).unwrap());
        left = left.saturating_sub(need);
        left > 0
    };
    sizes.take_while(fits).collect()
}

/// The sizes of a batch that nearly fills a segment.
fn full_sizes(random: &mut Random, segment_bytes: u64) -> Vec<usize> {
    let room = max_record_bytes(segment_bytes) + FRAME_HEADER_BYTES;
    let count = 1 + random.below(8);
    let each = room / count - FRAME_HEADER_BYTES - 8 - random.below(8);
    vec![usize::try_from(each).unwrap(); usize::try_from(count).unwrap()]
}

/// A thread that uses a log.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) disk: FaultStorage,
    /// What tells its payloads from those of all others.
    pub(super) key: u64,
    pub(super) notes: Vec<Note>,
    last: Option<Lsn>,
    /// Places to resume from.
    places: Vec<Lsn>,
    hold: Option<Hold>,
}

impl Actor {
    pub(super) fn new(disk: FaultStorage, key: u64) -> Self {
        Self { disk, key, notes: Vec::new(), last: None, places: Vec::new(), hold: None }
    }

    /// Performs all operations, or those before the log is closed by someone.
    pub(super) fn perform_all(&mut self, log: &Log, operations: &[Operation]) {
        for operation in operations {
            match self.perform(log, operation) {
                Ok(()) => {}
                Err(Error::Closed) => return,
                Err(error) => panic!("{operation:?}: {error}"),
            }
        }
    }

    fn perform(&mut self, log: &Log, operation: &Operation) -> Result<()> {
        match operation {
            Operation::Append(size) => self.append(&[*size], |payloads| log.append(&payloads[0])),
            Operation::AppendWith(size) => self.append(&[*size], |payloads| {
                log.append_with(*size, |buffer| buffer.copy_from_slice(&payloads[0]))
            }),
            Operation::AppendBuffered(size) => {
                self.append_unpromised(&[*size], |payloads| log.append_buffered(&payloads[0]))
            }
            Operation::AppendDurable(size) => self.append_durable(log, *size),
            Operation::Batch(sizes) => {
                self.append(sizes, |payloads| Ok(log.append_batch(payloads)?.start))
            }
            Operation::Commit => {
                let below = log.commit()?.get();
                self.notes.push(Note::Committed { told: self.now(), below });
                Ok(())
            }
            Operation::Sync => self.synced(log.sync()),
            Operation::SyncTo => match self.last {
                Some(last) => {
                    let synced = log.sync_to(last);
                    if let Ok(below) = &synced {
                        assert!(*below > last, "synced up to {below}, asked for {last}");
                    }
                    self.synced(synced)
                }
                None => Ok(()),
            },
            Operation::Roll => log.roll(),
            Operation::Read => {
                self.read(log);
                Ok(())
            }
            Operation::Archive => self.archive(log),
            Operation::Follow(count, durable_only) => self.follow(log, *count, *durable_only),
            Operation::Look => {
                self.look(log);
                Ok(())
            }
            Operation::Truncate(choice) => self.truncate(log, *choice),
            Operation::Cut(choice) => self.cut(log, *choice),
            Operation::State(bytes) => self.set_state(log, *bytes),
            Operation::Hold => self.hold(log),
            Operation::Nap => {
                nap(Duration::from_millis(60));
                Ok(())
            }
            Operation::Close => {
                log.clone().close()?;
                self.notes.push(Note::Closed { told: self.now() });
                Ok(())
            }
        }
    }

    fn now(&self) -> u64 {
        quietly(|| self.disk.events())
    }

    fn synced(&mut self, reached: Result<Lsn>) -> Result<()> {
        let below = match reached {
            Ok(below) => below.get(),
            Err(Error::Cut { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.notes.push(Note::Durable { told: self.now(), below });
        Ok(())
    }

    fn append_durable(&mut self, log: &Log, size: usize) -> Result<()> {
        let mut was_cut = false;
        self.append(&[size], |payloads| match log.append_durable(&payloads[0]) {
            Err(Error::Cut { lsn }) => {
                was_cut = true;
                Ok(lsn)
            }
            appended => appended,
        })?;
        if !was_cut {
            let (told, below) = (self.now(), self.last.unwrap().get() + 1);
            self.notes.push(Note::Durable { told, below });
        }
        Ok(())
    }

    /// Appends what is committed on return.
    fn append(
        &mut self,
        sizes: &[usize],
        call: impl FnOnce(&[Arc<[u8]>]) -> Result<Lsn>,
    ) -> Result<()> {
        self.append_unpromised(sizes, call)?;
        let Some(Note::Appended { told, at, payloads, .. }) = self.notes.last() else {
            unreachable!("it was just noted")
        };
        let bytes: u64 =
            payloads.iter().map(|p| frame_bytes(u32::try_from(p.len()).unwrap())).sum();
        let note = Note::Committed { told: *told, below: at + bytes };
        self.notes.push(note);
        Ok(())
    }

    fn append_unpromised(
        &mut self,
        sizes: &[usize],
        call: impl FnOnce(&[Arc<[u8]>]) -> Result<Lsn>,
    ) -> Result<()> {
        let payloads: Vec<_> = sizes.iter().map(|size| self.payload(*size)).collect();
        let began = self.now();
        let at = call(&payloads)?;
        let told = self.now();
        self.last = Some(at);
        let mut place = at.get();
        for payload in &payloads {
            self.places.push(Lsn::new(place));
            place += frame_bytes(u32::try_from(payload.len()).unwrap());
        }
        self.notes.push(Note::Appended { began, told, at: at.get(), payloads });
        Ok(())
    }

    /// A payload that no other call appends, if it is long enough to tell.
    fn payload(&mut self, size: usize) -> Arc<[u8]> {
        self.key += 1;
        let mut random = Random::new(self.key);
        let zeros = random.chance(5);
        (0..size.div_ceil(8))
            .flat_map(|word| match word {
                0 => self.key.to_le_bytes(),
                _ if zeros => [0; 8],
                _ => random.next().to_le_bytes(),
            })
            .take(size)
            .collect()
    }

    /// What an archive holds is durable in the log, and what is restored from it is what was appended.
    fn archive(&mut self, log: &Log) -> Result<()> {
        let (archive, copy) = (FaultStorage::new(), FaultStorage::new());
        let cuts = log.cuts();
        let report = log.archive_with(&archive, |_| {})?;
        if report.copied.is_empty() {
            return Ok(());
        }
        self.notes.push(Note::Durable { told: self.now(), below: report.end.get() });
        restore_with(&archive, &copy, None, |_| {})?;
        let restored = Options::new().background(false).open_with(copy)?;
        let (head, held) = read(log);
        // One that is under way counts when it is done.
        if log.is_standing_still() || log.cuts() != cuts {
            return Ok(());
        }
        let end = report.end.get();
        let held: Records = held.into_iter().filter(|(at, _)| *at < end).collect();
        let (_, restored) = read(&restored);
        let restored: Records = restored.into_iter().filter(|(at, _)| *at >= head).collect();
        assert!(restored == held, "an archive and its log differ");
        Ok(())
    }

    fn look(&mut self, log: &Log) {
        // In this order: each rises only.
        let (head, durable) = (log.head().get(), log.durable().get());
        let told = self.now();
        let (committed, tail) = (log.committed().get(), log.tail().get());
        assert!(head <= durable && durable <= committed && committed <= tail);
        self.notes.push(Note::Durable { told, below: durable });
        self.notes.push(Note::Committed { told: self.now(), below: committed });
    }

    fn follow(&mut self, log: &Log, count: u64, durable_only: bool) -> Result<()> {
        let began = self.now();
        let from = self.last.filter(|lsn| count.is_multiple_of(2) && *lsn < log.committed());
        let from = from.unwrap_or(log.head());
        let options = FollowOptions::new().durable_only(durable_only);
        let reached = if durable_only { log.durable() } else { log.committed() };
        let mut follower = match log.follow_with(from, options) {
            Err(Error::Truncated { .. } | Error::Cut { .. }) => return Ok(()),
            follower => follower?,
        };
        let (mut found, mut kept) = (Records::new(), 0);
        while (found.len() as u64) < count {
            // In time that is counted: it may pass while others append.
            match follower.next_timeout(Duration::from_micros(200)) {
                Ok(Some(record)) => found.push((record.lsn().get(), record.payload().to_vec())),
                Ok(None) | Err(Error::Closed) => {
                    kept = reached.get();
                    break;
                }
                Err(Error::Truncated { .. } | Error::Cut { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let told = self.now();
        if durable_only && let Some((last, _)) = found.last() {
            self.notes.push(Note::Durable { told, below: last + 1 });
        }
        self.notes.push(Note::Followed { began, told, from: from.get(), kept, found });
        Ok(())
    }

    fn read(&mut self, log: &Log) {
        let (began, committed) = (self.now(), log.committed().get());
        let (head, found) = read(log);
        let held = self.hold.as_ref().map(Hold::lsn);
        assert!(held.is_none_or(|held| head <= held.get()), "{head} is above the hold {held:?}");
        self.notes.push(Note::Read { began, told: self.now(), committed, head, found });
        self.places.push(log.committed());
    }

    fn set_state(&mut self, log: &Log, bytes: usize) -> Result<()> {
        let bytes = self.payload(bytes).to_vec();
        let began = self.now();
        log.set_app_state(&bytes)?;
        self.notes.push(Note::State { began, told: self.now(), bytes });
        Ok(())
    }

    /// Holds the last record, if it is still there.
    fn hold(&mut self, log: &Log) -> Result<()> {
        let Some(last) = self.last else { return Ok(()) };
        match log.hold(last) {
            Ok(hold) => self.hold = Some(hold),
            Err(Error::Truncated { .. } | Error::Cut { .. }) => self.hold = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Drops what lies before a record of this thread's own, the tail, or a watermark that it saw.
    fn truncate(&mut self, log: &Log, choice: u64) -> Result<()> {
        let known = usize::try_from(choice % (self.places.len() as u64 + 2)).unwrap_or(0);
        let began = self.now();
        let place = match self.places.get(known) {
            Some(place) => *place,
            None if choice.is_multiple_of(2) => log.committed(),
            None => log.durable(),
        };
        match log.truncate_before(place) {
            Ok(head) => {
                let head = head.get();
                assert!(head <= place.get() || log.head().get() >= head);
                self.notes.push(Note::Truncated { began, told: self.now(), head });
            }
            Err(Error::Truncated { head, .. }) => assert!(head > place),
            Err(Error::Cut { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Cuts the log at either end of a record, mostly one of the last.
    fn cut(&mut self, log: &Log, choice: u64) -> Result<()> {
        let (_, found) = read(log);
        let among = if choice.is_multiple_of(3) { u64::MAX } else { 6 }.min(found.len() as u64);
        if among == 0 {
            return Ok(());
        }
        let from_last = usize::try_from(choice / 6 % among).unwrap();
        let lsn = Lsn::new(found[found.len() - 1 - from_last].0);
        let began = self.now();
        let cut =
            log.cut(lsn, |it| if choice.is_multiple_of(2) { it.next_lsn() } else { it.lsn() });
        match cut {
            Ok(Some(gone)) => self.notes.push(Note::Cut { began, told: self.now(), gone }),
            Ok(None) | Err(Error::Cut { .. } | Error::Truncated { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The head, and everything in the log from there on; all of it must be whole.
pub(super) fn read(log: &Log) -> (u64, Records) {
    let record = |record: Result<crate::Record<'_>>| {
        let record = record.unwrap_or_else(|error| panic!("a record can't be read: {error}"));
        (record.lsn().get(), record.payload().to_vec())
    };
    let snapshot = log.snapshot();
    (snapshot.head().get(), snapshot.iter().map(record).collect())
}
