//! Every call to the disk fails once, in every way that it can; and then for good.
//!
//! Invariant: the call during which it failed says so, naming what was done to which file. A log that
//! wrote or synced in vain takes nothing more; a full disk while a segment is made goes away. What was
//! acknowledged is there after reopening, with the same cache or after a power cut, and whatever
//! opening hands out is durable.
//!
//! `STRATALOG_ROUNDS` multiplies the power cuts of each fault.

mod reads;
mod story;
mod threads;
mod work;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::ops::Range;

use stratalog::format::{FileKind, classify};
use stratalog::storage::{Event, EventKind, Fault, FaultStorage};
use stratalog::{Error, Op};

use super::common::{number, records, tiny, without_hanging};
use super::failure::assert_poisoned;
use story::{check_cut_while_reopening, check_power_cuts, check_reopened};
use work::{Life, Step, Work, works};

/// The faults that fit an event.
fn faults(event: &Event) -> Vec<Fault> {
    let failing = [Fault::Error(ErrorKind::Other), Fault::NoSpace];
    let late = Fault::Late(ErrorKind::Other);
    let half = event.len as usize / 2;
    match event.kind {
        EventKind::Write => [&failing[..], &[late, Fault::Torn(half), Fault::Short(half)]].concat(),
        EventKind::Sync => {
            let lost = [None, Some(event.number)].map(|seed| Fault::LostSync { seed });
            [&failing[..], &[late], &lost].concat()
        }
        EventKind::Create | EventKind::CreateDirectory | EventKind::Discard => failing.to_vec(),
        _ => [&failing[..], &[late]].concat(),
    }
}

/// Whether a log carries on as if nothing had happened.
fn is_harmless(event: &Event, fault: Fault) -> bool {
    // Giving blocks back saves space, nothing else; and readers need not map what they read.
    let is_for_readers = event.kind == EventKind::Create && event.name == "READERS";
    matches!(fault, Fault::Short(_)) || event.kind == EventKind::Discard || is_for_readers
}

/// What the event was part of.
fn op(event: &Event) -> Op {
    match event.kind {
        EventKind::Create if event.name == "LOCK" => Op::Lock,
        EventKind::CreateDirectory => Op::OpenDirectory,
        EventKind::Create => Op::Create,
        EventKind::Write => Op::Write,
        EventKind::Sync => Op::Sync,
        EventKind::Rename => Op::Rename,
        EventKind::Remove => Op::Remove,
        EventKind::SyncDirectory => Op::SyncDirectory,
        other => panic!("{other:?} does not fail"),
    }
}

/// Whether the disk counts as full, and not as broken: a file was being made.
fn is_full_disk(event: &Event, fault: Fault) -> bool {
    let of_a_new_segment = event.name.ends_with(".seg.tmp")
        && matches!(event.kind, EventKind::Write | EventKind::Sync);
    let makes_a_file = event.kind == EventKind::Create && event.name != "LOCK";
    fault == Fault::NoSpace && (of_a_new_segment || makes_a_file)
}

/// Checks that an error names what failed.
fn check_told(error: &Error, event: &Event, fault: Fault) {
    let file = match error {
        Error::NoSpace { path, .. } if is_full_disk(event, fault) => path,
        Error::Io { op: failed, path, .. } if !is_full_disk(event, fault) => {
            assert_eq!(*failed, op(event));
            path
        }
        other => panic!("{other:?}"),
    };
    let source = std::error::Error::source(error).expect("the disk's own error");
    assert_eq!(source.to_string(), "injected");
    // A file that is being made is called what it will be.
    let expected = event.name.trim_end_matches(".tmp");
    let named = file.file_name().is_some_and(|name| name == expected);
    let removed = event.kind == EventKind::Remove && file.ends_with(&event.name);
    let directory = expected.is_empty() && file.ends_with("faulty");
    assert!(named || removed || directory, "{} is named for {}", file.display(), event.name);
}

/// Does the work while the event fails. Returns it as far as it came.
fn fail_one(work: &Work, event: &Event, fault: Fault) -> Life {
    let disk = work.disk();
    disk.fail(event.number, fault);
    let mut life = Life::new(work, disk);
    for step in &work.steps {
        let before = life.disk.injected();
        let Err(error) = life.step(*step) else {
            let swallowed = life.disk.injected() > before && !is_harmless(event, fault);
            assert!(!swallowed, "{step:?} says Ok");
            continue;
        };
        assert!(life.disk.injected() > before, "{step:?}: {error:?}, though nothing failed");
        check_told(&error, event, fault);
        match (step, &life.log) {
            (Step::Open, _) => {}
            (_, Some(log)) if is_full_disk(event, fault) => assert!(!log.stats().poisoned),
            // The head has moved; opening removes the file.
            (Step::Truncate(_), Some(log)) if event.kind == EventKind::Remove => {
                assert!(!log.stats().poisoned);
            }
            (_, Some(log)) => {
                let Error::Io { op, path, .. } = &error else { panic!("{error:?}") };
                assert_poisoned(log, *op, path);
                break;
            }
            (_, None) => break,
        }
        life.step(*step).unwrap_or_else(|error| panic!("{step:?} again: {error:?}"));
    }
    assert_eq!(life.disk.injected(), 1, "the event comes up");
    life
}

/// The power cuts to try: so many of the nine kinds, others each time.
fn seeds(turn: u64, count: u64) -> Range<u64> {
    let count = count * number("STRATALOG_ROUNDS").unwrap_or(1);
    turn * count..(turn + 1) * count
}

