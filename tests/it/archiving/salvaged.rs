//! Salvage: what is provable of a damaged log, at its own addresses, and an account of the rest.

use std::fs;

use stratalog::format::{SegmentHeader, segment_name};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{
    Error, Log, Lsn, ReadOptions, RecoveryPolicy, SalvageReport, SegmentState, salvage,
    salvage_with,
};

use super::super::common::{Random, Records, TINY, filled, records, seed, tiny};

/// A log of several segments and the image that closing, or the end of its process, leaves.
fn damaged_later(close: bool) -> (Image, Records) {
    truncated_later(close, 0)
}

/// The same where so many of the records were dropped.
fn truncated_later(close: bool, dropped: usize) -> (Image, Records) {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    for call in 0..24_u64 {
        if call % 5 == 0 {
            let batch: Vec<_> = (0..3).map(|part| filled(call * 7 + part, 300)).collect();
            log.append_batch(&batch).unwrap();
        } else {
            log.append_durable(&filled(call, 1200)).unwrap();
        }
    }
    let all = records(&log);
    log.sync().unwrap();
    log.append_durable(b"evidence").unwrap();
    let mut all = [all, vec![records(&log).pop().unwrap()]].concat();
    if dropped > 0 {
        log.truncate_before(all[dropped].0).unwrap();
        all.drain(..dropped);
    }
    let image = disk.image();
    if close {
        log.close().unwrap();
        return (disk.image(), all);
    }
    (image, all)
}

fn save(image: &Image) -> (Log, Records, SalvageReport) {
    let (from, into) = (MemoryStorage::from_image(image.clone()), MemoryStorage::new());
    let report = salvage_with(&from, &into, |_| {}).unwrap();
    assert!(from.image() == *image, "the source is only read");
    let log = tiny().open_with(into.clone()).unwrap();
    assert!(log.recovery().clean && log.recovery().damage.is_empty());
    let saved = records(&log);
    assert_eq!(saved.len() as u64, report.records);
    let next = log.append_durable(b"goes on").unwrap();
    assert!(next >= report.end);
    drop(log);
    let log = tiny().open_with(into).unwrap();
    assert_eq!(records(&log).len(), saved.len() + 1);
    (log, saved, report)
}

/// Each record that was not saved lies in a range that is reported, and none that was.
fn check(all: &Records, saved: &Records, report: &SalvageReport) {
    let lost = |lsn: Lsn| report.missing.iter().any(|it| it.lsn.contains(&lsn));
    for record in all {
        assert!(saved.contains(record) != lost(record.0), "{}: {:?}", record.0, report.missing);
    }
    assert!(saved.iter().all(|record| all.contains(record)), "nothing is made up");
}

fn place(image: &Image, lsn: Lsn) -> (String, usize) {
    let base = lsn.get() / TINY * TINY;
    assert!(image.get(&segment_name(base)).is_some());
    (segment_name(base), (lsn.get() - base) as usize)
}

#[test]
fn a_log_without_damage_is_saved_whole() {
    for close in [true, false] {
        let (image, all) = damaged_later(close);
        let (_, saved, report) = save(&image);
        assert_eq!(saved, all);
        assert_eq!((report.missing.len(), report.ignored.len()), (0, 0), "{report:?}");
    }
}

#[test]
fn a_damaged_record_is_lost_alone_and_reported_by_its_address() {
    for close in [true, false] {
        let (image, all) = damaged_later(close);
        for (index, (lsn, payload)) in all.iter().enumerate().take(all.len() - 1) {
            let (name, at) = place(&image, *lsn);
            for byte in [4, 12, 16 + payload.len() / 2] {
                let mut damaged = image.clone();
                damaged.get_mut(&name).unwrap()[at + byte] ^= 0x10;
                let (_, saved, report) = save(&damaged);
                check(&all, &saved, &report);
                assert_eq!(saved.len() + 1, all.len(), "record {index}, byte {byte}");
                assert_eq!(report.missing.len(), 1, "{:?}", report.missing);
                assert_eq!(report.missing[0].lsn.start, *lsn);
                assert!(report.missing[0].path.ends_with(&name));
            }
        }
    }
}

