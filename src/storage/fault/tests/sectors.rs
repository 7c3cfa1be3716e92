//! What becomes of bytes.

use super::*;

/// The letters of a sector in stretches: `ab` is some of `a`, then some of `b`.
fn stretches(sector: &[u8]) -> String {
    let mut letters: Vec<u8> = sector.to_vec();
    letters.dedup();
    String::from_utf8(letters).unwrap()
}

#[test]
fn an_unsynced_sector_is_old_new_in_between_or_torn_between_any_two() {
    let (disk, file) = one_file(1);
    file.write_at(&[b'b'; SECTOR_BYTES], 0).unwrap();
    file.write_at(&[b'c'; SECTOR_BYTES], 0).unwrap();
    let found = outcomes(&disk).iter().map(|image| stretches(image.get("f").unwrap())).collect();
    let expected = ["a", "b", "c", "ab", "ba", "ac", "ca", "bc", "cb"].map(str::to_owned);
    assert_eq!(expected.into_iter().collect::<BTreeSet<_>>(), found);
}

#[test]
fn a_sector_is_torn_only_where_a_write_changed_it() {
    let (disk, file) = one_file(1);
    file.write_at(&[b'b'; 8], 100).unwrap();
    let mut lengths = BTreeSet::new();
    for image in outcomes(&disk) {
        let found = image.get("f").unwrap();
        assert!(found[..100].iter().chain(&found[108..]).all(|byte| *byte == b'a'));
        lengths.insert(count(found, b'b'));
    }
    assert_eq!(lengths, (0..=8).collect(), "every length of what was written comes up");
}

#[test]
fn what_was_written_before_a_sync_is_there_and_what_was_written_after_it_may_be() {
    let (disk, file) = one_file(2);
    file.write_at(&[b'b'; SECTOR_BYTES], 0).unwrap();
    file.sync().unwrap();
    file.write_at(&[b'c'; 10], SECTOR_BYTES as u64).unwrap();
    let images = outcomes(&disk);
    assert!(images.iter().all(|image| image.get("f").unwrap()[..SECTOR_BYTES] == [b'b'; 512]));
    let second = |image: &Image| stretches(&image.get("f").unwrap()[SECTOR_BYTES..]);
    let found: BTreeSet<_> = images.iter().map(second).collect();
    assert!(["a", "ca"].iter().all(|outcome| found.contains(*outcome)), "{found:?}");
}

#[test]
fn a_sync_of_one_file_does_nothing_for_another() {
    let (disk, file) = one_file(1);
    let other = disk.create("g", 1).unwrap();
    file.write_at(b"b", 0).unwrap();
    other.sync().unwrap();
    assert_eq!(disk.durable().get("f").unwrap()[0], b'a');
}

#[test]
fn each_sector_goes_its_own_way() {
    let (disk, file) = one_file(4);
    file.write_at(&[b'b'; 4 * SECTOR_BYTES], 0).unwrap();
    let whole = |image: &Image| {
        let sectors = image.get("f").unwrap().chunks(SECTOR_BYTES);
        sectors.map(|sector| if sector == [b'a'; 512] { 'a' } else { 'b' }).collect::<String>()
    };
    let found: BTreeSet<_> = outcomes(&disk).iter().map(whole).collect();
    assert_eq!(found.len(), 16, "{found:?}");
}

#[test]
fn extremes_are_common() {
    let (disk, file) = one_file(16);
    for (at, letter) in (0..).zip(b"bcdefghijklmnopq") {
        file.write_at(&[*letter; SECTOR_BYTES], at * SECTOR_BYTES as u64).unwrap();
    }
    let kept = |image: &Image| {
        let sectors = image.get("f").unwrap().chunks(SECTOR_BYTES);
        let kept = (0..).zip(sectors).filter(|(_, sector)| *sector != [b'a'; SECTOR_BYTES]);
        kept.map(|(number, _)| number).collect::<Vec<u32>>()
    };
    let all: Vec<u32> = (0..16).collect();
    let found: Vec<_> = outcomes(&disk).iter().map(kept).collect();
    let often = |applies: &dyn Fn(&Vec<u32>) -> bool| {
        found.iter().filter(|kept| applies(kept)).count() as u64 >= SEEDS / 20
    };
    assert!(often(&|kept| kept.is_empty()) && often(&|kept| *kept == all));
    assert!(often(&|kept| *kept == [15]), "only the newest write");
    assert!(often(&|kept| kept.len() == 15), "all but one");
    let in_order = |kept: &Vec<u32>| (1..16).contains(&kept.len()) && all.starts_with(kept);
    assert!(often(&in_order), "everything up to some write");
    for lost in &all {
        let but_one: Vec<u32> = all.iter().copied().filter(|number| number != lost).collect();
        assert!(found.contains(&but_one), "each is the one that is lost");
    }
}

