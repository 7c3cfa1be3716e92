//! A program of operations with crashes in it, against a list of what was appended.
//!
//! Invariant: what was committed is there, in order, at its address; what else is there was pending
//! and comes in whole groups, in order; an address that was returned is never returned again, and
//! never names other bytes.
//!
//! Each operation is a byte and what it needs: [`Model::operate`] is the list of them. A crash leaves a
//! copy of the disk, taken before any of the changes that an operation, or an opening, makes to it, or
//! in the middle of it. Fuzzers write programs byte by byte; `tests/it/model.rs` draws them at random.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Error, Log, Lsn, Options, RecoveryPolicy};

use super::Reached;
use super::input::Input;
use crate::tap::{Call, Event, Tap, Verdict, Watch};

type Records = Vec<(Lsn, Vec<u8>)>;

const SEGMENT: u64 = 16 << 10;

/// How far a program may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) operations: usize,
    pub(crate) segments: usize,
    /// Whether logs may have a thread of their own. Then no two runs are the same.
    pub(crate) background: bool,
}

/// Runs one input; says which outcomes it came to.
pub(crate) fn model(data: &[u8]) -> Reached {
    run(data, Limits { operations: 150, segments: 24, background: false })
}

/// Runs a program within its limits; says which outcomes it came to.
pub(crate) fn run(program: &[u8], limits: Limits) -> Reached {
    let mut model = Model::new(Input::new(program), limits.background);
    model.open();
    for _ in 0..limits.operations {
        if model.input.is_empty() || model.log().stats().segments > limits.segments {
            break;
        }
        model.step();
    }
    model.compare();
    model.look_up();
    model.reached
}

/// Copies the disk at a change to it, the n-th from when it was armed: before it, or in the middle of
/// a write.
#[derive(Debug, Default)]
struct Camera {
    disk: MemoryStorage,
    film: Mutex<Film>,
}

#[derive(Debug, Default)]
struct Film {
    changes_left: Option<usize>,
    /// How many 255ths of a write reach the disk.
    part: usize,
    /// Whether the change that was waited for is under way.
    exposed: bool,
    taken: Option<Image>,
}

impl Camera {
    fn arm(&self, changes: usize, part: u8) {
        let film = Film { changes_left: Some(changes), part: part.into(), ..Film::default() };
        *self.film.lock().unwrap() = film;
    }

    fn develop(&self) -> Option<Image> {
        std::mem::take(&mut *self.film.lock().unwrap()).taken
    }
}

impl Watch for Camera {
    fn before(&self, event: &Event) -> Verdict {
        let mut film = self.film.lock().unwrap();
        if event.call.changes() {
            if film.changes_left == Some(0) {
                film.taken = Some(self.disk.image());
                film.exposed = event.call == Call::Write;
            }
            film.changes_left = film.changes_left.and_then(|left| left.checked_sub(1));
        }
        Verdict::Go
    }

    fn after(&self, event: &Event, _ok: bool) {
        let mut film = self.film.lock().unwrap();
        if event.call != Call::Write || !std::mem::take(&mut film.exposed) {
            return;
        }
        let (from, part) = (event.offset as usize, event.len as usize * film.part / 255);
        let written = self.disk.image();
        let (Some(taken), Some(written)) = (&mut film.taken, written.get(&event.name)) else {
            return;
        };
        // With a thread of the log's own, this may be another write that was under way.
        let Some(torn) = taken.get_mut(&event.name) else { return };
        torn[from..from + part].copy_from_slice(&written[from..from + part]);
    }
}

struct Model<'a> {
    input: Input<'a>,
    background: bool,
    camera: Arc<Camera>,
    log: Option<Log>,
    /// What was committed: it must be there.
    kept: Records,
    /// What may be there or not, each group wholly.
    pending: Vec<Records>,
    /// What is kept instead once the log is shortened, which was being done.
    shortened: Option<Records>,
    /// All that was ever returned or read.
    ever: BTreeMap<Lsn, Vec<u8>>,
    /// How many payloads were made; each says which one it is.
    made: u32,
    reached: Reached,
}

