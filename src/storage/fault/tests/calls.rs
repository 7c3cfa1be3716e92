//! Calls that fail.

use super::*;

#[test]
fn a_failed_call_does_nothing_and_says_why() {
    let (disk, file) = one_file(1);
    let before = disk.visible();
    let kind = io::ErrorKind::Other;
    disk.fail_when(move |_| Some(Fault::Error(kind)));
    let failures = [
        disk.create("g", 1).map(drop).unwrap_err(),
        disk.rename("f", "g").unwrap_err(),
        disk.remove("f").unwrap_err(),
        disk.sync_directory().unwrap_err(),
        disk.lock("LOCK", LockKind::Shared).map(drop).unwrap_err(),
        file.write_at(b"b", 0).map(drop).unwrap_err(),
        file.discard(0, 1).unwrap_err(),
        file.sync().unwrap_err(),
    ];
    for failure in failures {
        assert_eq!((failure.kind(), failure.to_string()), (kind, "injected".into()));
    }
    assert_eq!((disk.visible(), disk.durable()), (before.clone(), before));
    assert_eq!(disk.injected(), 8);
    assert_eq!(disk.history().iter().filter(|event| !event.ok).count(), 8);
    disk.heal();
    disk.rename("f", "g").unwrap();
    assert_eq!(disk.injected(), 8);
}

#[test]
fn an_event_fails_by_its_number_once() {
    let (disk, file) = one_file(1);
    disk.fail(disk.events() + 1, Fault::NoSpace);
    file.write_at(b"b", 0).unwrap();
    assert_eq!(error_kind(file.write_at(b"c", 0)), io::ErrorKind::StorageFull);
    file.write_at(b"d", 0).unwrap();
    assert_eq!(contents(&disk, "f")[0], b'd');
}

#[test]
fn a_rule_sees_what_is_to_come() {
    let (disk, file) = one_file(1);
    disk.fail_when(|event| {
        let Event { kind, name, to, offset, len, number, ok } = event;
        assert!(*ok);
        let seen = (*kind, name.as_str(), to.as_str(), *offset, *len, *number);
        let expected = [
            (EventKind::Write, "f", "", 5, 3, 4),
            (EventKind::Rename, "f", "g", 0, 0, 5),
            (EventKind::Sync, "g", "", 0, 0, 6),
            (EventKind::Create, "h", "", 0, 9, 7),
        ];
        assert!(expected.contains(&seen), "{seen:?}");
        None
    });
    file.write_at(b"bbb", 5).unwrap();
    disk.rename("f", "g").unwrap();
    file.sync().unwrap();
    disk.create("h", 9).unwrap();
    assert_eq!((disk.events(), disk.injected()), (8, 0));
}

#[test]
fn a_short_write_says_how_much_a_torn_one_does_not() {
    let (disk, file) = one_file(1);
    disk.fail(4, Fault::Short(2));
    assert_eq!(file.write_at(b"bbbb", 0).unwrap(), 2);
    disk.fail(5, Fault::Torn(3));
    assert_eq!(error_kind(file.write_at(b"cccc", 1)), io::ErrorKind::Other);
    assert_eq!(contents(&disk, "f")[..6], *b"bcccaa");
    assert_eq!(disk.crash(1), disk.visible());
    let told: Vec<bool> = disk.history()[4..].iter().map(|event| event.ok).collect();
    assert_eq!(told, [true, false]);
}

#[test]
fn a_late_failure_has_done_everything() {
    let (disk, file) = one_file(1);
    disk.fail_when(|_| Some(Fault::Late(io::ErrorKind::Other)));
    assert!(file.write_at(b"b", 0).is_err());
    assert!(file.sync().is_err());
    assert!(disk.rename("f", "g").is_err());
    assert!(disk.sync_directory().is_err());
    assert_eq!(disk.durable().get("g").unwrap()[0], b'b');
    assert!(disk.create("h", 1).is_err());
    assert_eq!(listed(&disk.visible()), "g", "a file that was not made is not there");
}

#[test]
fn a_fault_that_does_not_fit_is_an_error() {
    let (disk, file) = one_file(1);
    disk.fail_when(|_| Some(Fault::LostSync { seed: None }));
    assert_eq!(error_kind(file.write_at(b"b", 0)), io::ErrorKind::Other);
    disk.fail_when(|_| Some(Fault::Short(1)));
    assert_eq!(error_kind(disk.remove("f")), io::ErrorKind::Other);
    assert_eq!(contents(&disk, "f"), [b'a'; SECTOR_BYTES]);
}

#[test]
fn a_plain_failed_sync_can_be_tried_again() {
    let (disk, file) = one_file(1);
    file.write_at(b"b", 0).unwrap();
    disk.fail(disk.events(), Fault::Error(io::ErrorKind::Other));
    assert!(file.sync().is_err());
    assert_eq!(disk.durable().get("f").unwrap()[0], b'a');
    file.sync().unwrap();
    assert_eq!(disk.durable().get("f").unwrap()[0], b'b');
}

