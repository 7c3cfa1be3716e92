//! Replay of a log of 256 B records whose files are in the page cache, beside a raw scan.
//!
//! Invariant: every record's checksum is verified, but where the name says otherwise; a figure is the
//! time of all records.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{MIB, fill, folder, raw, short};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stratalog::{Log, ReadOptions, Record, Result, Snapshot};

const SEGMENT_BYTES: u64 = 16 * MIB;
const PAYLOAD_BYTES: usize = 256;
const RECORDS: u64 = 128 * MIB / PAYLOAD_BYTES as u64;

fn count<'a>(records: impl Iterator<Item = Result<Record<'a>>>) -> u64 {
    let mut count = 0;
    for record in records {
        black_box(record.expect("the log is whole").payload());
        count += 1;
    }
    count
}

/// The segments of one snapshot, taken by two threads in turn.
fn count_by_two(snapshot: &Snapshot) -> u64 {
    let (next, records) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let number = usize::try_from(number).expect("there are few segments");
            let Some(segment) = snapshot.segments().nth(number) else { break };
            records.fetch_add(count(segment.iter()), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    records.into_inner()
}

fn replay(c: &mut Criterion) {
    let folder = folder();
    let directory = folder.path().join("log");
    let log = fill(&directory, SEGMENT_BYTES, PAYLOAD_BYTES, RECORDS);
    log.close().expect("the log closes");
    let mut group = c.benchmark_group("replay 256 B");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("open and replay", |bencher| {
        bencher.iter_with_large_drop(|| {
            let log = Log::open(&directory).expect("the log opens");
            assert_eq!(count(log.snapshot().iter()), RECORDS);
            // Closing is not in the figure.
            log
        });
    });
    let log = Log::open(&directory).expect("the log opens");
    common::settle();
    let snapshots: [(&str, ReadOptions); 3] = [
        ("replay", ReadOptions::new()),
        ("replay, verify off", ReadOptions::new().verify(false)),
        ("replay, copied", ReadOptions::new().copy(true)),
    ];
    for (name, options) in snapshots {
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(count(log.snapshot_with(options).iter()), RECORDS));
        });
    }
    group.bench_function("replay, 2 threads", |bencher| {
        bencher.iter(|| assert_eq!(count_by_two(&log.snapshot()), RECORDS));
    });
    let path = folder.path().join("raw");
    raw::write_frames(&path, PAYLOAD_BYTES, RECORDS);
    group.bench_function("raw scan", |bencher| {
        bencher.iter(|| assert_eq!(raw::scan(&path), RECORDS));
    });
    group.finish();
    drop(log);
}

criterion_group! {
    name = benches;
    config = short(Duration::from_secs(2));
    targets = replay
}
criterion_main!(benches);
