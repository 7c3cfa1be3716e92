//! What only the disk in memory has: a capacity, clones, images.

use super::*;

fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn a_full_disk_refuses_a_file_until_there_is_room_again() {
    let disk = MemoryStorage::with_capacity(100);
    disk.create("a", 60).unwrap();
    assert_eq!(error_kind(disk.create("b", 41)), io::ErrorKind::StorageFull);
    assert_eq!(disk.names().unwrap(), ["a"]);
    disk.create("b", 40).unwrap();
    disk.create("none", 0).unwrap();
    assert_eq!(error_kind(disk.create("c", 1)), io::ErrorKind::StorageFull);
    disk.set_capacity(101);
    disk.create("c", 1).unwrap();
    disk.remove("a").unwrap();
    disk.create("d", 60).unwrap();
    disk.rename("d", "b").unwrap();
    disk.create("e", 40).unwrap();
    disk.set_capacity(1);
    assert_eq!(error_kind(disk.create("f", 1)), io::ErrorKind::StorageFull);
    assert_eq!(disk.open("e", Access::Read).unwrap().size().unwrap(), 40);
    assert_eq!(error_kind(disk.create("g", u64::MAX)), io::ErrorKind::StorageFull);
}

#[test]
fn a_clone_is_the_same_disk_with_the_same_locks() {
    let one = MemoryStorage::new();
    let two = one.clone();
    one.create("f", 4).unwrap().write_at(b"same", 0).unwrap();
    let mut bytes = [0; 4];
    two.open("f", Access::Read).unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"same");
    let held = one.lock("LOCK", LockKind::Exclusive).unwrap().unwrap();
    assert!(two.lock("LOCK", LockKind::Exclusive).unwrap().is_none());
    drop(one);
    assert!(two.lock("LOCK", LockKind::Shared).unwrap().is_none());
    drop(held);
    assert!(two.lock("LOCK", LockKind::Exclusive).unwrap().is_some());
}

#[test]
fn an_image_goes_round_and_is_a_copy() {
    let disk = MemoryStorage::new();
    disk.create("a", 5).unwrap().write_at(b"alpha", 0).unwrap();
    disk.create("b", 0).unwrap();
    let image = disk.image();
    assert_eq!(image.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        (image.get("a"), image.get("b"), image.get("c")),
        (Some(&b"alpha"[..]), Some(&[][..]), None)
    );
    let again = MemoryStorage::from_image(image.clone());
    assert_eq!(again.image(), image);
    again.open("a", Access::ReadWrite).unwrap().write_at(b"A", 0).unwrap();
    assert_ne!(again.image(), image);
    assert_eq!(disk.image(), image, "another disk");
}

#[test]
fn an_image_can_be_damaged_in_every_way() {
    let mut image = Image::new();
    assert_eq!(image, Image::default());
    assert_eq!(image.insert("a", b"alpha".to_vec()), None);
    assert_eq!(image.insert("a", b"aleph".to_vec()), Some(b"alpha".to_vec()));
    image.insert("b", vec![0]);
    image.get_mut("a").unwrap()[0] ^= 0x20;
    image.get_mut("a").unwrap().truncate(2);
    assert_eq!(image.remove("b"), Some(vec![0]));
    assert_eq!(image.remove("b"), None);
    assert_eq!(format!("{image:?}"), r#"{"a": 2}"#);
    let disk = MemoryStorage::from_image(image);
    assert_eq!(disk.open("a", Access::Read).unwrap().size().unwrap(), 2);
    assert_eq!(disk.image().get("a"), Some(&b"Al"[..]));
}

#[test]
fn an_image_is_one_moment_across_files() {
    const IMAGES: usize = if cfg!(miri) { 3 } else { 100 };
    let disk = MemoryStorage::new();
    let (first, last) = (disk.create("a", 8).unwrap(), disk.create("z", 8).unwrap());
    // Copying it takes time enough for the writer to go on in between, if it could.
    disk.create("between", if cfg!(miri) { 1 << 10 } else { 1 << 20 }).unwrap();
    let (images, done) = std::sync::mpsc::sync_channel::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for round in 1_u64.. {
                first.write_at(&round.to_le_bytes(), 0).unwrap();
                last.write_at(&round.to_le_bytes(), 0).unwrap();
                if done.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    break;
                }
            }
        });
        let _until_here = images;
        for _ in 0..IMAGES {
            let image = disk.image();
            let round = |name| u64::from_le_bytes(image.get(name).unwrap().try_into().unwrap());
            let (first, last) = (round("a"), round("z"));
            assert!(first == last || first == last + 1, "first {first}, last {last}");
        }
    });
}

#[test]
fn the_mark_of_a_region_protects_a_file_through_every_handle() {
    let disk = MemoryStorage::new();
    let file = disk.create("f", 8).unwrap();
    let region = disk.open("f", Access::Read).unwrap().map().unwrap().unwrap();
    assert_eq!(region.slice(0..8).unwrap(), [0; 8]);
    assert_eq!(error_kind(file.write_at(b"x", 0)), io::ErrorKind::ResourceBusy);
    disk.rename("f", "recycled").unwrap();
    let recycled = disk.open("recycled", Access::ReadWrite).unwrap();
    assert_eq!(error_kind(recycled.write_at(b"x", 0)), io::ErrorKind::ResourceBusy);
    drop(region);
    recycled.write_at(b"x", 0).unwrap();
}
