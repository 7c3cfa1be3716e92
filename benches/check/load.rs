//! Neighbours: processes that compute, write and sync, as a build does, while bounds are recorded; and
//! whether there are any.
//!
//! Invariant: each ends when the process that started it does, however that ends: its standard input
//! is at an end then.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Instant;

use crate::bounds::median;
use crate::common::{folder, payload, timed};

/// The argument by which this program becomes a neighbour.
pub(crate) const ARGUMENT: &str = "--load";

/// Neighbours at work, until dropped. They stand back where the measured one wants a core, as whoever
/// builds beside a measurement should.
pub(crate) struct Load(Vec<Child>);

impl Load {
    /// One for each core.
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let mut command = Command::new("nice");
            let command = command.arg("-n10").arg(&program).arg(ARGUMENT).stdin(Stdio::piped());
            command.spawn().expect("nice can be run")
        };
        Self((0..cores).map(start).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Computes most of the time; writes a file of 1 MiB now and then, and syncs each sixteenth.
pub(crate) fn run() -> ExitCode {
    let folder = folder();
    let ended = thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let bytes = payload(1 << 20);
    for number in 0_u64.. {
        if ended.is_finished() {
            break;
        }
        for _ in 0..400 {
            black_box(crc32c::crc32c(black_box(&bytes)));
        }
        let path = folder.path().join(format!("{}", number % 8));
        let file = File::create(path).and_then(|mut file| file.write_all(&bytes).map(|()| file));
        if number.is_multiple_of(16) {
            let _ = file.and_then(|file| file.sync_all());
        }
    }
    let _ = fs::remove_dir_all(folder.path());
    ExitCode::SUCCESS
}

/// How much longer computing takes on all cores at once than it would if this process had them for
/// itself: 1 if it has, 2 if others take turns with it. The median of many short pieces is the time of
/// one that was not broken off.
pub(crate) fn crowding() -> f64 {
    const PIECES: u32 = 1000;
    let bytes = payload(1 << 20);
    let work = || {
        let piece = || timed(1, || crc32c::crc32c(black_box(&bytes))).as_secs_f64();
        let start = Instant::now();
        let pieces: Vec<f64> = (0..PIECES).map(|_| piece()).collect();
        start.elapsed().as_secs_f64() / (median(&pieces) * f64::from(PIECES))
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let longer = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
        longer.fold(1.0, f64::max)
    })
}
