//! Real file systems that are full, fill up in the middle, or turn out to be full only at a sync.
//!
//! Invariant: a full disk is `NoSpace` and goes away by itself; nothing that was acknowledged is lost,
//! and where the system has taken bytes that it can't keep, the log is poisoned and says so.
//!
//! Mounting needs root: an ordinary user skips these tests. Limits that such a user can set
//! (`RLIMIT_FSIZE`) are not a full disk: the system answers `EFBIG`, which poisons.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use stratalog::{Error, Log, Lsn, Op, Options};

use super::common::{Random, Records, filled, number, records, seed, tiny, without_hanging};

/// A mounted file system, for as long as the value lives.
struct Mounted {
    at: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let done = Command::new(program).args(arguments).output();
    done.is_ok_and(|output| output.status.success())
}

impl Mounted {
    fn new(at: PathBuf, arguments: &[&str]) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let place = at.to_str().unwrap();
        let mounted = run("mount", &[arguments, &[place]].concat());
        if !mounted {
            println!("skipped: {} can't be mounted here; it takes root", arguments[1]);
        }
        mounted.then(|| Self { at })
    }

    fn memory(at: PathBuf, bytes: u64) -> Option<Self> {
        Self::new(at, &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
    }

    /// A file system of its own in a file.
    fn image(at: PathBuf, image: &Path, bytes: u64) -> Option<Self> {
        if !image.exists() {
            File::create(image).unwrap().set_len(bytes).unwrap();
            if !run("mkfs.ext4", &["-q", "-b", "4096", image.to_str().unwrap()]) {
                println!("skipped: there is no mkfs.ext4 here");
                return None;
            }
        }
        Self::new(at, &["-t", "ext4", "-o", "loop", image.to_str().unwrap()])
    }

    /// Takes all space there is. Dropping the path's file gives it back.
    fn fill(&self) -> PathBuf {
        let ballast = self.at.join("ballast");
        let mut file = File::create(&ballast).unwrap();
        for bytes in [64 << 10, 4096, 1] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
        let _ = file.sync_all();
        ballast
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.at).status();
        let _ = fs::remove_dir(&self.at);
    }
}

/// Four threads append until each is refused for want of space; their records in order.
fn fill_up(log: &Log, round: u64, durable: bool) -> Records {
    let append = |thread: u64| {
        let mut done = Records::new();
        loop {
            let payload = filled(round << 40 | thread << 32 | done.len() as u64, 700);
            let appended =
                if durable { log.append_durable(&payload) } else { log.append(&payload) };
            match appended {
                Ok(lsn) => done.push((lsn, payload)),
                Err(Error::NoSpace { .. }) => return done,
                Err(other) => panic!("{other}: {other:?}"),
            }
        }
    };
    let mut all: Records = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || append(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort();
    all
}

/// Checks that a log without space refuses appends that take a segment, and does all the rest.
fn assert_full(log: &Log, expected: &Records) {
    let marks = [log.head(), log.committed(), log.tail()];
    for _ in 0..3 {
        let failure = log.append(&vec![0; log.max_record_bytes() as usize]).unwrap_err();
        assert!(matches!(failure, Error::NoSpace { .. }), "{failure:?}");
        assert_eq!([log.head(), log.committed(), log.tail()], marks, "the tail has moved");
    }
    assert!(!log.stats().poisoned);
    assert_eq!(&records(log), expected);
    log.sync().unwrap();
    assert_eq!(log.durable(), log.committed());
}

#[test]
fn several_threads_go_on_when_a_full_file_system_is_freed_again() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    let Some(disk) = Mounted::image(directory.path().join("disk"), &image, 4 << 20) else { return };
    let mut expected = Records::new();
    // Segments are many on a whole disk, and each takes several syncs.
    fs::write(disk.at.join("taken"), vec![1; 1200 << 10]).unwrap();
    for background in [false, true] {
        let ballast = disk.at.join("ballast");
        fs::write(&ballast, vec![1; 300 << 10]).unwrap();
        File::open(&ballast).unwrap().sync_all().unwrap();
        let mut options = tiny();
        let log = options.segment_bytes(64 << 10).background(background);
        let log = log.open(disk.at.join("log")).unwrap();
        expected.extend(fill_up(&log, u64::from(background) * 2, false));
        assert_full(&log, &expected);
        fs::remove_file(&ballast).unwrap();
        // Space may come back a little later than the name goes.
        assert!(run("sync", &["-f", disk.at.to_str().unwrap()]));
        let more = fill_up(&log, u64::from(background) * 2 + 1, false);
        assert!(background || !more.is_empty(), "freeing space helps nobody");
        expected.extend(more);
        assert_full(&log, &expected);
        log.close().unwrap();
        let log = tiny().open(disk.at.join("log")).unwrap();
        assert!(log.recovery().clean);
        assert_eq!(records(&log), expected);
        drop(log);
        // The next round begins with an empty log on a disk that has space again.
        fs::remove_dir_all(disk.at.join("log")).unwrap();
        expected.clear();
    }
}

