//! Files that go between being listed and being opened.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use stratalog::storage::MemoryStorage;
use stratalog::{Error, Log, Options};

use crate::common::{TINY, read};
use crate::tap::{Call, Event, Tap, Verdict, Watch};

fn is_segment_opened(event: &Event) -> bool {
    event.call == Call::Open && Path::new(&event.name).extension().is_some_and(|it| it == "seg")
}

/// Drops a segment whenever the first one of a look is about to be opened, so often.
#[derive(Debug)]
struct Drops {
    log: Log,
    left: AtomicU64,
}

impl Watch for Drops {
    fn before(&self, event: &Event) -> Verdict {
        let is_oldest = event.name == format!("{:020}.seg", self.log.segments()[0].base);
        if is_segment_opened(event) && is_oldest && self.left.load(Ordering::SeqCst) > 0 {
            self.left.fetch_sub(1, Ordering::SeqCst);
            self.log.roll().unwrap();
            let next = self.log.append(b"next").unwrap();
            self.log.truncate_before(next).unwrap();
            while self.log.stats().unremoved > 0 {
                thread::yield_now();
            }
        }
        Verdict::Go
    }
}

#[test]
fn a_writer_that_drops_what_is_looked_at_forty_times_is_waited_for() {
    let storage = MemoryStorage::new();
    let log = Options::new().segment_bytes(TINY).open_with(storage.clone()).unwrap();
    log.append(b"first").unwrap();
    for is_preview in [true, false] {
        let drops = Arc::new(Drops { log: log.clone(), left: AtomicU64::new(40) });
        let tap = Tap::new(storage.clone(), drops.clone());
        if is_preview {
            assert!(Options::new().preview_with(tap).unwrap().refusal.is_none());
        } else {
            let reader = Options::new().open_read_only_with(tap).unwrap();
            assert_eq!(read(&reader.snapshot()).0.last().unwrap().1, b"next");
        }
        assert_eq!(drops.left.load(Ordering::SeqCst), 0);
    }
}

/// A name that leads nowhere, and how often it was tried.
#[derive(Debug, Default)]
struct Dangling(AtomicU64);

impl Watch for Dangling {
    fn before(&self, event: &Event) -> Verdict {
        if is_segment_opened(event) {
            self.0.fetch_add(1, Ordering::SeqCst);
            return Verdict::Fail(ErrorKind::NotFound);
        }
        Verdict::Go
    }
}

#[test]
fn a_file_that_stays_listed_and_is_never_found_is_an_error_after_a_few_looks() {
    let storage = MemoryStorage::new();
    let log = Options::new().segment_bytes(TINY).open_with(storage.clone()).unwrap();
    log.append(b"first").unwrap();
    let dangling = Arc::new(Dangling::default());
    let tap = || Tap::new(storage.clone(), dangling.clone());
    let errors = [
        Options::new().preview_with(tap()).unwrap_err(),
        Options::new().open_read_only_with(tap()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, Error::Io { source, .. } if source.kind() == ErrorKind::NotFound));
    }
    let tries = dangling.0.load(Ordering::SeqCst);
    assert!(tries < 20, "{tries} tries");
}
