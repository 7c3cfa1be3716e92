//! Opening: a log of 1 GiB that was closed, the same as a crash leaves it, and many segments.
//!
//! Invariant: a figure is the time from the call until the log can be appended to. Closing it again,
//! and making the next crash, is not in it.
//!
//! A crash is made by copying: of a log that is open, with records that were never synced, the files
//! that recovery may change are copied aside. Before each opening they are put back; the sealed
//! segments, which no opening changes, are the same files in both folders.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{MIB, fill, folder, payload, settle, short};
use criterion::{Criterion, criterion_group, criterion_main};
use stratalog::{Log, Options, SegmentInfo, SegmentState};

const PAYLOAD_BYTES: usize = 1 << 10;
const LOG_BYTES: u64 = 1024 * MIB;
/// How many records a crash finds that were not synced.
const UNSYNCED: usize = 256;
const MANY_SEGMENTS: u64 = 512;
const SMALL_SEGMENT_BYTES: u64 = 64 << 10;

fn timed_open(directory: &Path, segment_bytes: u64) -> (Log, Duration) {
    let start = Instant::now();
    let log = Options::new().segment_bytes(segment_bytes).open(directory).expect("the log opens");
    (log, start.elapsed())
}

/// Copies what is not sealed into `image`, and links what is into `sealed`.
fn take_image(log: &Log, directory: &Path, image: &Path, sealed: &Path) {
    let is_sealed = |segment: &SegmentInfo| segment.state == SegmentState::Sealed;
    let segments = log.segments().into_iter().filter(is_sealed);
    let shared: Vec<_> = segments.map(|segment| segment.path).collect();
    for entry in fs::read_dir(directory).expect("the log's folder is there") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().expect("a file has a name");
        if shared.contains(&path) {
            fs::hard_link(&path, sealed.join(name)).expect("a file can be linked");
        } else {
            fs::copy(&path, image.join(name)).expect("a file can be copied");
        }
    }
}

/// Makes of `directory` what the crash left: the sealed segments and the image's files.
fn put_back(image: &Path, sealed: &Path, directory: &Path) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir(directory).expect("a folder can be made");
    for entry in fs::read_dir(sealed).expect("the folder is there") {
        let entry = entry.expect("it can be listed");
        fs::hard_link(entry.path(), directory.join(entry.file_name())).expect("it can be linked");
    }
    for entry in fs::read_dir(image).expect("the folder is there") {
        let entry = entry.expect("it can be listed");
        let to = directory.join(entry.file_name());
        fs::copy(entry.path(), &to).expect("a file can be copied");
        // What was written long before the crash is on the disk.
        fs::File::open(to).and_then(|file| file.sync_all()).expect("a file can be synced");
    }
}

fn large(c: &mut Criterion) {
    let segment_bytes = 64 * MIB;
    let folder = folder();
    let [log_folder, image, sealed, crashed] =
        ["log", "image", "sealed", "crashed"].map(|name| folder.path().join(name));
    for path in [&image, &sealed] {
        fs::create_dir(path).expect("a folder can be made");
    }
    let log = fill(&log_folder, segment_bytes, PAYLOAD_BYTES, LOG_BYTES / PAYLOAD_BYTES as u64);
    settle();
    for _ in 0..UNSYNCED {
        log.append(&payload(PAYLOAD_BYTES)).expect("there is room");
    }
    take_image(&log, &log_folder, &image, &sealed);
    log.close().expect("the log closes");
    let mut group = c.benchmark_group("open 1 GiB");
    group.bench_function("clean", |bencher| {
        bencher.iter_custom(|times| {
            let open = |_| {
                let (log, time) = timed_open(&log_folder, segment_bytes);
                assert!(log.recovery().clean, "it was closed");
                time
            };
            (0..times).map(open).sum()
        });
    });
    group.bench_function("after a crash", |bencher| {
        bencher.iter_custom(|times| {
            let open = |_| {
                put_back(&image, &sealed, &crashed);
                let (log, time) = timed_open(&crashed, segment_bytes);
                assert!(!log.recovery().clean, "it was not closed");
                time
            };
            (0..times).map(open).sum()
        });
    });
}

fn many(c: &mut Criterion) {
    let folder = folder();
    let each = SMALL_SEGMENT_BYTES / (PAYLOAD_BYTES as u64 + 16) - 1;
    let log = fill(folder.path(), SMALL_SEGMENT_BYTES, PAYLOAD_BYTES, MANY_SEGMENTS * each);
    log.close().expect("the log closes");
    c.bench_function(&format!("open {MANY_SEGMENTS} segments/clean"), |bencher| {
        bencher.iter_custom(|times| {
            (0..times).map(|_| timed_open(folder.path(), SMALL_SEGMENT_BYTES).1).sum()
        });
    });
}

criterion_group! {
    name = benches;
    // What is not timed takes far longer than what is.
    config = short(Duration::from_millis(100)).warm_up_time(Duration::from_millis(10));
    targets = large, many
}
criterion_main!(benches);
