//! Any files, and all that is done with a log's files but opening it: looked at beforehand, verified,
//! salvaged, archived, restored.
//!
//! Invariant: each call ends, refuses in words of its own, and changes nothing that it only reads; and
//! whatever it makes opens under every policy, holds what was reported, and goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stratalog::format::{BLOCK_BYTES, SegmentHeader, Trailer, archived_name};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{
    Error, Log, Lsn, Options, RecoveryPolicy, restore_with, salvage_with, verify_segment_with,
};

use super::Reached;
use super::edit::edit_all;
use super::golden;
use super::input::Input;

type Records = Vec<(Lsn, Vec<u8>)>;

const POLICIES: [RecoveryPolicy; 3] =
    [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt];

/// Runs one input; says which outcomes it came to.
pub(crate) fn rescue(data: &[u8]) -> Reached {
    let mut input = Input::new(data);
    let mut image = golden::picked(&mut input);
    let (is_archive, renames, split) = (input.byte() & 1 == 1, input.byte() & 1 == 1, input.byte());
    let pick = input.short();
    if is_archive {
        image = archive_of(&image, split);
    }
    edit_all(&mut image, &mut input);
    if renames {
        fit_names(&mut image);
    }
    rescue_image(&image, pick)
}

/// Does everything with a disk. `pick` chooses up to which record is restored.
pub(crate) fn rescue_image(image: &Image, pick: usize) -> Reached {
    let mut reached = Reached::new();
    let done = catch_unwind(AssertUnwindSafe(|| {
        preview(image, &mut reached);
        verify(image, &mut reached);
        salvage(image, &mut reached);
        archive(image, &mut reached);
        restore(image, pick, &mut reached);
        in_the_way(image, &mut reached);
    }));
    if let Err(panic) = done {
        eprintln!("on {image:?}");
        std::panic::resume_unwind(panic);
    }
    reached
}

fn options(policy: RecoveryPolicy) -> Options {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).write_buffer_bytes(4096).background(false);
    options.recovery(policy).create(false);
    options
}

/// The archive of what is there, and of a little more: with a second history that was cut, or with one
/// that went on as well.
fn archive_of(image: &Image, split: u8) -> Image {
    let archive = MemoryStorage::new();
    let open = || {
        let mut options = options(RecoveryPolicy::CutTornTail);
        options.create(true).open_with(MemoryStorage::from_image(image.clone())).unwrap()
    };
    let log = open();
    let mut last = log.head();
    for call in 0..4 {
        last = log.append(&[call; 40]).unwrap();
        log.append_batch(&[[call; 9], [call; 9]]).unwrap();
        log.roll().unwrap();
    }
    log.archive_with(&archive, |_| {}).unwrap();
    if split & 1 == 1 {
        log.truncate_after(last).unwrap();
        log.append(b"another").unwrap();
        log.roll().unwrap();
        log.archive_with(&archive, |_| {}).unwrap();
    }
    if split & 2 == 2 {
        let twin = open();
        twin.append(b"the same log, opened from a copy").unwrap();
        twin.roll().unwrap();
        twin.archive_with(&archive, |_| {}).unwrap();
    }
    archive.image()
}

/// Files whose names do not fit what is in them any more are named anew.
fn fit_names(image: &mut Image) {
    let names: Vec<_> = image.names().map(str::to_owned).collect();
    for name in names {
        let block = BLOCK_BYTES as usize;
        let fitting = |bytes: &[u8]| {
            let header = SegmentHeader::decode(bytes.get(..block)?).ok()?;
            let last = bytes.get(bytes.len() - block..)?;
            let (_, checksum) = Trailer::decode(last, &header.id, header.base).ok()?;
            Some(archived_name(header.base, checksum))
        };
        if let Some(fitting) = image.get(&name).and_then(fitting) {
            let bytes = image.remove(&name).unwrap_or_default();
            image.insert(fitting, bytes);
        }
    }
}

