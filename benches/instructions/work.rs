//! The rows, and what is run under callgrind for one of them.
//!
//! Invariant: one thread does everything; what is appended fits in the first segment; the log is not
//! closed, so how much was appended costs nothing but appending and committing it.

use std::hint::black_box;
use std::process::ExitCode;

use stratalog::storage::MemoryStorage;
use stratalog::{Log, Options, ReadOptions};

use crate::common::{MIB, folder, payload};

/// The argument by which this program does a row's work.
pub(crate) const ARGUMENT: &str = "work";

const SEGMENT_BYTES: u64 = 8 * MIB;
const BATCH_RECORDS: usize = 64;
const REPLAYED_RECORDS: u64 = 5_000;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// How often the operation is done in the shorter run.
    pub(crate) times: u64,
    /// How many records one operation has.
    records: u32,
    work: fn(u64),
}

impl Row {
    /// How many records the longer run has more.
    pub(crate) fn records(&self) -> f64 {
        let times = u32::try_from(self.times).expect("an operation is done a few times");
        f64::from(times) * f64::from(self.records)
    }
}

const fn row(name: &'static str, times: u64, records: u32, work: fn(u64)) -> Row {
    Row { name, times, records, work }
}

pub(crate) const ROWS: [Row; 8] = [
    row("append 128 B", 10_000, 1, |times| append(times, 128)),
    row("append 1 KiB", 3_000, 1, |times| append(times, 1 << 10)),
    row("append_with 128 B", 10_000, 1, append_with),
    row("append_buffered 128 B", 10_000, 1, append_buffered),
    row("append_batch 64 x 128 B", 300, 64, append_batch),
    row("append_durable 128 B, memory", 5_000, 1, append_durable),
    row("replay 128 B", 2, 5_000, |times| replay(times, ReadOptions::new())),
    row("replay 128 B, verify off", 2, 5_000, |times| {
        replay(times, ReadOptions::new().verify(false));
    }),
];

/// Does the work of the row that is named `name`.
pub(crate) fn run(name: &str, times: &str) -> ExitCode {
    let row = ROWS.iter().find(|row| row.name == name).expect("the row is there");
    (row.work)(times.parse().expect("a number"));
    ExitCode::SUCCESS
}

fn options() -> Options {
    let mut options = Options::new();
    options.segment_bytes(SEGMENT_BYTES).background(false);
    options
}

/// Has `work` use a log on files, commits, and leaves the log open.
fn on_files(work: impl FnOnce(&Log)) {
    let folder = folder();
    let log = options().open(folder.path()).expect("a log can be made");
    work(&log);
    log.commit().expect("committed");
    std::mem::forget(log);
}

fn append(times: u64, bytes: usize) {
    let payload = payload(bytes);
    on_files(|log| {
        for _ in 0..times {
            black_box(log.append(black_box(&payload)).expect("appended"));
        }
    });
}

fn append_with(times: u64) {
    let payload = payload(128);
    on_files(|log| {
        for _ in 0..times {
            let fill = |bytes: &mut [u8]| bytes.copy_from_slice(black_box(&payload));
            black_box(log.append_with(128, fill).expect("appended"));
        }
    });
}

fn append_buffered(times: u64) {
    let payload = payload(128);
    on_files(|log| {
        for _ in 0..times {
            black_box(log.append_buffered(black_box(&payload)).expect("appended"));
        }
    });
}

fn append_batch(times: u64) {
    let payload = payload(128);
    let batch = [payload.as_slice(); BATCH_RECORDS];
    on_files(|log| {
        for _ in 0..times {
            black_box(log.append_batch(black_box(&batch)).expect("appended"));
        }
    });
}

/// In memory, where a write is a copy, which is counted: syncs of a disk would take long.
fn append_durable(times: u64) {
    let payload = payload(128);
    let log = options().open_with(MemoryStorage::new()).expect("a log can be made");
    for _ in 0..times {
        black_box(log.append_durable(black_box(&payload)).expect("appended"));
    }
    std::mem::forget(log);
}

/// The same records, from the map of one snapshot.
fn replay(times: u64, options: ReadOptions) {
    let payload = payload(128);
    on_files(|log| {
        for _ in 0..REPLAYED_RECORDS {
            log.append_buffered(&payload).expect("appended");
        }
        log.commit().expect("committed");
        let snapshot = log.snapshot_with(options);
        for _ in 0..times {
            for record in &snapshot {
                black_box(record.expect("the log is whole").payload());
            }
        }
    });
}
