//! Archives of logs, and the logs that are made of them.
//!
//! Invariant: what an archive gives back is what was appended, at the addresses that were given, or
//! an error that names the file.

mod by_reader;
mod faults;
mod killed;
mod power;
mod salvaged;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stratalog::format::{archived, archived_name};
use stratalog::storage::{FileStorage, Image, MemoryStorage, Storage};
use stratalog::{
    ArchiveReport, Error, Log, Lsn, SegmentState, restore, restore_with, verify_segment,
    verify_segment_with,
};

use super::common::{Random, Records, TINY, records, seed, tiny};

/// Appends records of all sizes, and batches, until the log has sealed so many more segments. Returns
/// the ends of batches by the addresses of their records.
fn fill(log: &Log, segments: usize, random: &mut Random) {
    let sealed =
        |log: &Log| log.segments().iter().filter(|it| it.state == SegmentState::Sealed).count();
    let wanted = sealed(log) + segments;
    while sealed(log) < wanted {
        if random.chance(30) {
            let batch: Vec<_> = (0..2 + random.below(3)).map(|_| random.bytes(700)).collect();
            log.append_batch(&batch).unwrap();
        } else {
            log.append_durable(&random.bytes(1500)).unwrap();
        }
        if random.chance(3) {
            log.roll().unwrap();
        }
    }
}

fn archive(log: &Log, disk: &MemoryStorage) -> ArchiveReport {
    log.archive_with(disk, |_| {}).unwrap()
}

fn restored(disk: &MemoryStorage, until: Option<Lsn>) -> MemoryStorage {
    let into = MemoryStorage::new();
    restore_with(disk, &into, until, |_| {}).unwrap();
    into
}

fn open(disk: &MemoryStorage) -> Log {
    tiny().open_with(disk.clone()).unwrap()
}

fn below(records: &Records, end: Lsn) -> Records {
    records.iter().filter(|(lsn, _)| *lsn < end).cloned().collect()
}

/// A log of several sealed segments, all of it, and its archive.
fn archived_log(random: &mut Random) -> (Log, MemoryStorage, ArchiveReport) {
    let log = open(&MemoryStorage::new());
    fill(&log, 4, random);
    let disk = MemoryStorage::new();
    let report = archive(&log, &disk);
    (log, disk, report)
}

fn names(disk: &MemoryStorage) -> Vec<String> {
    disk.image().names().filter(|name| archived(name).is_some()).map(str::to_owned).collect()
}

/// What restoring an image gives.
fn refused(image: Image, until: Option<Lsn>) -> Error {
    let into = MemoryStorage::new();
    let error = restore_with(&MemoryStorage::from_image(image), &into, until, |_| {}).unwrap_err();
    let left: Vec<_> = into.image().names().map(str::to_owned).collect();
    assert!(left.iter().all(|name| name == "LOCK"), "{left:?}");
    error
}

fn path_of(error: &Error) -> &Path {
    match error {
        Error::Corrupt { path, .. }
        | Error::MissingSegment { path, .. }
        | Error::ArchiveConflict { path, .. } => path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_archive_grows_by_what_was_sealed_since() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, copies) = (folder.path().join("wal"), folder.path().join("a/b/archive"));
    let mut random = Random::new(seed("incremental"));
    let log = tiny().open(&dir).unwrap();
    let files = || {
        let entries = fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().path());
        let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
        entries.map(read).collect::<BTreeMap<_, _>>()
    };
    let mut present = 0;
    let mut before = BTreeMap::new();
    for _ in 0..4 {
        fill(&log, 1 + random.below(3) as usize, &mut random);
        let report = log.archive(&copies).unwrap();
        // Archiving seals what has ended.
        let sealed: Vec<_> =
            log.segments().into_iter().filter(|it| it.state == SegmentState::Sealed).collect();
        assert_eq!((report.present, report.copied.len()), (present, sealed.len() - present));
        assert!(report.end <= log.durable() && report.end == sealed.last().unwrap().end);
        present = sealed.len();
        for segment in &sealed {
            let seal = segment.seal.unwrap();
            let copy = copies.join(archived_name(segment.base, seal.checksum));
            let checked = verify_segment(&copy).unwrap();
            assert_eq!((checked.seal, checked.end), (segment.seal, segment.end));
            assert_eq!((checked.id, checked.bytes), (segment.id, segment.bytes));
        }
        let after = files();
        assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
        let again = log.archive(&copies).unwrap();
        assert_eq!((again.copied.len(), again.present), (0, present));
        assert_eq!(files(), after, "running it again is a no-op");
        before = after;
    }
    let other = folder.path().join("other");
    log.archive(&other).unwrap();
    for (path, bytes) in files() {
        assert!(fs::read(other.join(path.file_name().unwrap())).unwrap() == bytes);
    }
}

