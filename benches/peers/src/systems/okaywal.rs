//! okaywal 0.3, with one preallocated segment that holds the whole log and is never checkpointed,
//! since a checkpoint gives the records away. It fills the segment with zeros when the log is made.
//! Its buffer has 64 KiB; from 16 KiB, the default, to 1 MiB the size makes no difference.
//!
//! `commit` is on disk when it returns, with group commit: there is no weaker acknowledgement. An
//! entry of several chunks is atomic and is what it has for a batch. Opening hands every entry to
//! the log's manager, so opening is replaying; the manager here reads each chunk and checks its CRC.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use okaywal::{
    Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog,
};

use crate::system::{Ack, Log, Operation, Outcome, Plan, System, in_shares};

/// What a record costs besides its payload: entry, chunk and their ends.
const OVERHEAD_BYTES: usize = 19;

/// Every record costs a sync when a log is filled, which threads share.
const FILLING_THREADS: usize = 32;

pub(crate) struct Okaywal;

impl System for Okaywal {
    fn name(&self) -> &'static str {
        "okaywal"
    }

    fn ack(&self, operation: Operation) -> Option<Ack> {
        (operation != Operation::Buffered).then_some(Ack::Disk)
    }

    fn refuses_threads(&self, operation: Operation) -> Option<&'static str> {
        (operation == Operation::Replay).then_some("hands out all entries in one thread")
    }

    fn note(&self, plan: &Plan) -> Option<&'static str> {
        (plan.timed == Operation::Open).then_some("opening is replaying")
    }

    fn scale_down(&self, operation: Operation) -> u64 {
        match operation {
            Operation::Replay | Operation::Open => 16,
            _ => 1,
        }
    }

    fn open(&self, directory: &Path, plan: &Plan) -> Outcome<Box<dyn Log>> {
        let room = u32::try_from(plan.log_bytes(OVERHEAD_BYTES))?;
        let recovered = Arc::new(AtomicU64::new(0));
        let log = Configuration::default_for(directory)
            .preallocate_bytes(room)
            .checkpoint_after_bytes(u64::MAX)
            .buffer_bytes(64 << 10)
            .open(Counter(Arc::clone(&recovered)))?;
        Ok(Box::new(OkaywalLog { log, recovered }))
    }
}

/// Counts the chunks that recovery hands out, each of which is a record here.
#[derive(Debug)]
struct Counter(Arc<AtomicU64>);

impl LogManager for Counter {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        let mut records = 0;
        while let ReadChunkResult::Chunk(mut chunk) = entry.read_chunk()? {
            std::hint::black_box(chunk.read_all()?);
            if !chunk.check_crc()? {
                return Err(io::ErrorKind::InvalidData.into());
            }
            records += 1;
        }
        self.0.fetch_add(records, Ordering::Relaxed);
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _log: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

struct OkaywalLog {
    log: WriteAheadLog,
    recovered: Arc<AtomicU64>,
}

impl Log for OkaywalLog {
    fn append_durable(&self, _thread: usize, payload: &[u8]) -> Outcome {
        let mut entry = self.log.begin_entry()?;
        entry.write_chunk(payload)?;
        entry.commit()?;
        Ok(())
    }

    fn fill(&self, payload: &[u8], records: u64) -> Outcome {
        in_shares(FILLING_THREADS, records, |share| {
            for _ in share {
                self.append_durable(0, payload)?;
            }
            Ok(0)
        })?;
        Ok(())
    }

    fn replay(&self, _threads: usize) -> Outcome<u64> {
        Ok(self.recovered.load(Ordering::Relaxed))
    }

    fn close(self: Box<Self>) -> Outcome {
        self.log.shutdown()?;
        Ok(())
    }
}
