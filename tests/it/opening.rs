//! Opening and opening again: clean, unclean, with other options, with very many segments.
//!
//! Invariant: whatever was there keeps its address, what opening reports is what it did, and its cost
//! follows from what was not sealed, not from the length of the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use stratalog::format::{BLOCK_BYTES, CONTROL_NAME, ControlState, TEMPORARY_SUFFIX, segment_name};
use stratalog::storage::{FileStorage, Image, MemoryStorage};
use stratalog::{Log, Lsn, Options, SegmentState};

use super::common::{Random, Records, TINY, filled, open_image, records, seed, tiny};
use super::tap::{Call, Event, Tap, Watch};

fn append(log: &Log, count: u64, random: &mut Random) -> Records {
    (0..count)
        .map(|_| random.bytes(700))
        .map(|payload| (log.append(&payload).unwrap(), payload))
        .collect()
}

#[test]
fn a_closed_log_goes_on_where_it_ended() {
    let mut random = Random::new(seed("clean"));
    let disk = MemoryStorage::new();
    let mut expected = Records::new();
    let mut was_full = false;
    for round in 0..12 {
        let log = tiny().background(round % 2 == 0).open_with(disk.clone()).unwrap();
        assert_eq!((log.recovery().created, log.recovery().clean), (round == 0, round > 0));
        assert_eq!(log.recovery().rewritten_bytes, 0);
        // One that was closed with its last segment full has to be summed up, and goes on in the next.
        if !was_full {
            assert_eq!(log.recovery().scanned_bytes, 0);
            assert_eq!(log.recovery().end, log.tail());
        }
        assert_eq!(records(&log), expected);
        let tail = log.tail();
        let more = append(&log, random.below(25), &mut random);
        if round > 0 && more.first().is_some_and(|(_, first)| first.len() < 100) {
            // The segment is continued, unless this is too much for what is left of it.
            let skipped = more[0].0.get() - tail.get();
            assert!(skipped < 300 + 2 * 4096, "{skipped} bytes are skipped");
        }
        expected.extend(more);
        let last = log.segments().into_iter().rfind(|info| info.state == SegmentState::Active);
        was_full = last.is_some_and(|last| last.base + last.bytes - 4096 - last.end.get() < 16);
        match round % 3 {
            0 => drop(log),
            _ => log.close().unwrap(),
        }
    }
}

#[test]
fn a_closed_log_is_continued_in_the_same_segment() {
    let disk = MemoryStorage::new();
    for round in 0..20 {
        let log = tiny().open_with(disk.clone()).unwrap();
        let tail = log.tail();
        let lsn = log.append(b"a record").unwrap();
        // Behind the first segment's link each record follows the one before.
        assert!(round == 0 || lsn == tail, "{lsn} after {tail}");
        log.close().unwrap();
    }
    let log = tiny().open_with(disk).unwrap();
    assert_eq!(log.segments().iter().filter(|info| info.state != SegmentState::Spare).count(), 1);
}

#[test]
fn a_log_that_was_not_closed_goes_on_in_a_fresh_segment() {
    let mut random = Random::new(seed("unclean"));
    let mut disk = MemoryStorage::new();
    let mut expected = Records::new();
    for round in 0..8 {
        let log = tiny().open_with(disk.clone()).unwrap();
        let recovery = log.recovery().clone();
        assert!(!recovery.clean);
        assert_eq!(recovery.created, round == 0);
        assert_eq!(records(&log), expected);
        assert_eq!([log.durable(), log.committed()], [log.tail(); 2]);
        let newest = expected.last().map_or(Lsn::default(), |(lsn, _)| *lsn);
        assert!(recovery.end > newest && recovery.end <= log.tail());
        if round > 0 {
            assert!(recovery.rewritten_bytes > 0, "what was not synced is written again");
            assert!(recovery.cut.is_none() && recovery.damage.is_empty(), "{recovery}");
        }
        let more = append(&log, 10, &mut random);
        assert!(more[0].0 > newest && more[0].0.get() / TINY > newest.get() / TINY || round == 0);
        expected.extend(more);
        let text = recovery.to_string();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        disk = MemoryStorage::from_image(disk.image());
    }
}

#[test]
fn segments_of_all_sizes_follow_each_other() {
    let mut random = Random::new(seed("sizes"));
    let mut disk = MemoryStorage::new();
    let mut expected = Records::new();
    for (round, bytes) in [16, 64, 20, 1024, 16, 32, 16, 128].into_iter().enumerate() {
        let mut options = Options::new();
        options.segment_bytes(bytes << 10).write_buffer_bytes(4096).background(round % 3 == 0);
        let log = options.open_with(disk.clone()).unwrap();
        assert_eq!(records(&log), expected);
        assert_eq!(log.max_record_bytes(), stratalog::format::max_record_bytes(bytes << 10));
        expected.extend(append(&log, 60, &mut random));
        let largest = filled(random.next(), log.max_record_bytes() as usize);
        expected.push((log.append(&largest).unwrap(), largest));
        if round % 2 == 0 {
            log.close().unwrap();
        } else {
            disk = MemoryStorage::from_image(disk.image());
        }
    }
    assert_eq!(records(&tiny().open_with(disk).unwrap()), expected);
}