#[test]
fn a_restored_log_is_the_archived_one_and_goes_on_under_its_own_id() {
    let mut random = Random::new(seed("restored"));
    let (log, disk, report) = archived_log(&mut random);
    let expected = below(&records(&log), report.end);
    let into = restored(&disk, None);
    let copy = open(&into);
    assert!(copy.recovery().clean && copy.recovery().damage.is_empty());
    assert_eq!(records(&copy), expected);
    let old = log.segments()[0].id;
    assert!(copy.segments().iter().all(|it| it.id == old));
    // The old segments alone are opened again, also after a crash.
    drop(copy);
    let copy = open(&MemoryStorage::from_image(into.image()));
    drop(copy);
    let copy = open(&into);
    let lsn = copy.append_durable(b"goes on").unwrap();
    assert!(lsn > report.end);
    let crashed = open(&MemoryStorage::from_image(into.image()));
    assert_eq!(records(&crashed).last().unwrap(), &(lsn, b"goes on".to_vec()));
    fill(&copy, 3, &mut random);
    let all = records(&copy);
    copy.close().unwrap();
    let copy = open(&into);
    assert_eq!(records(&copy), all);
    let new = copy.segments().last().unwrap().id;
    assert_ne!(new, old);
    // The same archive takes the new segments only, and a restored log of both generations.
    let again = archive(&copy, &disk);
    assert_eq!(again.present, report.copied.len());
    assert!(again.copied.len() >= 3);
    let both = open(&restored(&disk, None));
    assert_eq!(records(&both), below(&all, again.end));
    // Whole segments are archived under the same names, with the same bytes.
    let elsewhere = MemoryStorage::new();
    archive(&both, &elsewhere);
    assert_eq!(elsewhere.image(), disk.image());
    both.append_durable(b"third").unwrap();
}

#[test]
fn a_log_is_restored_up_to_each_of_its_records() {
    let mut random = Random::new(seed("until"));
    let (log, disk, report) = archived_log(&mut random);
    let all = below(&records(&log), report.end);
    let ends = batch_ends(&disk);
    for (index, (lsn, _)) in all.iter().enumerate() {
        let into = restored(&disk, Some(*lsn));
        let copy = open(&into);
        let found = records(&copy);
        let last = *found.last().map(|(last, _)| last).unwrap();
        assert_eq!(found[..], all[..found.len()]);
        assert_eq!(last, ends[lsn], "a record at {lsn} is kept with its batch");
        assert!(found.len() > index);
        let next = copy.append_durable(b"another history").unwrap();
        assert!(next > report.end, "{next} was given before");
        copy.close().unwrap();
        let copy = open(&into);
        assert_eq!(records(&copy).len(), found.len() + 1);
        if index % 8 == 0 {
            copy.roll().unwrap();
            copy.append_durable(b"sealed").unwrap();
            let second = MemoryStorage::from_image(disk.image());
            let sealed = archive(&copy, &second);
            let later = records(&open(&restored(&second, None)));
            assert_eq!(later, below(&records(&copy), sealed.end));
            assert_eq!(later.last().unwrap().1, b"another history");
            // The history before is there still.
            let (end, _) = all.last().unwrap();
            assert_eq!(records(&open(&restored(&second, Some(*end)))), all);
        }
    }
}

