//! Replay: reading every record of a log, from one thread or several.
//!
//! Invariant: each reads a snapshot of its own, so that the cost of mapping the segments counts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stratalog::{Iter, Log};

use crate::Outcome;

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// Reads all records in order.
pub(crate) fn replay(log: &Log) -> Outcome<(Replayed, Duration)> {
    let began = Instant::now();
    let replayed = count(log.snapshot().iter())?;
    Ok((replayed, began.elapsed()))
}

/// Reads all records, each segment from the thread that is free for it.
pub(crate) fn replay_in_parallel(log: &Log, threads: usize) -> Outcome<(Replayed, Duration)> {
    let began = Instant::now();
    let snapshot = log.snapshot();
    let segments: Vec<_> = snapshot.segments().collect();
    let taken = AtomicUsize::new(0);
    let mut sum = Replayed { records: 0, bytes: 0 };
    thread::scope(|scope| {
        let read = || {
            let mut sum = Replayed { records: 0, bytes: 0 };
            while let Some(segment) = segments.get(taken.fetch_add(1, Ordering::Relaxed)) {
                let found = count(segment.iter())?;
                sum.records += found.records;
                sum.bytes += found.bytes;
            }
            Ok(sum)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        threads.into_iter().try_for_each(|thread| {
            let found = crate::join(thread)?;
            sum.records += found.records;
            sum.bytes += found.bytes;
            Outcome::Ok(())
        })
    })?;
    Ok((sum, began.elapsed()))
}

fn count(records: Iter<'_>) -> Outcome<Replayed> {
    let mut replayed = Replayed { records: 0, bytes: 0 };
    for record in records {
        replayed.records += 1;
        replayed.bytes += record?.payload().len() as u64;
    }
    Ok(replayed)
}
