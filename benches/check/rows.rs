//! The rows: what is compared with what.
//!
//! Invariant: a row's figure is a ratio of two times that were taken in turns, in stretches of a few
//! milliseconds, so that what slows the machine slows both.

use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::format::{FrameHeader, Kind, LogId, Salt, frame_at, payload_crc};
use stratalog::{Log, Options, Record, Result, Snapshot};
use tempfile::TempDir;

use crate::bounds::{Bound, median};
use crate::common::raw::{self, Raw};
use crate::common::{MIB, Supply, fill, folder, frame_bytes, payload, settle, timed, timed_by};

const SEGMENT_BYTES: u64 = 16 * MIB;
const BATCH_RECORDS: usize = 64;
const REPLAYED_BYTES: u64 = 32 * MIB;
const REPLAYED_PAYLOAD_BYTES: usize = 256;
const REPLAYED_RECORDS: u64 = REPLAYED_BYTES / REPLAYED_PAYLOAD_BYTES as u64;
const OPENED_SEGMENTS: u64 = 64;

/// One round of a row: its ratio.
pub(crate) type Round = Box<dyn FnMut() -> f64>;

/// What a row needs to mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A file system on a disk. Another has no syncs, and cheaper writes than the bounds are for.
    Disk,
    /// Two cores.
    Cores,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Whether more is better: the bound is a lower one.
    pub(crate) is_gain: bool,
    /// Whether it depends on how soon threads that were woken run.
    pub(crate) is_threaded: bool,
    pub(crate) needs: Needs,
    pub(crate) prepare: fn() -> Round,
}

impl Row {
    /// A bound of this row's kind.
    pub(crate) fn bound(&self, figure: f64) -> Bound {
        if self.is_gain { Bound::AtLeast(figure) } else { Bound::AtMost(figure) }
    }

    /// One that every figure holds.
    pub(crate) fn any(&self) -> Bound {
        self.bound(if self.is_gain { 0.0 } else { f64::MAX })
    }
}

const fn cost(name: &'static str, needs: Needs, prepare: fn() -> Round) -> Row {
    Row { name, is_gain: false, is_threaded: false, needs, prepare }
}

const fn gain(name: &'static str, needs: Needs, prepare: fn() -> Round) -> Row {
    Row { name, is_gain: true, is_threaded: true, needs, prepare }
}

pub(crate) const ROWS: [Row; 11] = [
    cost("append 128 B / pwrite", Needs::Nothing, append),
    cost("append_buffered 128 B / buffered pwrite", Needs::Nothing, append_buffered),
    cost("append_batch 64 x 128 B / pwrite", Needs::Nothing, append_batch),
    Row {
        is_threaded: true,
        ..cost("append 128 B, 4 threads / 1 thread", Needs::Nothing, append_by_four)
    },
    cost("append_durable 128 B / pwrite and fdatasync", Needs::Disk, append_durable),
    gain("records / fdatasyncs, append_durable 256 B, 8 threads", Needs::Disk, || shared_syncs(8)),
    gain("records / fdatasyncs, append_durable 256 B, 32 threads", Needs::Disk, || {
        shared_syncs(32)
    }),
    cost("replay 256 B / scan", Needs::Nothing, replay),
    gain("replay 256 B, 2 threads / 1 thread, over that of computing", Needs::Cores, replay_by_two),
    cost("open, 64 segments / 1 segment", Needs::Disk, open),
    cost("check a frame of 128 B / crc32c", Needs::Nothing, check),
];

/// The time of `ours` over that of `base`, each of which returns the time of the same work. They take
/// turns, and of each the median turn counts: not one that the scheduler broke off.
fn ratio(
    turns: u32,
    mut ours: impl FnMut() -> Duration,
    mut base: impl FnMut() -> Duration,
) -> f64 {
    let (mut our_times, mut base_times) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        our_times.push(ours().as_secs_f64());
        base_times.push(base().as_secs_f64());
    }
    median(&our_times) / median(&base_times)
}

fn raw_file(payload_bytes: usize) -> Raw {
    Raw::with_bytes(payload_bytes, SEGMENT_BYTES)
}

