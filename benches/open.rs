//! Opening: a log of 1 GiB, and of 1, 100 and 10,000 of the smallest segments, each closed, as a kill
//! leaves it, and that again when the page cache is empty. Time, memory and descriptors.
//!
//! Invariant: a time is that from the call until the log can be appended to, in a process of its own,
//! which has opened nothing before. Closing it again, and making the next crash, is not in it. Memory
//! and descriptors are counted when the log's own thread has made its spare; what the process had
//! before is taken away. Then all records are read, and counted again while the snapshot is there.
//!
//! `raw` is the least that a log can do that does not know its segments: to list the folder, and to
//! read the first and the last block of each file.
//!
//! A crash is made by copying: of a log that is open, with records that were never synced, the files
//! that recovery may change are copied aside. Before each opening they are put back; the sealed
//! segments, which no opening changes, are the same files in both folders.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts of a benchmark are small and known"
)]

mod common;

use std::collections::HashSet;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::machine::{descriptors, drop_caches, mappings, memory};
use common::rounds::{interleave, median, median_ratio};
use common::{MIB, fill, folder, frame_bytes, full_or_quick, is_wanted, payload, settle};
use stratalog::{Log, Options, SegmentInfo, SegmentState};
use tempfile::TempDir;

const PAYLOAD_BYTES: usize = 1 << 10;
/// How many records a crash finds that were not synced.
const UNSYNCED: usize = 4;
const SMALL_SEGMENT_BYTES: u64 = 16 << 10;
/// Says that this process is to open a log and tell what it took.
const CHILD: &str = "--child";

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != CHILD).skip(1);
    if let (Some(directory), Some(bytes)) = (arguments.next(), arguments.next()) {
        return child(Path::new(&directory), bytes.parse().expect("a size is given"));
    }
    let can_drop = drop_caches();
    if !can_drop {
        println!("the page cache may not be emptied (that takes root): nothing cold is measured");
    }
    println!(
        "opening; memory in KiB, more than before; beside that, with a snapshot that was read"
    );
    println!(
        "{:<28} {:>8} {:>7} {:>8} {:>8} {:>6} | {:>8} {:>6} {:>8}",
        "", "ms", "x raw", "memory", "peak", "files", "memory", "files", "mappings"
    );
    let (large, large_bytes) = full_or_quick((16, 64 * MIB), (2, MIB));
    let mut of_one = None;
    for (segments, bytes) in [
        (1, SMALL_SEGMENT_BYTES),
        (full_or_quick(100, 10), SMALL_SEGMENT_BYTES),
        (full_or_quick(10_000, 40), SMALL_SEGMENT_BYTES),
        (large, large_bytes),
    ] {
        let name = format!("{segments} x {} KiB", bytes >> 10);
        if !is_wanted(&name) {
            continue;
        }
        let memory = Place::new(segments, bytes).measure(&name, can_drop);
        let Some(one) = &of_one else {
            of_one = Some(memory);
            continue;
        };
        if bytes == SMALL_SEGMENT_BYTES {
            let each = |(more, one): (&f64, &f64)| (more - one) * 1024.0 / (segments - 1) as f64;
            let each: Vec<_> = memory.iter().zip(one).map(each).collect();
            println!("  bytes of memory for each further segment, in these states: {each:.0?}");
        }
    }
}

/// In which state the log is opened.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Closed,
    Killed,
    KilledAndCold,
}

const STATES: [(State, &str); 3] =
    [(State::Closed, "closed"), (State::Killed, "killed"), (State::KilledAndCold, "killed, cold")];

/// What a child tells: nanoseconds, and what it has more than before.
const FIGURES: usize = 7;
type Figures = [f64; FIGURES];

/// Opens the log and prints the figures.
fn child(directory: &Path, segment_bytes: u64) {
    let count = || {
        let memory = memory()
            .map_or([f64::NAN; 2], |memory| [memory.resident, memory.peak].map(|kib| kib as f64));
        let [files, mappings] =
            [descriptors(), mappings()].map(|count| count.map_or(f64::NAN, |count| count as f64));
        [memory[0], memory[1], files, mappings]
    };
    let before = count();
    let start = Instant::now();
    let log = Options::new().segment_bytes(segment_bytes).open(directory).expect("the log opens");
    let nanos = start.elapsed().as_nanos() as f64;
    settle();
    let opened = count();
    let snapshot = log.snapshot();
    for record in &snapshot {
        black_box(record.expect("the log is whole").payload());
    }
    let read = count();
    let more = |counts: [f64; 4], which: usize| counts[which] - before[which];
    let figures: Figures = [
        nanos,
        more(opened, 0),
        more(opened, 1),
        more(opened, 2),
        more(read, 0),
        more(read, 2),
        more(read, 3),
    ];
    drop(snapshot);
    log.close().expect("the log closes");
    println!("{}", figures.map(|figure| figure.to_string()).join(" "));
}

