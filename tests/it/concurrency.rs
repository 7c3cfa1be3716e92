//! Eight threads that append in every way there is, and two that read all the while.
//!
//! Invariant: each snapshot is a prefix of every later one; it holds whatever was acknowledged before
//! it was taken; each thread's records are in that thread's order without a gap; batches are whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use stratalog::storage::{FileStorage, MemoryStorage, Storage};
use stratalog::{Log, Lsn};

use super::common::{
    Random, Records, Tag, check_tags, number, read, records, seed, tiny, without_hanging,
};

pub(super) const WRITERS: u32 = 8;
const CALLS: u32 = 250;

/// What the writers tell the readers.
#[derive(Debug, Default)]
struct Progress {
    /// For each writer, how many of its calls are committed.
    committed: [AtomicU32; WRITERS as usize],
    ended: AtomicBool,
}

/// A thread that appends; it keeps what it was told.
pub(super) struct Writer {
    log: Log,
    number: u32,
    random: Random,
    pub(super) acknowledged: Records,
    /// Whether all its appends so far are committed.
    committed: bool,
}

impl Writer {
    pub(super) fn new(log: &Log, number: u32, seed: u64) -> Self {
        let random = Random::new(seed ^ u64::from(number) << 32);
        Self { log: log.clone(), number, random, acknowledged: Vec::new(), committed: true }
    }

    /// The length of what follows a tag: mostly small, now and then too big for the ring.
    fn more(&mut self) -> usize {
        let bound = if self.random.chance(3) { 8000 } else { 400 };
        self.random.below(bound) as usize
    }

    pub(super) fn call(&mut self, call: u32) -> stratalog::Result<()> {
        let payload = Tag::single(self.number, call).payload(self.more());
        let choice = self.random.below(100);
        let log = &self.log;
        let lsn = match choice {
            0..25 => log.append(&payload)?,
            25..45 => log.append_buffered(&payload)?,
            45..60 => log.append_durable(&payload)?,
            60..70 => log.append_with(payload.len(), |bytes| bytes.copy_from_slice(&payload))?,
            _ => return self.batch(call),
        };
        if (45..60).contains(&choice) {
            assert!(log.durable() > lsn);
        }
        self.committed = !(25..45).contains(&choice);
        self.acknowledged.push((lsn, payload));
        self.aside()
    }

    fn batch(&mut self, call: u32) -> stratalog::Result<()> {
        let parts = 1 + self.random.below(12) as u32;
        let part = |part| Tag { writer: self.number, call, part, parts };
        let lens: Vec<_> = (0..parts).map(|_| self.random.below(300) as usize).collect();
        let payloads: Vec<_> = (0..parts).zip(lens).map(|(n, len)| part(n).payload(len)).collect();
        let mut at = self.log.append_batch(&payloads)?.start.get();
        for payload in payloads {
            let bytes = 16 + payload.len().next_multiple_of(8) as u64;
            self.acknowledged.push((Lsn::new(at), payload));
            at += bytes;
        }
        self.committed = true;
        self.aside()
    }

    /// What is done between appends now and then.
    fn aside(&mut self) -> stratalog::Result<()> {
        match self.random.below(60) {
            0 => self.log.roll()?,
            1 | 2 => assert!(self.log.sync()? >= self.log.head()),
            3 | 4 => {
                self.log.commit()?;
                self.committed = true;
            }
            5 => {
                let (lsn, _) = self.acknowledged[self.acknowledged.len() / 2];
                assert!(self.log.sync_to(lsn)? > lsn);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Counts the calls of each writer, which have to be there without a gap.
fn calls(tags: &[Tag]) -> [u32; WRITERS as usize] {
    let mut calls = [0; WRITERS as usize];
    for tag in tags.iter().filter(|tag| tag.part == 0) {
        let expected = &mut calls[tag.writer as usize];
        assert_eq!(tag.call, *expected, "writer {} is out of order", tag.writer);
        *expected += 1;
    }
    calls
}

fn keep_reading(log: &Log, progress: &Progress) {
    let mut before = Records::new();
    loop {
        let ended = progress.ended.load(Ordering::Acquire);
        let committed = progress.committed.each_ref().map(|calls| calls.load(Ordering::Acquire));
        let snapshot = log.snapshot();
        let (seen, error) = read(&snapshot);
        assert!(error.is_none(), "{error:?}");
        assert!(seen.starts_with(&before), "a snapshot is no prefix of the next");
        for (number, (seen, committed)) in
            calls(&check_tags(&seen)).into_iter().zip(committed).enumerate()
        {
            assert!(seen >= committed, "writer {number}: {seen} of {committed} calls are seen");
        }
        if ended {
            return;
        }
        before = seen;
    }
}

fn run(storage: impl Storage + Clone, background: bool, seed: u64) {
    let log = tiny().background(background).open_with(storage.clone()).unwrap();
    let progress = Arc::new(Progress::default());
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (log, progress) = (log.clone(), Arc::clone(&progress));
            thread::spawn(move || keep_reading(&log, &progress))
        })
        .collect();
    let writers = (0..WRITERS).map(|number| {
        let (mut writer, progress) = (Writer::new(&log, number, seed), Arc::clone(&progress));
        thread::spawn(move || {
            for call in 0..CALLS {
                writer.call(call).unwrap();
                if writer.committed {
                    progress.committed[number as usize].store(call + 1, Ordering::Release);
                }
            }
            writer.acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    let acknowledged = writers.into_iter().flat_map(|writer| writer.join().unwrap());
    let acknowledged: BTreeMap<_, _> = acknowledged.collect();
    log.commit().unwrap();
    progress.ended.store(true, Ordering::Release);
    for reader in readers {
        reader.join().unwrap();
    }
    assert!(log.stats().segments > 20, "{:?}", log.stats());
    assert_eq!(calls(&check_tags(&records(&log))), [CALLS; WRITERS as usize]);
    log.close().unwrap();
    let reopened = records(&tiny().open_with(storage).unwrap());
    assert!(reopened.into_iter().eq(acknowledged), "what was acknowledged is what is there");
}

fn repeat(test: &str, run: impl Fn(u64) + Send + 'static) {
    let seed = seed(test);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(2) {
        run(seed.wrapping_add(round));
    }
}

#[test]
fn threads_append_beside_readers_with_a_thread_that_maintains() {
    without_hanging("appending", || {
        repeat("background", |seed| run(MemoryStorage::new(), true, seed));
    });
}

#[test]
fn threads_append_beside_readers_and_maintain_themselves() {
    without_hanging("appending", || {
        repeat("inline", |seed| run(MemoryStorage::new(), false, seed));
    });
}

#[test]
fn threads_append_beside_readers_to_files() {
    without_hanging("appending", || {
        repeat("files", |seed| {
            let directory = tempfile::tempdir().unwrap();
            run(FileStorage::new(directory.path()), seed.is_multiple_of(2), seed);
        });
    });
}