fn append() -> Round {
    const CALLS: u64 = 500;
    let payload = payload(128);
    let (mut supply, mut raw) = (Supply::new(SEGMENT_BYTES), raw_file(128));
    Box::new(move || {
        let ours = || {
            supply.run(CALLS, frame_bytes(128), |log, calls| {
                timed(calls, || log.append(black_box(&payload)).expect("appended"))
            })
        };
        ratio(9, ours, || timed(CALLS, || raw.append()))
    })
}

/// More than the half of the write buffer at which an append commits, and then the rest.
fn append_buffered() -> Round {
    const CALLS: u64 = 4000;
    let payload = payload(128);
    let (mut supply, mut raw) = (Supply::new(4 * SEGMENT_BYTES), raw_file(128));
    Box::new(move || {
        let ours = || {
            supply.run(CALLS, frame_bytes(128), |log, calls| {
                let append = || log.append_buffered(black_box(&payload)).expect("appended");
                timed(calls, append) + timed(1, || log.commit().expect("committed"))
            })
        };
        let base = || timed(CALLS, || raw.append_buffered()) + timed(1, || raw.write_out());
        ratio(7, ours, base)
    })
}

fn append_batch() -> Round {
    const CALLS: u64 = 15;
    let payload = payload(128);
    let (mut supply, mut raw) = (Supply::new(SEGMENT_BYTES), raw_file(128));
    let frames = raw.frame.repeat(BATCH_RECORDS);
    Box::new(move || {
        let batch = [payload.as_slice(); BATCH_RECORDS];
        let ours = || {
            supply.run(CALLS, BATCH_RECORDS as u64 * frame_bytes(128), |log, calls| {
                timed(calls, || log.append_batch(black_box(&batch)).expect("appended"))
            })
        };
        ratio(7, ours, || timed(CALLS, || raw.write(black_box(&frames))))
    })
}

/// Both sides on the same log.
fn append_by_four() -> Round {
    const CALLS: u64 = 1000;
    let payload = payload(128);
    let supply = RefCell::new(Supply::new(SEGMENT_BYTES));
    Box::new(move || {
        let by = |threads| {
            supply.borrow_mut().run(CALLS, frame_bytes(128), |log, calls| {
                timed_by(threads, calls, || log.append(black_box(&payload)).expect("appended"))
            })
        };
        ratio(6, || by(4), || by(1))
    })
}

fn append_durable() -> Round {
    const CALLS: u64 = 4;
    let payload = payload(128);
    let (mut supply, mut raw) = (Supply::new(SEGMENT_BYTES), raw_file(128));
    Box::new(move || {
        let ours = || {
            supply.run(CALLS, frame_bytes(128), |log, calls| {
                timed(calls, || log.append_durable(black_box(&payload)).expect("synced"))
            })
        };
        ratio(9, ours, || timed(CALLS, || raw.append_durable()))
    })
}

/// How many records become durable in the time of one sync.
fn shared_syncs(threads: usize) -> Round {
    const SYNCS: u64 = 8;
    let calls = threads as u64 * 16;
    let payload = payload(256);
    let (mut supply, mut raw) = (Supply::new(SEGMENT_BYTES), raw_file(256));
    Box::new(move || {
        let ours = || {
            // Room for as many again: each thread's share is rounded up.
            supply.run(calls, frame_bytes(256) * 2, |log, calls| {
                timed_by(threads, calls, || {
                    log.append_durable(black_box(&payload)).expect("synced")
                })
            })
        };
        let each = calls as f64 / SYNCS as f64;
        each / ratio(5, ours, || timed(SYNCS, || raw.append_durable()))
    })
}

/// A log that was closed and opened again.
struct Replayed {
    // Closed before its folder goes.
    log: Log,
    folder: TempDir,
}

impl Replayed {
    fn new() -> Self {
        let folder = folder();
        let directory = folder.path().join("log");
        let log = fill(&directory, REPLAYED_BYTES / 8, REPLAYED_PAYLOAD_BYTES, REPLAYED_RECORDS);
        log.close().expect("the log closes");
        let log = Log::open(&directory).expect("the log opens");
        settle();
        Self { log, folder }
    }

