//! A process whose threads append while another cuts the log off, over and over, is killed.
//!
//! Invariant: a cut that was acknowledged stays, one that was begun took place or did not; whatever
//! else was acknowledged is there, and no address that was cut away is given to other bytes.

use std::collections::BTreeMap;
use std::thread;

use stratalog::{Error, Log, Lsn};

use super::common::{Random, number, seed};
use super::process::{History, Task, Told, open, say};

/// The child: appends, and cuts off what came after a record of some time ago, until it is killed. As
/// a test of its own it does nothing.
#[test]
fn child_that_cuts_until_it_is_killed() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap_or_else(|error| panic!("{error}: {error:?}"));
    thread::scope(|scope| {
        let writers = scope.spawn(|| task.work(&log));
        loop {
            let last = log.snapshot().last().unwrap().map(|record| record.lsn());
            // So that some of what comes next is acknowledged, and some of that lies in other segments.
            let end = log.committed().get() + 90_000;
            while log.committed().get() < end {
                assert!(!writers.is_finished(), "nobody appends any more");
                thread::yield_now();
            }
            let Some(last) = last else { continue };
            say(&format!("cutting {last}"));
            log.truncate_after(last).unwrap();
            say(&format!("cut {last}"));
        }
    });
}

/// What the lines behind a word name, in order.
fn said(told: &Told, word: &str) -> Vec<Lsn> {
    let named = told.lines.iter().filter_map(|line| line.strip_prefix(word));
    named.map(|lsn| lsn.parse().unwrap()).collect()
}

/// The records that a cut behind `last` took, all from there up to the last of them. Another cut
/// followed it behind `next`.
fn gone(log: &Log, last: Lsn, next: Option<Lsn>, records: &BTreeMap<Lsn, Vec<u8>>) -> Vec<Lsn> {
    let snapshot = log.snapshot();
    let is_before_next = |lsn: &Lsn| next.is_none_or(|next| *lsn <= next);
    let from = Lsn::new(last.get() + 1);
    let behind = || records.range(from..).take_while(move |it| is_before_next(it.0));
    let is_gone = |lsn: &Lsn| match snapshot.get(*lsn) {
        Ok(_) => false,
        Err(Error::Cut { .. }) => true,
        Err(other) => panic!("{lsn}: {other}: {other:?}"),
    };
    let gone: Vec<Lsn> = behind().map(|(lsn, _)| *lsn).filter(is_gone).collect();
    let up_to_there = behind().take_while(|(lsn, _)| Some(*lsn) <= gone.last());
    assert_eq!(up_to_there.count(), gone.len(), "some before {:?} are there", gone.last());
    gone
}

#[test]
fn a_cut_that_was_acknowledged_before_a_kill_stays_and_nothing_else_is_lost() {
    let first = seed("kill and cut");
    let mut random = Random::new(first);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("log");
    let mut history = History::default();
    let (mut cuts, mut dropped) = (0, 0);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(8) {
        let calls = 300 + random.below(2500);
        // Every other child has a thread of the log's own.
        let task = Task::endless((first % 1000 * 1000 + round) * 2, 4, &directory);
        let mut child = task.start(&[], "killed_cut::child_that_cuts_until_it_is_killed");
        while child.told.acks < calls && child.hear() {}
        child.kill();
        let (told, status) = child.finish();
        assert!(!status.success(), "the child ended by itself: {status}");
        let (begun, done) = (said(&told, "cutting "), said(&told, "cut "));
        assert!(begun.starts_with(&done) && begun.len() <= done.len() + 1);
        history.add(told);
        let log = open(&directory, round % 2 == 0)
            .unwrap_or_else(|error| panic!("round {round}: {error}: {error:?}"));
        let mut next = None;
        for last in begun.iter().rev() {
            let gone = gone(&log, *last, next.replace(*last), &history.kept);
            dropped += gone.len();
            for lsn in gone {
                history.kept.remove(&lsn);
            }
        }
        cuts += done.len();
        history.check(&log);
        if let Some(last) = done.last() {
            assert!(history.kept.contains_key(last), "{last} was kept");
        }
        println!("round {round}: {} cuts, {} records", done.len(), history.kept.len());
    }
    assert!(cuts > 5 && dropped > 50, "{cuts} cuts, {dropped} records dropped");
}
