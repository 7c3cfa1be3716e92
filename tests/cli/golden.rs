//! The golden logs: small ones that are kept in `tests/cli/golden`, so that what is told of them is
//! the same everywhere. `STRATALOG_GOLDEN=1` makes them anew, and the snapshots are then to be made
//! anew too, since a log's id is drawn.
//!
//! - `good`: closed, of several segments, with a batch and bytes that are no text.
//! - `torn`: not closed; its last record is half there.
//! - `corrupt`: closed; one record in a sealed segment and one trailer have a wrong bit.
//! - `truncated`: closed; its first segments were dropped, and its head lies inside one.
//! - `archived`: the archive of `good`.

use std::fs;
use std::path::{Path, PathBuf};

use stratalog::{Log, Lsn, Options};

/// Where the golden logs are.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden");
    if std::env::var_os("STRATALOG_GOLDEN").is_some() {
        static MADE: std::sync::Once = std::sync::Once::new();
        MADE.call_once(|| make(&folder));
    }
    folder
}

/// A copy of a golden log, to be written to.
pub(crate) fn copy(name: &str, to: &Path) -> PathBuf {
    let to = to.join(name);
    copy_files(&folder().join(name), &to);
    to
}

pub(crate) fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// Flips a bit.
pub(crate) fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[offset] ^= 1;
    fs::write(path, bytes).expect("written");
}

fn open(dir: &Path) -> Log {
    let mut options = Options::new();
    options.segment_bytes(16 << 10).background(false).open(dir).expect("a log")
}

/// What the logs hold: 48 records of some hundred bytes, two of them in a batch.
fn fill(log: &Log) -> Vec<Lsn> {
    let text = |number: usize| {
        let line = format!("record {number:02}: the quick brown fox jumps over the lazy dog; ");
        line.repeat(12 + number % 3)
    };
    let mut lsns = Vec::new();
    for number in 0..45 {
        lsns.push(log.append(text(number).as_bytes()).expect("appended"));
    }
    lsns.push(log.append_batch(&["debit 10", "credit 10"]).expect("appended").start);
    lsns.push(log.append(b"\x00\x01\xfe\xff not text\n").expect("appended"));
    lsns
}

fn make(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    let at = |name: &str| folder.join(name);

    let log = open(&at("good"));
    let lsns = fill(&log);
    log.archive(at("archived")).expect("archived");
    log.close().expect("closed");

    copy_files(&at("good"), &at("corrupt"));
    let file = |number: usize| at("corrupt").join(format!("{:020}.seg", number << 14));
    let damaged = lsns[20].get() as usize;
    flip(&file(damaged >> 14), (damaged & 0x3fff) + 100);
    flip(&file(0), (16 << 10) - 4000);

    let log = open(&at("truncated"));
    let lsns = fill(&log);
    log.set_app_state(b"flushed to 15").expect("kept");
    log.truncate_before(lsns[15]).expect("truncated");
    log.close().expect("closed");

    let log = open(&at("live"));
    let lsns = fill(&log);
    log.sync().expect("synced");
    let torn = log.append(&[b'x'; 700]).expect("appended").get() as usize;
    copy_files(&at("live"), &at("torn"));
    log.close().expect("closed");
    fs::remove_dir_all(at("live")).expect("removed");
    assert!(lsns.len() > 40);
    let last = at("torn").join(format!("{:020}.seg", torn >> 14 << 14));
    let mut bytes = fs::read(&last).expect("a file");
    let half = (torn & 0x3fff) + 300;
    bytes[half..half + 500].fill(0);
    fs::write(last, bytes).expect("written");
}