    fn by_one(&self) -> Duration {
        timed(1, || assert_eq!(count(self.log.snapshot().iter()), REPLAYED_RECORDS))
    }

    fn by_two(&self) -> Duration {
        timed(1, || assert_eq!(count_by_two(&self.log.snapshot()), REPLAYED_RECORDS))
    }
}

fn count<'a>(records: impl Iterator<Item = Result<Record<'a>>>) -> u64 {
    let look = |record: Result<Record<'a>>| {
        black_box(record.expect("the log is whole").payload());
    };
    records.map(look).count() as u64
}

/// The segments of one snapshot, taken by two threads in turn.
fn count_by_two(snapshot: &Snapshot) -> u64 {
    let (next, records) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed));
            let segment = snapshot.segments().nth(number.expect("there are few segments"));
            let Some(segment) = segment else { break };
            records.fetch_add(count(segment.iter()), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    records.into_inner()
}

fn replay() -> Round {
    let replayed = Replayed::new();
    let path = replayed.folder.path().join("raw");
    raw::write_frames(&path, REPLAYED_PAYLOAD_BYTES, REPLAYED_RECORDS);
    Box::new(move || {
        let base = || timed(1, || assert_eq!(raw::scan(&path, true), REPLAYED_RECORDS));
        ratio(3, || replayed.by_one(), base)
    })
}

/// What a second thread gains in replay, over what it gains in computing alone: a machine whose cores
/// are taken gives neither.
fn replay_by_two() -> Round {
    let (replayed, bytes) = (Replayed::new(), payload(1 << 20));
    let compute = move |times| {
        for _ in 0..times {
            black_box(crc32c::crc32c(black_box(&bytes)));
        }
    };
    Box::new(move || {
        let replay = ratio(7, || replayed.by_one(), || replayed.by_two());
        let both = || {
            thread::scope(|scope| {
                scope.spawn(|| compute(20));
                scope.spawn(|| compute(20));
            });
        };
        replay / ratio(7, || timed(1, || compute(40)), || timed(1, both))
    })
}

/// The time of opening a log that was closed. Closing it again is not in it.
fn timed_open(directory: &Path) -> Duration {
    let start = Instant::now();
    let log = Options::new().segment_bytes(64 << 10).open(directory).expect("the log opens");
    let time = start.elapsed();
    assert!(log.recovery().clean, "it was closed");
    time
}

fn open() -> Round {
    let folder = folder();
    let [one, many] = ["one", "many"].map(|name| folder.path().join(name));
    let in_segment = (64 << 10) / frame_bytes(1 << 10) - 1;
    for (directory, segments) in [(&one, 1), (&many, OPENED_SEGMENTS)] {
        let log = fill(directory, 64 << 10, 1 << 10, in_segment * segments);
        log.close().expect("the log closes");
    }
    Box::new(move || {
        let _folder = &folder;
        ratio(5, || timed_open(&many), || timed_open(&one))
    })
}

/// Frames as replay meets them, beside one checksum over as many bytes.
fn check() -> Round {
    const FRAMES: u64 = 64;
    const START: u64 = 4096;
    let (payload, salt) = (payload(128), Salt::new(&LogId::new([7; 16])));
    let len = u32::try_from(payload.len()).expect("a payload is small");
    let mut bytes = Vec::new();
    for number in 0..FRAMES {
        let header = FrameHeader::new(Kind::Record, len, false, 0);
        let salted = salt.at(START + number * frame_bytes(128));
        bytes.extend(header.sealed(payload_crc(&payload), salted).encode());
        bytes.extend(&payload);
    }
    Box::new(move || {
        let ours = || {
            for number in 0..FRAMES {
                let address = START + number * frame_bytes(128);
                black_box(frame_at(black_box(&bytes), START, address, salt)).expect("it is valid");
            }
        };
        let base = || crc32c::crc32c(black_box(&bytes));
        ratio(15, || timed(50, ours), || timed(50, base))
    })
}
