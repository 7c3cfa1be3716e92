//! Going back to earlier events.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::random::Random;

/// Makes `disk` do something drawn at random; most of it changes something.
fn step(disk: &FaultStorage, random: &mut Random) {
    let names = disk.names().unwrap();
    let name = |random: &mut Random| names[random.index(names.len())].clone();
    if names.len() < 3 {
        let _ = disk.create(&format!("f{}", disk.events()), 1500).unwrap();
        return;
    }
    let name = name(random);
    let file = disk.open(&name, Access::ReadWrite).unwrap();
    let offset = random.next() % 1600;
    match random.index(20) {
        0 => drop(disk.create(&format!("f{}", disk.events()), 1000)),
        1 => disk.remove(&name).unwrap(),
        2 => disk.rename(&name, &format!("r{}", random.index(4))).unwrap(),
        3 => disk.sync_directory().unwrap(),
        4 => file.discard(offset, 300).unwrap(),
        5..8 => file.sync().unwrap(),
        8 => disk.drop_caches(),
        9 => {
            disk.fail(disk.events(), Fault::LostSync { seed: Some(offset) });
            file.sync().unwrap_err();
        }
        10 => {
            disk.fail(disk.events(), Fault::Torn(30));
            file.write_at(&[1; 100], offset).unwrap_err();
        }
        _ => {
            let letter = u8::try_from(random.index(256)).unwrap();
            file.write_at(&vec![letter; random.index(900)], offset).unwrap();
        }
    }
}

#[test]
fn an_earlier_event_is_as_it_was_when_it_was_the_next() {
    for seed in 0..20 {
        let (disk, mut random) = (FaultStorage::new(), Random::new(seed));
        let mut then = Vec::new();
        while disk.events() < 120 {
            let event = disk.events();
            then.push((event, disk.crash(event % 40), disk.visible(), disk.durable()));
            step(&disk, &mut random);
        }
        // Forwards, and from one to another.
        for turn in 0..240 {
            let index = if turn < then.len() { turn } else { random.index(then.len()) };
            let (event, crashed, visible, durable) = &then[index];
            assert_eq!(&disk.crash_at(*event, event % 40), crashed, "event {event} of seed {seed}");
            assert_eq!(&disk.visible_at(*event), visible);
            assert_eq!(&disk.crash_at(*event, 0), durable);
        }
        let (event, ..) = &then[then.len() / 2];
        let restarted = disk.restart_at(*event);
        assert_eq!(restarted.events(), *event);
        for seed in 0..40 {
            assert_eq!(restarted.crash(seed), disk.crash_at(*event, seed));
        }
        // It goes its own way.
        let names = restarted.visible();
        let file = restarted.open(names.names().next().unwrap(), Access::ReadWrite).unwrap();
        file.write_at(b"own", 0).unwrap();
        assert_eq!(disk.visible_at(*event), names);
        assert_ne!(restarted.visible(), names);
    }
}

#[test]
fn events_are_numbered_without_gaps() {
    let (disk, mut random) = (FaultStorage::new(), Random::new(7));
    while disk.events() < 300 {
        step(&disk, &mut random);
    }
    let numbers: Vec<u64> = disk.history().iter().map(|event| event.number).collect();
    assert_eq!(numbers, (0..disk.events()).collect::<Vec<_>>());
    assert!(disk.history().iter().any(|event| event.kind == EventKind::DropCaches));
}

#[test]
fn a_power_cut_does_not_touch_the_disk() {
    let (disk, file) = one_file(2);
    file.write_at(&[b'b'; 600], 9).unwrap();
    let before = (disk.visible(), disk.durable(), disk.events());
    let crashed = FaultStorage::from_image(disk.crash(8));
    let file = crashed.open("f", Access::ReadWrite).unwrap();
    file.write_at(b"c", 0).unwrap();
    file.sync().unwrap();
    assert_eq!((disk.visible(), disk.durable(), disk.events()), before);
    assert_eq!(disk.crash(8), disk.crash(8));
}

#[test]
fn an_image_is_durable() {
    let mut image = Image::new();
    image.insert("f", b"bytes".to_vec());
    image.insert("empty", Vec::new());
    let disk = FaultStorage::from_image(image.clone());
    assert!(outcomes(&disk).iter().all(|left| *left == image));
    assert_eq!((disk.visible(), disk.events()), (image, 0));
}

fn is_refused(disk: &FaultStorage, event: u64) -> bool {
    catch_unwind(AssertUnwindSafe(|| disk.crash_at(event, 0))).is_err()
}

#[test]
fn a_forgotten_journal_begins_anew_and_numbers_go_on() {
    let (disk, file) = one_file(1);
    file.write_at(b"b", 0).unwrap();
    disk.forget();
    assert!(disk.history().is_empty());
    file.write_at(b"c", 0).unwrap();
    assert_eq!((disk.events(), disk.history()[0].number), (6, 5));
    assert_eq!(disk.visible_at(5).get("f").unwrap()[0], b'b');
    assert_eq!(disk.crash_at(5, 0).get("f").unwrap()[0], b'a');
    let _ = disk.crash_at(6, 0);
    assert!(is_refused(&disk, 4), "event 4 is forgotten");
    assert!(is_refused(&disk, 7), "event 7 is to come");
}

#[test]
fn without_a_journal_the_present_can_lose_power() {
    let disk = FaultStorage::new().without_journal();
    let file = disk.create("f", 1).unwrap();
    file.write_at(b"b", 0).unwrap();
    assert!(disk.history().is_empty());
    assert_eq!(disk.crash_at(2, 1), disk.crash(1));
    assert!(is_refused(&disk, 1));
    disk.forget();
    assert!(disk.history().is_empty());
}
