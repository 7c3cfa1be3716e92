//! Every call to the disk that an archive, or a log made of one, is written to fails once, in every way.

use std::io::ErrorKind;

use stratalog::format::{TEMPORARY_SUFFIX, archived};
use stratalog::storage::{Event, EventKind, Fault, FaultStorage};
use stratalog::{Error, restore_with, salvage_with, verify_segment_with};

use super::super::common::{records, tiny};
use super::power::small;

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

/// Does something on a disk while one of its events fails, for each; it is told, and done again.
fn sweep(
    work: impl Fn(&FaultStorage) -> stratalog::Result<()>,
    check: impl Fn(&FaultStorage, &Error),
    whole: impl Fn(&FaultStorage),
) -> u64 {
    let all = FaultStorage::without_directory();
    work(&all).unwrap();
    let mut failed = 0;
    for event in all.history() {
        for fault in faults(&event) {
            let disk = FaultStorage::without_directory();
            disk.fail(event.number, fault);
            let harmless = matches!(fault, Fault::Short(_)) || event.kind == EventKind::Discard;
            match work(&disk) {
                Ok(()) => assert!(harmless, "{fault:?} at {event:?} says Ok"),
                Err(error) => {
                    assert!(!harmless, "{fault:?} at {event:?}: {error:?}");
                    check(&disk, &error);
                    failed += 1;
                }
            }
            assert_eq!(disk.injected(), 1);
            disk.drop_caches();
            if let Err(error) = work(&disk) {
                // It was made; of its name alone it was told that it may not be durable.
                let is_made = matches!(error, Error::ArchiveConflict { .. })
                    && disk.visible().get("control").is_some();
                assert!(is_made, "{fault:?} at {event:?}, again: {error:?}");
                disk.drop_caches();
            }
            whole(&FaultStorage::from_image(disk.visible()));
        }
    }
    failed
}

fn check_told(_: &FaultStorage, error: &Error) {
    match error {
        Error::Io { .. } | Error::NoSpace { .. } => {
            let source = std::error::Error::source(error).expect("the disk's own error");
            assert_eq!(source.to_string(), "injected");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whatever_fails_while_archiving_is_told_and_made_good_by_the_next_run() {
    let (log, _, expected) = small();
    let failed = sweep(
        |disk| log.archive_with(disk, |_| {}).map(drop),
        |disk, error| {
            check_told(disk, error);
            for name in disk.visible().names().filter(|name| archived(name).is_some()) {
                verify_segment_with(disk, name).unwrap();
            }
        },
        |disk| {
            let into = FaultStorage::new();
            restore_with(disk, &into, None, |_| {}).unwrap();
            assert_eq!(records(&tiny().open_with(into).unwrap()), expected);
        },
    );
    assert!(failed > 60, "{failed}");
    assert!(!log.stats().poisoned);
}

#[test]
fn whatever_fails_while_restoring_or_salvaging_is_told_and_leaves_no_log() {
    let (log, archive, expected) = small();
    drop(log);
    let source = FaultStorage::new();
    restore_with(&archive, &source, None, |_| {}).unwrap();
    let whole = |disk: &FaultStorage| {
        assert_eq!(records(&tiny().open_with(disk.clone()).unwrap()), expected);
    };
    let check = |disk: &FaultStorage, error: &Error| {
        check_told(disk, error);
        let image = disk.visible();
        // Only the sync of the last rename can fail when all is there.
        assert!(
            !image.names().any(|name| name.ends_with(TEMPORARY_SUFFIX))
                || image.get("control").is_none()
        );
        if image.get("control").is_none() {
            let mut existing = tiny();
            existing.create(false);
            assert!(existing.open_with(FaultStorage::from_image(image)).is_err());
        }
    };
    let restoring = |disk: &FaultStorage| restore_with(&archive, disk, None, |_| {}).map(drop);
    assert!(sweep(restoring, check, whole) > 60);
    let before = source.visible();
    let salvaging = |disk: &FaultStorage| salvage_with(&source, disk, |_| {}).map(drop);
    assert!(sweep(salvaging, check, whole) > 60);
    assert_eq!(source.visible(), before);
}

#[test]
fn whatever_can_not_be_read_is_told_and_nothing_is_made_of_it() {
    let (_, archive, expected) = small();
    let mut number = 0;
    loop {
        let from = FaultStorage::from_image(archive.visible());
        from.fail_read(number, ErrorKind::Other);
        let into = FaultStorage::new();
        match restore_with(&from, &into, None, |_| {}) {
            Ok(_) => break,
            Err(Error::Io { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert!(into.visible().names().all(|name| name == "LOCK"));
        restore_with(&from, &into, None, |_| {}).unwrap();
        assert_eq!(records(&tiny().open_with(into).unwrap()), expected);
        number += 1;
    }
    assert!(number > 20, "{number}");
}
