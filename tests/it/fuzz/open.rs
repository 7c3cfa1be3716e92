//! A directory of any files, opened with each policy.
//!
//! Invariant: opening refuses and changes nothing, or gives a log whose records are in order, whose
//! reading ends, and which goes on: what is appended to it is there after a crash and after a close,
//! behind exactly what was there before. Read without being opened it shows what opening would save.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stratalog::format::{FileKind, classify};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Error, Log, Lsn, Options, ReadOptions, Recovery, RecoveryPolicy, Snapshot};

use super::Reached;
use super::edit::edit_all;
use super::golden;
use super::input::Input;
use super::proof::{durable_beyond, followed};

type Records = Vec<(Lsn, Vec<u8>)>;

const POLICIES: [RecoveryPolicy; 3] =
    [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt];

/// Runs one input; says which outcomes it came to.
pub(crate) fn open(data: &[u8]) -> Reached {
    let mut input = Input::new(data);
    let mut image = golden::picked(&mut input);
    let create = input.byte() & 1 == 0;
    edit_all(&mut image, &mut input);
    open_image(&image, create)
}

/// Opens a disk with each policy.
pub(crate) fn open_image(image: &Image, create: bool) -> Reached {
    let mut reached = Reached::new();
    for policy in POLICIES {
        let judged = catch_unwind(AssertUnwindSafe(|| judge(image, policy, create, &mut reached)));
        if let Err(panic) = judged {
            eprintln!("{policy:?}, create {create}, on {image:?}");
            std::panic::resume_unwind(panic);
        }
    }
    let shown = catch_unwind(AssertUnwindSafe(|| read_only(image, &mut reached)));
    if let Err(panic) = shown {
        eprintln!("read only, on {image:?}");
        std::panic::resume_unwind(panic);
    }
    reached
}

/// Reads a disk that is not opened.
fn read_only(image: &Image, reached: &mut Reached) {
    let disk = MemoryStorage::from_image(image.clone());
    let policy = RecoveryPolicy::SkipCorrupt;
    match options(policy, false).open_read_only_with(disk.clone()) {
        Ok(reader) => {
            reached.insert("read only");
            let (before, segments) = (reader.report(), reader.segments());
            let news = reader.refresh().expect("what can be opened can be looked at again");
            let after = (reader.report(), reader.segments());
            assert!(!news, "nothing is new: {before} {segments:?}, then {} {:?}", after.0, after.1);
            assert!(reader.head() <= reader.end());
            let (seen, error) = read(&reader.snapshot());
            assert!(error.is_none(), "damage is passed: {error:?}");
            let (plain, _) = read(&reader.snapshot_with(ReadOptions::new()));
            assert!(seen.starts_with(&plain), "reading ends at damage");
            let opened = MemoryStorage::from_image(image.clone());
            if let Ok(log) = options(policy, false).open_with(opened) {
                assert!(read(&log.snapshot()).0 == seen, "opening saves something else");
            }
        }
        Err(error) => {
            refusal(&error);
            reached.insert("not even read only");
        }
    }
    assert!(disk.image() == *image, "a reader changed the disk");
}

fn options(policy: RecoveryPolicy, create: bool) -> Options {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).write_buffer_bytes(4096).background(false);
    options.recovery(policy).create(create);
    options
}

fn without_locks(mut image: Image) -> Image {
    image.remove("LOCK");
    image.remove("READERS");
    image
}

fn judge(image: &Image, policy: RecoveryPolicy, create: bool, reached: &mut Reached) {
    let disk = MemoryStorage::from_image(image.clone());
    match options(policy, create).open_with(disk.clone()) {
        Ok(log) => {
            check_cut(image, log.recovery());
            check_links(image, &log);
            let vouched = !(log.recovery().clean && frame_beyond(image, &log));
            opened(&log, &disk, policy, vouched, reached);
        }
        Err(error) => {
            reached.insert(refusal(&error));
            let line = error.to_string();
            assert!(!line.contains('\n'), "the error is one line: {line}");
            let same = without_locks(disk.image()) == without_locks(image.clone());
            assert!(same, "refused with {error}, but changed the disk");
        }
    }
}

