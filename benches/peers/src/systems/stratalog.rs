//! stratalog, with its defaults.
//!
//! `append` and `append_batch` are in the page cache when they return, and so is everything before
//! them; a batch is atomic. `append_durable` is on disk. `append_buffered` is in memory until
//! `commit`, and the staging ring is written on the way whenever half of it is full.
//!
//! Segments are the shares of a replay in several threads, of 64 MiB by default: of a small log one
//! thread may get more than another.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use stratalog::{Options, Record};

use crate::system::{Ack, Log, Operation, Outcome, Plan, System, in_shares};

pub(crate) struct Stratalog;

impl System for Stratalog {
    fn name(&self) -> &'static str {
        "stratalog"
    }

    fn ack(&self, operation: Operation) -> Option<Ack> {
        Some(match operation {
            Operation::Append | Operation::Batch => Ack::PageCache,
            Operation::Buffered => Ack::Memory,
            Operation::Durable | Operation::Replay | Operation::Open => Ack::Disk,
        })
    }

    fn open(&self, directory: &Path, _plan: &Plan) -> Outcome<Box<dyn Log>> {
        Ok(Box::new(StratalogLog(Options::new().open(directory)?)))
    }
}

struct StratalogLog(stratalog::Log);

fn count<'a>(found: impl Iterator<Item = stratalog::Result<Record<'a>>>) -> Outcome<u64> {
    let (mut records, mut bytes) = (0, 0);
    for record in found {
        bytes += std::hint::black_box(record?.payload()).len();
        records += 1;
    }
    std::hint::black_box(bytes);
    Ok(records)
}

impl Log for StratalogLog {
    fn append(&self, _thread: usize, payload: &[u8]) -> Outcome {
        self.0.append(payload)?;
        Ok(())
    }

    fn append_buffered(&self, payload: &[u8]) -> Outcome {
        self.0.append_buffered(payload)?;
        Ok(())
    }

    fn write_out(&self) -> Outcome {
        self.0.commit()?;
        Ok(())
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> Outcome {
        self.0.append_batch(payloads)?;
        Ok(())
    }

    fn append_durable(&self, _thread: usize, payload: &[u8]) -> Outcome {
        self.0.append_durable(payload)?;
        Ok(())
    }

    fn fill(&self, payload: &[u8], records: u64) -> Outcome {
        for _ in 0..records {
            self.0.append_buffered(payload)?;
        }
        self.0.sync()?;
        Ok(())
    }

    /// Several threads take the segments in turn.
    fn replay(&self, threads: usize) -> Outcome<u64> {
        let snapshot = self.0.snapshot();
        if threads == 1 {
            return count(snapshot.iter());
        }
        let next = AtomicUsize::new(0);
        in_shares(threads, threads as u64, |_| {
            let mut records = 0;
            let take = || snapshot.segments().nth(next.fetch_add(1, Ordering::Relaxed));
            while let Some(segment) = take() {
                records += count(segment.iter())?;
            }
            Ok(records)
        })
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.0.stats().syncs)
    }

    fn close(self: Box<Self>) -> Outcome {
        self.0.close()?;
        Ok(())
    }
}