/// A file of which a sync has lost `b` at its beginning.
fn lost(seed: Option<u64>) -> (FaultStorage, Arc<dyn StorageFile>) {
    let (disk, file) = one_file(8);
    file.write_at(&[b'b'; 8 * SECTOR_BYTES], 0).unwrap();
    disk.fail(disk.events(), Fault::LostSync { seed });
    assert_eq!(error_kind(file.sync()), io::ErrorKind::Other);
    (disk, file)
}

#[test]
fn a_lost_sync_is_seen_by_reads_and_by_no_later_sync() {
    let (disk, file) = lost(None);
    assert_eq!(contents(&disk, "f"), [b'b'; 8 * SECTOR_BYTES]);
    file.sync().unwrap();
    disk.open("f", Access::ReadWrite).unwrap().sync().unwrap();
    for image in outcomes(&disk) {
        assert_eq!(image.get("f").unwrap(), [b'a'; 8 * SECTOR_BYTES]);
    }
}

#[test]
fn what_a_lost_sync_lost_is_durable_once_it_is_written_again() {
    let (disk, file) = lost(None);
    // One byte makes its whole sector dirty, and no other.
    file.write_at(b"b", 600).unwrap();
    file.sync().unwrap();
    let durable = disk.durable();
    let found = durable.get("f").unwrap();
    assert_eq!(found[SECTOR_BYTES..2 * SECTOR_BYTES], [b'b'; SECTOR_BYTES]);
    assert_eq!(count(found, b'b'), SECTOR_BYTES);
    file.write_at(&[b'b'; 8 * SECTOR_BYTES], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.durable(), disk.visible());
}

#[test]
fn a_lost_sync_may_have_written_some() {
    let mut counts = BTreeSet::new();
    for seed in 0..50 {
        let (disk, _) = lost(Some(seed));
        let image = disk.durable();
        let sectors = image.get("f").unwrap().chunks(SECTOR_BYTES);
        counts.insert(sectors.filter(|sector| sector[0] == b'b').count());
        assert_eq!(disk.crash(1), image);
    }
    assert!(counts.len() > 4, "{counts:?}");
}

#[test]
fn dropped_caches_show_what_a_lost_sync_lost() {
    let (disk, file) = lost(None);
    let region = file.map().unwrap().unwrap();
    assert_eq!(region.slice(0..1).unwrap(), b"b");
    file.write_at(&[b'b'; 10], 10).unwrap();
    disk.drop_caches();
    let expected = [vec![b'b'; SECTOR_BYTES], vec![b'a'; 7 * SECTOR_BYTES]].concat();
    assert_eq!(contents(&disk, "f"), expected, "what is to be written stays in the cache");
    assert_eq!(disk.visible().get("f").unwrap(), expected);
    assert_eq!(region.slice(0..4096).unwrap(), [b'b'; 4096], "what is mapped stays as it is");
    file.sync().unwrap();
    assert_eq!(disk.durable().get("f").unwrap(), expected);
    file.write_at(b"c", 4095).unwrap();
    assert_eq!(contents(&disk, "f")[4095], b'c');
    assert_eq!(disk.restart_at(disk.events()).visible(), disk.visible());
}

#[test]
fn a_call_that_only_reads_fails_by_a_number_of_its_own() {
    let (disk, file) = one_file(1);
    let (events, reads) = (disk.events(), disk.reads());
    let kind = io::ErrorKind::Other;
    let mut calls: [Box<dyn FnMut() -> io::Result<()>>; 4] = [
        Box::new(|| disk.names().map(drop)),
        Box::new(|| disk.open("f", Access::Read).map(drop)),
        Box::new(|| file.read_at(&mut [0; 1], 0).map(drop)),
        Box::new(|| file.map().map(drop)),
    ];
    for (number, call) in (reads..).zip(&mut calls) {
        disk.fail_read(number, kind);
        assert_eq!(error_kind(call()), kind);
    }
    assert!(calls.iter_mut().all(|call| call().is_ok()));
    assert_eq!((disk.events(), disk.reads(), disk.injected()), (events, reads + 8, 4));
}

#[test]
fn a_file_that_was_opened_for_reading_takes_no_write() {
    let (disk, _) = one_file(1);
    let file = disk.open("f", Access::Read).unwrap();
    assert_eq!(error_kind(file.write_at(b"b", 0)), io::ErrorKind::PermissionDenied);
    assert_eq!(error_kind(file.discard(0, 1)), io::ErrorKind::PermissionDenied);
    assert!(!file.wants_zero_fill());
    disk.set_zero_fill(true);
    assert!(file.wants_zero_fill() && disk.restart_at(0).shared.lock().wants_zero_fill);
}
