//! open-wal 0.2, with segments of 128 MiB, its default.
//!
//! `append` is in memory, `commit` puts everything appended on disk: there is nothing between. One
//! writer only, so works with several threads leave it out. The buffered work's write-out is a
//! `commit` for each 4 MiB, which includes a sync that others do not pay there; more bytes or fewer
//! are not quicker.
//!
//! Segments are allocated but not written, and there is no setting for that. Opening checks every
//! record and reading checks it again, by two reads of the file each time.

use std::path::Path;
use std::sync::Mutex;

use open_wal::{Lsn, Wal, WalConfig};

use crate::system::{Ack, Log, Operation, Outcome, Plan, System};

const COMMIT_BYTES: usize = 4 << 20;
/// What a record costs besides its payload.
const OVERHEAD_BYTES: usize = 24;

pub(crate) struct OpenWal;

impl System for OpenWal {
    fn name(&self) -> &'static str {
        "open-wal"
    }

    fn ack(&self, operation: Operation) -> Option<Ack> {
        Some(if operation == Operation::Buffered { Ack::Memory } else { Ack::Disk })
    }

    fn refuses_threads(&self, operation: Operation) -> Option<&'static str> {
        Some(match operation {
            Operation::Replay => "reads from the first record on, in the thread of its writer",
            _ => "takes one writer only",
        })
    }

    fn note(&self, plan: &Plan) -> Option<&'static str> {
        let sync = "its write-out can't be had without a sync, which is in the figure";
        (plan.timed == Operation::Buffered).then_some(sync)
    }

    fn scale_down(&self, operation: Operation) -> u64 {
        match operation {
            Operation::Replay => 4,
            Operation::Open => 8,
            _ => 1,
        }
    }

    fn open(&self, directory: &Path, _plan: &Plan) -> Outcome<Box<dyn Log>> {
        let (wal, _) = Wal::open(directory, WalConfig::default())?;
        Ok(Box::new(OpenWalLog(Mutex::new(Writer { wal, buffered: 0 }))))
    }
}

/// The mutex only makes the log shareable; it is never contended.
struct OpenWalLog(Mutex<Writer>);

struct Writer {
    wal: Wal,
    buffered: usize,
}

impl Writer {
    fn append(&mut self, payload: &[u8]) -> Outcome {
        self.wal.append(payload)?;
        self.buffered += payload.len() + OVERHEAD_BYTES;
        if self.buffered >= COMMIT_BYTES { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Outcome {
        self.wal.commit()?;
        self.buffered = 0;
        Ok(())
    }
}

impl Log for OpenWalLog {
    fn append_buffered(&self, payload: &[u8]) -> Outcome {
        self.0.lock().map_err(|_| "poisoned")?.append(payload)
    }

    fn write_out(&self) -> Outcome {
        self.0.lock().map_err(|_| "poisoned")?.commit()
    }

    fn append_durable(&self, _thread: usize, payload: &[u8]) -> Outcome {
        let mut writer = self.0.lock().map_err(|_| "poisoned")?;
        writer.append(payload)?;
        writer.commit()
    }

    fn fill(&self, payload: &[u8], records: u64) -> Outcome {
        let mut writer = self.0.lock().map_err(|_| "poisoned")?;
        for _ in 0..records {
            writer.append(payload)?;
        }
        writer.commit()
    }

    fn replay(&self, _threads: usize) -> Outcome<u64> {
        let writer = self.0.lock().map_err(|_| "poisoned")?;
        let (mut reader, mut records) = (writer.wal.reader_from(Lsn(0))?, 0);
        while let Some(record) = reader.next() {
            std::hint::black_box(record?);
            records += 1;
        }
        Ok(records)
    }

    fn close(self: Box<Self>) -> Outcome {
        let writer = self.0.into_inner().map_err(|_| "poisoned")?;
        drop(writer.wal);
        Ok(())
    }
}