/// The last record of the batch that each record is in.
fn batch_ends(disk: &MemoryStorage) -> BTreeMap<Lsn, Lsn> {
    use stratalog::format::{FrameHeader, Kind};
    let mut ends = BTreeMap::new();
    for name in names(disk) {
        let (base, _) = archived(&name).unwrap();
        let info = verify_segment_with(disk, &name).unwrap();
        let image = disk.image();
        let bytes = image.get(&name).unwrap();
        let (mut at, mut batch) = (info.start.get(), Vec::new());
        while info.end.get() - at >= 16 {
            let offset = (at - base) as usize;
            let header = FrameHeader::decode(*bytes[offset..].first_chunk().unwrap()).unwrap();
            if header.kind == Kind::Record {
                batch.push(Lsn::new(at));
                if !header.continues {
                    ends.extend(batch.drain(..).map(|lsn| (lsn, Lsn::new(at))));
                }
            }
            at += header.frame_bytes();
        }
    }
    ends
}

#[test]
fn an_address_of_no_record_is_refused() {
    let mut random = Random::new(seed("no record"));
    let (log, disk, report) = archived_log(&mut random);
    let (first, _) = records(&log)[0].clone();
    let at = |lsn: u64| refused(disk.image(), Some(Lsn::new(lsn)));
    assert!(matches!(at(0), Error::Truncated { .. }));
    assert!(matches!(at(first.get() + 8), Error::NotARecord { .. }));
    assert!(matches!(at(first.get() - 48), Error::NotARecord { .. }));
    assert!(matches!(at(TINY), Error::NotARecord { .. }));
    assert!(matches!(at(report.end.get()), Error::NotYet { .. }));
    let nothing = refused(Image::new(), None);
    assert!(matches!(nothing, Error::NotALog { .. }), "{nothing:?}");
}

#[test]
fn an_archive_and_its_log_replay_as_one_range() {
    let mut random = Random::new(seed("one range"));
    let (log, disk, report) = archived_log(&mut random);
    fill(&log, 1, &mut random);
    let all = records(&log);
    let old = records(&open(&restored(&disk, None)));
    let snapshot = log.snapshot();
    // The log's head may be anywhere up to the end of the archive.
    for head in all.iter().map(|(lsn, _)| *lsn).chain([report.end]).filter(|it| *it <= report.end) {
        let new = snapshot.iter_from(head).unwrap().map(|record| record.unwrap());
        let new = new.map(|record| (record.lsn(), record.payload().to_vec()));
        let joined: Records = below(&old, head).into_iter().chain(new).collect();
        assert!(joined == all, "with a head at {head}");
    }
}

#[test]
fn what_is_in_the_way_is_named_and_left_as_it_is() {
    let mut random = Random::new(seed("in the way"));
    let (log, disk, _) = archived_log(&mut random);
    let names = names(&disk);
    let offset = |image: &Image| image.get(&names[1]).unwrap().len() - 100;
    for damage in 0..3 {
        let mut image = disk.image();
        let at = [30, 4100, offset(&image)][damage];
        image.get_mut(&names[1]).unwrap()[at] ^= 4;
        let damaged = MemoryStorage::from_image(image.clone());
        let error = log.archive_with(&damaged, |_| {}).unwrap_err();
        assert!(matches!(error, Error::ArchiveConflict { .. }), "{error:?}");
        assert!(path_of(&error).ends_with(&names[1]));
        assert_eq!(damaged.image(), image);
    }
    let of_a_log = MemoryStorage::new();
    drop(open(&of_a_log));
    let before = of_a_log.image();
    let error = log.archive_with(&of_a_log, |_| {}).unwrap_err();
    assert!(path_of(&error).ends_with("control"));
    let error = restore_with(&disk, &of_a_log, None, |_| {}).unwrap_err();
    assert!(path_of(&error).ends_with("control"));
    assert_eq!(of_a_log.image(), before);
    let mut image = Image::new();
    image.insert("notes.txt", Vec::new());
    let foreign = MemoryStorage::from_image(image.clone());
    let error = restore_with(&disk, &foreign, None, |_| {}).unwrap_err();
    assert!(path_of(&error).ends_with("notes.txt"));
    assert_eq!(foreign.image(), image);
    // A directory of segments whose control file was lost is no unfinished one.
    let mut lost = before.clone();
    lost.remove("control");
    lost.insert(stratalog::format::segment_name(0), vec![0; 16384]);
    let lost = MemoryStorage::from_image(lost);
    let error = restore_with(&disk, &lost, None, |_| {}).unwrap_err();
    assert!(path_of(&error).ends_with(stratalog::format::segment_name(0)));
}