#[test]
fn whole_files_that_are_damaged_or_gone_cost_what_they_held_and_no_more() {
    for close in [true, false] {
        let (image, all) = damaged_later(close);
        let segments: Vec<_> = image.names().filter(|it| it.contains(".seg")).collect();
        for name in &segments[..2] {
            let mut gone = image.clone();
            gone.remove(name);
            let base: u64 = name.trim_end_matches(".seg").parse().unwrap();
            let inside = |lsn: Lsn| (base..base + TINY).contains(&lsn.get());
            let (_, saved, report) = save(&gone);
            let kept: Records = all.iter().filter(|it| !inside(it.0)).cloned().collect();
            assert_eq!(saved, kept, "{name}: {report:?}");
            assert!(!report.missing.is_empty());
            check(&all, &saved, &report);
            // Header, link, trailer: nothing is lost of the records.
            for at in [3, 40, 4097, 4120, TINY as usize - 4000] {
                let mut damaged = image.clone();
                damaged.get_mut(name).unwrap()[at] ^= 1;
                let (_, saved, report) = save(&damaged);
                assert_eq!(saved, all, "{name} at {at}: {report:?}");
            }
            let mut shorter = image.clone();
            shorter.get_mut(name).unwrap().truncate(9000);
            let (_, saved, report) = save(&shorter);
            check(&all, &saved, &report);
            assert!(saved.len() < all.len() && saved.len() >= kept.len());
        }
    }
}

#[test]
fn a_log_whose_control_file_is_lost_is_saved_from_its_segments() {
    for close in [true, false] {
        let (image, all) = damaged_later(close);
        let mut gone = image.clone();
        gone.remove("control");
        let mut zeros = image.clone();
        zeros.get_mut("control").unwrap().fill(0);
        for damaged in [gone, zeros] {
            let (_, saved, report) = save(&damaged);
            assert_eq!(saved, all);
            assert!(report.missing.is_empty(), "{report:?}");
        }
    }
    let nothing = salvage_with(&MemoryStorage::new(), &MemoryStorage::new(), |_| {});
    assert!(matches!(nothing, Err(Error::NotALog { .. })), "{nothing:?}");
}

#[test]
fn a_log_whose_control_file_has_another_length_keeps_all_that_a_slot_of_it_says() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let lsns: Vec<Lsn> = (0..9).map(|key| log.append(&filled(key, 1200)).unwrap()).collect();
    log.set_app_state(b"a vote").unwrap();
    log.truncate_before(lsns[4]).unwrap();
    let all = records(&log);
    for close in [false, true] {
        if close {
            log.clone().close().unwrap();
        }
        for bytes in [4096, 4097, 8191, 8193, 12_288, 20_000] {
            let mut damaged = disk.image();
            damaged.get_mut("control").unwrap().resize(bytes, 7);
            let (saved_log, saved, report) = save(&damaged);
            assert!(saved.ends_with(&all) && report.missing.is_empty(), "{bytes}: {report:?}");
            assert_eq!(saved_log.app_state(), b"a vote", "{bytes}");
        }
        // No slot is left.
        for bytes in [0, 1, 4095] {
            let mut damaged = disk.image();
            damaged.get_mut("control").unwrap().truncate(bytes);
            let (_, saved, report) = save(&damaged);
            assert!(saved.ends_with(&all) && report.missing.is_empty(), "{bytes}: {report:?}");
        }
    }
}

#[test]
fn a_log_whose_first_kept_record_is_lost_is_saved_from_its_head_on() {
    for (close, dropped) in [(true, 1), (false, 1), (false, 3), (true, 12), (false, 25)] {
        let (image, all) = truncated_later(close, dropped);
        for lost in 1..4 {
            let mut damaged = image.clone();
            for (lsn, _) in &all[..lost] {
                let (name, at) = place(&image, *lsn);
                damaged.get_mut(&name).unwrap()[at + 13] ^= 1;
            }
            let (_, saved, report) = save(&damaged);
            assert_eq!(saved, all[lost..], "{dropped}, {lost}: {report:?}");
            assert_eq!(report.head, all[0].0);
            check(&all, &saved, &report);
        }
    }
}

