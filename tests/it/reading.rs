//! Addresses of all kinds, snapshots that stay what they are, and reading from several threads.
//!
//! Invariant: an address that no append returned is never taken for a record's, whatever the bytes
//! there look like; what a snapshot shows never changes.

use std::collections::BTreeMap;
use std::thread;

use stratalog::format::{FrameHeader, Kind, LogId, Salt, SegmentHeader, payload_crc, segment_name};
use stratalog::storage::{FileStorage, MemoryStorage};
use stratalog::{Error, Log, Lsn, ReadOptions, Snapshot};

use super::common::{Random, Records, TINY, filled, open_image, read, records, seed, tiny};

/// Appends records of random lengths over several segments.
fn appended(log: &Log, count: u64, random: &mut Random) -> Records {
    (0..count)
        .map(|_| random.bytes(900))
        .map(|payload| (log.append(&payload).unwrap(), payload))
        .collect()
}

fn next(record: &(Lsn, Vec<u8>)) -> Lsn {
    Lsn::new(record.0.get() + 16 + record.1.len().next_multiple_of(8) as u64)
}

#[test]
fn every_address_is_a_record_or_a_named_error() {
    let mut random = Random::new(seed("addresses"));
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    let expected = appended(&log, 60, &mut random);
    let by_lsn: BTreeMap<_, _> = expected.iter().cloned().collect();
    let (head, end) = (log.head(), log.committed());
    let snapshot = log.snapshot();
    assert_eq!((snapshot.head(), snapshot.end()), (head, end));
    let marks: Vec<_> = expected.iter().map(next).collect();
    for address in 0..end.get() + 64 {
        let lsn = Lsn::new(address);
        let got = snapshot.get(lsn);
        let from = snapshot.iter_from(lsn);
        if let Some(payload) = by_lsn.get(&lsn) {
            assert_eq!(got.unwrap().payload(), payload);
        } else {
            match got {
                Err(Error::Truncated { head: named, .. }) => assert!(lsn < head && named == head),
                Err(Error::NotYet { end: named, .. }) => assert!(lsn >= end && named == end),
                Err(Error::NotARecord { lsn: named, .. }) => {
                    assert!(lsn >= head && lsn < end && named == lsn);
                }
                // Between two segments there is the room of a trailer and a header.
                Err(Error::Cut { .. }) => assert!(lsn > head && lsn < end),
                other => panic!("{lsn}: {other:?}"),
            }
        }
        match from {
            Ok(iter) => {
                let first = iter.map(|record| record.unwrap().lsn()).next();
                assert_eq!(first, by_lsn.range(lsn..).next().map(|(lsn, _)| *lsn), "from {lsn}");
            }
            Err(Error::Truncated { .. }) => assert!(lsn < head),
            Err(Error::NotYet { .. }) => assert!(lsn > end),
            Err(Error::NotARecord { .. } | Error::Cut { .. }) => {
                assert!(!by_lsn.contains_key(&lsn) && !marks.contains(&lsn) && lsn != end);
            }
            Err(other) => panic!("{lsn}: {other:?}"),
        }
    }
    for lsn in [Lsn::new(u64::MAX), Lsn::new(u64::MAX - 7), Lsn::new(1 << 63)] {
        assert!(matches!(snapshot.get(lsn), Err(Error::NotYet { .. })));
        assert!(matches!(snapshot.iter_from(lsn).err(), Some(Error::NotYet { .. })));
    }
    assert_eq!(snapshot.last().unwrap().unwrap().lsn(), expected.last().unwrap().0);
}

#[test]
fn an_address_that_recovery_cut_away_is_told_from_one_that_never_was() {
    let mut random = Random::new(seed("cut"));
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    log.append_durable(b"kept").unwrap();
    let lost = log.append(&filled(1, 300)).unwrap();
    let mut image = disk.image();
    drop(log);
    image.get_mut(&segment_name(0)).unwrap()[lost.get() as usize + 100] ^= 1;
    let disk = MemoryStorage::from_image(image);
    for _ in 0..3 {
        let log = tiny().open_with(disk.clone()).unwrap();
        appended(&log, 30, &mut random);
        let found = log.snapshot().get(lost).map(|record| record.lsn());
        assert!(matches!(found, Err(Error::Cut { .. })), "{found:?}");
        let found = log.snapshot().iter_from(Lsn::new(lost.get() + 16)).err();
        assert!(matches!(found, Some(Error::Cut { .. })), "{found:?}");
        log.close().unwrap();
    }
}

/// The frame of a record, as the log itself would write it at an address.
fn frame_image(id: LogId, lsn: u64, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader::new(Kind::Record, payload.len() as u32, false, 0);
    let mut bytes = header.sealed(payload_crc(payload), Salt::new(&id).at(lsn)).encode().to_vec();
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

#[test]
fn a_frame_inside_a_payload_is_no_record() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    log.append(b"first").unwrap();
    let header = disk.image().get(&segment_name(0)).unwrap()[..4096].to_vec();
    let id = SegmentHeader::decode(&header).unwrap().id;
    let mut expected = records(&log);
    let mut inner = Vec::new();
    for _ in 0..40 {
        // Valid at exactly the address where it comes to lie.
        let at = log.tail().get() + 16 + 64;
        let mut payload = filled(at, 64);
        payload.extend(frame_image(id, at, b"a record that nobody appended"));
        payload.extend(filled(at, 100));
        let lsn = log.append(&payload).unwrap();
        if lsn.get() + 16 + 64 == at {
            inner.push(Lsn::new(at));
        }
        expected.push((lsn, payload));
    }
    assert!(inner.len() > 30);
    for log in [log, open_image(&disk.image()).unwrap()] {
        assert_eq!(records(&log), expected);
        for snapshot in [log.snapshot(), log.snapshot_with(ReadOptions::new().verify(false))] {
            for lsn in &inner {
                assert!(matches!(snapshot.get(*lsn), Err(Error::NotARecord { .. })));
                let from = snapshot.iter_from(*lsn).err();
                assert!(matches!(from, Some(Error::NotARecord { .. })), "{from:?}");
            }
        }
    }
}

