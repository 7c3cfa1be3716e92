//! Three threads append, beside the log's own, while something fails.
//!
//! Invariant: which call fails follows from the order in which threads happen to run; what is checked
//! does not.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::thread;

use stratalog::format::{BLOCK_BYTES, FileKind, classify};
use stratalog::storage::{Event, EventKind, Fault, FaultStorage};
use stratalog::{Error, Log, Op};

use super::super::common::{
    Random, Records, TINY, Tag, check_tags, number, records, seed, tiny, without_hanging,
};
use super::super::tap::{self, Call, Tap, Verdict, Watch};
use super::story::open;

/// What one thread was told.
#[derive(Default)]
struct Told {
    /// The tags of everything that it tried to append, in order.
    tried: Vec<Tag>,
    /// What the log acknowledged, and whether as committed, and as durable.
    appended: Records,
    committed: usize,
    durable: usize,
    failure: Option<Error>,
}

impl Told {
    /// Appends in all ways until something but a full disk fails.
    fn append_until_failure(log: &Log, writer: u32, mut random: Random) -> Self {
        let mut told = Self::default();
        for call in 0..25 {
            match told.append(log, writer, call, &mut random) {
                Ok(()) => {}
                Err(Error::NoSpace { .. }) => {
                    // Nothing was appended.
                    told.tried.retain(|tag| tag.call != call);
                }
                Err(error) => {
                    told.failure = Some(error);
                    break;
                }
            }
        }
        told
    }

    fn append(
        &mut self,
        log: &Log,
        writer: u32,
        call: u32,
        random: &mut Random,
    ) -> Result<(), Error> {
        let kind = random.below(5);
        let parts = if kind == 0 { 3 } else { 1 };
        let tags = (0..parts).map(|part| Tag { writer, call, part, parts });
        let payloads: Vec<_> =
            tags.clone().map(|tag| tag.payload(random.below(700) as usize)).collect();
        self.tried.extend(tags);
        let mut lsn = match kind {
            0 => log.append_batch(&payloads)?.start,
            1 => log.append_buffered(&payloads[0])?,
            2 => log.append(&payloads[0])?,
            _ => log.append_durable(&payloads[0])?,
        };
        for payload in payloads {
            let next = lsn.get() + 16 + payload.len().next_multiple_of(8) as u64;
            self.appended.push((lsn, payload));
            lsn = stratalog::Lsn::new(next);
        }
        match kind {
            1 => {}
            0 | 2 => self.committed = self.appended.len(),
            _ => {
                self.committed = self.appended.len();
                self.durable = self.appended.len();
            }
        }
        if call % 8 == 7 {
            // A full disk refuses it, and nothing else has happened.
            match log.roll() {
                Err(Error::NoSpace { .. }) => {}
                rolled => rolled?,
            }
        }
        Ok(())
    }
}

/// Checks what was found against what all threads were told. `promised` is how many of a thread's
/// records have to be there.
fn check(seen: &Records, threads: &[Told], promised: fn(&Told) -> usize) {
    let tags = check_tags(seen);
    let there: BTreeSet<_> = seen.iter().map(|(lsn, _)| *lsn).collect();
    let last = seen.last().map(|(lsn, _)| *lsn);
    for (writer, told) in threads.iter().enumerate() {
        let own: Vec<Tag> =
            tags.iter().copied().filter(|tag| tag.writer as usize == writer).collect();
        assert_eq!(own, told.tried[..own.len()], "thread {writer}: what it appended, in order");
        for (number, record) in told.appended.iter().enumerate() {
            if number < promised(told) || Some(record.0) <= last {
                assert!(there.contains(&record.0), "thread {writer}: record {number} is lost");
            }
        }
        assert!(told.appended.iter().all(|record| {
            seen.binary_search_by_key(&record.0, |seen| seen.0).is_ok_and(|at| seen[at] == *record)
                || Some(record.0) > last
        }));
    }
}

type Applies = fn(&Event) -> bool;

fn is_segment(event: &Event) -> bool {
    matches!(classify(&event.name), FileKind::Segment(_))
}

/// What is made to fail, by the call and the file.
const TARGETS: [(&str, Applies); 9] = [
    ("frames", |event| {
        event.kind == EventKind::Write && is_segment(event) && event.offset < TINY - BLOCK_BYTES
    }),
    ("trailer", |event| {
        event.kind == EventKind::Write && is_segment(event) && event.offset == TINY - BLOCK_BYTES
    }),
    ("sync", |event| event.kind == EventKind::Sync && is_segment(event)),
    ("slot", |event| event.kind == EventKind::Write && event.name == "control"),
    ("sync of the slot", |event| event.kind == EventKind::Sync && event.name == "control"),
    ("create", |event| event.kind == EventKind::Create && event.name.ends_with(".seg.tmp")),
    ("new segment", |event| event.len > 0 && event.name.ends_with(".seg.tmp")),
    ("rename", |event| event.kind == EventKind::Rename),
    ("directory", |event| event.kind == EventKind::SyncDirectory),
];

