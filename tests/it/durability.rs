//! The order of calls to the disk: what has to be durable before what.
//!
//! Invariant: each rule is checked against a record of every call in the order in which calls began
//! and ended, so that a missing sync is found although memory forgets nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;

use stratalog::format::{
    BLOCK_BYTES, CONTROL_NAME, ControlState, FileKind, TEMPORARY_SUFFIX, classify, segment_name,
};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Log, Lsn, Options};

use super::common::{Random, TINY, filled, records, seed, tiny};
use super::tap::{Call, Event, Tap, Verdict, Watch};

/// One entry of the record; calls are numbered.
#[derive(Clone, Debug)]
enum Entry {
    Began(u64, Event),
    Ended(u64, Event),
    /// The log said that all below this address is durable.
    Acknowledged(u64),
}

#[derive(Debug, Default)]
struct Record {
    entries: Mutex<(u64, Vec<Entry>)>,
}

thread_local! {
    /// The number of the call that this thread is in.
    static CURRENT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

impl Record {
    fn push(&self, entry: Entry) {
        self.entries.lock().unwrap().1.push(entry);
    }

    fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.entries.lock().unwrap().1)
    }
}

impl Watch for Record {
    fn before(&self, event: &Event) -> Verdict {
        if event.call.changes() {
            let mut entries = self.entries.lock().unwrap();
            entries.0 += 1;
            let number = entries.0;
            CURRENT.set(number);
            entries.1.push(Entry::Began(number, event.clone()));
        }
        Verdict::Go
    }

    fn after(&self, event: &Event, ok: bool) {
        if event.call.changes() {
            assert!(ok);
            self.push(Entry::Ended(CURRENT.get(), event.clone()));
        }
    }
}

/// A write: its file, offset, length, and number.
type Write = (String, u64, u64, u64);

/// What of the disk is durable, and what is not, as the record is replayed.
#[derive(Default)]
struct Replay {
    /// Writes that no sync covers; and for each sync that is under way, what it covers.
    loose: BTreeSet<Write>,
    covering: BTreeMap<u64, BTreeSet<Write>>,
    /// Names that were made, given or taken away, and that no sync of the directory covers.
    loose_names: BTreeSet<String>,
    covering_names: BTreeMap<u64, BTreeSet<String>>,
    durable_names: BTreeSet<String>,
    /// The names that were durable when the control file was last written; those of the syncs of it
    /// that are under way; those that were durable before a control file that was synced.
    told: BTreeSet<String>,
    covering_told: BTreeMap<u64, BTreeSet<String>>,
    announced: BTreeSet<String>,
    /// What was loose of segments when the last write of the control file began.
    loose_at_control: Vec<Write>,
    control_syncs: u64,
    /// How often each rule was looked at.
    frames: u64,
    trailers: u64,
    acknowledged: u64,
    removals: u64,
}

fn is_segment(name: &str) -> bool {
    matches!(classify(name), FileKind::Segment(_))
}

fn base(name: &str) -> u64 {
    let FileKind::Segment(base) = classify(name) else { panic!("{name} is no segment") };
    base
}

fn is_trailer(offset: u64) -> bool {
    offset >= TINY - BLOCK_BYTES
}

impl Replay {
    /// Begins with a disk whose names are durable.
    fn over(disk: &MemoryStorage) -> Self {
        let names: BTreeSet<_> = disk.image().names().map(str::to_owned).collect();
        Self { durable_names: names.clone(), announced: names, ..Self::default() }
    }

    fn run(mut self, entries: &[Entry]) -> Self {
        for entry in entries {
            match entry {
                Entry::Began(number, event) => self.began(*number, event),
                Entry::Ended(number, event) => self.ended(*number, event),
                Entry::Acknowledged(end) => self.check_acknowledged(*end),
            }
        }
        self
    }

    fn loose_frames(&self) -> impl Iterator<Item = &Write> {
        self.loose.iter().filter(|write| is_segment(&write.0) && !is_trailer(write.1))
    }

    fn check_acknowledged(&mut self, end: u64) {
        let early = self.loose_frames().find(|write| base(&write.0) + write.1 < end);
        assert!(early.is_none(), "all below {end} was called durable before a sync of {early:?}");
        self.acknowledged += 1;
    }

