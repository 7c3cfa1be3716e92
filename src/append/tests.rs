//! Tests of appenders that do the upkeep themselves, on a disk that can fail.
//!
//! Invariant: no thread of the log's own runs, whatever the options say.

use std::cell::Cell;
use std::io::ErrorKind;
use std::sync::Arc;

use crate::append::appender::Appender;
use crate::append::disk::{Disk, UNSEALED_MAX};
use crate::error::{Error, Op};
use crate::format::segment_name;
use crate::options::{AtLimit, Options};
use crate::protocol::{Failed, Medium, Protocol, Run};
use crate::recover::recover;
use crate::segment::set::Segments;
use crate::segment::supply::Supply;
use crate::storage::{Event, EventKind, Fault, FaultStorage, Storage};

/// The size of every segment here: 8192 bytes of frames.
const BYTES: u64 = 16 << 10;
/// A payload whose frame fills all of a segment behind the link.
const WHOLE: &[u8] = &[7; 8192 - 48 - 16];

/// Opens the log on `disk` as it is opened, but starts no thread.
fn open(disk: &FaultStorage, background: bool) -> Appender {
    open_with(disk, Options::new().segment_bytes(BYTES).background(background))
}

fn open_with(disk: &FaultStorage, options: &Options) -> Appender {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let found = recover(&storage, options).unwrap();
    assert!(found.start.active.is_none(), "new, or not closed");
    let protocol = Protocol::new(found.tail, options.write_buffer_bytes, found.id);
    let supply = Supply::new(Arc::clone(&storage), found.id, options, found.start);
    let segments = Segments::new(found.head, found.segments);
    let (control, checksum) = (found.control, found.last_checksum);
    let disk = Disk::new(storage, segments, supply, control, checksum, options);
    Appender::new(protocol, disk, BYTES)
}

fn unsealed(appender: &Appender) -> usize {
    appender.disk.segments.load().unsealed()
}

fn is_trailer(event: &Event) -> bool {
    event.kind == EventKind::Write && event.offset == BYTES - 4096
}

#[test]
fn a_trailer_that_can_not_be_written_on_the_way_to_a_claim_poisons() {
    let disk = FaultStorage::new();
    let appender = open(&disk, false);
    disk.fail_when(|event| is_trailer(event).then_some(Fault::Error(ErrorKind::Other)));
    let error = (0..9).find_map(|_| appender.append(&[1; 5000]).err()).unwrap();
    assert!(matches!(error, Error::Io { op: Op::Write, .. }), "{error}");
    disk.heal();
    let again = appender.append(b"later").unwrap_err();
    assert!(matches!(again, Error::Poisoned { op: Op::Write, .. }), "{again}");
}

#[test]
fn an_appender_seals_at_each_roll_where_no_thread_is_to_do_it() {
    let appender = open(&FaultStorage::new(), false);
    for _ in 0..12 {
        appender.append(&[1; 5000]).unwrap();
        assert!(unsealed(&appender) <= 2);
    }
}

#[test]
fn an_appender_seals_for_a_thread_that_has_fallen_behind_and_not_before() {
    let appender = open(&FaultStorage::new(), true);
    for count in 1..=UNSEALED_MAX {
        appender.append(&[1; 5000]).unwrap();
        assert_eq!(unsealed(&appender), count);
    }
    appender.append(&[1; 5000]).unwrap();
    assert_eq!(unsealed(&appender), 2);
}

#[test]
fn a_segment_whose_last_frame_is_durable_already_is_sealed_once_the_log_has_left_it() {
    let appender = open(&FaultStorage::new(), true);
    let (disk, protocol) = (&appender.disk, &appender.protocol);
    appender.append_durable(WHOLE).unwrap();
    assert_eq!(protocol.durable(), BYTES - 4096);
    disk.seal_ended(protocol).unwrap();
    assert_eq!(unsealed(&appender), 1, "nothing has come behind it");
    appender.append(b"next").unwrap();
    assert_eq!((protocol.durable(), unsealed(&appender)), (BYTES - 4096, 2));
    disk.seal_ended(protocol).unwrap();
    assert_eq!(unsealed(&appender), 1);
}

#[test]
fn a_cut_is_kept_until_the_link_behind_it_is_durable() {
    let disk = FaultStorage::new();
    open(&disk, true).append(b"kept").unwrap();
    // Killed: the log ends there, and goes on elsewhere.
    let appender = open(&disk, true);
    let is_kept = || {
        appender.disk.seal_ended(&appender.protocol).unwrap();
        appender.disk.control.state().cut.is_some()
    };
    assert!(is_kept(), "there is no link");
    appender.append_buffered(b"behind").unwrap();
    assert!(is_kept(), "the link is in memory");
    appender.commit_until(appender.protocol.tail()).unwrap();
    assert!(is_kept(), "the link may be lost with the power");
    appender.sync_until(appender.protocol.tail()).unwrap();
    assert!(!is_kept());
}

#[test]
fn spares_are_kept_ready_and_no_more_than_wanted() {
    let appender = open(&FaultStorage::new(), true);
    let (disk, protocol) = (&appender.disk, &appender.protocol);
    let keep =
        || disk.supply.keep_spares(protocol, &disk.segments, &disk.control, &|_| {}).unwrap();
    assert_eq!((keep(), keep()), (true, false));
    assert_eq!(disk.supply.spares(), [(0, BYTES)]);
    appender.append(WHOLE).unwrap();
    assert_eq!(disk.supply.misses(), 0, "it was there");
    assert_eq!((keep(), keep()), (true, false));
    assert_eq!(disk.supply.spares(), [(BYTES, BYTES)]);
    // Those that were not there when they were needed: more are kept from now on.
    for _ in 0..6 {
        appender.append(WHOLE).unwrap();
    }
    assert_eq!((disk.supply.misses(), disk.supply.spares()), (5, Vec::new()));
    let made = (0..9).take_while(|_| keep()).count();
    assert_eq!((made, disk.supply.spares().len()), (3, 3));
}