/// The files of a log as a kill at this moment leaves them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A log that was killed with several segments unsynced: its records.
fn unclean(live: &Path, at: &Path) -> Records {
    let log = tiny().open(live).unwrap();
    let mut expected = Records::new();
    for key in 0..60 {
        let payload = filled(key, 700);
        expected.push((log.append(&payload).unwrap(), payload));
    }
    copy(live, at);
    expected
}

fn recovers_on(disk: &Mounted, live: &Path) {
    let at = disk.at.join("log");
    let expected = unclean(live, &at);
    let ballast = disk.fill();
    {
        let log = tiny().open(&at).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        assert!(!log.recovery().clean && log.recovery().cut.is_none(), "{}", log.recovery());
        assert_full(&log, &expected);
        log.close().unwrap();
    }
    // The log is as long as it was, and again it is opened without any space.
    let log = tiny().background(true).open(&at).unwrap();
    assert_full(&log, &expected);
    fs::remove_file(&ballast).unwrap();
    assert!(run("sync", &["-f", disk.at.to_str().unwrap()]));
    let lsn = log.append_durable(b"there is room").unwrap();
    assert!(lsn > expected.last().unwrap().0);
    log.close().unwrap();
    assert_eq!(records(&tiny().open(&at).unwrap())[..expected.len()], expected);
    fs::remove_dir_all(&at).unwrap();
    fs::remove_dir_all(live).unwrap();
}

#[test]
fn a_killed_log_on_a_full_disk_is_recovered_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("live");
    let Some(memory) = Mounted::memory(directory.path().join("memory"), 1 << 20) else { return };
    recovers_on(&memory, &live);
    let image = directory.path().join("image");
    let Some(disk) = Mounted::image(directory.path().join("disk"), &image, 4 << 20) else { return };
    recovers_on(&disk, &live);
}

