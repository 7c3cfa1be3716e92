//! Appends that are committed, buffered, and in batches, each beside `raw`.
//!
//! Invariant: a figure is the time of one record, whatever one call or one thread takes. No append
//! here comes to the end of a segment.

mod common;

use std::hint::black_box;
use std::time::Duration;

use common::raw::Raw;
use common::{MIB, Supply, frame_bytes, full_or_quick, payload, short, timed, timed_by};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

fn segment_bytes() -> u64 {
    full_or_quick(64 * MIB, 8 * MIB)
}

const BATCH_RECORDS: usize = 64;

fn committed(c: &mut Criterion) {
    let mut group = c.benchmark_group("append 128 B");
    group.throughput(Throughput::Elements(1));
    append(&mut group, "1 thread", 128);
    let payload = payload(128);
    let mut supply = Supply::new(segment_bytes());
    group.bench_function("4 threads", |bencher| {
        let supply = supply.prepare();
        bencher.iter_custom(|calls| {
            supply.run(calls, frame_bytes(128), |log, calls| {
                timed_by(4, calls, || log.append(black_box(&payload)).expect("appended"))
            })
        });
    });
}

fn sizes(c: &mut Criterion) {
    for (bytes, name) in
        [(16, "16 B"), (1 << 10, "1 KiB"), (4 << 10, "4 KiB"), (64 << 10, "64 KiB")]
    {
        let mut group = c.benchmark_group(format!("append {name}"));
        group.throughput(Throughput::Bytes(bytes as u64));
        append(&mut group, "1 thread", bytes);
    }
}

/// Single records from one thread, and `raw`.
fn append(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, bytes: usize) {
    let payload = payload(bytes);
    let mut supply = Supply::new(segment_bytes());
    group.bench_function(name, |bencher| {
        let supply = supply.prepare();
        bencher.iter_custom(|calls| {
            supply.run(calls, frame_bytes(bytes), |log, calls| {
                timed(calls, || log.append(black_box(&payload)).expect("appended"))
            })
        });
    });
    let mut raw = Raw::new(bytes);
    group.bench_function("raw", |bencher| {
        bencher.iter_custom(|calls| timed(calls, || raw.append()));
    });
}

fn buffered(c: &mut Criterion) {
    let mut group = c.benchmark_group("append_buffered 128 B and commit");
    group.throughput(Throughput::Elements(1));
    let payload = payload(128);
    let mut supply = Supply::new(segment_bytes());
    group.bench_function("1 thread", |bencher| {
        let supply = supply.prepare();
        bencher.iter_custom(|calls| {
            supply.run(calls, frame_bytes(128), |log, calls| {
                let append = || log.append_buffered(black_box(&payload)).expect("appended");
                let time = timed(calls, append);
                time + timed(1, || log.commit().expect("committed"))
            })
        });
    });
    let mut raw = Raw::new(128);
    group.bench_function("raw", |bencher| {
        bencher.iter_custom(|calls| {
            let time = timed(calls, || raw.append_buffered());
            time + timed(1, || raw.write_out())
        });
    });
}

fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("append_batch of 64 x 128 B");
    group.throughput(Throughput::Elements(BATCH_RECORDS as u64));
    let payload = payload(128);
    let batch = [payload.as_slice(); BATCH_RECORDS];
    let mut supply = Supply::new(segment_bytes());
    group.bench_function("1 thread", |bencher| {
        let supply = supply.prepare();
        bencher.iter_custom(|calls| {
            supply.run(calls, BATCH_RECORDS as u64 * frame_bytes(128), |log, calls| {
                timed(calls, || log.append_batch(black_box(&batch)).expect("appended"))
            })
        });
    });
    let mut raw = Raw::new(128);
    let frames = raw.frame.repeat(BATCH_RECORDS);
    group.bench_function("raw", |bencher| {
        bencher.iter_custom(|calls| timed(calls, || raw.write(black_box(&frames))));
    });
}

criterion_group! {
    name = benches;
    config = short(Duration::from_millis(1500));
    targets = committed, buffered, batch
}
criterion_group! {
    name = by_size;
    config = short(Duration::from_millis(500));
    targets = sizes
}
criterion_main!(benches, by_size);