fn open_in_child(directory: &Path, segment_bytes: u64) -> Figures {
    let program = std::env::current_exe().expect("this program is a file");
    let output = Command::new(program)
        .arg(CHILD)
        .arg(directory)
        .arg(segment_bytes.to_string())
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("it can be run");
    let text = String::from_utf8(output.stdout).expect("figures are text");
    let figures: Vec<f64> =
        text.split_whitespace().map(|figure| figure.parse().expect("a figure")).collect();
    figures.try_into().expect("all figures are there")
}

/// A log that was closed, and what a kill left of it.
struct Place {
    segment_bytes: u64,
    closed: PathBuf,
    image: PathBuf,
    sealed: PathBuf,
    killed: PathBuf,
    _folder: TempDir,
}

impl Place {
    fn new(segments: usize, segment_bytes: u64) -> Self {
        let folder = folder();
        let [closed, image, sealed, killed] =
            ["closed", "image", "sealed", "killed"].map(|name| folder.path().join(name));
        for path in [&image, &sealed] {
            fs::create_dir(path).expect("a folder can be made");
        }
        // Header, trailer and link are not for records; the last segment is not full.
        let each = (segment_bytes - 2 * 4096 - 64) / frame_bytes(PAYLOAD_BYTES);
        let records = each * segments as u64 - each.min(UNSYNCED as u64 + 1);
        let log = fill(&closed, segment_bytes, PAYLOAD_BYTES, records);
        settle();
        for _ in 0..UNSYNCED {
            log.append(&payload(PAYLOAD_BYTES)).expect("there is room");
        }
        assert_eq!(log.stats().segments, segments, "no segment more or less");
        take_image(&log, &closed, &image, &sealed);
        log.close().expect("the log closes");
        Self { segment_bytes, closed, image, sealed, killed, _folder: folder }
    }

    /// Prints a line for each state; returns the memory of each, in KiB.
    fn measure(&self, name: &str, can_drop: bool) -> Vec<f64> {
        let mut memories = Vec::new();
        let states: &[(State, &str)] = if can_drop { &STATES } else { &STATES[..2] };
        // Each state is behind what is raw in the same state of the cache.
        let rounds = interleave(full_or_quick(7, 1), 2 * states.len(), |number| {
            let (state, _) = states[number / 2];
            if state != State::Closed {
                put_back(&self.image, &self.sealed, &self.killed);
            }
            let directory = if state == State::Closed { &self.closed } else { &self.killed };
            if state == State::KilledAndCold {
                assert!(drop_caches(), "it was allowed before");
            }
            if number % 2 == 1 {
                return open_in_child(directory, self.segment_bytes);
            }
            let mut figures = [f64::NAN; FIGURES];
            figures[0] = raw(directory).as_nanos() as f64;
            figures
        });
        for ((_, state), pair) in states.iter().zip(rounds.chunks(2)) {
            let column = |which: usize| pair[1].iter().map(move |figures| figures[which]);
            let [raw, opened] = [0, 1]
                .map(|which| pair[which].iter().map(|figures| figures[0]).collect::<Vec<_>>());
            print!(
                "{:<28} {:>8.2} {:>7.2}",
                format!("{name}, {state}"),
                median(column(0)) / 1e6,
                median_ratio(&opened, &raw)
            );
            let [memory, peak, files, read, read_files, mappings] =
                [1, 2, 3, 4, 5, 6].map(|which| median(column(which)));
            println!(
                " {memory:>8.0} {peak:>8.0} {files:>6.0} | {read:>8.0} {read_files:>6.0} {mappings:>8.0}"
            );
            memories.push(memory);
        }
        memories
    }
}

/// Lists the folder and reads both ends of each file.
fn raw(directory: &Path) -> Duration {
    let start = Instant::now();
    let mut block = [0; 4096];
    for entry in fs::read_dir(directory).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let mut file = File::open(path).expect("the file is there");
        if file.read_exact(&mut block).is_ok() {
            file.seek(SeekFrom::End(-4096)).expect("it has a block");
            file.read_exact(&mut block).expect("it has a block");
        }
    }
    start.elapsed()
}

/// Copies what is not sealed into `image`, and links what is into `sealed`.
fn take_image(log: &Log, directory: &Path, image: &Path, sealed: &Path) {
    let is_sealed = |segment: &SegmentInfo| segment.state == SegmentState::Sealed;
    let segments = log.segments().into_iter().filter(is_sealed);
    let shared: HashSet<_> = segments.map(|segment| segment.path).collect();
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

/// Makes of `directory` what the kill left: the sealed segments and the image's files.
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
        File::open(to).and_then(|file| file.sync_all()).expect("a file can be synced");
    }
}