/// What opening finds and does, or why it refuses, is known without it.
fn preview(image: &Image, reached: &mut Reached) {
    for policy in POLICIES {
        let disk = MemoryStorage::from_image(image.clone());
        let told = options(policy).preview_with(disk.clone());
        assert!(disk.image() == *image, "a look changed the disk");
        match options(policy).open_with(disk) {
            Ok(log) => {
                let told = told.expect("what opens can be looked at");
                assert!(told.refusal.is_none(), "{policy:?}: {told:?}");
                assert_eq!(told.recovery, *log.recovery(), "{policy:?}");
                reached.insert("previewed");
            }
            Err(error) => {
                let told = told.map_or_else(Some, |told| told.refusal);
                let told = told.map(|told| told.to_string());
                assert_eq!(told, Some(error.to_string()), "{policy:?}");
                reached.insert("refusal previewed");
            }
        }
    }
}

fn verify(image: &Image, reached: &mut Reached) {
    let disk = MemoryStorage::from_image(image.clone());
    for name in image.names() {
        match verify_segment_with(&disk, name) {
            Ok(info) => {
                assert_eq!(image.get(name).map(<[u8]>::len), Some(info.bytes as usize));
                assert!(info.base < info.start.get() && info.start <= info.end);
                reached.insert("verified");
            }
            Err(Error::Corrupt { .. } | Error::UnsupportedFormat { .. }) => {
                reached.insert("not verified");
            }
            Err(other) => panic!("{name}: {other:?}"),
        }
    }
    assert!(disk.image() == *image, "verifying changed the disk");
}

/// Opens what was made, under each policy, and goes on; returns its records.
fn made(disk: &MemoryStorage, head: Lsn, end: Lsn, count: u64) -> Records {
    let mut seen = Records::new();
    for policy in POLICIES {
        let copy = MemoryStorage::from_image(disk.image());
        let log = options(policy).open_with(copy.clone());
        let log = log.unwrap_or_else(|error| panic!("{policy:?} refuses what was made: {error:?}"));
        let recovery = log.recovery();
        let whole = recovery.clean && recovery.damage.is_empty() && recovery.cut.is_none();
        assert!(whole, "{policy:?}: {recovery}");
        seen = read(&log);
        assert_eq!(seen.len() as u64, count, "{policy:?}: {recovery}");
        assert!(
            log.head() == head && head <= end && end <= log.tail(),
            "{recovery}: {head}, {end}"
        );
        go_on(log, &copy, policy, &seen, end);
    }
    seen
}

fn go_on(log: Log, disk: &MemoryStorage, policy: RecoveryPolicy, seen: &Records, end: Lsn) {
    let mut expected = seen.clone();
    for payload in [&b"one"[..], &[2; 6000], &[3; 7000]] {
        let lsn = log.append_durable(payload).expect("what was made can be appended to");
        assert!(lsn >= end, "an address is given twice: {lsn}, below {end}");
        expected.push((lsn, payload.to_vec()));
    }
    assert!(read(&log) == expected);
    let crashed = MemoryStorage::from_image(disk.image());
    log.close().expect("what was made can be closed");
    let after_crash = match policy {
        RecoveryPolicy::Strict => RecoveryPolicy::CutTornTail,
        other => other,
    };
    for (policy, disk) in [(after_crash, crashed), (policy, disk.clone())] {
        let log = options(policy).open_with(disk).expect("what was made can be opened again");
        assert!(read(&log) == expected && log.recovery().damage.is_empty());
    }
}

fn read(log: &Log) -> Records {
    let mut records = Records::new();
    for record in &log.snapshot() {
        let record = record.expect("what was made has no damage");
        records.push((record.lsn(), record.payload().to_vec()));
    }
    assert!(records.is_sorted_by(|before, after| before.0 < after.0));
    records
}

