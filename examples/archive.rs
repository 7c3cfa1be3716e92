//! Archiving and going back in time: a log that keeps little is archived while it is written; then a
//! mistake is found in it, and a log is restored that ends just before. Run it with
//!
//! ```text
//! cargo run --release --example archive [DIRECTORY]
//! ```
//!
//! Invariant: it exits with 0 only if archive and log together hold every order once, in order, and
//! the restored log all before the mistake and nothing else.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use stratalog::{
    Error as LogError, Hold, Log, Lsn, Options, Record, Snapshot, restore, verify_segment,
};

const ORDERS: u64 = 60_000;
/// What this engine needs itself; older ones it drops.
const ORDERS_KEPT: u64 = 1_000;
/// Behind this order somebody appends something else.
const LAST_GOOD: u64 = 41_234;
const MISTAKE: &[u8] = b"cancel all orders";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn order(number: u64) -> String {
    format!("order {number}: {} pieces", number * 7919 % 100 + 1)
}

fn main() -> Outcome<()> {
    let temporary = tempfile::tempdir()?;
    let dir = env::args_os().nth(1).map_or(temporary.path().to_owned(), PathBuf::from);
    let [wal, archive, restored] = ["wal", "archive", "restored"].map(|name| dir.join(name));
    if fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()).into());
    }

    println!("1. Orders are written, archived and dropped at the same time");
    let log = write_and_archive(&wal, &archive)?;

    println!("\n2. Archive and log are read as one");
    let last_good = read_as_one(&archive, &log)?;

    println!("\n3. A log is restored that ends before the mistake");
    restore_until(last_good, &log, &archive, &restored)?;

    println!("\n4. A bit of an archived file turns over");
    damage(&archive, &dir.join("restored again"))?;

    log.close()?;
    println!("\nAll checks held.");
    Ok(())
}

/// Appends all orders, and the mistake. Whenever a segment is sealed, another thread archives it.
fn write_and_archive(wal: &Path, archive: &Path) -> Outcome<Log> {
    // The hook runs in a thread of the log's, so it only passes the word.
    let (sender, sealed) = mpsc::channel();
    let done = sender.clone();
    let mut options = Options::new();
    options.segment_bytes(64 << 10).on_seal(move |segment| {
        let _ = sender.send(Some(segment.end)); // nobody listens any more at the very end
    });
    let log = options.open(wal)?;

    // Nothing from here on goes before it is archived, however quick the engine is to drop it. A hold
    // lives in memory: after a restart it is taken at the head again, before anything is dropped.
    let hold = log.hold_named(log.head(), "archive")?;
    let (needed, (runs, copied)) = thread::scope(|scope| {
        let archiver = scope.spawn(|| archive_what_is_sealed(&log, &hold, archive, sealed));
        let needed = write(&log);
        let _ = done.send(None); // nobody listens if it failed, which is told below
        let archived = archiver.join().map_err(|_| "the archiver panicked")??;
        Outcome::Ok((needed?, archived))
    })?;
    let head = log.truncate_before(needed)?;
    println!("   {runs} runs archived {copied} segments while {ORDERS} orders were written;");
    println!("   the log begins at lsn {head} by now");
    assert!(copied > 20 && log.segments().len() < 20, "the log got shorter, not the archive");
    Ok(log)
}

/// Returns how often it archived, and how many segments in all.
fn archive_what_is_sealed(
    log: &Log,
    hold: &Hold,
    archive: &Path,
    sealed: Receiver<Option<Lsn>>,
) -> Outcome<(usize, usize)> {
    let (mut runs, mut copied) = (0, 0);
    for end in sealed.into_iter().map_while(|end| end) {
        // A run takes all that is sealed by now: words may come for what is archived already.
        if end > hold.lsn() {
            let report = log.archive(archive)?; // what it names is durable there now
            hold.advance(report.end)?; // so it may go here, and not a moment before
            (runs, copied) = (runs + 1, copied + report.copied.len());
        }
    }
    Ok((runs, copied))
}

/// Writes as the engine does; returns the first address that it still needs.
fn write(log: &Log) -> Outcome<Lsn> {
    let (mut needed, mut next) = (log.head(), log.head());
    for number in 0..ORDERS {
        let lsn = log.append(order(number).as_bytes())?;
        if number == LAST_GOOD {
            log.append(MISTAKE)?;
        }
        if number.is_multiple_of(ORDERS_KEPT) {
            (needed, next) = (next, lsn);
            log.truncate_before(needed)?; // down to the hold at most
        }
    }
    log.sync()?;
    Ok(needed)
}

