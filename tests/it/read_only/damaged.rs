//! Logs that are damaged, in every single place in turn.
//!
//! Invariant: reading ends with an error where something is lost, or the loss is known to be none; all
//! of the rest can be read by skipping; and the report names the damage.

use stratalog::format::{FileKind, classify, segment_name};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Corruption, Error, Log, LogReader, Options, ReadOptions, RecoveryPolicy};

use super::{append, open, seen};
use crate::common::{Random, Records, TINY, number, read, records, seed, tiny};

/// A closed log of several segments, and what is in it.
fn closed() -> (Image, Records) {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 90, 600);
    let expected = records(&log);
    log.close().unwrap();
    (disk.image(), expected)
}

fn names(image: &Image) -> Vec<String> {
    let ours = |name: &&str| matches!(classify(name), FileKind::Segment(_) | FileKind::Control);
    let segments = image.names().filter(ours);
    segments.map(str::to_owned).collect()
}

fn skipping(reader: &LogReader) -> Records {
    let (records, error) = read(&reader.snapshot_with(ReadOptions::new().skip_damage(true)));
    assert!(error.is_none(), "damage is skipped: {error:?}");
    records
}

fn records_of(log: &Log) -> Records {
    read(&log.snapshot()).0
}

/// What any single damage of a closed log may lead to. True if something was lost.
fn judge(what: &str, image: &Image, expected: &Records) -> bool {
    let reader = match tiny().open_read_only_with(MemoryStorage::from_image(image.clone())) {
        Ok(reader) => reader,
        Err(Error::Corrupt { reason: Corruption::ForeignLog, .. }) => return true,
        Err(error) => panic!("{what}: {error:?}"),
    };
    let (records, error) = read(&reader.snapshot());
    assert!(expected.starts_with(&records), "{what}: other records");
    let lost = records.len() < expected.len();
    assert!(
        !lost || error.is_some(),
        "{what}: {} records are lost silently",
        expected.len() - records.len()
    );
    assert!(error.is_none() || !matches!(error, Some(Error::Io { .. })), "{what}: {error:?}");
    let rest = skipping(&reader);
    assert!(
        rest.iter().all(|record| expected.contains(record)),
        "{what}: other records by skipping"
    );
    assert!(rest.len() >= records.len(), "{what}: skipping loses records");
    assert!(!reader.refresh().unwrap(), "{what}: nothing has changed");
    let disk = MemoryStorage::from_image(image.clone());
    if let Ok(log) = tiny().recovery(RecoveryPolicy::SkipCorrupt).open_with(disk) {
        assert!(
            rest == records_of(&log),
            "{what}: {} records, where opening saves {}",
            rest.len(),
            records_of(&log).len()
        );
    }
    assert_eq!(read(&reader.snapshot()).0, records);
    lost
}

#[test]
fn no_single_damage_of_a_closed_log_loses_a_record_silently() {
    let (whole, expected) = closed();
    let mut random = Random::new(seed("read only, damaged"));
    let mut lost = 0;
    let rounds = number("STRATALOG_ROUNDS").unwrap_or(400);
    for round in 0..rounds {
        let names = names(&whole);
        let name = &names[random.below(names.len() as u64) as usize];
        let mut image = whole.clone();
        let bytes = image.get_mut(name).unwrap();
        let what = match round % 8 {
            0 => {
                let to = random.below(bytes.len() as u64) as usize;
                bytes.truncate(to);
                format!("{name} cut to {to}")
            }
            1 => {
                image.remove(name);
                format!("{name} removed")
            }
            2 => {
                let at = random.below(bytes.len() as u64) as usize / 512 * 512;
                bytes[at..at + 512].fill(0);
                format!("{name}: zeros at {at}")
            }
            _ => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
                format!("{name}: a bit at {at}")
            }
        };
        lost += u64::from(judge(&what, &image, &expected));
    }
    println!("{lost} of {rounds} lost something");
    assert!(lost > 0);
}

type Break = fn(&mut Vec<u8>);