/// Nothing but a lock is left of what was not made.
fn nothing_left(into: &MemoryStorage, error: &Error) {
    let image = into.image();
    let left = image.names().find(|name| !matches!(*name, "LOCK" | "READERS"));
    assert!(left.is_none(), "{left:?} is left after {error}");
    assert!(!error.to_string().contains('\n'));
}

fn salvage(image: &Image, reached: &mut Reached) {
    let (from, into) = (MemoryStorage::from_image(image.clone()), MemoryStorage::new());
    let saved = salvage_with(&from, &into, |_| {});
    let mut same = from.image();
    same.remove("LOCK");
    let mut before = image.clone();
    before.remove("LOCK");
    assert!(same == before, "salvaging changed what it saves");
    let report = match saved {
        Ok(report) => report,
        Err(error @ (Error::NotALog { .. } | Error::UnsupportedFormat { .. })) => {
            nothing_left(&into, &error);
            reached.insert("nothing to salvage");
            return;
        }
        Err(error @ Error::Corrupt { .. }) => {
            nothing_left(&into, &error);
            reached.insert("not salvaged");
            return;
        }
        Err(other) => panic!("{other:?}"),
    };
    reached.insert("salvaged");
    if !report.missing.is_empty() {
        reached.insert("salvaged in part");
    }
    assert!(report.missing.iter().all(|it| it.lsn.start <= it.lsn.end), "{report:?}");
    assert!(report.missing.is_sorted_by_key(|it| it.lsn.start), "{report:?}");
    let seen = made(&into, report.head, report.end, report.records);
    // What skipping damage reads is saved.
    let disk = MemoryStorage::from_image(image.clone());
    if let Ok(log) = options(RecoveryPolicy::SkipCorrupt).open_with(disk) {
        for record in &log.snapshot() {
            let record = record.expect("damage is passed");
            let lsn = record.lsn();
            // What lies in the place of a link is none, whatever it says; and of frames that lie within each
            // other, as nobody writes them, others may be taken.
            let is_told = report.missing.iter().any(|it| it.lsn.contains(&lsn));
            if is_told || (0..48).contains(&(lsn.get().wrapping_sub(start_of(&log, lsn)))) {
                continue;
            }
            let found = seen.binary_search_by_key(&lsn, |it| it.0);
            let kept = found.ok().and_then(|index| seen.get(index));
            assert!(kept.is_some_and(|it| it.1 == record.payload()), "{lsn} is lost: {report:?}");
        }
    }
}

/// Where the frames begin of the segment that holds an address.
fn start_of(log: &Log, lsn: Lsn) -> u64 {
    let starts = log.segments().into_iter().map(|segment| segment.start);
    starts.filter(|start| *start <= lsn).max().map_or(0, Lsn::get)
}

/// What is left of a log is archived, and restored from there.
fn archive(image: &Image, reached: &mut Reached) {
    for policy in POLICIES {
        let disk = MemoryStorage::from_image(image.clone());
        let Ok(log) = options(policy).open_with(disk) else { continue };
        let archive = MemoryStorage::new();
        log.append(b"one more").expect("what is open can be appended to");
        log.roll().expect("what is open can be rolled");
        let report = match log.archive_with(&archive, |_| {}) {
            Ok(report) => report,
            Err(Error::Corrupt { .. }) => {
                reached.insert("not archived");
                continue;
            }
            Err(other) => panic!("{other:?}"),
        };
        reached.insert("archived");
        let names = archive.image();
        for name in names.names().filter(|name| *name != "LOCK") {
            verify_segment_with(&archive, name).expect("what is archived is whole");
        }
        let again = log.archive_with(&archive, |_| {}).expect("once more");
        assert!(again.copied.is_empty() && again.end == report.end, "{report:?} {again:?}");
        let into = MemoryStorage::new();
        match restore_with(&archive, &into, None, |_| {}) {
            Ok(restored) => {
                reached.insert("archived and restored");
                let seen = made(&into, restored.head, restored.end, restored.records);
                let kept = read_up_to(&log, report.end);
                assert!(seen.ends_with(&kept), "{policy:?}: {} and {}", seen.len(), kept.len());
            }
            // Gaps that the log was opened with are in its archive too.
            Err(error) => {
                let gaps = !log.recovery().damage.is_empty();
                assert!(gaps, "{policy:?}: {} archived, but {error}", report.copied.len());
                nothing_left(&into, &error);
            }
        }
    }
}