/// What was cut off is nothing that was durable, unless it is told that durable bytes are lost.
fn check_cut(image: &Image, recovery: &Recovery) {
    let Some(cut) = recovery.cut.as_ref().filter(|_| recovery.damage.is_empty()) else { return };
    let name = cut.path.file_name().and_then(|name| name.to_str()).expect("a file's name");
    let FileKind::Segment(base) = classify(name) else { panic!("{name} was cut") };
    let proof = durable_beyond(image, base, cut.lsn.get());
    assert!(proof.is_none(), "cut at {}, although {}", cut.lsn, proof.unwrap_or_default());
}

/// A segment comes behind another only if it says so.
fn check_links(image: &Image, log: &Log) {
    if !log.recovery().damage.is_empty() {
        return;
    }
    let snapshot = log.snapshot();
    for (before, after) in snapshot.segments().zip(snapshot.segments().skip(1)) {
        let previous = (before.base().get(), before.range().end.get());
        let base = after.base();
        assert_eq!(followed(image, base.get()), Some(previous), "the link of {base}");
    }
}

fn refusal(error: &Error) -> &'static str {
    match error {
        Error::Corrupt { .. } => "corrupt",
        Error::MissingSegment { .. } => "missing segment",
        Error::TornTail { .. } => "torn tail",
        Error::ForeignFile { .. } => "foreign file",
        Error::NotALog { .. } => "not a log",
        Error::UnsupportedFormat { .. } => "unsupported format",
        other => panic!("no refusal: {other:?}"),
    }
}

/// Reads all records, and the error that they end with.
fn read(snapshot: &Snapshot) -> (Records, Option<Error>) {
    let (mut records, mut at) = (Records::new(), snapshot.head());
    for record in snapshot {
        let record = match record {
            Ok(record) => record,
            Err(error) => return (records, Some(error)),
        };
        assert!(at <= record.lsn() && record.lsn() < record.next_lsn(), "records are in order");
        assert!(record.next_lsn() <= snapshot.end(), "records lie below the end");
        assert!(record.payload().as_ptr().addr() % 8 == 0, "payloads are aligned");
        at = record.next_lsn();
        records.push((record.lsn(), record.payload().to_vec()));
    }
    (records, None)
}

/// Whether the disk proves more than the log holds. A log that was closed is opened by its mark, with a
/// look at one frame behind it: what lies further on is met by the next opening that scans.
fn frame_beyond(image: &Image, log: &Log) -> bool {
    let last = log.snapshot().segments().last().map(|segment| segment.base().get());
    last.is_some_and(|base| durable_beyond(image, base, log.tail().get()).is_some())
}

fn opened(
    log: &Log,
    disk: &MemoryStorage,
    policy: RecoveryPolicy,
    vouched: bool,
    reached: &mut Reached,
) {
    let recovery = log.recovery();
    note(log, reached);
    let (tail, durable) = (log.tail(), log.durable());
    let ends = [log.head(), durable, log.committed(), tail];
    let ordered = ends[0] <= durable && ends[1..] == [tail; 3];
    assert!(ordered, "{policy:?}: {ends:?} after {recovery}");
    assert!(recovery.end <= tail, "appends go on at the end or above");
    assert!(policy == RecoveryPolicy::SkipCorrupt || recovery.damage.is_empty());
    assert!(policy != RecoveryPolicy::Strict || recovery.cut.is_none());
    let snapshot = log.snapshot();
    let (seen, error) = read(&snapshot);
    if error.is_some() {
        assert!(policy != RecoveryPolicy::SkipCorrupt, "damage is passed: {error:?}");
        reached.insert("read error");
    }
    let plain = ReadOptions::new();
    let whole = vouched && recovery.damage.is_empty() && read(&snapshot.with(plain)).1.is_none();
    look_up(&snapshot, &seen, whole);
    let skip = policy == RecoveryPolicy::SkipCorrupt;
    let copied = read(&snapshot.with(plain.copy(true).skip_damage(skip)));
    assert!(copied.0 == seen && copied.1.is_some() == error.is_some(), "copies are the same");
    let saved = read(&snapshot.with(plain.skip_damage(true)));
    assert!(saved.0.starts_with(&seen) && saved.1.is_none(), "damage is passed");
    go_on(log, disk, policy, seen, whole);
}

