//! A process that appends and archives at the same time is killed, over and over in the same
//! directories.

use std::fs;

use stratalog::restore;

use super::super::common::{Random, number, records, seed};
use super::super::process::{SEGMENT, Task, open};
use stratalog::format::archived;
use stratalog::{Options, verify_segment};

/// The child: appends and archives until it is killed. As a test of its own it does nothing.
#[test]
fn child_that_archives_until_it_is_killed() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap_or_else(|error| panic!("{error}: {error:?}"));
    let archive = task.directory.with_extension("archive");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                log.archive(&archive).unwrap_or_else(|error| panic!("{error}: {error:?}"));
            }
        });
        task.work(&log);
    });
    unreachable!("it appends until it is killed");
}

#[test]
fn an_archive_survives_the_kills_of_those_who_write_it() {
    let first = seed("archive killed");
    let mut random = Random::new(first);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("log");
    let archive = directory.with_extension("archive");
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(5) {
        let task = Task::endless(first % 1000 * 1000 + round, 2, &directory);
        let mut child =
            task.start(&[], "archiving::killed::child_that_archives_until_it_is_killed");
        let calls = 1 + random.below(2500);
        while child.told.acks < calls && child.hear() {}
        child.kill();
        let (told, status) = child.finish();
        assert!(!status.success() && told.acks >= calls, "the child ended by itself: {status}");
        let log = open(&directory, false).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        let mut segments = 0;
        if archive.exists() {
            for entry in fs::read_dir(&archive).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap();
                if archived(name).is_some() {
                    verify_segment(&path).unwrap();
                    segments += 1;
                }
            }
        }
        log.roll().unwrap();
        let report = log.archive(&archive).unwrap();
        assert_eq!(report.present, segments, "round {round}");
        let copy = folder.path().join(format!("copy{round}"));
        restore(&archive, &copy, None).unwrap();
        let mut options = Options::new();
        options.segment_bytes(SEGMENT).background(false);
        let all = records(&log);
        assert!(records(&options.open(&copy).unwrap()) == all, "round {round}");
        println!("round {round}: {segments} segments, {} records", all.len());
    }
}
