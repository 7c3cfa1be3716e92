//! A storage that fails: what each kind of failure means for the log in use; and one that panics in
//! each call in turn.
//!
//! Invariant: nothing that was acknowledged is lost or made up, nobody waits for ever, and what
//! failed stays failed until the log is opened anew.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use stratalog::storage::MemoryStorage;
use stratalog::{Error, Log, Op};

use super::common::{Records, filled, read, records, tiny, without_hanging};
use super::faults::{Rig, is_frame_write, is_segment_sync};
use super::tap::{Call, Event, Tap, Verdict, Watch};

/// Appends until something fails; returns what was acknowledged, and the failure.
fn append_until_failure(log: &Log) -> (Records, Error) {
    let mut acknowledged = Records::new();
    loop {
        let payload = filled(acknowledged.len() as u64, 200);
        match log.append_durable(&payload) {
            Ok(lsn) => acknowledged.push((lsn, payload)),
            Err(error) => return (acknowledged, error),
        }
    }
}

/// Checks that nothing more can be appended or synced, and that each call says why.
pub(crate) fn assert_poisoned(log: &Log, op: Op, file: &Path) {
    let tail = log.tail();
    let failures = vec![
        log.append(b"more").unwrap_err(),
        log.append_buffered(b"more").unwrap_err(),
        log.append_durable(b"more").unwrap_err(),
        log.append_with(4, |_| ()).unwrap_err(),
        log.append_batch(&["more"]).unwrap_err(),
        log.roll().unwrap_err(),
        log.commit().unwrap_err(),
        log.sync().unwrap_err(),
        log.sync_to(log.tail()).unwrap_err(),
    ];
    for failure in failures {
        let Error::Poisoned { op: first, path, .. } = &failure else { panic!("{failure:?}") };
        assert_eq!((*first, path.as_path()), (op, file));
        let source = std::error::Error::source(&failure).expect("the first cause");
        assert_eq!(source.to_string(), "injected");
    }
    assert!(log.stats().poisoned);
    assert_eq!(log.tail(), tail);
}

fn fails_for_good(applies: fn(&Event) -> bool, op: Op, kind: ErrorKind) {
    for skip in 0..50 {
        let rig = Rig::new();
        let log = rig.open(false).unwrap();
        let before = log.append_durable(b"before").unwrap();
        let early = log.snapshot();
        rig.plan(applies, skip, 1, Verdict::Fail(kind));
        let (acknowledged, failure) = append_until_failure(&log);
        let Error::Io { op: failed, path, source, .. } = failure else { panic!("{failure:?}") };
        assert_eq!((failed, source.kind()), (op, kind));
        assert_poisoned(&log, op, &path);

        assert_eq!(early.get(before).unwrap().payload(), b"before");
        let (seen, error) = read(&log.snapshot());
        assert_eq!(seen[1..][..acknowledged.len()], acknowledged);
        assert!(matches!(error, None | Some(Error::Poisoned { .. })), "{error:?}");
        assert!(log.close().is_err(), "closing after a failure has to say so");

        let reopened = tiny().open_with(rig.disk.clone()).unwrap();
        assert!(!reopened.recovery().clean);
        let seen = records(&reopened);
        assert_eq!(seen[1..][..acknowledged.len()], acknowledged);
        assert!(seen.len() <= acknowledged.len() + 2, "more than what was in doubt is there");
    }
}

#[test]
fn a_failed_write_of_a_frame_poisons_for_good() {
    fails_for_good(is_frame_write, Op::Write, ErrorKind::Other);
    // There were blocks for it: on a write a full disk is no better than any other error.
    fails_for_good(is_frame_write, Op::Write, ErrorKind::StorageFull);
}

#[test]
fn a_failed_sync_poisons_for_good() {
    fails_for_good(is_segment_sync, Op::Sync, ErrorKind::Other);
    fails_for_good(is_segment_sync, Op::Sync, ErrorKind::StorageFull);
}