#[test]
fn files_of_which_only_the_name_is_left_do_not_keep_what_is_saved_from_being_opened() {
    let (image, all) = damaged_later(false);
    let last = image.names().filter(|name| name.contains(".seg")).max().unwrap().to_owned();
    let lost = |lsn: Lsn| segment_name(lsn.get() / TINY * TINY) == last;
    let kept: Records = all.iter().filter(|it| !lost(it.0)).cloned().collect();
    let highest = u64::MAX / 8 * 8;
    for control in [true, false] {
        for bytes in [0, 1, 9517, TINY as usize + 1] {
            let mut damaged = image.clone();
            damaged.get_mut(&last).unwrap().resize(bytes, 0);
            damaged.get_mut(&last).unwrap().iter_mut().take(1).for_each(|byte| *byte ^= 1);
            if !control {
                damaged.remove("control");
            }
            assert_eq!(save(&damaged).1, kept, "{bytes}");
            for base in [TINY * 100, highest - TINY, highest] {
                let mut more = damaged.clone();
                more.insert(segment_name(base), vec![7; bytes]);
                assert_eq!(save(&more).1, kept, "{bytes}, {base}");
            }
            // A header that is right, where no log can reach.
            let mut header =
                SegmentHeader::decode(&image.get(&segment_name(0)).unwrap()[..4096]).unwrap();
            header.base = highest - TINY;
            let mut more = damaged.clone();
            more.insert(segment_name(header.base), header.encode());
            assert_eq!(save(&more).1, kept, "{bytes}");
        }
    }
}

#[test]
fn a_file_at_the_end_of_all_addresses_does_not_keep_what_is_saved_from_being_opened() {
    let (image, all) = damaged_later(false);
    let first = image.get(&segment_name(0)).unwrap();
    let id = SegmentHeader::decode(&first[..4096]).unwrap().id;
    for base in [1 << 63, (1 << 63) - TINY, (1 << 63) - TINY + 8, u64::MAX / 8 * 8 - TINY] {
        for control in [true, false] {
            let mut more = image.clone();
            let mut file = SegmentHeader { id, base, segment_bytes: TINY }.encode();
            file.resize(TINY as usize, 0);
            more.insert(segment_name(base), file);
            if !control {
                more.remove("control");
            }
            assert_eq!(save(&more).1, all, "{base}");
        }
    }
}

#[test]
fn files_that_lost_header_and_end_are_saved_as_far_as_they_go() {
    let disk = MemoryStorage::new();
    let log = tiny().segment_bytes(2 * TINY).open_with(disk.clone()).unwrap();
    let lsns: Vec<Lsn> =
        (0..60).map(|key| log.append_durable(&filled(key, 1200)).unwrap()).collect();
    let cut = disk.image();
    log.truncate_from(lsns[30]).unwrap();
    // A cut names the end of a file, or the next link does, or nothing.
    for (image, count) in [(cut, 60), (disk.image(), 30)] {
        let all = records(&tiny().open_with(MemoryStorage::from_image(image.clone())).unwrap());
        assert_eq!(all.len(), count);
        let names = image.names().filter(|name| name.contains(".seg"));
        for (name, bytes) in names.flat_map(|it| [16, 20, 24, 28].map(|kib| (it, kib << 10))) {
            for control in [true, false] {
                let mut damaged = image.clone();
                let file = damaged.get_mut(name).unwrap();
                file.truncate(bytes);
                file[8] ^= 1;
                if !control {
                    damaged.remove("control");
                }
                let (_, saved, report) = save(&damaged);
                let base: u64 = name.trim_end_matches(".seg").parse().unwrap();
                let end = Lsn::new(base + bytes as u64);
                let gone = |lsn: Lsn| {
                    (base..base + 2 * TINY).contains(&lsn.get()) && {
                        let next = all.iter().map(|it| it.0).find(|next| *next > lsn);
                        next.is_none_or(|next| next > end)
                    }
                };
                let kept: Records = all.iter().filter(|it| !gone(it.0)).cloned().collect();
                assert!(saved.len() >= kept.len(), "{name} of {bytes}, {control}: {report:?}");
                assert!(report.end >= saved.last().unwrap().0);
            }
        }
    }
}