#[test]
fn buffered_records_survive_closing_and_not_a_crash() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let committed = log.append(b"committed").unwrap();
    let buffered = log.append_buffered(b"buffered").unwrap();
    assert_eq!(records(&log).len(), 1);
    assert!(log.committed() <= buffered && log.tail() > buffered);
    let crashed = open_image(&disk.image()).unwrap();
    assert_eq!(records(&crashed), [(committed, b"committed".to_vec())]);
    assert!(crashed.append(b"another").unwrap() > buffered, "no address is given twice");
    drop(log);
    let dropped = tiny().open_with(disk.clone()).unwrap();
    assert_eq!(records(&dropped).len(), 2);
    dropped.append_buffered(b"buffered too").unwrap();
    dropped.close().unwrap();
    assert_eq!(records(&tiny().open_with(disk).unwrap()).len(), 3);
}

#[test]
fn leftovers_are_removed_and_reported() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    log.append_durable(b"kept").unwrap();
    let mut image = disk.image();
    drop(log);
    let unfinished = format!("{}{TEMPORARY_SUFFIX}", segment_name(10 * TINY));
    image.insert(&unfinished, vec![0; 100]);
    let dropped = format!("{}.drop", segment_name(20 * TINY));
    image.insert(&dropped, vec![0; 100]);
    image.insert("notes.txt", b"precious".to_vec());
    let disk = MemoryStorage::from_image(image);
    let log = tiny().open_with(disk.clone()).unwrap();
    assert_eq!(records(&log).len(), 1);
    let removed = &log.recovery().removed;
    assert!(removed.iter().any(|path| path.ends_with(&unfinished)), "{removed:?}");
    assert!(removed.iter().any(|path| path.ends_with(&dropped)), "{removed:?}");
    let image = disk.image();
    assert!(image.get(&unfinished).is_none() && image.get(&dropped).is_none());
    assert_eq!(image.get("notes.txt"), Some(&b"precious"[..]));
}

/// Counts the bytes that are read.
#[derive(Debug, Default)]
struct Reads {
    bytes: AtomicU64,
    maps: AtomicU64,
}