#[test]
fn a_failure_of_making_a_segment_known_poisons_for_good() {
    let is_control_sync = |event: &Event| event.call == Call::Sync && event.name == "control";
    fails_for_good(is_control_sync, Op::Sync, ErrorKind::Other);
    fails_for_good(|event| event.call == Call::SyncDirectory, Op::SyncDirectory, ErrorKind::Other);
    fails_for_good(|event| event.call == Call::Rename, Op::Rename, ErrorKind::Other);
}

/// Whether a call is one of those that are to fail.
type Applies = fn(&Event) -> bool;

/// Fails every call that makes a segment known, but not before all other threads wait for it.
#[derive(Debug, Default)]
struct Awaited {
    /// It holds the log, which holds this: to be taken out in the end.
    fails: Mutex<Option<(Log, Applies)>>,
    failed: AtomicU64,
}

const APPENDERS: u64 = 8;

impl Watch for Awaited {
    fn before(&self, event: &Event) -> Verdict {
        let fails = self.fails.lock().unwrap().clone();
        match fails {
            Some((log, applies)) if applies(event) => {
                while log.stats().segment_misses < APPENDERS {
                    thread::yield_now();
                }
                self.failed.fetch_add(1, Ordering::Relaxed);
                Verdict::Fail(ErrorKind::Other)
            }
            _ => Verdict::Go,
        }
    }
}

fn appenders_meet_a_failing(applies: Applies) {
    let watch = Arc::new(Awaited::default());
    let log = tiny().open_with(Tap::new(MemoryStorage::new(), watch.clone())).unwrap();
    log.append(b"first").unwrap();
    *watch.fails.lock().unwrap() = Some((log.clone(), applies));
    thread::scope(|scope| {
        for _ in 0..APPENDERS {
            scope.spawn(|| while log.append(&[1; 700]).is_ok() {});
        }
    });
    let held = watch.fails.lock().unwrap().take();
    drop(held);
    assert_eq!(watch.failed.load(Ordering::Relaxed), 1, "what failed was tried again");
}

#[test]
fn a_segment_that_could_not_be_made_known_is_not_made_again_by_another_thread() {
    let calls: [Applies; 3] = [
        |event| event.call == Call::SyncDirectory,
        |event| event.call == Call::Rename,
        |event| event.call == Call::Sync && event.name == "control",
    ];
    without_hanging("an appender", move || {
        for _ in 0..20 {
            calls.into_iter().for_each(appenders_meet_a_failing);
        }
    });
}

#[test]
fn short_and_interrupted_writes_are_carried_on() {
    for verdict in [Verdict::Short(7), Verdict::Fail(ErrorKind::Interrupted)] {
        let rig = Rig::new();
        let log = rig.open(false).unwrap();
        let (mut expected, mut failed) = (Records::new(), 0);
        for key in 0..200 {
            rig.plan(|event| event.call == Call::Write, key % 3, 2, verdict);
            let payload = filled(key, 150);
            expected.push((log.append(&payload).unwrap(), payload));
            failed += rig.failed();
        }
        assert!(failed > 100);
        log.close().unwrap();
        assert_eq!(records(&rig.open(false).unwrap()), expected);
    }
}

