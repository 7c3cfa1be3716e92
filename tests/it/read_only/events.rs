//! A reader at every event of a writer, and in the middle of every write.
//!
//! Invariant: it never sees anything but a prefix of what is appended, whole batches, all that was
//! committed before, and no damage.

use stratalog::storage::{EventKind, FaultStorage, Image, MemoryStorage};
use stratalog::{Log, LogReader, Lsn};

use super::switch::Switch;
use super::{open, seen};
use crate::common::{Random, Records, Tag, check_tags, number, records, seed, tiny};

/// A life of a log, and what was committed when.
struct Life {
    disk: FaultStorage,
    /// The number of events, and how many records were committed by then.
    committed: Vec<(u64, usize)>,
    expected: Records,
}

fn append(log: &Log, random: &mut Random, call: u32) -> Option<Lsn> {
    let bound = if random.chance(5) { 8000 } else { 600 };
    let more = random.below(bound) as usize;
    match random.below(100) {
        0..50 => log.append(&Tag::single(0, call).payload(more)).ok(),
        50..65 => {
            let parts = 1 + random.below(4) as u32;
            let tag = |part| Tag { writer: 0, call, part, parts };
            let batch: Vec<_> = (0..parts).map(|part| tag(part).payload(more / 4)).collect();
            log.append_batch(&batch).ok().map(|range| range.start)
        }
        65..80 => log.append_durable(&Tag::single(0, call).payload(more)).ok(),
        80..92 => {
            log.append_buffered(&Tag::single(0, call).payload(more)).unwrap();
            None
        }
        92..97 => log.sync().map(|_| None).unwrap(),
        _ => log.roll().map(|()| None).unwrap(),
    }
}

/// Several writers, one after the other; one in two is killed, that is, cut short at some event.
fn live(random: &mut Random) -> Vec<Life> {
    let (mut lives, mut disk, mut call) = (Vec::new(), FaultStorage::new(), 0);
    for _ in 0..4 {
        let log = tiny().open_with(disk.clone()).unwrap();
        let mut committed = vec![(disk.events(), records(&log).len())];
        for _ in 0..12 {
            append(&log, random, call);
            call += 1;
            committed.push((disk.events(), records(&log).len()));
        }
        log.commit().unwrap();
        let expected = records(&log);
        if random.chance(50) {
            log.close().unwrap();
        } else {
            std::mem::forget(log);
        }
        let end = disk.events();
        let next = disk.restart_at(end);
        lives.push(Life { disk, committed, expected });
        disk = next;
    }
    lives
}

/// The disk in the middle of an event: a write that has come half way.
fn half_way(random: &mut Random, name: &str, before: &Image, after: &Image) -> Option<Image> {
    let (old, new) = (before.get(name)?, after.get(name)?);
    let differs = |at: &usize| old[*at] != new[*at];
    let first = (0..old.len()).find(differs)?;
    let last = (0..old.len()).rev().find(differs)?;
    let to = first + random.below((last - first) as u64 + 1) as usize;
    let mut image = before.clone();
    image.get_mut(name)?[first..to].copy_from_slice(&new[first..to]);
    Some(image)
}

fn check(reader: &LogReader, life: &Life, event: u64, when: &str) -> Records {
    let seen = seen(reader);
    check_tags(&seen);
    let damage = reader.report().damage;
    assert!(damage.is_empty(), "event {event} {when}: {damage:?}");
    assert!(life.expected.starts_with(&seen), "event {event} {when}: other records");
    let committed = life.committed.iter().rev().find(|(events, _)| *events <= event);
    let least = committed.map_or(0, |(_, count)| *count);
    assert!(seen.len() >= least, "event {event} {when}: {} of {least}", seen.len());
    seen
}

#[test]
fn a_reader_sees_a_prefix_at_every_event_of_a_writer() {
    let first = seed("read only, events");
    let (mut looks, mut halves) = (0, 0);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(3) {
        let mut random = Random::new(first + round);
        let switch = Switch::default();
        let mut reader: Option<LogReader> = None;
        for life in live(&mut random) {
            let history = life.disk.history();
            for event in &history {
                let (number, before) = (event.number, life.disk.visible_at(event.number));
                let mut images = vec![(before, "before")];
                if event.kind == EventKind::Write {
                    let after = life.disk.visible_at(number + 1);
                    let half = half_way(&mut random, &event.name, &images[0].0, &after);
                    halves += usize::from(half.is_some());
                    images.extend(half.map(|half| (half, "half way")));
                }
                for (image, when) in images {
                    if image.get("control").is_none() {
                        continue;
                    }
                    switch.to(image.clone());
                    // One that was there from the beginning, and one that comes now.
                    let old = &*reader.get_or_insert_with(|| open(switch.clone()));
                    let end = old.end();
                    old.refresh().unwrap_or_else(|error| panic!("event {number}: {error:?}"));
                    assert!(end <= old.end(), "event {number} {when}: the end went back");
                    let by_old = check(old, &life, number, when);
                    let new = open(MemoryStorage::from_image(image));
                    let by_new = check(&new, &life, number, when);
                    assert!(
                        by_old == by_new,
                        "event {number} {when}: {} {}",
                        by_old.len(),
                        by_new.len()
                    );
                    looks += 1;
                }
            }
        }
    }
    println!("{looks} looks, {halves} of them in the middle of a write");
}

/// What was committed at the first of the events is seen by a look that began there.
fn check_running(reader: &LogReader, life: &Life, least: usize, when: &str) {
    let seen = seen(reader);
    check_tags(&seen);
    let damage = reader.report().damage;
    assert!(damage.is_empty(), "{when}: {damage:?}");
    assert!(life.expected.starts_with(&seen), "{when}: other records");
    assert!(seen.len() >= least, "{when}: {} of {least}", seen.len());
}

#[test]
fn a_look_that_takes_its_time_sees_a_prefix_too() {
    let first = seed("read only, moving");
    let mut looks = 0;
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(200) {
        let mut random = Random::new(first + round);
        let lives = live(&mut random);
        let switch = Switch::default();
        let mut reader: Option<LogReader> = None;
        for life in &lives {
            let events = life.disk.history().first().map(|event| event.number);
            let from = events.expect("something happened");
            let images: Vec<_> =
                (from..=life.disk.events()).map(|event| life.disk.visible_at(event)).collect();
            let bare = images.iter().take_while(|image| image.get("control").is_none()).count();
            let images = &images[bare..];
            let percent = 1 + random.below(60);
            switch.run(images.to_vec(), percent, random.next());
            while switch.left() > 0 {
                let at = life.disk.events() - switch.left() as u64;
                let committed = life.committed.iter().rev().find(|(events, _)| *events <= at);
                let least = committed.map_or(0, |(_, count)| *count);
                let when = format!("round {round}, from event {at}, {percent} of a hundred");
                let old = reader.get_or_insert_with(|| open(switch.clone()));
                old.refresh().unwrap_or_else(|error| panic!("{when}: {error:?}"));
                check_running(old, life, least, &when);
                check_running(&open(switch.clone()), life, least, &when);
                looks += 1;
            }
        }
    }
    println!("{looks} looks");
}
