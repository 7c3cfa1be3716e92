//! The works: what is done to each system, and how often.
//!
//! Invariant: a round of a work takes a system well below 2 s on a machine of two cores.
//!
//! In a name a bare number is that of threads, one with a unit the size of a record.

use crate::system::{Operation, Plan};

/// How many records go into one batch.
pub(crate) const BATCH_RECORDS: usize = 64;

/// One table of figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Whether it is done when no works are named.
    pub(crate) by_default: bool,
    /// Whether the process that filled the log was killed.
    pub(crate) killed: bool,
    /// Whether nothing of the log is in the page cache when the clock starts.
    pub(crate) cold: bool,
    pub(crate) plan: Plan,
}

impl Work {
    const fn new(name: &'static str, title: &'static str, operation: Operation) -> Self {
        let plan = Plan { record_bytes: 128, records: 0, threads: 1, timed: operation };
        Self { name, title, by_default: false, killed: false, cold: false, plan }
    }

    const fn append(name: &'static str, title: &'static str) -> Self {
        Self::new(name, title, Operation::Append)
    }

    const fn durable(name: &'static str, title: &'static str) -> Self {
        Self::new(name, title, Operation::Durable)
    }

    const fn replay(name: &'static str, title: &'static str) -> Self {
        Self::new(name, title, Operation::Replay)
    }

    const fn open(name: &'static str, title: &'static str) -> Self {
        Self::new(name, title, Operation::Open)
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

    const fn by_default(mut self) -> Self {
        self.by_default = true;
        self
    }

    const fn killed(mut self) -> Self {
        self.killed = true;
        self
    }

    const fn cold(mut self) -> Self {
        self.cold = true;
        self
    }

    /// What one figure is the time of.
    pub(crate) fn unit(&self) -> &'static str {
        if self.plan.timed == Operation::Open { "open" } else { "record" }
    }

    /// Whether it is a rate that counts: an append of many threads takes long, and is none of its own.
    pub(crate) fn is_shared(&self) -> bool {
        self.plan.timed == Operation::Durable && self.plan.threads > 1
    }

    /// A name chooses its work, a pattern with `*` or `?` each that it fits, and anything else each
    /// whose name it begins.
    fn is_chosen_by(&self, pattern: &str) -> bool {
        let is_name = ALL.iter().any(|work| work.name == pattern);
        let is_glob = pattern.contains(['*', '?']);
        match (is_name, is_glob) {
            (true, _) => self.name == pattern,
            (_, true) => fits(self.name.as_bytes(), pattern.as_bytes()),
            _ => self.name.starts_with(pattern),
        }
    }
}

/// `*` stands for any bytes, `?` for any one.
fn fits(name: &[u8], pattern: &[u8]) -> bool {
    match (name.split_first(), pattern.split_first()) {
        (_, Some((b'*', rest))) => (0..=name.len()).any(|skipped| fits(&name[skipped..], rest)),
        (Some((_, name)), Some((b'?', rest))) => fits(name, rest),
        (Some((first, name)), Some((wanted, rest))) => first == wanted && fits(name, rest),
        (name, pattern) => name.is_none() && pattern.is_none(),
    }
}

const MIB: u64 = 1 << 20;
const KIB: usize = 1 << 10;

