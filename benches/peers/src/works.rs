//! The works: what is done to each system, and how often.

use crate::system::{Operation, Plan};

/// How many records go into one batch.
pub(crate) const BATCH_RECORDS: usize = 64;

/// One table of figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Whether the process that filled the log was killed.
    pub(crate) killed: bool,
    pub(crate) plan: Plan,
}

impl Work {
    const fn new(name: &'static str, title: &'static str, operation: Operation) -> Self {
        let plan = Plan { record_bytes: 128, records: 0, threads: 1, timed: operation };
        Self { name, title, killed: false, plan }
    }

    const fn records(mut self, records: u64, record_bytes: usize) -> Self {
        self.plan.records = records;
        self.plan.record_bytes = record_bytes;
        self
    }

    const fn threads(mut self, threads: usize) -> Self {
        self.plan.threads = threads;
        self
    }

    const fn killed(mut self) -> Self {
        self.killed = true;
        self
    }

    /// What one figure is the time of.
    pub(crate) fn unit(&self) -> &'static str {
        if self.plan.timed == Operation::Open { "open" } else { "record" }
    }
}

const MIB: u64 = 1 << 20;
const ALL: [Work; 13] = [
    Work::new("append-1", "append of 128 B, 1 thread", Operation::Append).records(200_000, 128),
    Work::new("append-4", "append of 128 B, 4 threads", Operation::Append)
        .records(200_000, 128)
        .threads(4),
    Work::new("append-long", "append of 128 B, 1 thread, 290 MB on end", Operation::Append)
        .records(2_000_000, 128),
    Work::new("buffered", "buffered append of 128 B, write-out included", Operation::Buffered)
        .records(400_000, 128),
    Work::new("batch", "batches of 64 x 128 B", Operation::Batch).records(256_000, 128),
    Work::new("durable-1", "durable append of 128 B, 1 thread", Operation::Durable)
        .records(1_000, 128),
    Work::new("durable-4k", "durable append of 4 KiB, 1 thread", Operation::Durable)
        .records(1_000, 4096),
    Work::new("durable-8", "durable append of 256 B, 8 threads", Operation::Durable)
        .records(6_400, 256)
        .threads(8),
    Work::new("durable-32", "durable append of 256 B, 32 threads", Operation::Durable)
        .records(12_800, 256)
        .threads(32),
    Work::new("durable-128", "durable append of 256 B, 128 threads", Operation::Durable)
        .records(25_600, 256)
        .threads(128),
    Work::new(
        "replay",
        "open and replay of 200 MiB of 256 B records that were appended singly",
        Operation::Replay,
    )
    .records(200 * MIB / 256, 256),
    Work::new("open-clean", "open of a 1 GiB log that was closed", Operation::Open)
        .records(1024 * MIB / 1024, 1024),
    Work::new("open-killed", "open of a 1 GiB log after a kill", Operation::Open)
        .records(1024 * MIB / 1024, 1024)
        .killed(),
];

pub(crate) fn names() -> Vec<&'static str> {
    ALL.iter().map(|work| work.name).collect()
}

/// All works; quick ones are 32 times smaller, but have no fewer than 100 records a thread.
pub(crate) fn all(quick: bool) -> Vec<Work> {
    let mut works = ALL.to_vec();
    if quick {
        for work in &mut works {
            work.plan.records = (work.plan.records / 32).max(work.plan.threads as u64 * 100);
        }
    }
    works
}