#[test]
fn seed_0_leaves_what_was_durable_and_seed_1_everything() {
    let (disk, file) = one_file(3);
    file.write_at(&[b'b'; 700], 300).unwrap();
    disk.create("g", 100).unwrap().write_at(b"g", 7).unwrap();
    disk.remove("f").unwrap();
    assert_eq!(disk.crash(0), disk.durable());
    assert_eq!(disk.crash(1), disk.visible());
    assert_eq!(disk.durable().get("f").unwrap(), [b'a'; 3 * SECTOR_BYTES]);
    assert_eq!((listed(&disk.durable()), listed(&disk.visible())), ("f".into(), "g".into()));
}

#[test]
fn a_discard_makes_zeros_that_are_not_durable_before_a_sync() {
    let (disk, file) = one_file(4);
    file.discard(SECTOR_BYTES as u64, 2 * SECTOR_BYTES as u64).unwrap();
    assert_eq!(stretches(&contents(&disk, "f")), "a\0a");
    let found: BTreeSet<_> =
        outcomes(&disk).iter().map(|image| image.get("f").unwrap()[600]).collect();
    assert_eq!(found, [b'a', 0].into());
    file.sync().unwrap();
    assert_eq!(stretches(disk.durable().get("f").unwrap()), "a\0a");
    file.discard(3 * SECTOR_BYTES as u64, u64::MAX).unwrap();
    assert_eq!(stretches(&contents(&disk, "f")), "a\0");
}

#[test]
fn a_file_that_was_never_synced_may_be_shorter_than_it_was_made() {
    let disk = FaultStorage::new();
    let file = disk.create("f", 2 * SECTOR_BYTES as u64).unwrap();
    file.write_at(&[b'b'; 2 * SECTOR_BYTES], 0).unwrap();
    disk.sync_directory().unwrap();
    let found: BTreeSet<_> =
        outcomes(&disk).iter().map(|image| image.get("f").unwrap().to_vec()).collect();
    let lengths: BTreeSet<_> = found.iter().map(Vec::len).collect();
    assert!(lengths.contains(&0) && lengths.contains(&1024) && lengths.len() > 100);
    for full in ["\0", "b", "\0b", "b\0"] {
        let is_there = |bytes: &Vec<u8>| bytes.len() == 1024 && stretches(bytes) == full;
        assert!(found.iter().any(is_there), "{full:?}");
    }
    file.sync().unwrap();
    assert!(outcomes(&disk).iter().all(|image| image.get("f").unwrap() == [b'b'; 1024]));
}

#[test]
fn a_write_ends_where_the_file_ends() {
    let (disk, file) = one_file(1);
    assert_eq!(file.write_at(b"bbbb", 510).unwrap(), 2);
    assert_eq!(file.write_at(b"bbbb", 512).unwrap(), 0);
    assert_eq!(file.write_at(b"bbbb", u64::MAX).unwrap(), 0);
    file.sync().unwrap();
    assert_eq!(stretches(disk.durable().get("f").unwrap()), "ab");
}

#[test]
fn bytes_that_a_reader_holds_are_not_changed_by_a_write_nor_by_a_discard() {
    let (disk, file) = one_file(1);
    let region = file.map().unwrap().unwrap();
    assert_eq!(region.slice(0..100).unwrap(), [b'a'; 100]);
    assert_eq!(error_kind(file.write_at(b"b", 99)), io::ErrorKind::ResourceBusy);
    assert_eq!(error_kind(file.discard(0, 512)), io::ErrorKind::ResourceBusy);
    assert!(!disk.history().last().unwrap().ok);
    file.write_at(b"b", 100).unwrap();
    assert_eq!(region.slice(100..101).unwrap(), b"b");
    assert_eq!(disk.crash(1), disk.visible());
    assert_eq!(stretches(disk.visible().get("f").unwrap()), "aba");
}
