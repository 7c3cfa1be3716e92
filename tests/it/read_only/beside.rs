//! A reader beside a writer in another process, which is killed at last, and followed by another.
//!
//! Invariant: what a reader has seen once never changes, and nobody sees anything else at its place.

use super::seen;
use crate::common::{Random, Records, Tag, check_tags, number, read, records, seed};
use crate::process::{History, Task, open};
use std::collections::BTreeMap;
use stratalog::{LogReader, Options};

/// The child: appends until it is killed. As a test of its own it does nothing.
#[test]
fn child_that_appends_beside_a_reader() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap_or_else(|error| panic!("{error}: {error:?}"));
    task.work(&log);
    unreachable!("it appends until it is killed");
}

/// Each writer's calls are in its own order.
fn check_order(records: &Records) {
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    for tag in check_tags(records) {
        let before = last.insert(tag.writer, tag.call);
        assert!(before.is_none_or(|before| before <= tag.call), "{tag:?} comes after {before:?}");
    }
}

/// Reads on from where `known` ends, and checks all of it now and then.
fn look(reader: &LogReader, known: &mut Records, whole: bool) {
    reader.refresh().unwrap();
    let snapshot = reader.snapshot();
    let from = known.last().map_or(snapshot.head(), |(lsn, _)| *lsn);
    let mut news = snapshot.iter_from(from).unwrap();
    if let Some((lsn, payload)) = known.last() {
        let last = news.next().expect("what was seen stays").unwrap();
        assert!(last.lsn() == *lsn && last.payload() == payload);
    }
    for record in news {
        let record = record.unwrap();
        Tag::of(record.payload());
        known.push((record.lsn(), record.payload().to_vec()));
    }
    if whole {
        let (all, error) = read(&snapshot);
        assert!(error.is_none() && all == *known, "{error:?}");
        check_order(known);
    }
    assert!(reader.report().damage.is_empty());
}

#[test]
fn a_reader_beside_a_process_that_is_killed_sees_what_it_appended() {
    let first = seed("read only, beside");
    let mut random = Random::new(first);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("log");
    drop(open(&directory, false).unwrap());
    let reader = Options::new().open_read_only(&directory).unwrap();
    let (mut known, mut history, mut looks) = (Records::new(), History::default(), 0_u64);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(4) {
        let task = Task::endless(first % 1000 * 1000 + round, 4, &directory);
        let child = "read_only::beside::child_that_appends_beside_a_reader";
        let mut child = task.start(&[], child);
        let calls = 200 + random.below(800);
        while child.told.acks < calls && child.hear() {
            look(&reader, &mut known, looks % 256 == 0);
            looks += 1;
        }
        child.kill();
        let (told, status) = child.finish();
        assert!(!status.success() && told.acks >= calls, "the child ended by itself: {status}");
        look(&reader, &mut known, true);
        history.add(told);
        let log = open(&directory, false).unwrap();
        history.check(&log);
        assert_eq!(records(&log), known, "what the next writer finds");
        look(&reader, &mut known, true);
        if round % 2 == 0 {
            log.close().unwrap();
        }
        assert_eq!(seen(&Options::new().open_read_only(&directory).unwrap()), known);
    }
    println!("{looks} looks, {} records", known.len());
}