/// All records: from the archive what the log has dropped, the rest from the log.
fn both<'a>(
    archive: &'a Snapshot,
    log: &'a Snapshot,
) -> impl Iterator<Item = Result<Record<'a>, LogError>> {
    // The archive goes further than the head, but to a damaged file this is no end either.
    let dropped = move |record: &Result<Record<'a>, LogError>| {
        record.as_ref().map_or(true, |record| record.lsn() < log.head())
    };
    archive.iter().take_while(dropped).chain(log)
}

/// Checks that no order is missing; returns the address of the last one before the mistake.
fn read_as_one(archive: &Path, log: &Log) -> Outcome<Lsn> {
    let (archived, live) = (Options::new().open_read_only(archive)?.snapshot(), log.snapshot());
    let (mut number, mut last, mut last_good) = (0, None, None);
    for record in both(&archived, &live) {
        let record = record?;
        if record.payload() == MISTAKE {
            last_good = last;
        } else {
            assert_eq!(str::from_utf8(record.payload())?, order(number), "the next order");
            number += 1;
        }
        last = Some(record.lsn());
    }
    assert_eq!(number, ORDERS);
    let (head, end) = (live.head(), archived.end());
    assert!(archived.head() < head && head <= end && end < live.end(), "neither has them all");
    println!("   the archive ends at lsn {end}; every order is there once, and one mistake");
    Ok(last_good.ok_or("the mistake is not there")?)
}

/// Restores up to a record, and appends again what came after the mistake.
fn restore_until(last_good: Lsn, wal: &Log, archive: &Path, dir: &Path) -> Outcome<()> {
    let report = restore(archive, dir, Some(last_good))?;
    assert_eq!(report.records, LAST_GOOD + 1);
    let log = Log::open(dir)?;
    assert_eq!(log.snapshot().get(last_good)?.payload(), order(LAST_GOOD).as_bytes());
    assert_eq!(log.snapshot().last()?.map(|last| last.lsn()), Some(last_good));
    println!("   {} orders up to lsn {last_good}, in {} segments", report.records, report.segments);

    let (archived, live) = (Options::new().open_read_only(archive)?.snapshot(), wal.snapshot());
    let later = |record: &Record| record.lsn() > last_good && record.payload() != MISTAKE;
    for record in both(&archived, &live).filter(|it| it.as_ref().map_or(true, later)) {
        // It has addresses of its own from here on.
        assert!(log.append_buffered(record?.payload())? > report.end);
    }
    log.commit()?;
    let mut orders = 0;
    for record in &log.snapshot() {
        assert_eq!(record?.payload(), order(orders).as_bytes());
        orders += 1;
    }
    assert_eq!(orders, ORDERS);
    println!("   with those that came after the mistake there are {orders} again");
    Ok(log.close()?)
}

/// Shows what a damaged file of an archive looks like to whoever needs it.
fn damage(archive: &Path, dir: &Path) -> Outcome<()> {
    let mut names: Vec<_> = fs::read_dir(archive)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    names.retain(|path| verify_segment(path).is_ok()); // all but the lock's file
    names.sort();
    let path = names.get(names.len() / 2).ok_or("an empty archive")?;
    turn_a_bit(path)?;

    // Whoever looks after the archive verifies its files now and then, with no log at hand.
    let error = verify_segment(path).expect_err("damage is noticed");
    println!("   {}", error.to_string().replace(&archive.display().to_string(), ".."));
    // Restoring finds it as well, and leaves nothing that could be taken for a log.
    let error = restore(archive, dir, None).expect_err("damage is noticed");
    assert!(matches!(&error, LogError::Corrupt { path: named, .. } if named == path), "{error}");
    let opened = Options::new().create(false).open(dir);
    assert!(matches!(opened, Err(LogError::NotALog { .. })), "nothing was restored");
    turn_a_bit(path)?;
    verify_segment(path)?;
    let report = restore(archive, dir, None)?;
    println!("   turned back, {} records are restored", report.records);
    Ok(())
}

fn turn_a_bit(path: &Path) -> Outcome<()> {
    let mut bytes = fs::read(path)?;
    let byte = bytes.get_mut(10_000).ok_or("a short file")?;
    *byte ^= 1;
    Ok(fs::write(path, bytes)?)
}
