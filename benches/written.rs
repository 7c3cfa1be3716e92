//! Why segments are filled with zeros before they are used, in steps of 64 KiB, and that the log's own
//! segments are: new ones, recycled ones, and recycled ones that the page cache has forgotten.
//!
//! Invariant: every contestant writes the same 4112 bytes, a frame with 4 KiB in it, one behind the
//! other, and syncs after each; all in interleaved rounds. Beside the latencies stands what the device
//! did for each sync, as Linux counts it: writes, bytes and flushes, and transactions that the file
//! system's journal committed. A sync of written blocks needs none. Other processes' writes count too.
//!
//! The second table is of plain writes of 144 bytes into zeros that were written in steps of 4 KiB,
//! 64 KiB and 1 MiB: the page cache keeps what was written at once in large folios.

#![expect(
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "counts of a benchmark are small and known"
)]

mod common;

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::latencies::Latencies;
use common::machine::{Counts, Device, drop_caches, fallocate};
use common::raw::{frame, write_at, write_zeros};
use common::rounds::{interleave, median, median_ratio};
use common::{MIB, folder, frame_bytes, full_or_quick, is_wanted, payload, settle};
use stratalog::{Log, Options, SegmentState};
use tempfile::TempDir;

const PAYLOAD_BYTES: usize = 4 << 10;
const SMALL_PAYLOAD_BYTES: usize = 128;
const FILE_BYTES: u64 = 16 * MIB;
const SEGMENT_BYTES: u64 = 4 * MIB;

fn main() {
    if is_wanted("syncs") {
        syncs();
    }
    if is_wanted("folios") {
        folios();
    }
}

/// What was measured of one contestant in one round.
struct Figures {
    latencies: Latencies,
    device: Option<Counts>,
}

/// Where frames go: a file or a log.
enum Target {
    File { file: File, end: u64 },
    Log(Box<LogTarget>),
}

type Identity = (u64, Option<SystemTime>);

struct LogTarget {
    // Closed before its folder goes.
    log: Log,
    folder: TempDir,
    /// The files that were segments before they became what they are now.
    used: HashSet<Identity>,
    is_recycled: bool,
    is_cold: bool,
}

fn syncs() {
    let folder = folder();
    let appends = full_or_quick(200, 8);
    let mut targets: Vec<(&str, Target)> = vec![
        ("a file filled with zeros", file(folder.path(), "zeros", Blocks::Written(4 << 10))),
        ("zeros in steps of 64 KiB", file(folder.path(), "zeros 64", Blocks::Written(64 << 10))),
        ("zeros in steps of 1 MiB", file(folder.path(), "zeros 1024", Blocks::Written(1 << 20))),
        ("a growing file", file(folder.path(), "growing", Blocks::None)),
    ];
    if fallocate(&folder.path().join("reserved"), FILE_BYTES) {
        targets.insert(3, ("blocks reserved only", file(folder.path(), "reserved", Blocks::Kept)));
    } else {
        println!("no `fallocate` here: blocks that are only reserved are left out");
    }
    targets.push(("the log, a new segment", log(false, false)));
    if cfg!(unix) {
        targets.push(("the log, a recycled one", log(true, false)));
        if drop_caches() {
            targets.push(("the log, recycled and cold", log(true, true)));
        } else {
            println!("the page cache may not be emptied: the cold segment is left out");
        }
    }
    let device = Device::of(folder.path());
    if device.as_ref().is_none_or(|device| !device.has_journal()) {
        println!("no journal of jbd2 is known: BENCH_DIR may name a folder on ext4 that has one");
    }
    let names: Vec<&str> = targets.iter().map(|target| target.0).collect();
    let rounds = interleave(full_or_quick(9, 2), targets.len(), |number| {
        targets[number].1.prepare();
        let before = device.as_ref().and_then(Device::counts);
        let latencies = targets[number].1.run(appends);
        let after = device.as_ref().and_then(Device::counts);
        let device = after.zip(before).map(|(after, before)| after.since(before));
        Figures { latencies, device }
    });
    report(&names, rounds);
}

#[derive(Clone, Copy)]
enum Blocks {
    None,
    /// As they are in the file that is there.
    Kept,
    /// Zeros, in steps of so many bytes.
    Written(usize),
}

fn file(folder: &Path, name: &str, blocks: Blocks) -> Target {
    let path = folder.join(name);
    let file = File::options().write(true).create(true).truncate(false).open(path);
    let file = file.expect("a file can be made");
    if let Blocks::Written(step) = blocks {
        write_zeros(&file, 0, FILE_BYTES, step);
    }
    file.sync_all().expect("the disk works");
    Target::File { file, end: 0 }
}

fn log(is_recycled: bool, is_cold: bool) -> Target {
    let folder = folder();
    let log = Options::new().segment_bytes(SEGMENT_BYTES).open(folder.path());
    let log = log.expect("a log can be made");
    let used = HashSet::new();
    Target::Log(Box::new(LogTarget { log, folder, used, is_recycled, is_cold }))
}

impl Target {
    fn prepare(&mut self) {
        if let Self::Log(target) = self {
            target.prepare();
        }
        settle();
    }

    fn run(&mut self, appends: usize) -> Latencies {
        let mut latencies = Latencies::with_capacity(appends);
        let payload = payload(PAYLOAD_BYTES);
        let frame = frame(&payload);
        for _ in 0..appends {
            match self {
                Self::File { file, end } => latencies.time(|| {
                    write_at(file, &frame, *end);
                    *end += frame.len() as u64;
                    file.sync_data().expect("the disk works");
                }),
                Self::Log(target) => latencies.time(|| {
                    target.log.append_durable(&payload).expect("the disk works");
                }),
            }
        }
        latencies
    }
}