impl Watch for Reads {
    fn after(&self, event: &Event, _ok: bool) {
        if event.call == Call::Read {
            self.bytes.fetch_add(event.len, Ordering::Relaxed);
        }
        if event.call == Call::Map {
            self.maps.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn opening_a_closed_log_reads_no_payloads() {
    let segment = 64 << 10;
    let mut options = Options::new();
    options.segment_bytes(segment).background(false);
    let disk = MemoryStorage::new();
    let log = options.open_with(disk.clone()).unwrap();
    while log.segments().len() < 64 {
        log.append(&[1; 4000]).unwrap();
    }
    log.close().unwrap();
    let reads = Arc::new(Reads::default());
    let log = options.open_with(Tap::new(disk.clone(), reads.clone())).unwrap();
    assert!(log.recovery().clean);
    let read = reads.bytes.load(Ordering::Relaxed);
    // A header, a link and a trailer of each, and the control file.
    let expected = 64 * (2 * 4096 + 64) + 4 * 8192;
    assert!(read <= expected, "{read} of {} bytes read", 64 * segment);
    assert_eq!(reads.maps.load(Ordering::Relaxed), 0);

    // After a crash it is the same and what was not sealed, and not all of the log.
    log.append_durable(&[1; 4000]).unwrap();
    let crashed = MemoryStorage::from_image(disk.image());
    let reads = Arc::new(Reads::default());
    let log = options.open_with(Tap::new(crashed, reads.clone())).unwrap();
    let read = reads.bytes.load(Ordering::Relaxed);
    assert!(read <= expected + 6 * segment, "{read} of {} bytes read", 64 * segment);
    assert!(log.recovery().scanned_bytes <= 2 * segment, "{}", log.recovery());
}

/// Where something is written: file, offset, end.
#[derive(Debug, Default)]
struct Writes(Mutex<Vec<(String, u64, u64)>>);

impl Watch for Writes {
    fn after(&self, event: &Event, _ok: bool) {
        if event.call == Call::Write {
            let Event { name, offset, len, .. } = event;
            self.0.lock().unwrap().push((name.clone(), *offset, offset + len));
        }
    }
}

#[test]
fn writes_into_a_segment_that_was_there_cover_whole_pages_and_others_only_frames() {
    let disk = MemoryStorage::new();
    let options = || {
        let mut options = Options::new();
        options.segment_bytes(64 << 10).background(false);
        options
    };
    let log = options().open_with(disk.clone()).unwrap();
    let mut expected = vec![(log.append(b"before").unwrap(), b"before".to_vec())];
    log.close().unwrap();
    let writes = Arc::new(Writes::default());
    let log = options().open_with(Tap::new(disk.clone(), writes.clone())).unwrap();
    assert!(log.recovery().clean);
    writes.0.lock().unwrap().clear();
    let mut random = Random::new(seed("pages"));
    let mut appended = 0;
    while log.segments().last().unwrap().base < 64 << 10 {
        let payload = random.bytes(700);
        let lsn = match appended % 3 {
            0 => log.append(&payload).unwrap(),
            1 => log.append_buffered(&payload).unwrap(),
            _ => log.append_batch(&[&payload]).unwrap().start,
        };
        log.commit().unwrap();
        expected.push((lsn, payload));
        appended += 1;
    }
    let all = writes.0.lock().unwrap().clone();
    // The trailer is no part of it.
    let frames = |name: &str| {
        let name = name.to_owned();
        all.iter().filter(move |write| write.0 == name && write.2 <= 60 << 10)
    };
    let mut covered = 0;
    for (_, _, end) in frames(&segment_name(0)) {
        assert!(end.is_multiple_of(4096) || *end < covered, "a page is written in part: {end}");
        covered = covered.max(*end);
    }
    assert_eq!(covered, 60 << 10);
    // All of it but zeros and header came from appending.
    let link = frames(&segment_name(64 << 10)).rfind(|write| write.1 == 4096).unwrap();
    assert_ne!(link.2 % 4096, 0, "the pages of a new one are there");
    assert_eq!(records(&log), expected);
    assert_eq!(
        records(&options().open_with(MemoryStorage::from_image(disk.image())).unwrap()),
        expected
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_of_many_segments_holds_few_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let storage = FileStorage::new(directory.path());
    let open_files = || {
        let entries = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|target| target.starts_with(directory.path())).count()
    };
    let log = tiny().background(true).open_with(storage.clone()).unwrap();
    let mut most = 0;
    let mut expected = Records::new();
    while expected.len() < 300 {
        let payload = filled(expected.len() as u64, 8000);
        expected.push((log.append(&payload).unwrap(), payload));
        if expected.len().is_multiple_of(16) {
            log.sync().unwrap();
            most = most.max(open_files());
        }
    }
    assert!(log.segments().len() >= 300);
    assert_eq!(records(&log), expected);
    assert!(most.max(open_files()) <= 16 + 2 * 16, "{most} descriptors while appending");
    log.close().unwrap();
    assert_eq!(open_files(), 0, "all are closed after closing");
    let log = tiny().open_with(storage).unwrap();
    assert!(open_files() <= 16, "{} descriptors after opening", open_files());
    let snapshot = log.snapshot();
    assert_eq!(snapshot.iter().map(Result::unwrap).count(), 300);
    assert!(open_files() <= 16, "{} descriptors while all is mapped", open_files());
}

#[test]
fn segments_tell_where_they_stand() {
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    append(&log, 100, &mut Random::new(3));
    log.sync().unwrap();
    let infos = log.segments();
    assert!(infos.len() > 2);
    assert!(infos.is_sorted_by(|a, b| a.base + a.bytes <= b.base));
    for info in &infos {
        assert!(info.path.ends_with(segment_name(info.base)));
        assert!(info.start <= info.end && info.end.get() <= info.base + info.bytes - 4096);
    }
    let active = infos.iter().rfind(|info| info.state == SegmentState::Active).unwrap();
    assert_eq!(active.end, log.tail());
    assert_eq!(infos[0].start, log.head());
}

#[test]
fn a_log_that_is_killed_again_and_again_before_its_first_record_goes_on_opening() {
    let mut image = MemoryStorage::new().image();
    for round in 0..5 {
        let disk = MemoryStorage::from_image(image);
        let log = tiny().open_with(disk.clone()).unwrap_or_else(|error| panic!("{round}: {error}"));
        assert_eq!([log.head(), log.durable()], [log.tail(); 2], "nothing is there or missing");
        // It takes a segment, whose addresses are not used again, and writes nothing.
        log.append_buffered(b"gone").unwrap();
        image = disk.image();
        assert!(log.tail().get() > round * TINY, "another segment each time");
    }
    let log = open_image(&image).unwrap();
    let kept = log.append_durable(b"kept").unwrap();
    assert_eq!(records(&log), [(kept, b"kept".to_vec())]);
    log.close().unwrap();
}

/// What the newest slot of the control file says.
fn control(image: &Image) -> ControlState {
    let slots = image.get(CONTROL_NAME).unwrap().chunks(BLOCK_BYTES as usize);
    slots.map(|slot| ControlState::decode(slot).unwrap()).max_by_key(|slot| slot.0).unwrap().1
}

#[test]
fn a_cut_is_forgotten_once_the_link_behind_it_is_durable() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    log.append(b"kept").unwrap();
    let disk = MemoryStorage::from_image(disk.image());
    let log = tiny().open_with(disk.clone()).unwrap();
    assert!(control(&disk.image()).cut.is_some(), "the log ends where it was torn");
    log.append_durable(b"behind the link").unwrap();
    log.roll().unwrap();
    log.append_durable(b"in the next segment").unwrap();
    assert_eq!(control(&disk.image()).cut, None, "the link says where the segment ends");
}
