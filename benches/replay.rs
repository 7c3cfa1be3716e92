//! Replay of 128 MiB of records of 16 B to 64 KiB, with files in the page cache and without, beside a
//! raw scan.
//!
//! Invariant: what is compared reads the same number of equal frames, and either both check every
//! record's checksum or neither. A figure is the time of all records, in interleaved rounds. Each raw
//! file holds as many frames as a segment, so that two threads share them in the same way.
//!
//! In the page cache files lie as they were written, a log's in folios of 64 KiB, or as they were read
//! after a restart, in larger ones, which are cheaper to map.
//!
//! The raw scan reads into a buffer. The raw scan of memory has its bytes there before the clock
//! starts: no map of a file can be quicker. Without checks it touches headers only, as replay does.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts of a benchmark are small and known"
)]

mod common;

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::machine::drop_caches;
use common::rounds::{interleave, median, median_ratio};
use common::{MIB, fill, folder, frame_bytes, full_or_quick, is_wanted, raw, settle};
use stratalog::{Log, ReadOptions, Record, Result};
use tempfile::TempDir;

const SIZES: [(usize, &str); 6] = [
    (16, "16 B"),
    (128, "128 B"),
    (256, "256 B"),
    (1 << 10, "1 KiB"),
    (4 << 10, "4 KiB"),
    (64 << 10, "64 KiB"),
];

fn sizes() -> &'static [(usize, &'static str)] {
    full_or_quick(&SIZES, &SIZES[4..])
}

/// Who reads, and how.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    Raw,
    RawMemory,
    Replay,
    OpenAndReplay,
    Copied,
}

struct Contestant {
    name: &'static str,
    reader: Reader,
    verify: bool,
    threads: usize,
    /// Whom it is compared with.
    base: usize,
}

const fn contestant(
    name: &'static str,
    reader: Reader,
    verify: bool,
    threads: usize,
    base: usize,
) -> Contestant {
    Contestant { name, reader, verify, threads, base }
}

const WARM: [Contestant; 11] = [
    contestant("raw scan", Reader::Raw, true, 1, 0),
    contestant("raw scan of memory", Reader::RawMemory, true, 1, 0),
    contestant("open and replay", Reader::OpenAndReplay, true, 1, 0),
    contestant("replay", Reader::Replay, true, 1, 0),
    contestant("replay, copied", Reader::Copied, true, 1, 0),
    contestant("raw scan, 2 threads", Reader::Raw, true, 2, 0),
    contestant("replay, 2 threads", Reader::Replay, true, 2, 0),
    contestant("unchecked: raw scan", Reader::Raw, false, 1, 7),
    contestant("unchecked: raw scan of memory", Reader::RawMemory, false, 1, 7),
    contestant("unchecked: replay", Reader::Replay, false, 1, 7),
    contestant("unchecked: replay, 2 threads", Reader::Replay, false, 2, 7),
];

const COLD: [Contestant; 6] = [
    contestant("raw scan", Reader::Raw, true, 1, 0),
    contestant("replay", Reader::Replay, true, 1, 0),
    contestant("raw scan, 2 threads", Reader::Raw, true, 2, 0),
    contestant("replay, 2 threads", Reader::Replay, true, 2, 0),
    contestant("unchecked: raw scan", Reader::Raw, false, 1, 4),
    contestant("unchecked: replay", Reader::Replay, false, 1, 4),
];

fn main() {
    let can_drop = drop_caches();
    if !can_drop {
        println!(
            "the page cache may not be emptied (that takes root): only what was written is read"
        );
    }
    if is_wanted("written") {
        measure("cached as written", &WARM, full_or_quick(7, 1), Cache::Written);
    }
    if is_wanted("reread") && can_drop {
        measure("cached as read", &WARM, full_or_quick(7, 1), Cache::Reread);
    }
    if is_wanted("cold") && can_drop {
        measure("not cached", &COLD, full_or_quick(5, 1), Cache::Empty);
    }
}

/// What the page cache holds of the files.
#[derive(Clone, Copy, PartialEq)]
enum Cache {
    Written,
    Reread,
    Empty,
}