fn read_up_to(log: &Log, end: Lsn) -> Records {
    let snapshot = log.snapshot();
    let records = snapshot.iter().map_while(Result::ok).filter(|record| record.lsn() < end);
    records.map(|record| (record.lsn(), record.payload().to_vec())).collect()
}

/// The disk is taken for an archive.
fn restore(image: &Image, pick: usize, reached: &mut Reached) {
    let from = MemoryStorage::from_image(image.clone());
    let whole = restored(&from, None, reached);
    let Some(records) = whole else { return };
    // A record's address, or any.
    let record = records.get(pick / 2 % records.len().max(1)).filter(|_| pick % 2 == 1);
    let until = record.map_or(Lsn::new(8 * pick as u64), |record| record.0);
    if let Some(part) = restored(&from, Some(until), reached) {
        assert!(records.starts_with(&part) || part.last().is_some_and(|it| it.0 >= until));
        reached.insert("restored in part");
    }
    assert!(from.image() == *image, "restoring changed the archive");
}

fn restored(from: &MemoryStorage, until: Option<Lsn>, reached: &mut Reached) -> Option<Records> {
    let into = MemoryStorage::new();
    match restore_with(from, &into, until, |_| {}) {
        Ok(report) => {
            reached.insert("restored");
            Some(made(&into, report.head, report.end, report.records))
        }
        Err(error) => {
            nothing_left(&into, &error);
            reached.insert(match error {
                Error::NotALog { .. } => "nothing to restore",
                Error::Corrupt { .. } | Error::UnsupportedFormat { .. } => "damaged archive",
                Error::MissingSegment { .. } => "gap in the archive",
                Error::ArchiveConflict { .. } => "two histories",
                Error::NotARecord { .. } | Error::NotYet { .. } | Error::Truncated { .. } => {
                    assert!(until.is_some());
                    "no such record"
                }
                other => panic!("{until:?}: {other:?}"),
            });
            None
        }
    }
}

/// A log is to be made where these files are, or archived there.
fn in_the_way(image: &Image, reached: &mut Reached) {
    let log = options(RecoveryPolicy::Strict).create(true).open_with(MemoryStorage::new()).unwrap();
    log.append(b"good").unwrap();
    log.roll().unwrap();
    let archive = MemoryStorage::new();
    log.archive_with(&archive, |_| {}).unwrap();
    let into = MemoryStorage::from_image(image.clone());
    match restore_with(&archive, &into, None, |_| {}) {
        Ok(report) => {
            reached.insert("made over leftovers");
            assert_eq!(made(&into, report.head, report.end, report.records).len(), 1);
        }
        Err(Error::ArchiveConflict { .. }) => {
            reached.insert("in the way");
            assert!(into.image() == *image, "what is in the way was changed");
        }
        Err(other) => panic!("{other:?}"),
    }
    let into = MemoryStorage::from_image(image.clone());
    match log.archive_with(&into, |_| {}) {
        Ok(report) => {
            assert_eq!(report.copied.len() + report.present, 1);
            let after = into.image();
            let same = |name: &str| after.get(name).is_none_or(|is| image.get(name) == Some(is));
            assert!(image.names().all(same), "a file there was written again");
            reached.insert("archived beside others");
        }
        Err(Error::ArchiveConflict { .. }) => {
            reached.insert("in the archive's way");
        }
        Err(other) => panic!("{other:?}"),
    }
}
