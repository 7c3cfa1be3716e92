//! [`Life`]: a log from its opening until everyone is done with it, and [`Plan`]: what they do.
//!
//! Invariant: a life is a function of the disk that it begins with and of its plan.

use std::time::Duration;

use super::ledger::{Crash, Ledger, Note, Shown};
use super::operation::{Actor, Operation, read};
use crate::random::Random;
use crate::storage::FaultStorage;
use crate::sync::schedule;
use crate::sync::spawn;
use crate::{Log, Options};

/// How a life ends, if nothing happens before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The log is closed when all are done.
    Close,
    /// The last thread that drops its handle closes.
    Drop,
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) options: Options,
    zero_fill: bool,
    /// How far apart switches are.
    pace: u64,
    /// What each thread does.
    pub(super) threads: Vec<Vec<Operation>>,
    ending: Ending,
}

impl Plan {
    /// Several threads, each of which does up to so many things.
    pub(super) fn busy(seed: u64, operations_max: u64) -> Self {
        let mut random = Random::new(seed);
        let segment_bytes = random.one_of(&[16, 16, 16, 16, 20, 32]) << 10;
        let of_batches = random.chance(20);
        let mut options = Options::new();
        options
            .segment_bytes(segment_bytes)
            .write_buffer_bytes(
                random.one_of(if of_batches { &[32, 64] } else { &[4, 4, 4, 8] }) << 10,
            )
            .background(random.chance(60));
        if random.chance(10) {
            options.commit_delay(Duration::from_micros(50));
        }
        let mut threads = Vec::new();
        for number in 0..=random.below(4) {
            let count = 1 + random.below(operations_max);
            let draw = |_| {
                if of_batches {
                    Operation::draw_of_batches(&mut random, segment_bytes, number > 0)
                } else {
                    Operation::draw(&mut random, segment_bytes)
                }
            };
            threads.push((0..count).map(draw).collect::<Vec<_>>());
        }
        if random.chance(10) {
            threads[0].push(Operation::Close);
        }
        Self {
            seed,
            options,
            zero_fill: random.chance(40),
            pace: random.one_of(&[20, 40, 100, 300, 2000]),
            threads,
            ending: random.one_of(&[Ending::Close, Ending::Drop]),
        }
    }

    /// The log is opened, looked at, and sometimes appended to a little.
    pub(super) fn look(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = random.below(16).saturating_sub(11);
        let draw = |_| Operation::draw(&mut random, 16 << 10);
        let operations: Vec<_> = (0..count).map(draw).collect();
        let mut options = Options::new();
        options.segment_bytes(16 << 10).write_buffer_bytes(4 << 10).background(false);
        Self {
            seed,
            options,
            zero_fill: random.chance(20),
            pace: 1000,
            threads: if operations.is_empty() { Vec::new() } else { vec![operations] },
            ending: Ending::Drop,
        }
    }
}

#[derive(Debug)]
pub(super) struct Life {
    pub(super) disk: FaultStorage,
    pub(super) ledger: Ledger,
    pub(super) shown: Shown,
    /// How many events there were when it began, when the log was open, and at the end.
    pub(super) began: u64,
    pub(super) opened: u64,
    pub(super) ended: u64,
}

impl Life {
    /// Lives according to a plan, from the first member of a schedule.
    pub(super) fn live(disk: FaultStorage, mut ledger: Ledger, plan: &Plan) -> Self {
        schedule::reseed(plan.seed);
        schedule::pace(plan.pace);
        disk.set_zero_fill(plan.zero_fill);
        let began = disk.events();
        let log = plan
            .options
            .open_with(disk.clone())
            .unwrap_or_else(|error| panic!("the log can't be opened: {error}"));
        let opened = schedule::quietly(|| disk.events());
        let shown = show(&log);
        ledger.open(&shown, (began, opened));

        let mut random = Random::new(plan.seed);
        let mut threads = Vec::new();
        for operations in plan.threads.clone() {
            let mut actor = Actor::new(disk.clone(), random.next());
            let log = log.clone();
            let work = move || {
                actor.perform_all(&log, &operations);
                drop(log);
                actor.notes
            };
            threads.push(spawn("appender", work).unwrap());
        }
        let kept = (plan.ending == Ending::Close).then_some(log);
        let join = |thread: crate::sync::JoinHandle<_>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let mut notes: Vec<Note> = threads.into_iter().flat_map(join).collect();
        if let Some(log) = kept {
            let mut actor = Actor::new(disk.clone(), 0);
            actor.perform_all(&log, &[Operation::Read, Operation::Close]);
            notes.extend(actor.notes);
        }
        ledger.enter(&notes);
        ledger.check_reads(&notes);
        Self { ended: disk.events(), disk, ledger, shown, began, opened }
    }

    /// The disk that a crash leaves, and what it must hold.
    pub(super) fn after(&self, crash: Crash) -> (FaultStorage, Ledger) {
        let disk = match crash {
            Crash::Power { event, seed } => {
                FaultStorage::from_image(self.disk.crash_at(event, seed))
            }
            Crash::Process { event } => self.disk.restart_at(event),
        };
        (disk, self.ledger.after(crash))
    }
}

fn show(log: &Log) -> Shown {
    schedule::quietly(|| Shown {
        found: read(log).1,
        head: log.head().get(),
        app_state: log.app_state(),
        durable: log.durable().get(),
        committed: log.committed().get(),
        tail: log.tail().get(),
        clean: log.recovery().clean,
    })
}