#[test]
fn every_waiter_is_told_of_a_failed_sync_or_write() {
    for (applies, op) in
        [(is_segment_sync as fn(&Event) -> bool, Op::Sync), (is_frame_write, Op::Write)]
    {
        for round in 0..30 {
            let rig = Rig::new();
            let log = rig.open(round % 2 == 0).unwrap();
            log.append_durable(b"before").unwrap();
            rig.plan(applies, round, u64::MAX, Verdict::Fail(ErrorKind::Other));
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let log = log.clone();
                    thread::spawn(move || append_until_failure(&log))
                })
                .collect();
            let ends = without_hanging("a waiter", || {
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            // Two calls may fail at the same time, each in its own thread; one of them was first.
            let mut first_causes = BTreeSet::new();
            for (_, failure) in &ends {
                match failure {
                    Error::Io { op: failed, .. } => assert_eq!(*failed, op),
                    Error::Poisoned { op: first, path, .. } => {
                        assert_eq!(*first, op);
                        first_causes.insert(path.clone());
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(first_causes.len(), 1, "one cause was the first: {first_causes:?}");
            assert!(log.close().is_err());
            let reopened = tiny().open_with(rig.disk).unwrap();
            let seen = records(&reopened);
            for (acknowledged, _) in ends {
                assert!(acknowledged.iter().all(|record| seen.contains(record)));
            }
        }
    }
}

/// Opens, appends in all ways over several segments, closes; stops at the first error or panic.
fn work(rig: &Rig, background: bool) -> (Records, Option<Error>) {
    let mut done = Records::new();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let log = rig.open(background)?;
        for key in 0..60 {
            let payload = filled(key, 400);
            let lsn = match key % 4 {
                0 => log.append_durable(&payload)?,
                1 => log.append(&payload)?,
                2 => log.append_batch(&[&payload])?.start,
                _ => {
                    log.append_buffered(&payload)?;
                    log.sync()?;
                    continue;
                }
            };
            done.push((lsn, payload));
        }
        log.close()
    }));
    let failure = match ended {
        Ok(result) => result.err(),
        Err(_panic) => None,
    };
    (done, failure)
}

#[test]
fn a_storage_that_panics_hangs_nobody() {
    for background in [false, true] {
        let mut skip = 0;
        while panics_at(skip, background) {
            skip += 1;
        }
        assert!(skip > 50, "{skip} changes");
    }
}

/// Panics in one change, and checks what is there afterwards; false if there are not so many.
fn panics_at(skip: u64, background: bool) -> bool {
    let rig = Arc::new(Rig::new());
    rig.plan(|event| event.call.changes(), skip, 1, Verdict::Panic);
    let (done, failure) = without_hanging(&format!("a panic at change {skip}"), {
        let rig = Arc::clone(&rig);
        move || work(&rig, background)
    });
    if rig.failed() == 0 {
        assert!(failure.is_none(), "{failure:?}");
        return false;
    }
    let told = matches!(&failure, None | Some(Error::Io { .. } | Error::Poisoned { .. }));
    assert!(told, "change {skip}: {failure:?}");
    let reopened = tiny().open_with(rig.disk.clone()).unwrap_or_else(|error| {
        panic!("a panic at change {skip}, after {failure:?}: {error}: {error:?}")
    });
    let seen = records(&reopened);
    for record in &done {
        assert!(seen.contains(record), "change {skip}: {} is lost", record.0);
    }
    true
}

#[test]
fn a_storage_that_panics_under_one_thread_poisons_for_the_others() {
    for applies in [is_segment_sync as fn(&Event) -> bool, is_frame_write] {
        let rig = Rig::new();
        let log = rig.open(true).unwrap();
        rig.plan(applies, 20, 1, Verdict::Panic);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let log = log.clone();
                thread::spawn(move || append_until_failure(&log))
            })
            .collect();
        let ends: Vec<_> = without_hanging("a waiter", || {
            threads.into_iter().map(thread::JoinHandle::join).collect()
        });
        assert!(ends.iter().filter(|end| end.is_err()).count() <= 1, "one thread saw the panic");
        for (_, failure) in ends.iter().flatten() {
            assert!(matches!(failure, Error::Poisoned { op: Op::Panicked, .. }), "{failure:?}");
        }
        let failure = log.append(b"more").unwrap_err();
        assert!(matches!(failure, Error::Poisoned { op: Op::Panicked, .. }), "{failure:?}");
        assert!(log.close().is_err());
        let seen = records(&tiny().open_with(rig.disk).unwrap());
        for (acknowledged, _) in ends.into_iter().flatten() {
            assert!(acknowledged.iter().all(|record| seen.contains(record)));
        }
    }
}