/// The spare of a log that was killed is removed, and its file is let go of by the log's own thread: by
/// then another segment may be needed.
#[test]
fn what_opening_removes_makes_room_for_the_first_append() {
    const BYTES: u64 = 8 << 20;
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::memory(directory.path().join("memory"), 5 * BYTES / 2) else {
        return;
    };
    for _ in 0..number("STRATALOG_ROUNDS").unwrap_or(6) {
        let (live, at) = (directory.path().join("live"), disk.at.join("log"));
        let mut options = tiny();
        options.segment_bytes(BYTES).background(true);
        let log = options.open(&live).unwrap();
        let first = log.append_durable(b"first").unwrap();
        while log.stats().spares == 0 {
            thread::yield_now();
        }
        copy(&live, &at);
        drop(log);
        disk.fill();
        let log = options.open(&at).unwrap();
        let lsn = log.append_durable(b"second").unwrap_or_else(|error| panic!("{error:?}"));
        assert!(!log.recovery().clean && lsn > first);
        drop(log);
        for path in [&at, &live] {
            fs::remove_dir_all(path).unwrap();
        }
        fs::remove_file(disk.at.join("ballast")).unwrap();
    }
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_recovery_loses_nothing() {
    let mut random = Random::new(seed("fills up"));
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = Mounted::memory(directory.path().join("memory"), 1 << 20) else { return };
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(6) {
        let (live, at) = (directory.path().join("live"), disk.at.join("log"));
        let expected = unclean(&live, &at);
        let spins = random.below(200_000);
        let log = thread::scope(|scope| {
            // The moment is what is random.
            let filling = scope.spawn(|| {
                (0..spins).for_each(|_| std::hint::spin_loop());
                disk.fill()
            });
            let mut options = tiny();
            let log = options.background(round % 2 == 0).open(&at);
            let log = log.unwrap_or_else(|error| panic!("{error}: {error:?}"));
            filling.join().unwrap();
            log
        });
        assert_eq!(records(&log), expected);
        let mut expected = expected;
        // There may be a spare from before.
        expected.extend(fill_up(&log, 1 << 20 | round, round % 2 == 0));
        assert_full(&log, &expected);
        fs::remove_file(disk.at.join("ballast")).unwrap();
        let payload = filled(round, 700);
        expected.push((log.append_durable(&payload).unwrap(), payload));
        if round % 3 == 0 {
            log.close().unwrap();
        } else {
            drop(log);
        }
        assert_eq!(records(&tiny().open(&at).unwrap()), expected);
        fs::remove_dir_all(&at).unwrap();
        fs::remove_dir_all(&live).unwrap();
    }
}

/// Appends durably until something fails; what was acknowledged, and the failure.
fn until_failure(log: &Log) -> (Records, Error) {
    let mut acknowledged = Records::new();
    loop {
        let payload = filled(acknowledged.len() as u64, 3000);
        match log.append_durable(&payload) {
            Ok(lsn) => acknowledged.push((lsn, payload)),
            Err(error) => return (acknowledged, error),
        }
    }
}

#[test]
fn a_disk_that_is_full_only_at_the_sync_is_never_called_durable() {
    let directory = tempfile::tempdir().unwrap();
    // The image believes to have more than the memory beneath it.
    let Some(memory) = Mounted::memory(directory.path().join("memory"), 5 << 20) else { return };
    let image = memory.at.join("image");
    let place = directory.path().join("disk");
    let Some(disk) = Mounted::image(place.clone(), &image, 64 << 20) else { return };
    let mut options = Options::new();
    // All records fall into one segment, of which only the first steps are filled when it is made:
    // what can't be kept is found out when frames are synced.
    options.segment_bytes(32 << 20).background(false);
    let at = disk.at.join("log");
    let log = options.open(&at).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let log = log.clone();
            thread::spawn(move || until_failure(&log))
        })
        .collect();
    let ends: Vec<_> = without_hanging("an appender", move || {
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (_, failure) in &ends {
        println!("{failure}: {:?}", std::error::Error::source(failure).map(ToString::to_string));
    }
    let told = |end: &Error| match end {
        Error::Io { op, .. } | Error::Poisoned { op, .. } => matches!(op, Op::Sync | Op::Write),
        _ => false,
    };
    assert!(ends.iter().all(|(_, end)| told(end)), "{ends:?}");
    for _ in 0..3 {
        assert!(matches!(log.append_durable(b"more"), Err(Error::Poisoned { .. })));
        assert!(matches!(log.sync(), Err(Error::Poisoned { .. })));
    }
    assert!(log.close().is_err());
    drop(disk);
    let grown = ["-o", "remount,size=128m", memory.at.to_str().unwrap()];
    assert!(run("mount", &grown), "the memory can't grow");
    let Some(_disk) = Mounted::image(place, &image, 64 << 20) else {
        panic!("the image can't be mounted again");
    };
    // Another one of that size does not fit.
    let log = tiny().open(&at).unwrap_or_else(|error| panic!("{error}: {error:?}"));
    let seen = records(&log);
    let count: usize = ends.iter().map(|(acknowledged, _)| acknowledged.len()).sum();
    println!("{count} records were durable");
    assert!(count > 0);
    for (lsn, payload) in ends.iter().flat_map(|(acknowledged, _)| acknowledged) {
        let found: Option<&(Lsn, Vec<u8>)> = seen.iter().find(|(at, _)| at == lsn);
        assert!(found.is_some_and(|(_, bytes)| bytes == payload), "{lsn} was durable");
    }
    log.append_durable(b"goes on").unwrap();
}