#[test]
fn one_archiver_at_a_time() {
    let mut random = Random::new(seed("one at a time"));
    let (log, disk, _) = archived_log(&mut random);
    let mut told = 0;
    log.archive_with(&disk, |progress| {
        told += 1;
        assert_eq!((progress.done, progress.bytes), (told, 0));
        let second = log.archive_with(&disk, |_| {});
        assert!(matches!(second, Err(Error::Locked { .. })), "{second:?}");
    })
    .unwrap();
    assert_eq!(told, names(&disk).len());
    log.clone().close().unwrap();
    assert!(matches!(log.archive_with(&disk, |_| {}), Err(Error::Closed)));
}

#[test]
fn damage_in_a_live_segment_is_named_and_what_lies_before_it_is_archived() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, copies) = (folder.path().join("wal"), folder.path().join("archive"));
    let mut random = Random::new(seed("live damage"));
    let log = tiny().open(&dir).unwrap();
    fill(&log, 4, &mut random);
    let sealed = log.segments();
    let third = &sealed[2];
    let mut bytes = fs::read(&third.path).unwrap();
    let at = third.seal.unwrap().last.unwrap().get() - third.base;
    bytes[at as usize + 3] ^= 0x40;
    // In place: the log may have the file open, or mapped.
    write_in_place(&third.path, &bytes);
    let error = log.archive(&copies).unwrap_err();
    let Error::Corrupt { path, lsn, .. } = &error else { panic!("{error:?}") };
    assert_eq!((path, *lsn), (&third.path, third.seal.unwrap().last));
    let there = FileStorage::new(&copies).names().unwrap();
    let there: Vec<_> = there.iter().filter(|name| *name != "LOCK").collect();
    assert_eq!(there.len(), 2, "{there:?}");
    bytes[at as usize + 3] ^= 0x40;
    write_in_place(&third.path, &bytes);
    assert_eq!(log.archive(&copies).unwrap().present, 2);
    let copy = folder.path().join("copy");
    let restored = restore(&copies, &copy, None).unwrap();
    assert_eq!(restored.records, records(&log).len() as u64 - unsealed(&log));
}

/// How many records are in segments that are not sealed.
fn unsealed(log: &Log) -> u64 {
    let sealed = |it: &stratalog::SegmentInfo| it.state == SegmentState::Sealed;
    let end = log.segments().into_iter().filter(sealed).map(|it| it.end).max().unwrap();
    records(log).iter().filter(|(lsn, _)| *lsn >= end).count() as u64
}