fn measure(title: &str, contestants: &[Contestant], rounds: usize, cache: Cache) {
    // For each size, for each contestant, its rounds: millions of records a second.
    let figures: Vec<Vec<Vec<f64>>> = sizes()
        .iter()
        .map(|(bytes, _)| {
            let mut place = Place::new(*bytes);
            if cache == Cache::Reread {
                place.reread();
            }
            let seconds = interleave(rounds, contestants.len(), |number| {
                place.prepare(&contestants[number]);
                if cache == Cache::Empty {
                    assert!(drop_caches(), "it was allowed before");
                }
                place.run(&contestants[number]).as_secs_f64()
            });
            let rate = |seconds: &f64| place.records() as f64 / seconds / 1e6;
            seconds.iter().map(|seconds| seconds.iter().map(rate).collect()).collect()
        })
        .collect();
    let table = |unit: &str, cell: &dyn Fn(usize, usize) -> String| {
        print!("{:<32}", format!("{title}, {unit}"));
        for (_, name) in sizes() {
            print!(" {name:>8}");
        }
        println!();
        for (number, contestant) in contestants.iter().enumerate() {
            print!("  {:<30}", contestant.name);
            for size in 0..sizes().len() {
                print!(" {:>8}", cell(size, number));
            }
            println!();
        }
    };
    let rate = |size: usize, number: usize| median(figures[size][number].iter().copied());
    table("M/s", &|size, number| format!("{:.3}", rate(size, number)));
    table("GB/s", &|size, number| {
        format!("{:.2}", rate(size, number) * frame_bytes(sizes()[size].0) as f64 / 1e3)
    });
    table("x raw", &|size, number| {
        let (rounds, base) = (&figures[size], contestants[number].base);
        format!("{:.2}", median_ratio(&rounds[number], &rounds[base]))
    });
}

/// A log, and raw files with the same frames.
struct Place {
    // Closed before its folder goes.
    log: Option<Log>,
    directory: PathBuf,
    files: Vec<PathBuf>,
    memory: Vec<u8>,
    records_each: u64,
    _folder: TempDir,
}

impl Place {
    fn new(payload_bytes: usize) -> Self {
        let (segment_bytes, segments) = full_or_quick((16 * MIB, 8), (MIB, 2));
        // Of the segment, its header, its trailer and its link take a part.
        let records_each = (segment_bytes - 3 * 4096) / frame_bytes(payload_bytes);
        let folder = folder();
        let directory = folder.path().join("log");
        let log = fill(&directory, segment_bytes, payload_bytes, segments * records_each);
        log.close().expect("the log closes");
        let files = (0..segments).map(|number| folder.path().join(format!("raw {number}")));
        let files: Vec<PathBuf> = files.collect();
        for file in &files {
            raw::write_frames(file, payload_bytes, records_each);
        }
        let read = |file| fs::read(file).expect("the file is there");
        let memory = files.iter().flat_map(read).collect();
        Self { log: None, directory, files, memory, records_each, _folder: folder }
    }

    /// Has the page cache forget all files, and reads them again.
    fn reread(&self) {
        assert!(drop_caches(), "it was allowed before");
        let log = fs::read_dir(&self.directory).expect("the log is there");
        let log = log.map(|entry| entry.expect("it can be listed").path());
        for path in log.chain(self.files.iter().cloned()) {
            black_box(fs::read(path).expect("it can be read"));
        }
    }

    fn records(&self) -> u64 {
        self.records_each * self.files.len() as u64
    }

    fn prepare(&mut self, contestant: &Contestant) {
        if contestant.reader == Reader::OpenAndReplay {
            self.log = None;
        } else if self.log.is_none() {
            self.log = Some(Log::open(&self.directory).expect("the log opens"));
            settle();
        }
    }

    fn run(&mut self, contestant: &Contestant) -> Duration {
        let (start, verify) = (Instant::now(), contestant.verify);
        let records = match contestant.reader {
            Reader::Raw => share(contestant.threads, self.files.len(), |number| {
                raw::scan(&self.files[number], verify)
            }),
            Reader::RawMemory => raw::scan_bytes(black_box(&self.memory), verify),
            Reader::Replay | Reader::Copied | Reader::OpenAndReplay => {
                let open = || Log::open(&self.directory).expect("the log opens");
                let log = self.log.get_or_insert_with(open);
                let copy = contestant.reader == Reader::Copied;
                replay(log, ReadOptions::new().verify(verify).copy(copy), contestant.threads)
            }
        };
        let time = start.elapsed();
        assert_eq!(records, self.records(), "{}", contestant.name);
        if contestant.reader == Reader::OpenAndReplay {
            // It is preparing a spare, which the next one is not to notice.
            settle();
        }
        time
    }
}

fn replay(log: &Log, options: ReadOptions, threads: usize) -> u64 {
    let snapshot = log.snapshot_with(options);
    if threads == 1 {
        return count(snapshot.iter());
    }
    let segments: Vec<_> = snapshot.segments().collect();
    share(threads, segments.len(), |number| count(segments[number].iter()))
}

fn count<'a>(records: impl Iterator<Item = Result<Record<'a>>>) -> u64 {
    let mut count = 0;
    for record in records {
        black_box(record.expect("the log is whole").payload());
        count += 1;
    }
    count
}

/// Has threads take the parts in turn; what they counted together.
fn share(threads: usize, parts: usize, count: impl Fn(usize) -> u64 + Sync) -> u64 {
    if threads == 1 {
        return (0..parts).map(count).sum();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mine = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        mine.take_while(|part| *part < parts).map(&count).sum::<u64>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum()
    })
}
