//! Durable appends, from one thread and from several that share syncs.
//!
//! Invariant: a figure is the time of one record: that of all threads together, divided by all their
//! records. `raw` syncs for each record, so it stands only beside the single thread.

mod common;

use std::hint::black_box;
use std::time::Duration;

use common::raw::Raw;
use common::{MIB, Supply, frame_bytes, full_or_quick, payload, short, timed, timed_by};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn segment_bytes() -> u64 {
    full_or_quick(64 * MIB, 8 * MIB)
}

fn single(c: &mut Criterion) {
    for (bytes, name) in [(128, "128 B"), (4 << 10, "4 KiB")] {
        let mut group = c.benchmark_group(format!("append_durable {name}"));
        group.throughput(Throughput::Elements(1));
        let payload = payload(bytes);
        let mut supply = Supply::new(segment_bytes());
        group.bench_function("1 thread", |bencher| {
            let supply = supply.prepare();
            bencher.iter_custom(|calls| {
                supply.run(calls, frame_bytes(bytes), |log, calls| {
                    timed(calls, || log.append_durable(black_box(&payload)).expect("synced"))
                })
            });
        });
        let mut raw = Raw::new(bytes);
        group.bench_function("raw", |bencher| {
            bencher.iter_custom(|calls| timed(calls, || raw.append_durable()));
        });
    }
}

fn group(c: &mut Criterion) {
    let mut group = c.benchmark_group("append_durable 256 B");
    group.throughput(Throughput::Elements(1));
    let payload = payload(256);
    for threads in [8, 32] {
        let mut supply = Supply::new(segment_bytes());
        group.bench_function(format!("{threads} threads"), |bencher| {
            let supply = supply.prepare();
            bencher.iter_custom(|calls| {
                supply.run(calls, frame_bytes(256) * 2, |log, calls| {
                    timed_by(threads, calls, || {
                        log.append_durable(black_box(&payload)).expect("synced")
                    })
                })
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = short(Duration::from_secs(2));
    targets = single, group
}
criterion_main!(benches);
