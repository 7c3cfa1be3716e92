//! Files of dropped segments are removed beside the log, by a thread of their own.
//!
//! Invariant: no caller waits for a removal, unless it is for the space; a closed log has none left
//! to do; one that fails hinders nothing.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use stratalog::format::{FileKind, classify};
use stratalog::storage::{MemoryStorage, Storage};
use stratalog::{Log, Options};

use super::common::{TINY, filled, records, tiny, without_hanging};
use super::tap::{Call, Event, Tap, Verdict, Watch};

/// Holds removals up until it is opened, and may let one fail.
#[derive(Debug, Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    removed: AtomicUsize,
    fails: Mutex<Option<Verdict>>,
    /// It opens with the next sync of the control file.
    opens_with_control: AtomicBool,
    /// It opens when so many removals wait at it.
    opens_for: AtomicUsize,
    waiting: AtomicUsize,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

impl Watch for Gate {
    fn before(&self, event: &Event) -> Verdict {
        if event.call != Call::Remove || !matches!(classify(&event.name), FileKind::Segment(_)) {
            return Verdict::Go;
        }
        if self.waiting.fetch_add(1, Ordering::SeqCst) + 1 == self.opens_for.load(Ordering::SeqCst)
        {
            self.open();
        }
        let mut is_open = self.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.opened.wait(is_open).unwrap();
        }
        self.fails.lock().unwrap().take().unwrap_or(Verdict::Go)
    }

    fn after(&self, event: &Event, ok: bool) {
        if event.call == Call::Remove && ok {
            self.removed.fetch_add(1, Ordering::SeqCst);
        }
        let control = event.call == Call::Sync && event.name == "control";
        if control && self.opens_with_control.load(Ordering::SeqCst) {
            self.open();
        }
    }
}

fn with_thread() -> Options {
    let mut options = tiny();
    options.background(true);
    options
}

fn gated(options: &Options) -> (MemoryStorage, Arc<Gate>, Log) {
    let (disk, gate) = (MemoryStorage::new(), Arc::new(Gate::default()));
    let watch: Arc<dyn Watch> = Arc::clone(&gate) as _;
    let log = options.open_with(Tap::new(disk.clone(), watch)).unwrap();
    (disk, gate, log)
}

fn segment_files(disk: &impl Storage) -> Vec<u64> {
    let names = disk.names().unwrap();
    let bases = names.iter().filter_map(|name| match classify(name) {
        FileKind::Segment(base) => Some(base),
        _ => None,
    });
    bases.collect()
}

fn fill(log: &Log, records: u64) {
    for key in 0..records {
        log.append(&filled(key, 1000)).unwrap();
    }
}

#[test]
fn no_truncation_waits_for_a_removal_and_closing_waits_for_all() {
    without_hanging("truncating or closing", || {
        let (disk, gate, log) = gated(&with_thread());
        fill(&log, 100);
        let files = segment_files(&disk).len();
        for _ in 0..3 {
            fill(&log, 20);
            log.truncate_before(log.tail()).unwrap();
        }
        let stats = log.stats();
        assert!(stats.unremoved > 6, "{stats:?}");
        assert!(segment_files(&disk).len() >= files, "nothing is removed yet");
        assert!(stats.bytes >= TINY * stats.unremoved as u64, "they are counted");
        let head = log.head();
        log.append_durable(b"goes on").unwrap();
        // The last thing that a log writes.
        gate.opens_with_control.store(true, Ordering::SeqCst);
        log.close().unwrap();
        let removed = gate.removed.load(Ordering::SeqCst);
        assert!(removed >= stats.unremoved, "{removed} of {stats:?} are removed");
        let below = segment_files(&disk).into_iter().filter(|base| base + 2 * TINY < head.get());
        assert_eq!(below.count(), 0, "nothing is left below the head");
        let log = tiny().open_with(disk).unwrap();
        assert_eq!(log.head(), head);
        assert_eq!(records(&log).len(), 1);
        assert!(log.recovery().removed.is_empty(), "{}", log.recovery());
    });
}

#[test]
fn who_needs_the_space_of_a_dropped_segment_waits_for_it() {
    without_hanging("an append at the limit", || {
        let mut options = with_thread();
        let (disk, gate, log) = gated(options.max_log_bytes(6 * TINY));
        let full = (0..1000).find(|key| log.append(&filled(*key, 1000)).is_err());
        assert!(full.is_some_and(|records| records > 40), "{full:?}");
        log.truncate_before(log.tail()).unwrap();
        assert!(log.stats().unremoved > 0, "{:?}", log.stats());
        // One is held up already. Whoever else comes is in need: of a record or of a spare.
        gate.opens_for.store(2, Ordering::SeqCst);
        if gate.waiting.load(Ordering::SeqCst) >= 2 {
            gate.open();
        }
        for key in 0..60 {
            log.append(&filled(key, 1000)).unwrap_or_else(|error| panic!("{key}: {error}"));
            let taken = TINY * segment_files(&disk).len() as u64;
            assert!(taken <= 6 * TINY, "{taken} bytes are above the limit");
            if key % 20 == 19 {
                log.truncate_before(log.tail()).unwrap();
            }
        }
        log.close().unwrap();
    });
}

#[test]
fn a_removal_that_fails_or_panics_hinders_nothing() {
    for verdict in [Verdict::Fail(ErrorKind::PermissionDenied), Verdict::Panic] {
        without_hanging("a log whose files can't be removed", move || {
            let (disk, gate, log) = gated(&with_thread());
            *gate.fails.lock().unwrap() = Some(verdict);
            gate.open();
            fill(&log, 120);
            log.truncate_before(log.tail()).unwrap();
            while log.stats().unremoved > 1 {
                thread::yield_now();
            }
            assert!(gate.removed.load(Ordering::SeqCst) > 4);
            let head = log.head();
            log.append_durable(b"goes on").unwrap();
            assert_eq!(log.stats().unremoved, 1, "it is told of");
            log.close().unwrap();
            let log = tiny().open_with(disk.clone()).unwrap();
            assert_eq!(log.recovery().removed.len(), 1, "opening removes it");
            assert_eq!((log.head(), records(&log).len()), (head, 1));
        });
    }
}
