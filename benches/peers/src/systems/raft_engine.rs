//! raft-engine 0.4 without compression, one Raft group for each thread, since that is what it is
//! made for.
//!
//! `write(.., false)` is in the page cache when it returns, `write(.., true)` on disk; concurrent
//! writes form groups either way. A batch is atomic. An entry must be a protobuf message with an
//! index: the message is one field of bytes, and the index its first eight, so that a record has as
//! many bytes here as elsewhere.
//!
//! Syncs are cheapest in a file that it filled with zeros ahead (`prefill_for_recycle`), but the
//! first file of a log never is one. So where durable appends are timed, the first file is filled
//! up with one large entry of a group that nothing else uses, and the engine goes on in a prefilled
//! one. Appends without a sync are dearer there, and are measured without.
//!
//! Opening reads 256 KiB at a time, which is quicker than its default of 16 KiB, in four threads, its
//! default, which is quicker than two even on two cores. It builds an index of all entries in memory.
//! Replay reads a range of that, and threads take a part of the range each.

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::system::{Ack, Log, Operation, Outcome, Plan, System, in_shares};

/// What a record in a batch of its own costs besides its payload, at most.
const OVERHEAD_BYTES: usize = 96;
const FILLER_GROUP: u64 = u64::MAX;
/// How many entries one read fetches.
const READ_RECORDS: u64 = 1024;

pub(crate) struct RaftEngine;

impl System for RaftEngine {
    fn name(&self) -> &'static str {
        "raft-engine"
    }

    fn ack(&self, operation: Operation) -> Option<Ack> {
        match operation {
            Operation::Append | Operation::Batch => Some(Ack::PageCache),
            Operation::Buffered => None,
            Operation::Durable | Operation::Replay | Operation::Open => Some(Ack::Disk),
        }
    }

    fn scale_down(&self, operation: Operation) -> u64 {
        if operation == Operation::Open { 4 } else { 1 }
    }

    fn open(&self, directory: &Path, plan: &Plan) -> Outcome<Box<dyn Log>> {
        let mut config = Config {
            dir: directory.to_str().ok_or("the path is not UTF-8")?.to_owned(),
            batch_compression_threshold: ReadableSize(0),
            recovery_read_block_size: ReadableSize::kb(256),
            ..Config::default()
        };
        if plan.timed == Operation::Durable {
            config.target_file_size = ReadableSize(plan.log_bytes(OVERHEAD_BYTES));
            config.prefill_for_recycle = true;
            config.prefill_limit = Some(config.target_file_size);
        }
        let file_bytes = usize::try_from(config.target_file_size.0)?;
        let engine = Engine::open(config)?;
        if plan.timed == Operation::Durable {
            let mut filler = BytesValue::new();
            filler.value = vec![0; file_bytes];
            let mut batch = LogBatch::default();
            batch.add_entries::<Indexed>(FILLER_GROUP, &[filler])?;
            engine.write(&mut batch, true)?;
        }
        let groups = 0..plan.threads as u64;
        let next = groups.map(|group| AtomicU64::new(engine.last_index(group).unwrap_or(0) + 1));
        let next = next.collect();
        Ok(Box::new(RaftEngineLog { engine, next }))
    }
}

struct Indexed;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

thread_local! {
    static BATCH: RefCell<(LogBatch, Vec<BytesValue>)> = RefCell::default();
}

struct RaftEngineLog {
    engine: Engine,
    /// The next index of each group. A group is written by one thread only.
    next: Vec<AtomicU64>,
}

impl RaftEngineLog {
    fn write(&self, group: usize, payloads: &[&[u8]], sync: bool) -> Outcome {
        let first = self.next[group].fetch_add(payloads.len() as u64, Ordering::Relaxed);
        BATCH.with_borrow_mut(|(batch, entries)| -> Outcome {
            entries.resize_with(payloads.len(), BytesValue::new);
            for (index, (entry, payload)) in (first..).zip(entries.iter_mut().zip(payloads)) {
                entry.value.clear();
                entry.value.extend_from_slice(payload);
                entry.value[..8].copy_from_slice(&index.to_le_bytes());
            }
            batch.add_entries::<Indexed>(group as u64, entries)?;
            self.engine.write(batch, sync)?;
            Ok(())
        })
    }
}

impl RaftEngineLog {
    /// Reads the entries of the first group from `index` to before `end`.
    fn read(&self, mut index: u64, end: u64) -> Outcome<u64> {
        let (mut records, mut entries) = (0, Vec::new());
        while index < end {
            let until = end.min(index + READ_RECORDS);
            records +=
                self.engine.fetch_entries_to::<Indexed>(0, index, until, None, &mut entries)?;
            std::hint::black_box(&entries);
            entries.clear();
            index = until;
        }
        Ok(records as u64)
    }
}

impl Log for RaftEngineLog {
    fn append(&self, thread: usize, payload: &[u8]) -> Outcome {
        self.write(thread, &[payload], false)
    }

    fn append_batch(&self, payloads: &[&[u8]]) -> Outcome {
        self.write(0, payloads, false)
    }

    fn append_durable(&self, thread: usize, payload: &[u8]) -> Outcome {
        self.write(thread, &[payload], true)
    }

    fn fill(&self, payload: &[u8], records: u64) -> Outcome {
        // `Engine::sync` writes an empty batch, which does nothing: the last record syncs.
        for number in 1..=records {
            self.write(0, &[payload], number == records)?;
        }
        Ok(())
    }

    fn replay(&self, threads: usize) -> Outcome<u64> {
        let Some(first) = self.engine.first_index(0) else { return Ok(0) };
        let records = self.engine.last_index(0).map_or(0, |last| last + 1 - first);
        in_shares(threads, records, |share| self.read(first + share.start, first + share.end))
    }

    fn close(self: Box<Self>) -> Outcome {
        Ok(())
    }
}