#[test]
fn zeros_are_written_ahead_of_the_tail_up_to_the_end_of_the_segment() {
    let disk = FaultStorage::new();
    disk.set_zero_fill(true);
    let appender = open(&disk, true);
    appender.append(b"one").unwrap();
    let (before, tail) = (disk.events(), appender.protocol.tail());
    while appender.disk.supply.fill_ahead(&appender.protocol).unwrap() {}
    let events = disk.history().into_iter().filter(|event| event.number >= before);
    let zeros: Vec<_> = events.filter(|event| event.kind == EventKind::Write).collect();
    assert!(zeros.iter().all(|event| event.offset >= tail));
    assert_eq!(zeros.last().map(|event| event.offset + event.len), Some(BYTES - 4096));
}

#[test]
fn a_sync_leader_looks_for_company() {
    let appender = open(&FaultStorage::new(), true);
    let looks = Cell::new(0);
    appender.disk.gather(&|| {
        looks.set(looks.get() + 1);
        0
    });
    assert_eq!(looks.get(), 1);
}

#[test]
fn a_sync_leader_looks_again_where_more_waited_at_the_end_of_the_last_sync() {
    let appender = open(&FaultStorage::new(), false);
    let looks = || {
        let looks = Cell::new(0);
        appender.disk.gather(&|| looks.replace(looks.get() + 1));
        looks.get()
    };
    assert_eq!(looks(), 1);
    appender.disk.gathered(1);
    assert!(looks() > 1);
}

/// A log that has come to its limit: a full segment, and another that is attached and not begun.
fn at_limit() -> (Appender, u64) {
    let mut options = Options::new();
    options.segment_bytes(BYTES).background(false);
    options.max_log_bytes(2 * BYTES).at_limit(AtLimit::DropOldest);
    let appender = open_with(&FaultStorage::new(), &options);
    let first = appender.append(WHOLE).unwrap();
    appender.disk.make_room(&appender.protocol, appender.protocol.tail(), 24).unwrap();
    assert_eq!(unsealed(&appender), 2);
    (appender, first)
}

#[test]
fn the_oldest_segment_is_not_dropped_for_one_that_nobody_has_begun() {
    let (appender, first) = at_limit();
    let (disk, protocol) = (&appender.disk, &appender.protocol);
    // The link of the other is not claimed: whoever waited for it might wait for ever.
    assert!(!disk.drops_oldest(protocol).unwrap());
    assert!(disk.segments.head() <= first);
    appender.append(b"begun").unwrap();
    assert!(disk.drops_oldest(protocol).unwrap());
    assert!(disk.segments.head() > first);
}

#[test]
fn a_cut_does_not_sync_again_what_is_durable_already() {
    let storage = FaultStorage::new();
    let appender = open(&storage, false);
    let (disk, protocol) = (&appender.disk, &appender.protocol);
    appender.append_durable(b"kept").unwrap();
    let end = protocol.durable();
    appender.append(b"cut off").unwrap();
    let before = storage.events();
    let alone = disk.truncation.lock();
    assert!(disk.cut(protocol, end).unwrap().is_some());
    drop(alone);
    let is_sync = |event: &Event| event.kind == EventKind::Sync && event.name == segment_name(0);
    let events = storage.history().into_iter().filter(|event| event.number >= before);
    assert_eq!(events.filter(is_sync).count(), 1, "of its trailer");
}

/// The disk, but with no room for another segment.
struct Full<'a>(&'a Disk);

impl Medium for Full<'_> {
    type NoRoom = ();

    fn make_room(&self, _protocol: &Protocol, _tail: u64, _need: u64) -> Result<bool, ()> {
        Err(())
    }

    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed> {
        self.0.write(protocol, run)
    }

    fn sync(&self, from: u64, to: u64) -> Result<(), Failed> {
        self.0.sync(from, to)
    }

    fn await_cut(&self) {}

    fn gather(&self, _waiting: &dyn Fn() -> u64) {}
}

#[test]
fn the_oldest_segment_is_dropped_as_soon_as_the_link_behind_it_is_there() {
    let (appender, first) = at_limit();
    let (disk, protocol) = (&appender.disk, &appender.protocol);
    // More than fits behind a link: that is claimed, and nothing else.
    assert!(protocol.place(&Full(disk), BYTES, true).is_err());
    assert_eq!(protocol.tail(), BYTES + 4096 + 48);
    assert!(disk.drops_oldest(protocol).unwrap());
    assert!(disk.segments.head() > first);
}

#[test]
fn as_many_segments_are_dropped_as_a_lower_limit_asks_for() {
    let storage = FaultStorage::new();
    let appender = open(&storage, false);
    for _ in 0..5 {
        appender.append_durable(WHOLE).unwrap();
    }
    drop(appender);
    let mut options = Options::new();
    options.segment_bytes(BYTES).background(false);
    options.max_log_bytes(2 * BYTES).at_limit(AtLimit::DropOldest);
    let appender = open_with(&storage, &options);
    let (disk, protocol) = (&appender.disk, &appender.protocol);
    for left in [4, 3, 2, 1] {
        assert!(disk.supply.is_full(&disk.segments));
        assert!(disk.drops_oldest(protocol).unwrap(), "{left} are left");
        assert_eq!(disk.segments.load().segments.len(), left);
    }
    assert!(!disk.supply.is_full(&disk.segments));
}
