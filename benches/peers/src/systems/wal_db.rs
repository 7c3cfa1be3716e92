//! wal-db 1.1, its default: one growing file. Segments, its alternative, grow as well: nothing is
//! allocated ahead, so each sync writes the file's new size too.
//!
//! `append` is in the page cache when it returns, though an earlier one of another thread may not
//! be yet, and opening cuts the log at the first one that is not there. `append_and_sync` is on disk, with group commit. There is no batch: sixty-four appends
//! stand in for one, without its atomicity. Nothing is buffered in memory.
//!
//! Opening and reading fetch each record by two reads of the file. Reading begins at any record whose
//! address its user has kept, so threads can share a replay, but not the opening before it.

use std::path::Path;

use wal_db::{Lsn, Wal};

use crate::system::{Ack, Log, Operation, Outcome, Plan, System, in_shares};

const FILE_NAME: &str = "log.wal";

pub(crate) struct WalDb;

impl System for WalDb {
    fn name(&self) -> &'static str {
        "wal-db"
    }

    fn ack(&self, operation: Operation) -> Option<Ack> {
        match operation {
            Operation::Append | Operation::Batch => Some(Ack::PageCache),
            Operation::Buffered => None,
            Operation::Durable | Operation::Replay | Operation::Open => Some(Ack::Disk),
        }
    }

    fn note(&self, plan: &Plan) -> Option<&'static str> {
        match plan.timed {
            Operation::Batch => Some("has no batch; 64 appends, not atomic"),
            Operation::Append if plan.threads > 1 => Some(
                "does not wait for other threads' earlier appends; a kill that leaves one of \
                      them unwritten cuts off what came behind it, acknowledged or not",
            ),
            _ => None,
        }
    }

    fn scale_down(&self, operation: Operation) -> u64 {
        match operation {
            Operation::Replay => 4,
            Operation::Open => 8,
            _ => 1,
        }
    }

    fn open(&self, directory: &Path, plan: &Plan) -> Outcome<Box<dyn Log>> {
        let wal = Wal::open(directory.join(FILE_NAME))?;
        Ok(Box::new(WalDbLog { wal, records: plan.records }))
    }
}

struct WalDbLog {
    wal: Wal,
    /// How many records the plan is for.
    records: u64,
}

fn count(found: impl Iterator<Item = wal_db::Result<wal_db::Record>>) -> Outcome<u64> {
    let mut records = 0;
    for record in found {
        std::hint::black_box(record?.data());
        records += 1;
    }
    Ok(records)
}

impl Log for WalDbLog {
    fn append(&self, _thread: usize, payload: &[u8]) -> Outcome {
        let _lsn = self.wal.append(payload)?;
        Ok(())
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> Outcome {
        for payload in payloads {
            let _lsn = self.wal.append(payload)?;
        }
        Ok(())
    }

    fn append_durable(&self, _thread: usize, payload: &[u8]) -> Outcome {
        let _lsn = self.wal.append_and_sync(payload)?;
        Ok(())
    }

    fn fill(&self, payload: &[u8], records: u64) -> Outcome {
        for _ in 0..records {
            let _lsn = self.wal.append(payload)?;
        }
        self.wal.sync()?;
        Ok(())
    }

    fn replay(&self, threads: usize) -> Outcome<u64> {
        if threads == 1 {
            return count(self.wal.iter()?);
        }
        // Who wants to replay in shares keeps some records' addresses. These are all of one size.
        let record_bytes = self.wal.len() / self.records.max(1);
        in_shares(threads, self.records, |share| {
            let length = usize::try_from(share.end - share.start)?;
            count(self.wal.iter_from(Lsn::new(share.start * record_bytes))?.take(length))
        })
    }

    fn close(self: Box<Self>) -> Outcome {
        self.wal.sync()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn opening_cuts_off_what_lies_behind_an_append_that_was_never_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let wal = Wal::open(&path).unwrap();
        let first = wal.append(b"reserved by a thread that was killed").unwrap();
        let second = wal.append(b"acknowledged").unwrap();
        drop(wal);
        let bytes = usize::try_from(second.get() - first.get()).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&vec![0; bytes], first.get()).unwrap();
        let wal = Wal::open(&path).unwrap();
        assert_eq!(wal.iter().unwrap().count(), 0);
    }
}