fn write_in_place(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Whether a sealed segment is as it was written, as the format tells.
fn is_whole(file: &[u8]) -> bool {
    use stratalog::format::{Salt, SegmentHeader, Stopped, Trailer, scan, summarize};
    let Ok(header) = SegmentHeader::decode(&file[..4096]) else { return false };
    let Ok((trailer, _)) = Trailer::decode(&file[file.len() - 4096..], &header.id, header.base)
    else {
        return false;
    };
    let (frames, start) = (&file[4096..(trailer.end - header.base) as usize], header.base + 4096);
    let found = scan(frames, start, start, Some(trailer.end), Salt::new(&header.id));
    found.stopped == Stopped::Complete
        && summarize(frames, start).is_ok_and(|it| it.frames_crc == trailer.frames_crc)
}

#[test]
fn every_kind_of_damage_to_an_archive_is_named() {
    let mut random = Random::new(seed("archive damage"));
    let (_, disk, _) = archived_log(&mut random);
    let names = names(&disk);
    for (number, name) in names.iter().enumerate() {
        let image = disk.image();
        let info = verify_segment_with(&disk, name).unwrap();
        let end = (info.end.get() - info.base) as usize;
        let matters: Vec<usize> = [0, 20, 40, 4095, 4096, 4100, 4143, 4144]
            .into_iter()
            .chain((0..40).map(|_| 4096 + random.below(end as u64 - 4096) as usize))
            .chain([TINY as usize - 4096, TINY as usize - 4090, TINY as usize - 1])
            .collect();
        for at in matters {
            let mut image = image.clone();
            image.get_mut(name).unwrap()[at] ^= 1 << random.below(8);
            if is_whole(image.get(name).unwrap()) {
                // The body of a padding.
                restored(&MemoryStorage::from_image(image), None);
                continue;
            }
            let error = refused(image, None);
            assert!(path_of(&error).ends_with(name), "{name} at {at}: {error}");
        }
        for len in [0, 4095, 4096, 8192, TINY as usize - 1] {
            let mut image = image.clone();
            image.get_mut(name).unwrap().truncate(len);
            assert!(path_of(&refused(image, None)).ends_with(name));
        }
        // Missing: the next one names it. The first can't be missed, nor can the last.
        let mut missing = image.clone();
        missing.remove(name);
        let left = MemoryStorage::from_image(missing.clone());
        if number == 0 {
            let report = restore_with(&left, &MemoryStorage::new(), None, |_| {}).unwrap();
            assert_eq!(report.segments, names.len() - 1);
            assert!(report.head.get() > TINY);
        } else if number + 1 < names.len() {
            let error = refused(missing, None);
            assert!(matches!(error, Error::MissingSegment { .. }), "{error:?}");
            assert!(path_of(&error).ends_with(&names[number + 1]));
        }
        // Swapped with the next one.
        let other = &names[(number + 1) % names.len()];
        let mut swapped = image.clone();
        let theirs = swapped.get(other).unwrap().to_vec();
        swapped.insert(name.clone(), theirs);
        let error = refused(swapped, None);
        assert!(path_of(&error).ends_with(name), "{error:?}");
    }
}

#[test]
fn a_segment_of_another_log_never_stands_in_for_a_missing_one() {
    // Two logs of the same shape, so that bases and ends are the same.
    let archives = [1, 2].map(|number| {
        let log = open(&MemoryStorage::new());
        for call in 0..60 {
            log.append_durable(&[number, call, 7]).unwrap();
            if call % 10 == 9 {
                log.roll().unwrap();
            }
        }
        let disk = MemoryStorage::new();
        archive(&log, &disk);
        disk
    });
    let [ours, theirs] = archives.each_ref().map(names);
    assert!(ours.len() > 3);
    let mut image = archives[0].image();
    image.remove(&ours[1]);
    image.insert(theirs[1].clone(), archives[1].image().get(&theirs[1]).unwrap().to_vec());
    let error = refused(image.clone(), None);
    assert!(matches!(error, Error::MissingSegment { .. }), "{error:?}");
    // Two whole logs: nobody knows which one is meant.
    let mut both = archives[0].image();
    for name in &theirs {
        both.insert(name.clone(), archives[1].image().get(name).unwrap().to_vec());
    }
    let error = refused(both, None);
    assert!(matches!(error, Error::ArchiveConflict { .. }), "{error:?}");
}

#[test]
fn archiving_beside_appends_copies_a_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = tiny();
    options.background(true);
    let log = options.open(folder.path().join("wal")).unwrap();
    let copies = folder.path().join("archive");
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let appenders = [1, 2].map(|writer| {
            let log = &log;
            scope.spawn(move || {
                for call in 0..1500_u32 {
                    let payload = [&[writer][..], &call.to_le_bytes(), &[7; 100]].concat();
                    if call % 50 == 0 {
                        log.append_durable(&payload).unwrap();
                    } else {
                        log.append(&payload).unwrap();
                    }
                }
            })
        });
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Acquire) {
                let report = log.archive(&copies).unwrap();
                assert!(report.end <= log.durable());
            }
        });
        for appender in appenders {
            appender.join().unwrap();
        }
        ended.store(true, std::sync::atomic::Ordering::Release);
    });
    log.roll().unwrap();
    let report = log.archive(&copies).unwrap();
    let copy = folder.path().join("copy");
    let made = restore(&copies, &copy, None).unwrap();
    assert_eq!((made.records, made.end), (3000, report.end));
    assert_eq!(records(&tiny().open(&copy).unwrap()), records(&log));
}