#[test]
fn whatever_skipping_damage_still_reads_is_saved() {
    let mut random = Random::new(seed("salvage"));
    let rounds = super::super::common::number("STRATALOG_ROUNDS").unwrap_or(1);
    for round in 0..400 * rounds {
        let dropped = random.below(24).saturating_sub(8) as usize;
        let (image, _) = truncated_later(round % 2 == 0, dropped);
        // Where the control file is lost, what was dropped may be back.
        let (_, all) = damaged_later(round % 2 == 0);
        let mut damaged = image.clone();
        let names: Vec<_> = image.names().map(str::to_owned).collect();
        for _ in 0..=random.below(4) {
            let name = &names[random.below(names.len() as u64) as usize];
            let Some(bytes) = damaged.get_mut(name).filter(|bytes| !bytes.is_empty()) else {
                continue;
            };
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(6) {
                0 => bytes[at..].iter_mut().take(600).for_each(|byte| *byte = 0),
                1 => bytes.truncate(at),
                2 => bytes.resize(at * 2, 0),
                _ => bytes[at] ^= 1 << random.below(8),
            }
        }
        let mut options = tiny();
        options.recovery(RecoveryPolicy::SkipCorrupt);
        let into = MemoryStorage::new();
        let from = MemoryStorage::from_image(damaged.clone());
        let report = match salvage_with(&from, &into, |_| {}) {
            Ok(report) => report,
            // Both slots and all headers.
            Err(Error::Corrupt { .. }) => continue,
            Err(other) => panic!("{other:?}"),
        };
        let saved = records(&tiny().open_with(into).unwrap());
        assert!(saved.iter().all(|record| all.contains(record)), "round {round}");
        let Ok(log) = options.open_with(MemoryStorage::from_image(damaged)) else { continue };
        let skipped: Records = log
            .snapshot()
            .iter()
            .map(|record| record.unwrap())
            .map(|record| (record.lsn(), record.payload().to_vec()))
            .collect();
        assert!(
            skipped.iter().all(|record| saved.contains(record)),
            "round {round}: {} and {}: {report:?}",
            skipped.len(),
            saved.len()
        );
    }
}

#[test]
fn a_log_that_is_open_is_not_salvaged() {
    let folder = tempfile::tempdir().unwrap();
    let [dir, new] = ["wal", "new"].map(|name| folder.path().join(name));
    let log = tiny().open(&dir).unwrap();
    log.append(b"one").unwrap();
    assert!(matches!(salvage(&dir, &new), Err(Error::Locked { .. })));
    assert!(!new.exists());
    log.close().unwrap();
    let before = fs::metadata(dir.join("control")).unwrap().modified().unwrap();
    assert_eq!(salvage(&dir, &new).unwrap().records, 1);
    assert_eq!(fs::metadata(dir.join("control")).unwrap().modified().unwrap(), before);
}

#[test]
fn iteration_stops_at_damage_or_steps_over_it_to_a_frame_that_belongs_there() {
    let (image, all) = damaged_later(true);
    let disk = MemoryStorage::from_image(image.clone());
    let log = tiny().open_with(disk).unwrap();
    let sealed = log.segments().into_iter().filter(|it| it.state == SegmentState::Sealed).count();
    assert!(sealed >= 1);
    drop(log);
    // A sealed segment is not scanned by opening, so reading finds the damage.
    let (lsn, payload) = all[3].clone();
    let (name, at) = place(&image, lsn);
    let mut damaged = image.clone();
    damaged.get_mut(&name).unwrap()[at + 20] ^= 1;
    // Inside the damaged record, the image of a frame of another address, intact.
    let (other, _) = all[1].clone();
    let (_, from) = place(&image, other);
    let frame = image.get(&name).unwrap()[from..from + 48].to_vec();
    assert!(payload.len() > 200);
    damaged.get_mut(&name).unwrap()[at + 64..at + 112].copy_from_slice(&frame);
    let log = tiny().open_with(MemoryStorage::from_image(damaged)).unwrap();
    let read: Vec<_> = log.snapshot().iter().map(|it| it.map(|it| it.lsn())).collect();
    assert_eq!(read.len(), 4, "fused after the first error");
    assert!(matches!(&read[3], Err(Error::Corrupt { lsn: Some(at), .. }) if *at == lsn));
    let snapshot = log.snapshot_with(ReadOptions::new().skip_damage(true));
    let mut iter = snapshot.iter();
    let skipped: Vec<_> = iter.by_ref().map(|it| it.unwrap().lsn()).collect();
    let expected: Vec<_> = all.iter().map(|it| it.0).filter(|it| *it != lsn).collect();
    assert_eq!(skipped, expected);
    assert_eq!(iter.skipped_bytes(), 16 + payload.len().next_multiple_of(8) as u64);
}