/// Checks what is left when the work has ended: by a failure, or well.
fn check_aftermath(mut life: Life, turn: u64, lost_sync: bool) {
    // Ends the log, without the mark that it was closed if anything failed.
    life.log = None;
    let Life { disk, story, .. } = life;
    let restart = || disk.restart_at(disk.events());
    check_reopened(&restart(), &story, story.committed, seeds(turn, if lost_sync { 9 } else { 2 }));
    check_power_cuts(&disk, &story, seeds(turn, if lost_sync { 9 } else { 3 }));
    if lost_sync {
        check_cut_while_reopening(&restart(), &story, turn);
        // The system needed the memory.
        let disk = restart();
        disk.drop_caches();
        check_reopened(&disk, &story, story.durable, seeds(turn, 2));
    }
}

/// What a work does when nothing fails.
fn events(work: &Work) -> Vec<Event> {
    let mut life = Life::new(work, work.disk());
    for step in &work.steps {
        life.step(*step).unwrap_or_else(|error| panic!("{}: {step:?}: {error}", work.name));
    }
    life.disk.history()
}

/// Runs `check` for each event and fault of all works, numbered; returns how many there were.
fn sweep(check: fn(&Work, &Event, Fault, u64)) -> u64 {
    let mut turns = 0;
    for work in works() {
        for event in events(&work) {
            for fault in faults(&event) {
                let what = format!("{}: {fault:?} at {event:?}", work.name);
                let (work, event) = (work.clone(), event.clone());
                let turn = turns;
                turns += 1;
                let told = what.clone();
                without_hanging(&what, move || {
                    let _context = Context(told);
                    check(&work, &event, fault, turn);
                });
            }
        }
    }
    turns
}

/// Says what was going on if a check fails.
struct Context(String);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("during {}", self.0);
        }
    }
}

#[test]
fn a_failed_sync_of_the_directory_names_the_directory() {
    let disk = FaultStorage::new();
    disk.fail_when(|event| {
        (event.kind == EventKind::SyncDirectory).then_some(Fault::Error(ErrorKind::Other))
    });
    let Err(error) = tiny().open_with(disk) else { panic!("a log without a durable name") };
    let Error::Io { op: Op::SyncDirectory, path, .. } = &error else { panic!("{error:?}") };
    assert!(path.ends_with("faulty"), "{error}");
}

#[test]
fn the_works_make_every_kind_of_event_and_of_recovery() {
    let (mut kinds, mut seen) = (HashSet::new(), [false; 5]);
    for work in works() {
        let disk = work.disk();
        let mut life = Life::new(&work, disk);
        life.step(Step::Open).unwrap();
        let recovery = life.log.as_ref().unwrap().recovery();
        let now = [
            recovery.created,
            recovery.rewritten_bytes > 0,
            recovery.cut.is_some(),
            !recovery.set_aside.is_empty(),
            recovery.removed.len() > 1,
        ];
        seen.iter_mut().zip(now).for_each(|(seen, now)| *seen |= now);
        kinds.extend(events(&work).into_iter().map(|event| event.kind));
    }
    assert_eq!(seen, [true; 5]);
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn whatever_fails_once_is_told_and_takes_nothing_that_was_promised() {
    let turns = sweep(|work, event, fault, turn| {
        let life = fail_one(work, event, fault);
        check_aftermath(life, turn, matches!(fault, Fault::LostSync { .. }));
    });
    println!("{turns} faults");
    assert!(turns > 1000, "{turns}");
}

#[test]
fn a_disk_that_fails_for_good_takes_nothing_that_was_promised() {
    let turns = sweep(|work, event, fault, turn| {
        let first = event.number;
        let disk = work.disk();
        disk.fail_when(move |event| (event.number >= first).then_some(fault));
        let mut life = Life::new(work, disk);
        let mut failures = work.steps.iter().map(|step| life.step(*step));
        let failure = failures.find_map(Result::err);
        match &failure {
            None => assert!(is_harmless(event, fault)),
            Some(Error::Io { .. } | Error::NoSpace { .. }) => {}
            Some(other) => panic!("{other:?}"),
        }
        check_aftermath(life, turn, false);
    });
    assert!(turns > 1000, "{turns}");
}

#[test]
fn what_opening_hands_out_after_a_lost_sync_is_durable() {
    for work in works() {
        let mut lost = 0;
        for event in events(&work) {
            let is_segment = matches!(classify(&event.name), FileKind::Segment(_));
            if event.kind != EventKind::Sync || !is_segment {
                continue;
            }
            let work = work.clone();
            without_hanging(&format!("{}: {event:?}", work.name), move || lose_sync(&work, &event));
            lost += 1;
        }
        assert!(lost > 1, "{}: {lost}", work.name);
    }
}

/// Loses one sync, opens with the same cache, and cuts the power right then.
fn lose_sync(work: &Work, event: &Event) {
    let Life { disk, story, log, .. } = fail_one(work, event, Fault::LostSync { seed: None });
    drop(log);
    let disk = disk.restart_at(disk.events());
    let opened = story::open(&disk);
    let handed_out = story.clone().opened(&opened, story.committed).unwrap();
    for seed in 0..9 {
        let left = FaultStorage::from_image(disk.crash(seed));
        let found = records(&story::open(&left));
        assert!(found == handed_out, "{}: {event:?}, power cut {seed}", work.name);
    }
}
