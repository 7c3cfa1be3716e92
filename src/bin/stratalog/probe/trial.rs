//! [`Trials`]: writes of all kinds, timed in turns.
//!
//! Invariant: what is compared was measured in the same seconds. A disk has moods; so no kind has its
//! time before the others, but all take turns, in short rounds, until the time is up.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::platform::{self, Way};
use crate::failure::Failure;
use crate::latencies::{Latencies, nanoseconds};

/// How large each file is.
pub(super) const FILE_BYTES: u64 = 8 << 20;
/// What most trials write, in bytes.
pub(super) const PAGE_BYTES: usize = 4096;
const ROUNDS: u32 = 10;
/// No turn has more writes. In all turns together a page has room in its file each time.
const SAMPLES_OF_TURN: u64 = 200;
const _: () = assert!(ROUNDS as u64 * SAMPLES_OF_TURN * PAGE_BYTES as u64 <= FILE_BYTES);
/// The alignment of memory for writes past the page cache.
const ALIGNMENT: usize = 4096;

/// The kind of file that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each write makes it longer.
    Growing,
    /// It has its blocks, to which nothing was ever written.
    Preallocated,
    /// It was filled with zeros.
    ZeroFilled,
}

/// One thing that is measured.
pub(super) struct Trial {
    pub(super) way: Way,
    pub(super) kind: Kind,
    pub(super) bytes: usize,
    /// What was measured, or why that could not be.
    pub(super) result: Result<Latencies, String>,
    file: Option<File>,
    buffer: Aligned,
    offset: u64,
}

/// Everything that is measured, on files in one folder.
pub(super) struct Trials {
    pub(super) all: Vec<Trial>,
    /// How long it took to fill a file with zeros and to sync it.
    pub(super) fill: Duration,
    /// Whether there is a preallocated file, and how much of the disk that takes.
    pub(super) preallocation: Preallocation,
    folder: PathBuf,
}

/// What came of preallocating a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Preallocation {
    /// The file system, or the platform, has no such call that is safe to make here.
    None,
    /// So many bytes of blocks for [`FILE_BYTES`].
    Blocks(u64),
    /// There is such a call, and its outcome can't be asked.
    NotKnown,
}

impl Trials {
    /// Makes the files. The first way is the log's own, which all kinds and sizes are measured with.
    pub(super) fn prepare(folder: &Path, sizes: &[usize]) -> Result<Self, Failure> {
        let path = |name: &str| folder.join(name);
        let (zeros, direct, growing) = (path("zeros"), path("direct"), path("growing"));
        let start = Instant::now();
        fill(&zeros)?;
        let filled = start.elapsed();
        fill(&direct)?;
        let failed = |path: &Path, error| Failure::io("prepare", path, error);
        File::create(&growing).map_err(|error| failed(&growing, error))?;
        let allocated = path("allocated");
        let preallocation = preallocated(&allocated).map_err(|error| failed(&allocated, error))?;

        let ways = platform::ways();
        let mut trials = Vec::new();
        for way in &ways {
            let path = if way.is_direct { &direct } else { &zeros };
            trials.push(Trial::new(*way, Kind::ZeroFilled, PAGE_BYTES, path)?);
        }
        if let Some(own) = ways.first() {
            trials.push(Trial::new(*own, Kind::Growing, PAGE_BYTES, &growing)?);
            if preallocation != Preallocation::None {
                trials.push(Trial::new(*own, Kind::Preallocated, PAGE_BYTES, &allocated)?);
            }
            // The page is measured as a way already.
            for bytes in sizes.iter().filter(|bytes| **bytes != PAGE_BYTES) {
                trials.push(Trial::new(*own, Kind::ZeroFilled, *bytes, &zeros)?);
            }
        }
        Ok(Self { all: trials, fill: filled, preallocation, folder: folder.to_path_buf() })
    }

