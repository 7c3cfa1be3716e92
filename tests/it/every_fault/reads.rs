//! Every call that only reads fails once.

use std::io::ErrorKind;

use stratalog::{Error, Op, ReadOptions};

use super::super::common::{read, records, without_hanging};
use super::story::{check_reopened, open};
use super::work::{Life, Step, Work, works};

/// A read that fails in the middle of appending does nothing; while opening or reading it is an error
/// that names the file, and goes away.
fn fail_one(work: &Work, number: u64) -> bool {
    let disk = work.disk();
    disk.fail_read(number, ErrorKind::Other);
    let mut life = Life::new(work, disk);
    for step in &work.steps {
        let Err(error) = life.step(*step) else { continue };
        assert_eq!(life.disk.injected(), 1, "{step:?}: {error:?}");
        let Error::Io { op, path, .. } = &error else { panic!("{step:?}: {error:?}") };
        assert!(matches!(op, Op::OpenDirectory | Op::Open | Op::Read | Op::Map), "{error:?}");
        assert!(path.starts_with("faulty"), "{error:?}");
        let named = path.file_name().is_some_and(|name| name != "faulty");
        assert!(named || *op == Op::OpenDirectory, "{error:?} names no file");
        assert!(
            matches!(step, Step::Open | Step::Read | Step::Truncate(_) | Step::Cut(_)),
            "{step:?}: {error:?}"
        );
        if *step == Step::Open {
            // It may have been read in vain after it was opened.
            life.log = None;
        }
        life.step(*step).unwrap_or_else(|error| panic!("{step:?} again: {error:?}"));
    }
    let failed = life.disk.injected() == 1;
    life.log = None;
    let disk = life.disk.restart_at(life.disk.events());
    check_reopened(&disk, &life.story, life.story.committed, 0..2);
    failed
}

#[test]
fn whatever_read_fails_is_told_and_takes_nothing() {
    for work in works() {
        let mut number = 0;
        loop {
            let work = work.clone();
            let what = format!("{}: read {number}", work.name);
            let failed = without_hanging(&what, move || fail_one(&work, number));
            if !failed {
                break;
            }
            number += 1;
        }
        assert!(number > 1, "{}: {number}", work.name);
    }
}

#[test]
fn a_failed_read_ends_one_iteration_and_no_other() {
    let work = works().into_iter().find(|work| work.name == "closed").unwrap();
    let disk = work.disk();
    let log = open(&disk);
    let expected = records(&log);
    let copied = ReadOptions::new().copy(true);
    let mut failures = 0;
    for later in 0..40 {
        disk.fail_read(disk.reads() + later, ErrorKind::Other);
        let failed = disk.injected();
        let (seen, error) = read(&log.snapshot_with(copied));
        assert_eq!(seen, expected[..seen.len()]);
        assert_eq!(disk.injected() > failed, error.is_some(), "{error:?}");
        if let Some(error) = error {
            let Error::Io { op: Op::Open | Op::Read, path, .. } = &error else {
                panic!("{error:?}")
            };
            assert!(path.extension().is_some_and(|extension| extension == "seg"), "{error:?}");
            failures += 1;
        }
        disk.heal();
        assert_eq!(records(&log), expected);
    }
    assert!(failures > 5, "{failures}");
    log.append_durable(b"nothing was poisoned").unwrap();
}
