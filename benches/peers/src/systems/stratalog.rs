//! stratalog, with its defaults.
//!
//! `append` and `append_batch` are in the page cache when they return, and so is everything before
//! them; a batch is atomic. `append_durable` is on disk. `append_buffered` is in memory until
//! `commit`, and the staging ring is written on the way whenever half of it is full.

use std::path::Path;

use stratalog::Options;

use crate::system::{Ack, Log, Operation, Outcome, Plan, System};

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

    fn replay(&self) -> Outcome<u64> {
        let (mut records, mut bytes) = (0, 0);
        for record in &self.0.snapshot() {
            bytes += std::hint::black_box(record?.payload()).len();
            records += 1;
        }
        std::hint::black_box(bytes);
        Ok(records)
    }

    fn close(self: Box<Self>) -> Outcome {
        self.0.close()?;
        Ok(())
    }
}