const ALL: [Work; 31] = [
    Work::append("append-1", "append of 128 B, 1 thread").records(200_000, 128).by_default(),
    Work::append("append-2", "append of 128 B, 2 threads").records(200_000, 128).threads(2),
    Work::append("append-4", "append of 128 B, 4 threads")
        .records(200_000, 128)
        .threads(4)
        .by_default(),
    Work::append("append-8", "append of 128 B, 8 threads").records(200_000, 128).threads(8),
    Work::append("append-32", "append of 128 B, 32 threads").records(192_000, 128).threads(32),
    Work::append("append-16B", "append of 16 B, 1 thread").records(200_000, 16),
    Work::append("append-1K", "append of 1 KiB, 1 thread").records(100_000, KIB),
    Work::append("append-4K", "append of 4 KiB, 1 thread").records(40_000, 4 * KIB),
    Work::append("append-64K", "append of 64 KiB, 1 thread").records(3_000, 64 * KIB),
    Work::append("append-1M", "append of 1 MiB, 1 thread").records(192, 1024 * KIB),
    Work::append("append-long", "append of 128 B, 1 thread, 144 MB on end").records(1_000_000, 128),
    Work::new("batch", "batches of 64 x 128 B", Operation::Batch)
        .records(256_000, 128)
        .by_default(),
    Work::new("buffered", "buffered append of 128 B, write-out included", Operation::Buffered)
        .records(400_000, 128)
        .by_default(),
    Work::durable("durable-1", "durable append of 128 B, 1 thread")
        .records(1_000, 128)
        .by_default(),
    Work::durable("durable-4K", "durable append of 4 KiB, 1 thread")
        .records(1_000, 4 * KIB)
        .by_default(),
    Work::durable("durable-2", "durable append of 256 B, 2 threads").records(2_000, 256).threads(2),
    Work::durable("durable-8", "durable append of 256 B, 8 threads")
        .records(6_400, 256)
        .threads(8)
        .by_default(),
    Work::durable("durable-32", "durable append of 256 B, 32 threads")
        .records(12_800, 256)
        .threads(32)
        .by_default(),
    Work::durable("durable-128", "durable append of 256 B, 128 threads")
        .records(16_000, 256)
        .threads(128)
        .by_default(),
    Work::durable("durable-256", "durable append of 256 B, 256 threads")
        .records(16_384, 256)
        .threads(256),
    Work::replay("replay-16B", "open + replay of 1,000,000 records of 16 B").records(1_000_000, 16),
    Work::replay("replay-256B", "open + replay of 200 MiB of 256 B records")
        .records(200 * MIB / 256, 256)
        .by_default(),
    Work::replay("replay-4K", "open + replay of 200 MiB of 4 KiB records")
        .records(200 * MIB / 4096, 4 * KIB),
    Work::replay("replay-64K", "open + replay of 200 MiB of 64 KiB records")
        .records(200 * MIB / 65_536, 64 * KIB),
    Work::replay("replay-2", "open + replay of 200 MiB of 256 B records, 2 threads")
        .records(200 * MIB / 256, 256)
        .threads(2)
        .by_default(),
    Work::replay("replay-2-4K", "open + replay of 200 MiB of 4 KiB records, 2 threads")
        .records(200 * MIB / 4096, 4 * KIB)
        .threads(2),
    Work::replay("replay-cold", "open + replay of 200 MiB of 256 B records, uncached")
        .records(200 * MIB / 256, 256)
        .cold(),
    Work::replay("replay-cold-4K", "open + replay of 200 MiB of 4 KiB records, uncached")
        .records(200 * MIB / 4096, 4 * KIB)
        .cold(),
    Work::replay("replay-cold-2", "open + replay of 200 MiB of 256 B, uncached, 2 threads")
        .records(200 * MIB / 256, 256)
        .cold()
        .threads(2),
    Work::open("open-clean", "open of a 1 GiB log that was closed").records(MIB, KIB).by_default(),
    Work::open("open-killed", "open of a 1 GiB log after a kill")
        .records(MIB, KIB)
        .killed()
        .by_default(),
];

pub(crate) fn names() -> Vec<&'static str> {
    ALL.iter().map(|work| work.name).collect()
}

/// Which works are asked for.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) patterns: Vec<String>,
    pub(crate) all: bool,
}

impl Choice {
    /// The works, in their own order. `Err` names a pattern that chooses none.
    ///
    /// Quick ones are 32 times smaller, but have no fewer than 100 records a thread.
    pub(crate) fn works(&self, quick: bool) -> Result<Vec<Work>, String> {
        for pattern in &self.patterns {
            if !ALL.iter().any(|work| work.is_chosen_by(pattern)) {
                return Err(format!("no work {pattern}; there are: {}", names().join(" ")));
            }
        }
        let is_chosen = |work: &Work| {
            let named = self.patterns.iter().any(|pattern| work.is_chosen_by(pattern));
            self.all || named || (self.patterns.is_empty() && work.by_default)
        };
        let mut works: Vec<Work> = ALL.into_iter().filter(is_chosen).collect();
        if quick {
            for work in &mut works {
                work.plan.records = (work.plan.records / 32).max(work.plan.threads as u64 * 100);
            }
        }
        Ok(works)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(patterns: &[&str]) -> Vec<&'static str> {
        let patterns = patterns.iter().map(ToString::to_string).collect();
        let works = Choice { patterns, all: false }.works(false).unwrap();
        works.iter().map(|work| work.name).collect()
    }

    #[test]
    fn a_name_chooses_itself_only_and_a_prefix_all_that_it_begins() {
        assert_eq!(chosen(&["append-1"]), ["append-1"]);
        assert_eq!(chosen(&["replay-c"]), ["replay-cold", "replay-cold-4K", "replay-cold-2"]);
        assert_eq!(chosen(&["open", "batch"]), ["batch", "open-clean", "open-killed"]);
    }

    #[test]
    fn a_glob_chooses_what_it_fits_as_a_whole() {
        assert_eq!(chosen(&["*-4K"]).len(), 5);
        assert_eq!(chosen(&["append-?"]), ["append-1", "append-2", "append-4", "append-8"]);
        assert_eq!(chosen(&["*"]).len(), ALL.len());
        assert!(Choice { patterns: vec!["?".to_owned()], all: false }.works(false).is_err());
    }

    #[test]
    fn without_a_name_the_default_is_chosen_or_all() {
        assert!(chosen(&[]).len() < ALL.len());
        assert_eq!(Choice { patterns: vec![], all: true }.works(true).unwrap().len(), ALL.len());
    }

    #[test]
    fn names_are_unique_and_work_is_shared_evenly() {
        let mut unique = names();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ALL.len());
        for quick in [false, true] {
            for work in (Choice { patterns: vec![], all: true }).works(quick).unwrap() {
                assert!(work.plan.records >= work.plan.threads as u64, "{}", work.name);
            }
        }
        assert!(ALL.iter().all(|work| work.plan.records.is_multiple_of(work.plan.threads as u64)));
    }
}
