//! Power lost, and the process ended, at every event of archiving and restoring, twice in a row.

use stratalog::format::{TEMPORARY_SUFFIX, archived};
use stratalog::storage::{FaultStorage, MemoryStorage};
use stratalog::{Error, Log, restore_with, verify_segment_with};

use super::super::common::{Records, number, records, tiny};

/// A small log and its archive on disks that fail.
pub(super) fn small() -> (Log, FaultStorage, Records) {
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    for call in 0..5_u8 {
        log.append_batch(&[[call; 700], [call; 700]]).unwrap();
        log.roll().unwrap();
    }
    let disk = FaultStorage::without_directory();
    let report = log.archive_with(&disk, |_| {}).unwrap();
    assert_eq!(report.copied.len(), 5);
    let expected = records(&log);
    (log, disk, expected)
}

#[test]
fn power_lost_while_archiving_leaves_whole_segments_only_and_the_next_run_the_rest() {
    let (log, disk, expected) = small();
    let events = disk.events();
    let rounds = number("STRATALOG_ROUNDS").unwrap_or(1);
    for event in 0..=events {
        for seed in 0..20 * rounds {
            // Both a power cut and an end of the process, whose names are not durable yet.
            let left = if seed % 4 == 3 {
                disk.restart_at(event)
            } else {
                let image = disk.crash_at(event, seed * 7 + event);
                if image.names().next().is_none() {
                    FaultStorage::without_directory()
                } else {
                    FaultStorage::from_image(image)
                }
            };
            for name in left.visible().names().filter(|name| archived(name).is_some()) {
                verify_segment_with(&left, name).unwrap();
            }
            let begin = left.events();
            log.archive_with(&left, |_| {}).unwrap();
            // Once more, in the second run; and then what is left is durable.
            let again = begin + (event * 31 + seed) % (left.events() - begin + 1);
            let twice = FaultStorage::from_image(left.crash_at(again, seed));
            log.archive_with(&twice, |_| {}).unwrap();
            for done in [left, twice] {
                let durable = FaultStorage::from_image(done.crash(0));
                assert!(!done.visible().names().any(|name| name.ends_with(TEMPORARY_SUFFIX)));
                let into = FaultStorage::new();
                restore_with(&durable, &into, None, |_| {}).unwrap();
                assert_eq!(records(&tiny().open_with(into).unwrap()), expected);
            }
        }
    }
}

#[test]
fn power_lost_while_restoring_leaves_no_log_or_all_of_it() {
    let (_, archive, expected) = small();
    let last = expected[5].0;
    let rounds = number("STRATALOG_ROUNDS").unwrap_or(1);
    for until in [None, Some(last)] {
        let kept = if until.is_some() { 6 } else { expected.len() };
        let into = FaultStorage::without_directory();
        restore_with(&archive, &into, until, |_| {}).unwrap();
        let (mut whole, mut none) = (0, 0);
        let mut check = |left: &FaultStorage| {
            let mut existing = tiny();
            existing.create(false);
            match existing.open_with(left.clone()) {
                Ok(log) => {
                    assert!(records(&log) == expected[..kept]);
                    whole += 1;
                    true
                }
                Err(Error::NotALog { .. } | Error::Corrupt { .. }) => {
                    none += 1;
                    false
                }
                Err(other) => panic!("{other:?}"),
            }
        };
        for event in 0..=into.events() {
            for seed in 0..20 * rounds {
                let left = if seed % 4 == 3 {
                    into.restart_at(event)
                } else {
                    FaultStorage::from_image(into.crash_at(event, seed * 5 + event))
                };
                if check(&left.restart_at(left.events())) {
                    continue;
                }
                let begin = left.events();
                restore_with(&archive, &left, until, |_| {})
                    .unwrap_or_else(|error| panic!("event {event}, seed {seed}: {error:?}"));
                let again = begin + (event * 17 + seed) % (left.events() - begin + 1);
                let twice = FaultStorage::from_image(left.crash_at(again, seed));
                if !check(&twice.restart_at(twice.events())) {
                    restore_with(&archive, &twice, until, |_| {}).unwrap();
                    assert!(check(&FaultStorage::from_image(twice.crash(0))));
                }
                assert!(check(&FaultStorage::from_image(left.crash(0))), "what is told is durable");
            }
        }
        assert!(whole > 20 && none > 20, "{whole} whole, {none} none");
    }
}