fn note(log: &Log, reached: &mut Reached) {
    let recovery = log.recovery();
    for (reason, name) in [
        (recovery.created, "created"),
        (recovery.clean, "clean"),
        (recovery.cut.is_some(), "cut"),
        (!recovery.set_aside.is_empty(), "set aside"),
        (!recovery.removed.is_empty(), "removed"),
        (!recovery.foreign.is_empty(), "foreign file left alone"),
        (!recovery.damage.is_empty(), "opened with damage"),
        (recovery.rewritten_bytes > 0, "persisted again"),
    ] {
        if reason {
            reached.insert(name);
        }
    }
    reached.insert("opened");
}

/// Each record is found at its address, and none between.
fn look_up(snapshot: &Snapshot, seen: &Records, whole: bool) {
    for (lsn, payload) in seen.iter().take(50) {
        match snapshot.get(*lsn) {
            Ok(record) => assert!(record.payload() == payload, "{lsn} has other bytes"),
            Err(error) => assert!(!whole, "{lsn} is not found: {error}"),
        }
        let inside = snapshot.get(Lsn::new(lsn.get() + 8));
        assert!(inside.is_err() || !whole, "a record is found inside of {lsn}");
        let on = snapshot
            .iter_from(*lsn)
            .map(|mut on| on.next().map(|next| next.map(|record| record.lsn())));
        assert!(!whole || matches!(on, Ok(Some(Ok(found))) if found == *lsn));
    }
    let last = snapshot.last();
    if whole {
        assert_eq!(last.unwrap().map(|record| record.lsn()), seen.last().map(|(lsn, _)| *lsn));
    }
}

/// What is appended is there after a crash and after a close.
fn go_on(log: &Log, disk: &MemoryStorage, policy: RecoveryPolicy, seen: Records, whole: bool) {
    // Strict would refuse what a crash leaves.
    let after_crash = match policy {
        RecoveryPolicy::Strict => RecoveryPolicy::CutTornTail,
        other => other,
    };
    reopen("after a crash", disk, after_crash, &seen, whole);
    let mut expected = seen;
    for payload in [&b"one"[..], &[2; 6000], &[3; 7000]] {
        let lsn = log.append_durable(payload).expect("what is open can be appended to");
        assert!(log.recovery().end <= lsn, "no address is given twice");
        expected.push((lsn, payload.to_vec()));
    }
    let (found, error) = read(&log.snapshot());
    assert!(!whole || (error.is_none() && found == expected), "what was appended: {error:?}");
    reopen("after a crash that follows appends", disk, after_crash, &expected, whole);
    log.clone().close().expect("what is open can be closed");
    reopen("after a close", disk, policy, &expected, whole);
}

/// Opens a copy of the disk, and compares.
fn reopen(
    when: &str,
    disk: &MemoryStorage,
    policy: RecoveryPolicy,
    expected: &Records,
    whole: bool,
) {
    let disk = MemoryStorage::from_image(disk.image());
    match options(policy, true).open_with(disk) {
        Err(error) => assert!(!whole, "{when}: {error}: {error:?}"),
        Ok(log) => {
            let (found, error) = read(&log.snapshot());
            assert!(!whole || error.is_none(), "{when}: {error:?}");
            assert!(!whole || found == *expected, "{when} there are other records");
        }
    }
}