impl LogTarget {
    /// Goes on to a segment of the kind that is measured, at its start, with its successor ready.
    fn prepare(&mut self) {
        // The first few segments are new ones whatever was dropped.
        for tries in 0.. {
            assert!(tries < 20, "no segment of that kind comes up: are files recycled here?");
            self.wait_for_spare();
            self.used.insert(identity(&self.active()));
            self.log.append_durable(b"something to seal").expect("the disk works");
            self.log.roll().expect("the disk works");
            if self.is_recycled {
                let to = self.log.durable();
                self.log.truncate_before(to).expect("it is durable");
            }
            self.wait_for_spare();
            let is_recycled = self.used.contains(&identity(&self.active()));
            if is_recycled == self.is_recycled {
                break;
            }
        }
        // Whatever is to be written beside the appends is written now.
        self.log.append_durable(b"the first").expect("the disk works");
        settle();
        if self.is_cold {
            assert!(drop_caches(), "it was allowed before");
        }
    }

    fn wait_for_spare(&self) {
        while self.log.stats().spares == 0 || self.log.stats().unremoved > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn active(&self) -> PathBuf {
        let segments = self.log.segments();
        let active = segments.iter().rev().find(|segment| segment.state == SegmentState::Active);
        // The active one of a log without records may still count as a spare.
        let first = || segments.first().map(|segment| segment.path.clone());
        let path = active.map(|segment| segment.path.clone()).or_else(first);
        path.unwrap_or_else(|| self.folder.path().to_owned())
    }
}

/// What tells a file from others, also from those that got its inode after it: its birth.
fn identity(path: &Path) -> Identity {
    let metadata = fs::metadata(path).expect("the segment is there");
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    (inode, metadata.created().ok())
}

fn report(names: &[&str], rounds: Vec<Vec<Figures>>) {
    println!("4 KiB and a sync, microseconds; what the device did for each sync");
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>8} {:>7} {:>7} {:>8} {:>8}",
        "", "p50", "p99", "mean", "x zeros", "writes", "KiB", "flushes", "commits"
    );
    let mut zeros = Vec::new();
    for (name, figures) in names.iter().zip(rounds) {
        let (mut all, mut device, mut counted) = (Latencies::new(), Counts::default(), false);
        let mut medians = Vec::new();
        for mut round in figures {
            medians.push(round.latencies.percentile(0.5));
            all.append(round.latencies);
            if let Some(counts) = round.device {
                device.add(counts);
                counted = true;
            }
        }
        if zeros.is_empty() {
            zeros.clone_from(&medians);
        }
        print!(
            "{name:<28} {:>8.1} {:>8.1} {:>8.1} {:>8.2}",
            all.percentile(0.5),
            all.percentile(0.99),
            all.mean(),
            median_ratio(&medians, &zeros)
        );
        let each = |count: u64| count as f64 / all.count() as f64;
        if counted {
            print!(
                " {:>7.2} {:>7.2} {:>8.2}",
                each(device.writes),
                each(device.bytes) / 1024.0,
                each(device.flushes)
            );
        }
        match device.commits {
            Some(commits) => println!(" {:>8.3}", each(commits)),
            None => println!(),
        }
    }
}

/// Plain small writes, and small appends to a log, each round over bytes that were not written since
/// they were zeros.
fn folios() {
    let folder = folder();
    let writes = full_or_quick(10_000, 500);
    let rounds = full_or_quick(9, 2);
    let frame = frame(&payload(SMALL_PAYLOAD_BYTES));
    let room = (writes * rounds + writes) as u64 * frame.len() as u64;
    let steps = [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];
    let mut files: Vec<(File, u64)> = steps
        .iter()
        .map(|(name, step)| {
            let file = File::create_new(folder.path().join(name)).expect("a file can be made");
            write_zeros(&file, 0, room.next_multiple_of(MIB), *step);
            file.sync_all().expect("the disk works");
            (file, 0)
        })
        .collect();
    let segment_bytes = (2 * room).next_multiple_of(MIB);
    let log = Options::new().segment_bytes(segment_bytes).open(folder.path().join("log"));
    let log = log.expect("a log can be made");
    log.append_durable(b"the first").expect("the disk works");
    while log.stats().spares == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    settle();
    let payload = payload(SMALL_PAYLOAD_BYTES);
    let nanos = interleave(rounds, steps.len() + 1, |number| {
        let start = Instant::now();
        for _ in 0..writes {
            if let Some((file, end)) = files.get_mut(number) {
                write_at(file, &frame, *end);
                *end += frame_bytes(SMALL_PAYLOAD_BYTES);
            } else {
                log.append(&payload).expect("there is room");
            }
        }
        start.elapsed().as_nanos() as f64 / writes as f64
    });
    println!("writes of 144 bytes into zeros, nanoseconds");
    println!("{:<28} {:>8} {:>8}", "", "median", "x 4 KiB");
    let names = steps.iter().map(|(name, _)| format!("zeros in steps of {name}"));
    for (name, figures) in names.chain(["the log, append".to_owned()]).zip(&nanos) {
        let ratio = median_ratio(figures, &nanos[0]);
        println!("{name:<28} {:>8.0} {ratio:>8.2}", median(figures.iter().copied()));
    }
}