    fn began(&mut self, number: u64, event: &Event) {
        let name = &event.name;
        match event.call {
            Call::Write if is_segment(name) && is_trailer(event.offset) => self.check_trailer(name),
            Call::Write if is_segment(name) => self.check_frame(name),
            Call::Write if name == CONTROL_NAME => {
                let loose = self.loose.iter().find(|write| write.0 == CONTROL_NAME);
                assert!(loose.is_none(), "a control slot before a sync of the other: {loose:?}");
                self.told.clone_from(&self.durable_names);
                let loose = self.loose.iter().filter(|write| is_segment(&write.0));
                self.loose_at_control = loose.cloned().collect();
            }
            Call::Sync => {
                let covered = self.loose.iter().filter(|write| write.0 == *name).cloned();
                self.covering.insert(number, covered.collect());
                if name == CONTROL_NAME {
                    self.covering_told.insert(number, self.told.clone());
                }
            }
            Call::SyncDirectory => {
                self.covering_names.insert(number, self.loose_names.clone());
            }
            Call::Rename if name.ends_with(TEMPORARY_SUFFIX) => {
                let loose = self.loose.iter().find(|write| write.0 == *name);
                assert!(loose.is_none(), "{name} is renamed before a sync of {loose:?}");
            }
            Call::Rename | Call::Remove if is_segment(name) => self.check_removal(name),
            _ => {}
        }
    }

    fn check_frame(&mut self, name: &String) {
        assert!(!self.loose_names.contains(name), "frames in {name} before its name is durable");
        assert!(self.announced.contains(name), "frames in {name} before the control file says so");
        self.frames += 1;
    }

    fn check_trailer(&mut self, name: &str) {
        let early = self.loose_frames().find(|write| base(&write.0) <= base(name));
        assert!(early.is_none(), "the trailer of {name} before a sync of {early:?}");
        let early = self.loose_names.iter().find(|name| is_segment(name));
        let spare = early.is_none_or(|early| base(early) > base(name));
        assert!(spare, "the trailer of {name} before {early:?} is gone for good");
        self.trailers += 1;
    }

    fn check_removal(&mut self, name: &str) {
        // The first is of the winning slot as it was.
        assert!(self.control_syncs > 1, "{name} is taken away before the control file says so");
        assert!(self.loose_frames().next().is_none(), "{name} is taken away before a sync");
        self.removals += 1;
    }

    fn ended(&mut self, number: u64, event: &Event) {
        let name = event.name.clone();
        match event.call {
            Call::Write => {
                self.loose.insert((name, event.offset, event.len, number));
            }
            Call::Sync => {
                let covered = self.covering.remove(&number).expect("a sync that began");
                self.loose.retain(|write| !covered.contains(write));
                if let Some(told) = self.covering_told.remove(&number) {
                    self.announced.extend(told);
                    self.control_syncs += 1;
                }
            }
            Call::Create | Call::Remove => {
                self.loose_names.insert(name);
            }
            Call::Rename => {
                let moved = |(file, offset, len, number): Write| {
                    let file = if file == name { event.to.clone() } else { file };
                    (file, offset, len, number)
                };
                self.loose = std::mem::take(&mut self.loose).into_iter().map(moved).collect();
                self.loose_names.extend([name, event.to.clone()]);
            }
            Call::SyncDirectory => {
                let covered = self.covering_names.remove(&number).expect("a sync that began");
                self.loose_names.retain(|name| !covered.contains(name));
                self.durable_names.extend(covered);
            }
            _ => {}
        }
    }
}

struct Recorder {
    disk: MemoryStorage,
    record: Arc<Record>,
}

impl Recorder {
    fn new(disk: MemoryStorage) -> Self {
        Self { disk, record: Arc::default() }
    }

    fn open(&self, background: bool) -> Log {
        let mut options: Options = tiny();
        let tap = Tap::new(self.disk.clone(), self.record.clone());
        options.background(background).open_with(tap).unwrap()
    }

    fn append_durable(&self, log: &Log, payload: &[u8]) {
        let lsn = log.append_durable(payload).unwrap();
        let end = lsn.get() + 16 + payload.len().next_multiple_of(8) as u64;
        self.record.push(Entry::Acknowledged(end));
    }
}

