//! seglog 0.3, one preallocated segment that holds the whole log, since going from one segment to
//! the next is left to its user.
//!
//! `append` is in memory. `commit` adds a marker for all records since the last one and syncs: they
//! are on disk. There is nothing between, although `flush_writer` hands the bytes to the operating
//! system: opening drops what no marker follows, so they would not outlive the process. A batch is a
//! `commit` as well. One writer only, so works with several threads that append leave it out.
//!
//! The file is allocated but not written, and first writes into it make the file system's metadata
//! change, which a sync then pays for; there is no setting for that. Opening checks every record, and
//! reading checks it again. A reader starts at any record whose offset its user has kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use seglog::read::Reader;
use seglog::write::Writer;

use crate::system::{Ack, Log, Operation, Outcome, Plan, System, in_shares};

const FILE_NAME: &str = "segment";
/// What a record costs besides its payload.
const HEADER_BYTES: usize = 8;
/// The same where every record is followed by a marker.
const OVERHEAD_BYTES: usize = HEADER_BYTES + 17;

pub(crate) struct Seglog;

impl System for Seglog {
    fn name(&self) -> &'static str {
        "seglog"
    }

    fn ack(&self, operation: Operation) -> Option<Ack> {
        Some(if operation == Operation::Buffered { Ack::Memory } else { Ack::Disk })
    }

    fn refuses_threads(&self, operation: Operation) -> Option<&'static str> {
        (operation != Operation::Replay).then_some("takes one writer only")
    }

    fn note(&self, plan: &Plan) -> Option<&'static str> {
        let sync = "its write-out can't be had without a sync, which is in the figure";
        (plan.timed == Operation::Buffered).then_some(sync)
    }

    fn open(&self, directory: &Path, plan: &Plan) -> Outcome<Box<dyn Log>> {
        let path = directory.join(FILE_NAME);
        let writer = if path.exists() {
            Writer::open(&path, usize::try_from(fs::metadata(&path)?.len())?, 0)?
        } else {
            Writer::create(&path, usize::try_from(plan.log_bytes(OVERHEAD_BYTES))?, 0)?
        };
        Ok(Box::new(SeglogLog { path, writer: Mutex::new(writer), plan: *plan }))
    }
}

struct SeglogLog {
    path: PathBuf,
    /// The mutex only makes the log shareable; it is never contended.
    writer: Mutex<Writer<0>>,
    plan: Plan,
}

impl SeglogLog {
    fn writer(&self) -> Outcome<MutexGuard<'_, Writer<0>>> {
        self.writer.lock().map_err(|_| "poisoned".into())
    }
}

impl Log for SeglogLog {
    fn append_buffered(&self, payload: &[u8]) -> Outcome {
        self.writer()?.append_data(payload)?;
        Ok(())
    }

    fn write_out(&self) -> Outcome {
        self.writer()?.commit(0)?;
        Ok(())
    }

    fn append_durable(&self, _thread: usize, payload: &[u8]) -> Outcome {
        let mut writer = self.writer()?;
        writer.append_data(payload)?;
        writer.commit(0)?;
        Ok(())
    }

    fn fill(&self, payload: &[u8], records: u64) -> Outcome {
        let mut writer = self.writer()?;
        for _ in 0..records {
            writer.append_data(payload)?;
        }
        writer.commit(0)?;
        Ok(())
    }

    fn replay(&self, threads: usize) -> Outcome<u64> {
        let end = self.writer()?.flushed_offset();
        let record_bytes = (HEADER_BYTES + self.plan.record_bytes) as u64;
        in_shares(threads, self.plan.records, |share| {
            let mut reader = Reader::<0>::open_read_only(&self.path, Some(end.clone()))?;
            let mut records = reader.iter(share.start * record_bytes);
            let mut count = 0;
            // One thread reads whatever there is.
            while threads == 1 || count < share.end - share.start {
                let Some(record) = records.next_record()? else { break };
                std::hint::black_box(record.data);
                count += 1;
            }
            Ok(count)
        })
    }

    fn close(self: Box<Self>) -> Outcome {
        let writer = self.writer.into_inner().map_err(|_| "poisoned")?;
        writer.close()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_drops_what_was_handed_to_the_system_without_a_marker() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut writer = Writer::<0>::create(&path, 1 << 16, 0).unwrap();
        writer.append_data(b"marked").unwrap();
        let end = writer.commit(0).unwrap();
        writer.append_data(b"flushed").unwrap();
        writer.flush_writer().unwrap();
        drop(writer);
        assert!(fs::read(&path).unwrap().windows(7).any(|bytes| bytes == b"flushed"));
        assert_eq!(Writer::<0>::open(&path, 1 << 16, 0).unwrap().write_offset(), end);
    }
}