    /// Measures for about `time`, in rounds. Ends early when `is_over` says so; each trial that works
    /// is measured once at least. `show` hears how many turns are done, and of how many.
    pub(super) fn run(
        &mut self,
        time: Duration,
        is_over: &dyn Fn() -> bool,
        show: &dyn Fn(u32, u32),
    ) -> Result<(), Failure> {
        let count = u32::try_from(self.all.len()).unwrap_or(u32::MAX).max(1);
        let turn = time / ROUNDS / count;
        for round in 0..ROUNDS {
            for (number, trial) in (0..count).zip(&mut self.all) {
                if round > 0 && is_over() {
                    return Ok(());
                }
                show(round * count + number, ROUNDS * count);
                let failed = |error| Failure::io("write into", &self.folder, error);
                trial.take_turn(turn, is_over).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Trial {
    fn new(way: Way, kind: Kind, bytes: usize, path: &Path) -> Result<Self, Failure> {
        let (file, result) = match way.open(path) {
            Ok(file) => (Some(file), Ok(Latencies::new())),
            Err(error) if is_not_offered(&error) => (None, Err(error.to_string())),
            Err(error) => return Err(Failure::io("open", path, error)),
        };
        Ok(Self { way, kind, bytes, result, file, buffer: Aligned::new(bytes), offset: 0 })
    }

    /// Writes until the turn is over, at least once. An error that only says that the disk does not
    /// offer this ends the trial, not the command.
    fn take_turn(&mut self, turn: Duration, is_over: &dyn Fn() -> bool) -> io::Result<()> {
        let (Some(file), Ok(latencies)) = (&self.file, &mut self.result) else { return Ok(()) };
        let most = latencies.count() + SAMPLES_OF_TURN;
        let start = Instant::now();
        let mut before = Duration::ZERO;
        while latencies.count() < most {
            match self.way.write(file, self.buffer.bytes(), self.offset) {
                Ok(()) => {}
                Err(error) if latencies.count() == 0 && is_not_offered(&error) => {
                    self.result = Err(error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let after = start.elapsed();
            latencies.record(nanoseconds(after.saturating_sub(before)));
            before = after;
            self.offset += self.bytes as u64;
            if self.offset + self.bytes as u64 > FILE_BYTES {
                self.offset = 0;
            }
            if after >= turn || is_over() {
                break;
            }
        }
        Ok(())
    }

    /// The median, if anything was measured.
    pub(super) fn p50_ns(&self) -> Option<u64> {
        let latencies = self.result.as_ref().ok().filter(|latencies| latencies.count() > 0)?;
        Some(latencies.quantile_ns(0.5))
    }
}

fn is_not_offered(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// A file full of zeros, as the log makes its segments: in steps of 64 KiB, synced at the end.
fn fill(path: &Path) -> Result<(), Failure> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let make = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // A full disk is told at once where blocks can be had in advance.
        platform::preallocate(&file, FILE_BYTES)?;
        for step in 0..FILE_BYTES / ZEROS.len() as u64 {
            platform::write_at(&file, &ZEROS, step * ZEROS.len() as u64)?;
        }
        file.sync_all()
    };
    make().map_err(|error| Failure::io("prepare", path, error))
}

/// A file that has its blocks, and nothing in them.
fn preallocated(path: &Path) -> io::Result<Preallocation> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if !platform::preallocate(&file, FILE_BYTES)? {
        return Ok(Preallocation::None);
    }
    file.sync_all()?;
    let blocks = platform::allocated_bytes(&file)?;
    Ok(blocks.map_or(Preallocation::NotKnown, Preallocation::Blocks))
}

/// Memory that begins at a multiple of [`ALIGNMENT`].
struct Aligned {
    memory: Vec<u8>,
    from: usize,
    bytes: usize,
}

impl Aligned {
    fn new(bytes: usize) -> Self {
        // Not zeros, which some devices do not write at all.
        let memory: Vec<u8> =
            (0..bytes + ALIGNMENT).map(|at| u8::try_from(at * 31 % 251).unwrap_or(0) | 1).collect();
        let from = memory.as_ptr().align_offset(ALIGNMENT);
        Self { memory, from, bytes }
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.from..self.from + self.bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_take_turns_and_each_is_measured_at_least_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut trials = Trials::prepare(dir.path(), &[512, 4096, 65536]).expect("prepared");
        // It is told to end at once, and does after the first round.
        trials.run(Duration::from_secs(1000), &|| true, &|_, _| ()).expect("run");
        assert!(trials.fill > Duration::ZERO);
        for trial in &trials.all {
            let count = trial.result.as_ref().map_or(1, Latencies::count);
            assert_eq!(count, 1, "{} {:?} {}", trial.way.name, trial.kind, trial.bytes);
        }
        let own = trials.all.first().expect("the log's own way");
        assert!(own.way.is_durable && own.p50_ns().is_some());
        let sizes: Vec<usize> = trials.all.iter().map(|trial| trial.bytes).collect();
        assert_eq!(sizes.iter().filter(|bytes| **bytes != 4096).count(), 2, "{sizes:?}");
    }

    #[test]
    fn memory_is_aligned_and_of_its_size() {
        for bytes in [512, 4096, 65536] {
            let aligned = Aligned::new(bytes);
            assert_eq!(aligned.bytes().len(), bytes);
            assert_eq!(aligned.bytes().as_ptr().align_offset(ALIGNMENT), 0);
            assert!(!aligned.bytes().contains(&0));
        }
    }
}