fn by_segments_in_threads(snapshot: &Snapshot) -> Records {
    thread::scope(|scope| {
        let segments: Vec<_> = snapshot
            .segments()
            .map(|segment| {
                scope.spawn(move || {
                    let range = segment.range();
                    let records = segment.iter().map(|record| record.unwrap());
                    let records = records.inspect(|record| assert!(range.contains(&record.lsn())));
                    records.map(|record| (record.lsn(), record.payload().to_vec())).collect()
                })
            })
            .collect();
        segments.into_iter().flat_map(|thread| -> Records { thread.join().unwrap() }).collect()
    })
}

#[test]
fn all_ways_of_reading_give_the_same_records() {
    let mut random = Random::new(seed("ways"));
    let directory = tempfile::tempdir().unwrap();
    let memory = tiny().open_with(MemoryStorage::new()).unwrap();
    let files = tiny().open_with(FileStorage::new(directory.path())).unwrap();
    for log in [memory, files] {
        let expected = appended(&log, 150, &mut random);
        for verify in [true, false] {
            for copy in [true, false] {
                for skip in [true, false] {
                    let options = ReadOptions::new().verify(verify).copy(copy).skip_damage(skip);
                    let snapshot = log.snapshot_with(options);
                    assert_eq!(read(&snapshot).0, expected, "{options:?}");
                    assert_eq!(read(&log.snapshot().with(options)).0, expected, "{options:?}");
                    assert_eq!(by_segments_in_threads(&snapshot), expected, "{options:?}");
                    for record in &snapshot {
                        let record = record.unwrap();
                        let at = record.payload().as_ptr() as usize;
                        assert!(at.is_multiple_of(8), "{:?} is not aligned", record.lsn());
                    }
                    let mut iter = snapshot.iter();
                    assert_eq!(iter.by_ref().count(), expected.len());
                    assert!(iter.skipped_bytes() == 0 && iter.next().is_none());
                }
            }
        }
        for pair in expected.windows(2) {
            let snapshot = log.snapshot();
            let resumed = snapshot.iter_from(snapshot.get(pair[0].0).unwrap().next_lsn()).unwrap();
            let first = resumed.map(|record| record.unwrap().lsn()).next();
            assert_eq!(first, Some(pair[1].0));
        }
    }
}

#[test]
fn a_snapshot_stays_what_it_is_while_the_log_goes_on() {
    let mut random = Random::new(seed("snapshots"));
    let directory = tempfile::tempdir().unwrap();
    for on_files in [false, true] {
        let mut options = tiny();
        options.background(true);
        let log = if on_files {
            options.open(directory.path()).unwrap()
        } else {
            options.open_with(MemoryStorage::new()).unwrap()
        };
        let mut taken: Vec<(Snapshot, Records)> = Vec::new();
        let mut all = Records::new();
        for round in 0..12 {
            all.extend(appended(&log, 20, &mut random));
            log.append_buffered(b"not seen").unwrap();
            taken.push((log.snapshot(), all.clone()));
            let buffered = log.commit().unwrap();
            let lsn = log.snapshot().last().unwrap().unwrap().lsn();
            assert!(lsn < buffered);
            all.push((lsn, b"not seen".to_vec()));
            if round % 3 == 0 {
                log.roll().unwrap();
            }
            for (snapshot, expected) in &taken {
                assert_eq!(&read(snapshot).0, expected);
            }
        }
        let clone = taken[3].0.clone();
        log.close().unwrap();
        for (snapshot, expected) in &taken {
            assert_eq!(&read(snapshot).0, expected);
        }
        drop(taken);
        assert!(clone.iter().all(|record| record.is_ok()));
    }
}

#[test]
fn an_iterator_that_met_damage_ends() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let expected = appended(&log, 120, &mut Random::new(7));
    log.close().unwrap();
    let mut image = disk.image();
    // The second record of a sealed segment: opening does not read it.
    let victim = expected.iter().position(|(lsn, _)| lsn.get() > TINY).unwrap() + 1;
    let offset = expected[victim].0.get() % TINY + 16;
    let name = segment_name(expected[victim].0.get() / TINY * TINY);
    image.get_mut(&name).unwrap()[offset as usize] ^= 1;
    let log = open_image(&image).unwrap();
    let snapshot = log.snapshot();
    let mut iter = snapshot.iter();
    for (lsn, _) in &expected[..victim] {
        assert_eq!(iter.next().unwrap().unwrap().lsn(), *lsn);
    }
    let error = iter.next().unwrap().unwrap_err();
    let Error::Corrupt { path, lsn, .. } = &error else { panic!("{error:?}") };
    assert!(path.ends_with(&name) && *lsn == Some(expected[victim].0), "{error}");
    assert!(iter.next().is_none() && iter.next().is_none());
    assert!(matches!(snapshot.get(expected[victim].0), Err(Error::Corrupt { .. })));
    let skipping = log.snapshot_with(ReadOptions::new().skip_damage(true));
    let (seen, error) = read(&skipping);
    assert!(error.is_none());
    let mut without = expected;
    without.remove(victim);
    assert_eq!(seen, without);
}
