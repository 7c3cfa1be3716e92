//! Directories that hold nothing but sealed segments, named as an archive names them.
//!
//! Invariant: they are read as the log that they are of, as far as they go without a gap.

use stratalog::Error;
use stratalog::format::{FileKind, SegmentHeader, Trailer, classify, segment_name};
use stratalog::storage::{Image, MemoryStorage, Storage};

use super::switch::Switch;
use super::{append, open, seen};
use crate::common::{Records, TINY, read, records, tiny};

/// The archived name of a sealed segment, as its trailer has it.
fn archived_name(bytes: &[u8]) -> Option<String> {
    let header = SegmentHeader::decode(&bytes[..4096]).ok()?;
    let (_, checksum) =
        Trailer::decode(&bytes[bytes.len() - 4096..], &header.id, header.base).ok()?;
    Some(format!("{:020}-{checksum:08x}.seg", header.base))
}

/// Adds all sealed segments to an archive.
fn archive(log: &Image, to: &mut Image) {
    for name in log.names().filter(|name| matches!(classify(name), FileKind::Segment(_))) {
        let bytes = log.get(name).unwrap();
        if let Some(name) = archived_name(bytes) {
            to.insert(name, bytes.to_vec());
        }
    }
}

fn below(records: Records, end: u64) -> Records {
    records.into_iter().filter(|(lsn, _)| lsn.get() < end).collect()
}

#[test]
fn an_archive_is_read_as_the_log_that_it_is_of() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let (mut image, switch) = (Image::new(), Switch::default());
    append(&log, 40, 700);
    log.roll().unwrap();
    log.sync().unwrap();
    log.roll().unwrap();
    archive(&disk.image(), &mut image);
    switch.to(image.clone());
    let reader = open(switch.clone());
    let end = reader.end().get();
    assert!(end > 2 * TINY && reader.report().damage.is_empty(), "{}", reader.report());
    assert_eq!(seen(&reader), below(records(&log), end));
    assert!(!reader.refresh().unwrap());
    // Later there is more, and something unfinished.
    append(&log, 100, 700);
    log.sync().unwrap();
    log.roll().unwrap();
    archive(&disk.image(), &mut image);
    image.insert(format!("{:020}-0badcafe.seg.tmp", 100 * TINY), vec![1; 5000]);
    switch.to(image.clone());
    assert!(reader.refresh().unwrap());
    assert!(reader.end().get() > end && reader.report().foreign.is_empty());
    assert_eq!(seen(&reader), below(records(&log), reader.end().get()));
    // A log that begins later, as its first segments were archived elsewhere.
    let first = image.names().next().unwrap().to_owned();
    image.remove(&first);
    let later = open(MemoryStorage::from_image(image.clone()));
    assert!(later.report().damage.is_empty() && later.head().get() > TINY);
    // A segment that is missing is named.
    let third = image.names().nth(2).unwrap().to_owned();
    image.remove(&third);
    let reader = open(MemoryStorage::from_image(image));
    let (_, error) = read(&reader.snapshot());
    assert!(matches!(error, Some(Error::MissingSegment { .. })), "{error:?}");
}

/// The same base twice: as it was sealed first, and as a cut has ended it.
#[test]
fn of_two_histories_the_one_after_the_cut_is_read() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 60, 700);
    log.sync().unwrap();
    log.roll().unwrap();
    let mut image = Image::new();
    archive(&disk.image(), &mut image);
    let expected = records(&log);
    // Sealed once more where a record in the middle of the second segment ends.
    let name = segment_name(TINY);
    let mut bytes = disk.image().get(&name).unwrap().to_vec();
    let inside: Records = expected
        .iter()
        .filter(|(lsn, _)| lsn.get() > TINY && lsn.get() < 2 * TINY)
        .cloned()
        .collect();
    let end = inside[6].0.get();
    let header = SegmentHeader::decode(&bytes[..4096]).unwrap();
    let frames = &bytes[4096..usize::try_from(end - TINY).unwrap()];
    let summary = stratalog::format::summarize(frames, TINY + 4096).unwrap();
    let trailer = Trailer {
        end,
        records: summary.records,
        first: summary.first,
        last: summary.last,
        frames_crc: summary.frames_crc,
        previous_checksum: 0,
    };
    let at = bytes.len() - 4096;
    bytes[at..].copy_from_slice(&trailer.encode(&header.id, TINY));
    image.insert(archived_name(&bytes).unwrap(), bytes);
    let disk = MemoryStorage::from_image(image);
    assert!(disk.names().unwrap().len() > 4);
    let reader = open(disk);
    assert_eq!(reader.end().get(), end);
    assert_eq!(seen(&reader), below(expected, end));
}
