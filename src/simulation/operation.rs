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
use crate::{Error, FollowOptions, Log, Lsn, Result};

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
    /// Follows for so many records, from the head or from the record that this thread appended last;
    /// what is durable only, if true.
    Follow(u64, bool),
    /// Looks at the watermarks.
    Look,
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
            40..53 => Self::AppendDurable(size(random, segment_bytes)),
            53..68 => Self::Batch(sizes(random, segment_bytes)),
            68..72 => Self::Commit,
            72..77 => Self::Sync,
            77..80 => Self::SyncTo,
            80..84 => Self::Roll,
            84..88 => Self::Read,
            88..92 => Self::Follow(random.below(40), random.chance(40)),
            92..95 => Self::Look,
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
}

impl Actor {
    pub(super) fn new(disk: FaultStorage, key: u64) -> Self {
        Self { disk, key, notes: Vec::new(), last: None }
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
            Operation::AppendDurable(size) => {
                self.append(&[*size], |payloads| log.append_durable(&payloads[0]))?;
                let (told, below) = (self.now(), self.last.unwrap().get() + 1);
                self.notes.push(Note::Durable { told, below });
                Ok(())
            }
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
            Operation::Follow(count, durable_only) => self.follow(log, *count, *durable_only),
            Operation::Look => {
                self.look(log);
                Ok(())
            }
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
        let below = reached?.get();
        self.notes.push(Note::Durable { told: self.now(), below });
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
        let from = self.last.filter(|lsn| count.is_multiple_of(2) && *lsn < log.committed());
        let from = from.unwrap_or(log.head());
        let options = FollowOptions::new().durable_only(durable_only);
        let reached = if durable_only { log.durable() } else { log.committed() };
        let mut follower = log.follow_with(from, options)?;
        let (mut found, mut ran_dry) = (Records::new(), false);
        while !ran_dry && (found.len() as u64) < count {
            // In time that is counted: it may pass while others append.
            match follower.next_timeout(Duration::from_micros(200)) {
                Ok(Some(record)) => found.push((record.lsn().get(), record.payload().to_vec())),
                Ok(None) | Err(Error::Closed) => ran_dry = true,
                Err(error) => return Err(error),
            }
        }
        let told = self.now();
        if durable_only && let Some((last, _)) = found.last() {
            self.notes.push(Note::Durable { told, below: last + 1 });
        }
        let kept = if ran_dry { reached.get() } else { 0 };
        self.notes.push(Note::Followed { told, from: from.get(), kept, found });
        Ok(())
    }

    fn read(&mut self, log: &Log) {
        let committed = log.committed().get();
        let found = read(log);
        self.notes.push(Note::Read { told: self.now(), committed, found });
    }
}

/// Everything in the log; all of it must be whole.
pub(super) fn read(log: &Log) -> Records {
    let record = |record: Result<crate::Record<'_>>| {
        let record = record.unwrap_or_else(|error| panic!("a record can't be read: {error}"));
        (record.lsn().get(), record.payload().to_vec())
    };
    log.snapshot().iter().map(record).collect()
}
