//! A reader beside a writer in another process that drops the beginning of the log, puts the files to
//! new use, and cuts the end off.
//!
//! Invariant: what a reader has shown never changes while a snapshot of it lives, whatever becomes of
//! its files; and no address ever shows other bytes than it did before.

use std::collections::{BTreeMap, VecDeque};
use std::thread;

use stratalog::{Error, Lsn, Options, Snapshot};

use crate::common::{Random, Records, Tag, number, read, seed};
use crate::process::{Task, open, say};

/// The child: appends, drops and cuts until it is killed. As a test of its own it does nothing.
#[test]
fn child_that_drops_and_cuts_beside_a_reader() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap_or_else(|error| panic!("{error}: {error:?}"));
    thread::scope(|scope| {
        let writers = scope.spawn(|| task.work(&log));
        let mut marks = VecDeque::new();
        for turn in 1_u64.. {
            let last = log.snapshot().last().unwrap().map(|record| record.lsn());
            let end = log.committed().get() + 40_000;
            while log.committed().get() < end {
                assert!(!writers.is_finished(), "nobody appends any more");
                thread::yield_now();
            }
            if let Some(last) = last.filter(|_| turn % 8 == 0) {
                log.truncate_after(last).unwrap();
            }
            marks.push_back(log.sync().unwrap());
            if marks.len() > 6 {
                // What a cut took leaves no place to begin.
                match log.truncate_before(marks.pop_front().unwrap()) {
                    Ok(_) | Err(Error::Cut { .. }) => {}
                    Err(error) => panic!("{error}: {error:?}"),
                }
            }
            say(&format!("recycled {}", log.stats().segments_recycled));
        }
    });
}

/// Reads as far as it goes, which the writer may have made shorter meanwhile.
fn read_on(snapshot: &Snapshot) -> Records {
    let (records, error) = read(snapshot);
    match error {
        None | Some(Error::Truncated { .. } | Error::Cut { .. }) => records,
        Some(error) => panic!("{error}: {error:?}"),
    }
}

/// All that was ever seen, by address.
#[derive(Default)]
struct Known(BTreeMap<Lsn, Tag>);

impl Known {
    fn add(&mut self, records: &Records) {
        for (lsn, payload) in records {
            // Its bytes follow from its tag.
            let tag = Tag::of(payload);
            let before = self.0.insert(*lsn, tag);
            assert!(before.is_none_or(|before| before == tag), "{lsn}: {before:?}, then {tag:?}");
        }
        assert!(records.is_sorted_by_key(|(lsn, _)| *lsn));
    }
}

#[test]
fn a_reader_beside_a_process_that_drops_and_cuts_keeps_what_it_shows() {
    let first = seed("read only, changing");
    let mut random = Random::new(first);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("log");
    drop(open(&directory, false).unwrap());
    let (mut known, mut looks, mut recycled) = (Known::default(), 0, 0);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(3) {
        let reader = Options::new().open_read_only(&directory).unwrap();
        // Even seeds divided by four have a thread of the log's own, which puts files to new use.
        let task = Task::endless((first % 1000 * 1000 + round) * 4, 3, &directory);
        let child = "read_only::changing::child_that_drops_and_cuts_beside_a_reader";
        let mut child = task.start(&[], child);
        let turns = 60 + random.below(60) as usize;
        let mut kept: VecDeque<(Snapshot, Records)> = VecDeque::new();
        let mut head = reader.head();
        let mut heard = 0;
        while child.told.lines.len() < turns && child.hear() {
            heard += 1;
            if heard % 40 > 0 {
                continue;
            }
            // Now and then nothing is mapped, and the writer may use files again.
            if kept.len() > 3 || random.chance(12) {
                kept.clear();
            }
            reader.refresh().unwrap_or_else(|error| panic!("{error}: {error:?}"));
            assert!(reader.head() >= head && reader.report().damage.is_empty());
            head = reader.head();
            let snapshot = reader.snapshot();
            let records = read_on(&snapshot);
            known.add(&records);
            kept.push_back((snapshot, records));
            for (snapshot, records) in &kept {
                assert!(read(snapshot).0.starts_with(records), "what was read stays");
            }
            looks += 1;
        }
        child.kill();
        let (told, status) = child.finish();
        assert!(!status.success() && told.lines.len() >= turns, "it ended by itself: {status}");
        let last = told.lines.iter().rev().find_map(|line| line.strip_prefix("recycled "));
        recycled += last.map_or(0, |count| count.parse::<u64>().unwrap());
        let log = open(&directory, false).unwrap();
        let (records, error) = read(&log.snapshot());
        assert!(error.is_none(), "{error:?}");
        known.add(&records);
        for (snapshot, records) in &kept {
            assert!(read(snapshot).0.starts_with(records), "what was read stays");
        }
    }
    println!("{looks} looks, {} records, {recycled} files used again", known.0.len());
    assert!(looks > 50 && known.0.len() > 100, "{looks} {}", known.0.len());
}
