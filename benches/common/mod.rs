//! What the benchmarks share: folders on a real disk, logs that are ready, timing of threads.
//!
//! Invariant: nothing is timed but the calls that a benchmark is named after. Before the clock
//! starts the log has its spare segment and its zeros; a log that has no room left for the calls of
//! a sample is replaced by a fresh one between two stretches, which are summed up.
//!
//! Logs lie below the target directory, in `CARGO_TARGET_TMPDIR`, and go when they are done with. Set
//! `BENCH_DIR` to measure another disk. Figures from tmpfs say nothing of syncs.

#![allow(dead_code, reason = "each benchmark uses a part of it")]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "sizes and counts of a benchmark are small and known"
)]

pub(crate) mod executor;
pub(crate) mod latencies;
pub(crate) mod machine;
pub(crate) mod raw;
pub(crate) mod rounds;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;
use stratalog::{Log, Options};
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;
/// What a frame has besides its payload.
pub(crate) const HEADER_BYTES: u64 = 16;

/// Whether this is only to see that the program works: `cargo bench -- --quick`, or `BENCH_QUICK` set.
/// Sizes and rounds are then so small that the figures mean nothing.
pub(crate) fn is_quick() -> bool {
    let asked = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    asked || std::env::var_os("BENCH_QUICK").is_some()
}

/// What a program does where it measures, and where it only has to run.
pub(crate) fn full_or_quick<T>(full: T, quick: T) -> T {
    if is_quick() { quick } else { full }
}

/// Whether the arguments ask for the part of that name: those that hold one of the words given, or all
/// where none is. Of criterion's programs criterion itself reads them.
pub(crate) fn is_wanted(part: &str) -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| part.contains(word.as_str()))
}

/// Few and short samples.
pub(crate) fn short(measured: Duration) -> Criterion {
    let (warm_up, measured) = full_or_quick((200, measured), (1, Duration::from_millis(10)));
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(measured)
        .configure_from_args()
}

/// A folder of its own, removed when dropped.
pub(crate) fn folder() -> TempDir {
    let place = std::env::var_os("BENCH_DIR");
    let place = place.map_or(PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    std::fs::create_dir_all(&place).expect("the benchmarks' folder can be made");
    tempfile::Builder::new().prefix("bench").tempdir_in(place).expect("a folder can be made")
}

/// Bytes that do not compress, the same in every run.
pub(crate) fn payload(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..bytes).map(|_| next()).collect()
}

/// The size of a frame with `payload` bytes in it.
pub(crate) fn frame_bytes(payload: usize) -> u64 {
    HEADER_BYTES + (payload as u64).next_multiple_of(8)
}

/// Waits until this process has written nothing for a while: its logs' own threads have prepared
/// what they had to.
pub(crate) fn settle() {
    let mut quiet = 0;
    let mut last = written();
    while quiet < 5 {
        thread::sleep(Duration::from_millis(20));
        let now = written();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
}

/// What Linux counts of the writes of this process; nothing elsewhere.
fn written() -> Option<String> {
    let counts = std::fs::read_to_string("/proc/self/io").ok()?;
    Some(counts.lines().filter(|line| line.contains("wchar")).collect())
}

/// A log that is ready, and in which `room` bytes of frames fit without a new segment.
pub(crate) struct Ready {
    // Closed before its folder goes.
    pub(crate) log: Log,
    room: u64,
    pub(crate) folder: TempDir,
}

impl Ready {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        let folder = folder();
        let log = Options::new()
            .segment_bytes(segment_bytes)
            .open(folder.path())
            .expect("a log can be made");
        log.append_durable(b"the first").expect("a log can be appended to");
        while log.stats().maintained && log.stats().spares == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        settle();
        Self { log, room: segment_bytes - 3 * 4096, folder }
    }
}

/// A log for the benchmarks of appending, made anew when its segment is used up.
pub(crate) struct Supply {
    segment_bytes: u64,
    ready: Option<Ready>,
}

impl Supply {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        Self { segment_bytes, ready: None }
    }

    /// Makes a new log if most of the room is used up. Called before criterion's own clock starts,
    /// by which it decides how many calls there will be.
    pub(crate) fn prepare(&mut self) -> &mut Self {
        let enough = self.segment_bytes / 2;
        if self.ready.as_ref().is_none_or(|ready| ready.room < enough) {
            self.ready = None;
            self.ready = Some(Ready::new(self.segment_bytes));
        }
        self
    }

    /// A log in which so many bytes of frames fit before its segment ends; they count as used.
    pub(crate) fn with_room(&mut self, bytes: u64) -> &Log {
        if self.ready.as_ref().is_none_or(|ready| ready.room < bytes) {
            self.ready = None;
        }
        let ready = self.ready.get_or_insert_with(|| Ready::new(self.segment_bytes));
        ready.room = ready.room.checked_sub(bytes).expect("a segment has room for it");
        &ready.log
    }

    /// Has `work` make `calls` calls, each of which takes `bytes_each` bytes of the log, in as many
    /// stretches as there must be. `work` gets the number of calls and returns their time.
    pub(crate) fn run(
        &mut self,
        calls: u64,
        bytes_each: u64,
        mut work: impl FnMut(&Log, u64) -> Duration,
    ) -> Duration {
        let (mut left, mut time) = (calls, Duration::ZERO);
        while left > 0 {
            if self.ready.as_ref().is_none_or(|ready| ready.room < bytes_each) {
                self.ready = None;
                self.ready = Some(Ready::new(self.segment_bytes));
            }
            let Some(ready) = &mut self.ready else { continue };
            let count = left.min(ready.room / bytes_each);
            time += work(&ready.log, count);
            ready.room -= count * bytes_each;
            left -= count;
        }
        time
    }
}

/// The time of `calls` calls of one thread.
pub(crate) fn timed<T>(calls: u64, mut call: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    start.elapsed()
}

/// The time of `calls` calls of `threads` threads together, from the first one's start to the last
/// one's end. They are there before the clock starts. Each makes its share, rounded up to no fewer
/// than 16, since less would be mostly threads that begin and end; the time is scaled to `calls`.
pub(crate) fn timed_by<T>(threads: usize, calls: u64, call: impl Fn() -> T + Sync) -> Duration {
    let each = calls.div_ceil(threads as u64).max(16);
    let barrier = Barrier::new(threads);
    let spans: Vec<(Instant, Instant)> = thread::scope(|scope| {
        let span = || {
            barrier.wait();
            let start = Instant::now();
            for _ in 0..each {
                black_box(call());
            }
            (start, Instant::now())
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(span)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let start = spans.iter().map(|span| span.0).min().expect("there are threads");
    let end = spans.iter().map(|span| span.1).max().expect("there are threads");
    let share = calls as f64 / (each * threads as u64) as f64;
    (end - start).mul_f64(share)
}

/// Fills a log in `directory` with `records` records of `payload_bytes` bytes, and returns it open.
pub(crate) fn fill(
    directory: &Path,
    segment_bytes: u64,
    payload_bytes: usize,
    records: u64,
) -> Log {
    let log =
        Options::new().segment_bytes(segment_bytes).open(directory).expect("a log can be made");
    let payload = payload(payload_bytes);
    for _ in 0..records {
        log.append_buffered(&payload).expect("there is room");
    }
    log.sync().expect("the log can be synced");
    log
}
