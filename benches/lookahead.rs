//! Looking for proof over a torn tail of 64 MiB, for each of the contents that the tests know.
//!
//! Invariant: a figure is the time of one search over bytes in memory, none of which proves anything,
//! so that all of them are looked at. What reading them from a disk costs is not in it.

mod common;

use std::hint::black_box;
use std::time::Duration;

use common::full_or_quick;
use criterion::{Criterion, criterion_group, criterion_main};
use stratalog::format::{Salt, evidence, next_valid};

#[path = "../tests/it/torn.rs"]
#[allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "lengths of a benchmark are small and known"
)]
mod torn;

use torn::{ID, START, contents};

fn segment_bytes() -> usize {
    full_or_quick(64 << 20, 64 << 10)
}

fn searches(c: &mut Criterion) {
    let salt = Salt::new(&ID);
    let mut group = c.benchmark_group("look for proof in 64 MiB");
    for (what, bytes) in contents(segment_bytes()) {
        group.bench_function(what, |bencher| {
            bencher.iter(|| black_box(evidence(&bytes, START, START, START, salt)));
        });
    }
    group.finish();
    let mut group = c.benchmark_group("look for a frame in 64 MiB");
    for (what, bytes) in contents(segment_bytes()) {
        group.bench_function(what, |bencher| {
            bencher.iter(|| black_box(next_valid(&bytes, START, START, salt)));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // One search is long enough; 46 of them take about a minute.
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(10))
        .measurement_time(Duration::from_millis(100))
        .configure_from_args();
    targets = searches
}
criterion_main!(benches);