impl<'a> Model<'a> {
    fn new(input: Input<'a>, background: bool) -> Self {
        Self {
            input,
            background,
            camera: Arc::default(),
            log: None,
            kept: Vec::new(),
            pending: Vec::new(),
            shortened: None,
            ever: BTreeMap::new(),
            made: 0,
            reached: Reached::new(),
        }
    }

    fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is open between operations")
    }

    /// Opens what the camera looks at; where the input says so, the process dies on the way.
    fn open(&mut self) {
        let log = loop {
            let way = self.input.byte();
            let mut options = Options::new();
            options
                .segment_bytes(SEGMENT + 4096 * u64::from(way & 3))
                .write_buffer_bytes(4096 << (way >> 2 & 3))
                .background(self.background && way & 16 != 0);
            if way >= 128 {
                self.camera.arm(self.input.below(40), self.input.byte());
            }
            let tap = Tap::new(self.camera.disk.clone(), self.camera.clone());
            let log = options.open_with(tap).unwrap_or_else(|error| panic!("{error}: {error:?}"));
            let Some(image) = self.camera.develop() else { break log };
            self.reached.insert("crash while opening");
            drop(log);
            self.mount(image);
        };
        let ends = [log.durable(), log.committed()];
        assert_eq!(ends, [log.tail(); 2], "all that is kept is durable");
        if log.recovery().cut.is_some() {
            self.reached.insert("cut");
        }
        if log.recovery().clean {
            self.reached.insert("clean");
        }
        self.log = Some(log);
        self.compare();
        // What is not there now never will be.
        self.pending.clear();
    }

    fn mount(&mut self, image: Image) {
        let disk = MemoryStorage::from_image(image);
        self.camera = Arc::new(Camera { disk, ..Camera::default() });
    }

    fn crash(&mut self, image: Image, unanswered: Records) {
        self.log = None;
        self.mount(image);
        if !unanswered.is_empty() {
            self.pending.push(unanswered);
        }
        self.open();
    }

    fn step(&mut self) {
        let operation = self.input.byte();
        if operation & 0x80 != 0 {
            self.camera.arm(self.input.below(16), self.input.byte());
        }
        let (group, committed) = self.operate(operation & 0x7f);
        if let Some(image) = self.camera.develop() {
            self.reached.insert("crash");
            return self.crash(image, group);
        }
        for (lsn, payload) in &group {
            let newest = self.ever.last_key_value().map(|(newest, _)| *newest);
            assert!(newest.is_none_or(|newest| newest < *lsn), "{lsn} after {newest:?}");
            self.ever.insert(*lsn, payload.clone());
        }
        if !group.is_empty() {
            self.pending.push(group);
        }
        if let Some(kept) = self.shortened.take() {
            self.kept = kept;
            self.pending.clear();
        }
        if committed {
            self.kept.extend(self.pending.drain(..).flatten());
        }
        if self.log.is_none() {
            self.open();
        }
    }

    /// Does one operation; returns what it appended, and whether everything is committed now.
    ///
    /// A new operation takes the next number that is free: programs that are kept then do what they
    /// did, but where they name that number.
    fn operate(&mut self, operation: u8) -> (Records, bool) {
        let log = self.log().clone();
        match operation % 32 {
            0 | 1 => {
                let payload = self.payload();
                (vec![(log.append(&payload).unwrap(), payload)], true)
            }
            2 | 3 => {
                let payload = self.payload();
                (vec![(log.append_buffered(&payload).unwrap(), payload)], false)
            }
            4 => {
                let payload = self.payload();
                let lsn = log.append_durable(&payload).unwrap();
                assert!(log.durable() > lsn);
                (vec![(lsn, payload)], true)
            }
            5 => {
                let payload = self.payload();
                let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&payload);
                (vec![(log.append_with(payload.len(), fill).unwrap(), payload)], true)
            }
            6 | 7 => self.append_batch(&log),
            8 => {
                let tail = log.tail();
                assert!(log.commit().unwrap() >= tail && log.committed() >= tail);
                (Vec::new(), true)
            }
            9 => {
                let tail = log.tail();
                assert!(log.sync().unwrap() >= tail && log.durable() >= tail);
                (Vec::new(), true)
            }
            10 => {
                log.roll().unwrap();
                (Vec::new(), false)
            }
            11 => {
                self.log = None;
                log.close().unwrap();
                self.reached.insert("close");
                (Vec::new(), true)
            }
            12 => self.die(),
            13 => self.peek(),
            14 => {
                self.log = None;
                self.reached.insert("drop");
                (Vec::new(), true)
            }
            15 => self.sync_to(&log),
            16 => {
                self.compare();
                (Vec::new(), false)
            }
            17 => self.shorten(&log, "truncate_after"),
            18 => self.shorten(&log, "truncate_from"),
            19 => self.shorten(&log, "truncate_before"),
            // Free. Until they are taken, appends are what is done most.
            free => self.operate(free % 8),
        }
    }

    /// Payloads of all sizes, which differ.
    fn payload(&mut self) -> Vec<u8> {
        let size = self.input.byte();
        let len = match size {
            0..128 => usize::from(size),
            128..192 => usize::from(size) * 12,
            192..254 => usize::from(size) * 31,
            254 => self.log().max_record_bytes() as usize,
            // A frame inside of a payload.
            _ => return [&[0; 8][..], &[1, 0, 0, 0, 0, 0, 0, 0].repeat(9)].concat(),
        };
        self.made += 1;
        let mark = self.made.to_le_bytes();
        (0..len).map(|n| mark[n % 4] ^ (n / 4) as u8).collect()
    }

    fn append_batch(&mut self, log: &Log) -> (Records, bool) {
        let payloads: Vec<_> = (0..self.input.below(6)).map(|_| self.payload()).collect();
        let range = match log.append_batch(&payloads) {
            Ok(range) => range,
            Err(Error::RecordTooLarge { len, max, .. }) => {
                assert!(len > max, "{len} bytes fit in {max}");
                self.reached.insert("too large");
                return (Vec::new(), false);
            }
            Err(error) => panic!("{error:?}"),
        };
        let mut at = range.start.get();
        let mut group = Records::new();
        for payload in payloads {
            let lsn = Lsn::new(at);
            at += 16 + payload.len().next_multiple_of(8) as u64;
            group.push((lsn, payload));
        }
        assert_eq!(range.end.get(), at, "a batch is one stretch");
        let committed = !group.is_empty();
        (group, committed)
    }

    /// Syncs up to any record there ever was.
    fn sync_to(&mut self, log: &Log) -> (Records, bool) {
        let any = self.ever.keys().rev().nth(self.input.below(50)).copied();
        let (lsn, tail) = (any.unwrap_or_default(), log.tail());
        match log.sync_to(lsn) {
            Ok(reached) => assert!(reached >= tail.min(Lsn::new(lsn.get() + 1))),
            Err(Error::Cut { lsn: cut, .. }) => {
                let mut there = self.kept.iter().chain(self.pending.iter().flatten());
                assert!(cut == lsn && there.all(|(at, _)| *at != lsn), "{lsn} is there");
            }
            Err(error) => panic!("{error:?}"),
        }
        (Vec::new(), false)
    }

    /// Drops what lies before a record, or behind it.
    fn shorten(&mut self, log: &Log, how: &'static str) -> (Records, bool) {
        log.sync().unwrap();
        let all: Records = self.kept.iter().chain(self.pending.iter().flatten()).cloned().collect();
        if all.is_empty() {
            return (Vec::new(), true);
        }
        let chosen = all.len() - 1 - self.input.below(9).min(all.len() - 1);
        let lsn = all[chosen].0;
        let kept = match how {
            "truncate_after" => log.truncate_after(lsn).map(|()| &all[..=chosen]),
            "truncate_from" => log.truncate_from(lsn).map(|()| &all[..chosen]),
            _ => log.truncate_before(lsn).map(|head| {
                assert_eq!(head, lsn);
                &all[chosen..]
            }),
        };
        self.shortened = Some(kept.unwrap().to_vec());
        self.reached.insert(how);
        (Vec::new(), false)
    }

    /// The process dies between two operations.
    fn die(&mut self) -> (Records, bool) {
        let image = self.camera.disk.image();
        self.crash(image, Vec::new());
        self.reached.insert("crash");
        (Vec::new(), false)
    }

    /// Looks at what would be there had the process died now, twice.
    fn peek(&mut self) -> (Records, bool) {
        let disk = MemoryStorage::from_image(self.camera.disk.image());
        for _ in 0..2 {
            let mut options = Options::new();
            options.segment_bytes(SEGMENT).background(false).recovery(RecoveryPolicy::SkipCorrupt);
            let log = options.open_with(disk.clone()).unwrap();
            assert!(log.recovery().damage.is_empty(), "{}", log.recovery());
            let seen = read(&log);
            self.check_kept(&seen);
            let may_follow: Records = self.pending.iter().flatten().cloned().collect();
            assert!(may_follow.starts_with(&seen[self.kept.len()..]));
        }
        (Vec::new(), false)
    }

    /// Takes what is there for kept, if it may be there.
    fn compare(&mut self) {
        let log = self.log();
        let ordered = [log.head(), log.durable(), log.committed(), log.tail()];
        assert!(log.stats().maintained || ordered.is_sorted(), "watermarks: {ordered:?}");
        let seen = read(log);
        if self.shortened.take().is_some_and(|shortened| shortened == seen) {
            self.pending.clear();
            self.kept = seen;
            return;
        }
        self.check_kept(&seen);
        let mut rest = &seen[self.kept.len()..];
        let mut groups = std::mem::take(&mut self.pending).into_iter();
        while !rest.is_empty() {
            let group = groups.next().expect("what is there was appended");
            assert!(rest.starts_with(&group), "the group at {:?} is not whole", group[0].0);
            rest = &rest[group.len()..];
        }
        self.pending = groups.collect();
        for (lsn, payload) in &seen[self.kept.len()..] {
            let before = self.ever.insert(*lsn, payload.clone());
            assert!(before.is_none_or(|before| before == *payload), "{lsn} has other bytes now");
            self.reached.insert("pending kept");
        }
        self.kept = seen;
    }

    fn check_kept(&self, seen: &Records) {
        let same = seen.iter().zip(&self.kept).take_while(|(seen, kept)| seen == kept).count();
        let expected = self.kept.get(same).map(|kept| (kept.0, kept.1.len()));
        let found = seen.get(same).map(|seen| (seen.0, seen.1.len()));
        assert!(same == self.kept.len(), "expected {expected:?} at {same}, found {found:?}");
    }

    /// Asks for each address there ever was.
    fn look_up(&mut self) {
        let snapshot = self.log().snapshot();
        let kept: BTreeMap<_, _> = self.kept.iter().cloned().collect();
        for lsn in self.ever.keys() {
            let found = snapshot.get(*lsn).map(|record| record.payload());
            if let Some(payload) = kept.get(lsn) {
                assert_eq!(found.unwrap(), payload);
            } else {
                assert!(found.is_err(), "{lsn} was lost and is there");
                self.reached.insert("pending lost");
            }
        }
    }
}

fn read(log: &Log) -> Records {
    let snapshot = log.snapshot();
    let records = snapshot.iter().map(|record| {
        let record = record.unwrap_or_else(|error| panic!("reading: {error}: {error:?}"));
        (record.lsn(), record.payload().to_vec())
    });
    records.collect()
}