#[test]
fn each_kind_of_damage_is_reported_and_the_rest_can_be_read() {
    let (whole, expected) = closed();
    let third = segment_name(2 * TINY);
    let in_third = |records: &Records| {
        let inside = |lsn: u64| (2 * TINY..3 * TINY).contains(&lsn);
        records.iter().filter(|(lsn, _)| inside(lsn.get())).count()
    };
    let breaks: [(&str, Break, usize); 4] = [
        ("a record", |bytes| bytes[6000] ^= 1, 1),
        ("a header", |bytes| bytes[20] ^= 1, 0),
        ("a trailer", |bytes| bytes[16 * 1024 - 4090] ^= 1, 0),
        ("the end", |bytes| bytes.truncate(8192), in_third(&expected)),
    ];
    for (what, break_it, most) in breaks {
        let mut image = whole.clone();
        break_it(image.get_mut(&third).unwrap());
        let reader = open(MemoryStorage::from_image(image));
        let rest = skipping(&reader);
        assert!(
            expected.len() - rest.len() <= most,
            "{what}: {} lost",
            expected.len() - rest.len()
        );
        if what == "a header" || what == "the end" {
            let named = reader.report().damage.iter().any(|it| it.path.ends_with(&third));
            assert!(named, "{what}: {}", reader.report());
        }
    }
    let mut image = whole.clone();
    image.remove(&third);
    let reader = open(MemoryStorage::from_image(image));
    let (before, error) = read(&reader.snapshot());
    assert!(matches!(error, Some(Error::MissingSegment { .. })), "{error:?}");
    assert!(before.last().unwrap().0.get() < 2 * TINY);
    assert_eq!(skipping(&reader).len(), expected.len() - in_third(&expected));
    assert_eq!(reader.report().damage[0].reason, Corruption::MissingSegment);
}

#[test]
fn a_log_without_a_control_file_is_read_by_its_links() {
    let (mut image, expected) = closed();
    for slots in [1, 2] {
        for slot in 0..slots {
            image.get_mut("control").unwrap()[slot * 4096 + 30] ^= 1;
        }
        let reader = open(MemoryStorage::from_image(image.clone()));
        assert_eq!(seen(&reader), expected);
        let damage = reader.report().damage;
        assert_eq!(damage.iter().any(|it| it.reason == Corruption::NoControl), slots == 2);
        image.get_mut("control").unwrap()[30] ^= 1;
    }
}

#[test]
fn the_policy_says_only_whether_reading_skips() {
    let (mut image, expected) = closed();
    image.remove(&segment_name(TINY));
    image.insert("letter", b"text".to_vec());
    for policy in [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt]
    {
        let disk = MemoryStorage::from_image(image.clone());
        let reader = Options::new().recovery(policy).open_read_only_with(disk).unwrap();
        assert!(!reader.report().damage.is_empty() && reader.report().foreign.len() == 1);
        let (records, error) = read(&reader.snapshot());
        assert_eq!(error.is_none(), policy == RecoveryPolicy::SkipCorrupt);
        assert!(records.len() < expected.len());
    }
}

#[test]
fn another_logs_segment_is_refused() {
    let (mut image, _) = closed();
    let (other, _) = closed();
    let name = segment_name(TINY);
    image.insert(name.clone(), other.get(&name).unwrap().to_vec());
    let refused = tiny().open_read_only_with(MemoryStorage::from_image(image));
    assert!(matches!(refused, Err(Error::Corrupt { reason: Corruption::ForeignLog, .. })));
}

#[test]
fn a_torn_tail_is_just_the_end() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    append(&log, 3, 200);
    let end = log.committed().get() as usize;
    let image = disk.image();
    let expected = records(&log);
    for cut in 0..=216 {
        let mut image = image.clone();
        image.get_mut(&segment_name(0)).unwrap()[end - cut..].fill(0);
        let reader = open(MemoryStorage::from_image(image));
        assert!(reader.report().damage.is_empty());
        assert!(expected.starts_with(&seen(&reader)));
        assert!(seen(&reader).len() >= expected.len() - 1);
    }
}