/// Runs the threads while the `skip`-th of the events that `applies` picks fails, and after every third
/// such failure everything; false if there are not so many.
fn fail_one(applies: Applies, skip: u64, fault: Fault, start: u64) -> bool {
    let disk = FaultStorage::new().without_journal();
    disk.set_zero_fill(skip % 2 == 1);
    let log = tiny().background(true).open_with(disk.clone()).unwrap();
    let failed = Arc::new(Mutex::new(None));
    let (mut left, noted) = (skip, Arc::clone(&failed));
    let for_good = skip % 3 == 2;
    disk.fail_when(move |event| {
        let mut noted = noted.lock().unwrap();
        if noted.is_some() {
            return for_good.then_some(fault);
        }
        if applies(event) && left == 0 {
            *noted = Some(event.clone());
            return Some(fault);
        }
        left -= u64::from(applies(event));
        None
    });
    let threads: Vec<_> = (0..3)
        .map(|writer| {
            let (log, random) = (log.clone(), Random::new(start + skip * 4 + u64::from(writer)));
            thread::spawn(move || Told::append_until_failure(&log, writer, random))
        })
        .collect();
    let told: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let closed = log.close();
    let failed = failed.lock().unwrap().clone();
    let refused = told.iter().find_map(|told| told.failure.as_ref());
    match &failed {
        None => assert!(closed.is_ok() && refused.is_none(), "{closed:?} {refused:?}"),
        Some(event) => {
            let is_full = fault == Fault::NoSpace && event.name.ends_with(".seg.tmp");
            let is_full = is_full && event.kind != EventKind::Rename && !for_good;
            assert_eq!(closed.is_ok(), is_full, "{fault:?} at {event:?}: {closed:?}");
            assert!(!is_full || refused.is_none(), "{refused:?}");
        }
    }
    for error in told.iter().filter_map(|told| told.failure.as_ref()) {
        assert!(matches!(error, Error::Io { .. } | Error::Poisoned { .. }), "{error:?}");
        let source = std::error::Error::source(error).expect("the disk's own error");
        assert_eq!(source.to_string(), "injected");
    }
    disk.heal();
    let reopened = disk.restart_at(disk.events());
    let log = open(&reopened);
    let seen = records(&log);
    check(&seen, &told, |told| told.committed);
    for seed in 0..2 {
        let left = FaultStorage::from_image(reopened.crash(skip * 2 + seed));
        assert!(records(&open(&left)) == seen, "a power cut after opening takes something");
    }
    for seed in 0..3 {
        let left = FaultStorage::from_image(disk.crash(skip * 3 + seed));
        check(&records(&open(&left)), &told, |told| told.durable);
    }
    failed.is_some()
}

#[test]
fn whatever_fails_under_several_threads_takes_nothing_that_was_promised() {
    let start = seed("faults under threads");
    let rounds = number("STRATALOG_ROUNDS").unwrap_or(1);
    let faults = [
        Fault::Error(ErrorKind::Other),
        Fault::NoSpace,
        Fault::Late(ErrorKind::Other),
        Fault::LostSync { seed: None },
        Fault::Torn(100),
    ];
    let mut failures = 0;
    for round in 0..rounds {
        for (name, applies) in TARGETS {
            let mut before = failures;
            for (turn, skip) in (0..).zip([0, 1, 2, 3, 4, 6, 9, 13, 20, 31, 45]) {
                let fault = faults[(turn + round as usize) % faults.len()];
                let what = format!("{fault:?} at {name} {skip}");
                let told = what.clone();
                failures += u64::from(without_hanging(&what, move || {
                    let _context = super::Context(told);
                    fail_one(applies, skip, fault, start + round)
                }));
            }
            before = failures - before;
            assert!(before > 2, "{name}: {before} failures");
        }
    }
    println!("{failures} failures under threads");
}

/// Holds one call until all threads wait for it, and then fails it.
#[derive(Debug)]
struct Gate {
    call: Call,
    /// Taken by the call that is held.
    log: Mutex<Option<Log>>,
}

const WAITERS: u64 = 4;

impl Watch for Gate {
    fn before(&self, event: &tap::Event) -> Verdict {
        let frames = BLOCK_BYTES..TINY - BLOCK_BYTES;
        if event.call != self.call || (event.call == Call::Write && !frames.contains(&event.offset))
        {
            return Verdict::Go;
        }
        let Some(log) = self.log.lock().unwrap().take() else { return Verdict::Go };
        let all = log.durable().get() + WAITERS * 16;
        while log.tail().get() < all {
            thread::yield_now();
        }
        // Those who have come so far are about to park. One who has not yet finds out by itself.
        (0..2000).for_each(|_| thread::yield_now());
        Verdict::Fail(ErrorKind::Other)
    }
}

#[test]
fn those_who_are_parked_are_told_of_a_failure() {
    for (call, op) in [(Call::Sync, Op::Sync), (Call::Write, Op::Write)].repeat(10) {
        let gate = Arc::new(Gate { call, log: Mutex::new(None) });
        let disk = FaultStorage::new();
        let log = tiny().open_with(Tap::new(disk.clone(), gate.clone())).unwrap();
        log.append_durable(b"").unwrap();
        *gate.log.lock().unwrap() = Some(log.clone());
        let append = || {
            let log = log.clone();
            thread::spawn(move || log.append_durable(b"").unwrap_err())
        };
        let threads: Vec<_> = (0..WAITERS).map(|_| append()).collect();
        let failures: Vec<_> = without_hanging("one who waits", || {
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for failure in &failures {
            let (Error::Io { op: failed, .. } | Error::Poisoned { op: failed, .. }) = failure
            else {
                panic!("{failure:?}")
            };
            assert_eq!(*failed, op);
        }
        let own = failures.iter().filter(|failure| matches!(failure, Error::Io { .. }));
        assert_eq!(own.count(), 1, "{failures:?}");
        assert!(log.close().is_err());
        assert!(!records(&open(&disk)).is_empty());
    }
}
