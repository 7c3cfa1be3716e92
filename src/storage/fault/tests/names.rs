//! What becomes of names, and of locks.

use super::*;

fn name_outcomes(disk: &FaultStorage) -> BTreeSet<String> {
    outcomes(disk).iter().map(listed).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn each_change_of_a_name_is_there_or_not() {
    let disk = FaultStorage::new();
    disk.create("a", 1).unwrap();
    assert_eq!(name_outcomes(&disk), set(["", "a"]));
    disk.rename("a", "b").unwrap();
    // Both names, or only the new one without its file being made, never.
    assert_eq!(name_outcomes(&disk), set(["", "a", "b"]));
    disk.create("c", 1).unwrap();
    assert_eq!(name_outcomes(&disk), set(["", "a", "b", "c", "a c", "b c"]));
    disk.sync_directory().unwrap();
    assert_eq!(name_outcomes(&disk), set(["b c"]));
    disk.remove("b").unwrap();
    assert_eq!(name_outcomes(&disk), set(["b c", "c"]), "a removed file may come back");
    disk.sync_directory().unwrap();
    assert_eq!(name_outcomes(&disk), set(["c"]));
}

#[test]
fn a_rename_replaces_a_file_at_once_or_not_at_all() {
    let (disk, _) = one_file(1);
    let new = disk.create("new", 1).unwrap();
    new.write_at(b"n", 0).unwrap();
    new.sync().unwrap();
    disk.rename("new", "f").unwrap();
    let found: BTreeSet<_> = outcomes(&disk)
        .iter()
        .map(|image| format!("{} {}", listed(image), char::from(image.get("f").unwrap()[0])))
        .collect();
    assert_eq!(found, set(["f a", "f new a", "f n"]));
}

#[test]
fn a_change_of_a_name_does_nothing_to_another_file_of_that_name() {
    let (disk, _) = one_file(1);
    disk.remove("f").unwrap();
    let second = disk.create("f", 1).unwrap();
    second.sync().unwrap();
    disk.rename("f", "g").unwrap();
    // The rename alone does not move the first file, which has come back.
    for image in outcomes(&disk) {
        let sizes = ["f", "g"].map(|name| image.get(name).map_or(9, <[u8]>::len));
        let possible = [[512, 9], [9, 9], [1, 9], [9, 1]];
        assert!(possible.contains(&sizes), "{image:?}");
    }
    let found: BTreeSet<_> = outcomes(&disk).iter().map(|image| format!("{image:?}")).collect();
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_file_without_a_name_stays_readable_and_writable() {
    let (disk, file) = one_file(1);
    let region = file.map().unwrap().unwrap();
    disk.remove("f").unwrap();
    disk.sync_directory().unwrap();
    file.write_at(b"b", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(region.slice(0..2).unwrap(), b"ba");
    assert_eq!(error_kind(disk.open("f", Access::Read)), io::ErrorKind::NotFound);
    assert_eq!((disk.visible(), disk.crash(1)), (Image::new(), Image::new()));
    assert_eq!(disk.history().last().unwrap().name, "f");
}

#[test]
fn what_was_written_to_a_file_before_it_was_removed_is_there_if_it_comes_back() {
    let (disk, file) = one_file(1);
    file.write_at(b"b", 0).unwrap();
    disk.remove("f").unwrap();
    file.write_at(b"c", 1).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.durable().get("f").unwrap()[..3], *b"bca");
}

#[test]
fn a_lock_excludes_until_it_is_dropped_or_the_power_cut() {
    let disk = FaultStorage::new();
    let held = disk.lock("LOCK", LockKind::Exclusive).unwrap().unwrap();
    assert!(disk.clone().lock("LOCK", LockKind::Shared).unwrap().is_none());
    let after = FaultStorage::from_image(disk.crash(1));
    assert_eq!(listed(&after.visible()), "LOCK");
    assert!(after.lock("LOCK", LockKind::Exclusive).unwrap().is_some());
    assert!(disk.restart_at(disk.events()).lock("LOCK", LockKind::Exclusive).unwrap().is_some());
    drop(held);
    let shared = [(); 2].map(|()| disk.lock("LOCK", LockKind::Shared).unwrap().unwrap());
    assert!(disk.lock("LOCK", LockKind::Exclusive).unwrap().is_none());
    drop(shared);
    assert!(disk.lock("LOCK", LockKind::Exclusive).unwrap().is_some());
    assert_eq!(disk.events(), 1, "only making its file is an event");
}

#[test]
fn a_directory_has_to_be_made_and_is_durable_then() {
    let disk = FaultStorage::without_directory();
    assert_eq!(error_kind(disk.names()), io::ErrorKind::NotFound);
    disk.fail(0, Fault::NoSpace);
    assert_eq!(error_kind(disk.create_directory()), io::ErrorKind::StorageFull);
    assert_eq!(error_kind(disk.names()), io::ErrorKind::NotFound);
    disk.create_directory().unwrap();
    disk.create_directory().unwrap();
    assert_eq!((disk.names().unwrap().len(), disk.events()), (0, 2));
    assert!(disk.restart_at(1).names().is_err() && disk.restart_at(2).names().is_ok());
}

#[test]
fn a_full_disk_makes_no_file_and_no_event() {
    let (disk, _) = one_file(1);
    disk.set_capacity(600);
    let events = disk.events();
    assert_eq!(error_kind(disk.create("g", 89)), io::ErrorKind::StorageFull);
    assert_eq!(error_kind(disk.restart_at(0).create("g", 601)), io::ErrorKind::StorageFull);
    disk.create("g", 88).unwrap();
    disk.remove("f").unwrap();
    disk.create("h", 512).unwrap();
    assert_eq!(disk.events(), events + 3);
}