#[test]
fn nothing_is_called_durable_before_it_was_synced() {
    let first = seed("durable");
    for round in 0..6 {
        let recorder = Arc::new(Recorder::new(MemoryStorage::new()));
        let log = recorder.open(round % 2 == 0);
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (log, recorder) = (log.clone(), Arc::clone(&recorder));
                let mut random = Random::new(first + round * 8 + number);
                thread::spawn(move || {
                    for _ in 0..100 {
                        let payload = random.bytes(900);
                        match random.below(4) {
                            0 => drop(log.append(&payload).unwrap()),
                            1 => drop(log.append_batch(&[&payload, &payload]).unwrap()),
                            2 => {
                                let tail = log.tail();
                                assert!(log.sync().unwrap() >= tail);
                                recorder.record.push(Entry::Acknowledged(tail.get()));
                            }
                            _ => recorder.append_durable(&log, &payload),
                        }
                        recorder.record.push(Entry::Acknowledged(log.durable().get()));
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        log.close().unwrap();
        let replay = Replay::over(&MemoryStorage::new()).run(&recorder.record.take());
        assert!(replay.frames > 100 && replay.trailers > 5 && replay.acknowledged > 400);
        let loose = &replay.loose_at_control;
        assert!(loose.is_empty(), "the log was marked clean before a sync of {loose:?}");
        assert!(replay.loose.is_empty(), "closing leaves {:?} unsynced", replay.loose);
        assert!(replay.loose_names.iter().all(|name| !is_segment(name) && name != CONTROL_NAME));
    }
}

#[test]
fn a_segment_that_nobody_syncs_gets_its_trailer_after_a_sync() {
    for background in [false, true] {
        let recorder = Recorder::new(MemoryStorage::new());
        let log = recorder.open(background);
        // In batches, so that segments end with much that is committed only.
        for key in 0..40 {
            let payload = filled(key, 900);
            log.append_batch(&[&payload; 4]).unwrap();
        }
        log.close().unwrap();
        let replay = Replay::over(&MemoryStorage::new()).run(&recorder.record.take());
        assert!(replay.trailers > 5, "{} trailers", replay.trailers);
    }
}

#[test]
fn a_sync_up_to_a_record_of_a_batch_covers_the_batch() {
    let log = tiny().open_with(MemoryStorage::new()).unwrap();
    let batch = log.append_batch(&[[1; 9]; 4]).unwrap();
    let durable = log.sync_to(batch.start).unwrap();
    assert_eq!(durable, log.committed(), "{batch:?}");
    assert_eq!(durable, log.durable(), "{batch:?}");
}

/// A disk as a process crash leaves it: 20 durable records, then 24 that were only committed, in the
/// second and third segment.
fn crashed() -> (MemoryStorage, Lsn) {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    for key in 0..20 {
        log.append_durable(&filled(key, 500)).unwrap();
    }
    for key in 20..44 {
        log.append(&filled(key, 500)).unwrap();
    }
    let durable = log.durable();
    assert!(records(&log)[20].0 >= durable && log.segments().len() == 3);
    (MemoryStorage::from_image(disk.image()), durable)
}

/// The offset of the control slot that counts.
fn winning_slot(image: &Image) -> u64 {
    let sequence = |slot: u64| {
        let slot = (slot * BLOCK_BYTES) as usize;
        let slot = &image.get(CONTROL_NAME).unwrap()[slot..slot + BLOCK_BYTES as usize];
        ControlState::decode(slot).unwrap().0
    };
    if sequence(0) > sequence(1) { 0 } else { BLOCK_BYTES }
}

/// The winning slot is written again as it was before the other is touched; then both are written
/// anew.
fn check_control_writes(entries: &[Entry], won: u64) {
    let offsets = entries.iter().filter_map(|entry| match entry {
        Entry::Began(_, event) if event.call == Call::Write && event.name == CONTROL_NAME => {
            Some(event.offset)
        }
        _ => None,
    });
    let offsets: Vec<_> = offsets.collect();
    let lost = BLOCK_BYTES - won;
    assert!(offsets.starts_with(&[won, lost, won]), "{won} won, {offsets:?} are written");
}

fn check_opened(recorder: &Recorder, log: &Log, durable: Lsn, won: u64) {
    let entries = recorder.record.take();
    check_control_writes(&entries, won);
    let replay = Replay::over(&MemoryStorage::from_image(recorder.disk.image())).run(&entries);
    assert!(replay.loose.is_empty(), "opening leaves {:?} unsynced", replay.loose);
    assert!(replay.loose_names.is_empty(), "opening leaves {:?} unsynced", replay.loose_names);
    let written = |from: u64, to: u64| {
        entries.iter().any(|entry| {
            let Entry::Ended(_, Event { call: Call::Write, name, offset, len, .. }) = entry else {
                return false;
            };
            let at = base(if is_segment(name) { name } else { return false }) + offset;
            at <= from && to <= at + len
        })
    };
    for (lsn, payload) in records(log) {
        if lsn >= durable {
            let end = lsn.get() + 16 + payload.len() as u64;
            assert!(written(lsn.get(), end), "{lsn} is kept and was not written again");
        }
    }
    let synced = entries.iter().filter(
        |entry| matches!(entry, Entry::Ended(_, event) if event.call == Call::SyncDirectory),
    );
    assert!(synced.count() > 0, "names may be as new as bytes");
}

/// What was done to the disk, each kind of step once in a row.
fn steps(entries: &[Entry]) -> Vec<&'static str> {
    let step = |entry: &Entry| {
        let Entry::Ended(_, event) = entry else { return None };
        match event.call {
            Call::Write if event.name == CONTROL_NAME => Some("control"),
            Call::Write if is_segment(&event.name) && is_trailer(event.offset) => Some("trailer"),
            Call::Write if is_segment(&event.name) => Some("frames"),
            Call::Rename | Call::Remove if is_segment(&event.name) => Some("away"),
            Call::SyncDirectory => Some("directory"),
            _ => None,
        }
    };
    let mut steps: Vec<_> = entries.iter().filter_map(step).collect();
    steps.dedup();
    steps
}

#[test]
fn what_opening_keeps_after_a_crash_was_written_again_and_synced() {
    let (disk, durable) = crashed();
    let won = winning_slot(&disk.image());
    let recorder = Recorder::new(disk);
    let log = recorder.open(false);
    assert_eq!(records(&log).len(), 44);
    check_opened(&recorder, &log, durable, won);
}

#[test]
fn what_lies_behind_a_tear_is_taken_away_in_order() {
    let (disk, durable) = crashed();
    let mut image = disk.image();
    let log = tiny().open_with(disk).unwrap();
    let torn = records(&log)[24].0.get();
    image.get_mut(&segment_name(torn / TINY * TINY)).unwrap()[(torn % TINY) as usize + 99] ^= 1;
    let won = winning_slot(&image);
    let recorder = Recorder::new(MemoryStorage::from_image(image));
    let log = recorder.open(false);
    assert_eq!(records(&log).len(), 24);
    assert!(!log.recovery().set_aside.is_empty(), "{}", log.recovery());
    let steps = steps(&recorder.record.entries.lock().unwrap().1);
    let (persisted, cut) = steps.split_at(steps.len() - 5);
    assert_eq!(persisted, ["control", "frames", "directory"]);
    assert_eq!(cut, ["control", "away", "directory", "trailer", "control"]);
    check_opened(&recorder, &log, durable, won);
    recorder.append_durable(&log, b"after");
    log.close().unwrap();
}

#[test]
fn opening_a_closed_log_takes_the_clean_mark_from_both_slots() {
    let recorder = Recorder::new(MemoryStorage::new());
    let log = recorder.open(false);
    recorder.append_durable(&log, b"kept");
    log.close().unwrap();
    recorder.record.take();
    let won = winning_slot(&recorder.disk.image());
    let log = recorder.open(false);
    assert!(log.recovery().clean);
    check_control_writes(&recorder.record.take(), won);
    let image = recorder.disk.image();
    for slot in image.get(CONTROL_NAME).unwrap().chunks(BLOCK_BYTES as usize) {
        assert!(!ControlState::decode(slot).unwrap().1.clean);
    }
}
