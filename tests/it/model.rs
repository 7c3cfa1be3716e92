//! Random operations, crashes between any two calls to the disk, and reopening, against a list of
//! what was appended.
//!
//! Invariant: what the model says must be there is there, in order, at its address; what may be there
//! is a prefix of the rest, batches whole; and an address once returned is never returned again.
//!
//! 1. Do something; while that goes on, perhaps copy the disk before its n-th change.
//! 2. Where a copy was taken the process has died there: go on with the copy, opened anew, perhaps
//!    dying again inside of opening.
//! 3. Compare now and then, and at the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Log, Lsn, Options};

use super::common::{self, Random, Records, TINY, number, open_image, records, seed};
use super::tap::{Event, Tap, Verdict, Watch};

const STEPS: u64 = 150;

/// Copies the disk before a change to it, the n-th from when it was armed.
#[derive(Debug, Default)]
struct Camera {
    disk: MemoryStorage,
    film: Mutex<Film>,
}

#[derive(Debug, Default)]
struct Film {
    changes_left: Option<u64>,
    taken: Option<Image>,
}

impl Camera {
    fn arm(&self, changes: u64) {
        *self.film.lock().unwrap() = Film { changes_left: Some(changes), taken: None };
    }

    fn develop(&self) -> Option<Image> {
        std::mem::take(&mut *self.film.lock().unwrap()).taken
    }
}

impl Watch for Camera {
    fn before(&self, event: &Event) -> Verdict {
        let mut film = self.film.lock().unwrap();
        film.changes_left = match film.changes_left {
            Some(0) if event.call.changes() => {
                film.taken = Some(self.disk.image());
                None
            }
            Some(left) if event.call.changes() => Some(left - 1),
            left => left,
        };
        Verdict::Go
    }
}

struct Model {
    random: Random,
    camera: Arc<Camera>,
    log: Option<Log>,
    /// What was committed: it must be there.
    kept: Records,
    /// What may be there or not, each group wholly.
    pending: Vec<Records>,
    /// All that was ever returned or read.
    ever: BTreeMap<Lsn, Vec<u8>>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut model = Self {
            random: Random::new(seed),
            camera: Arc::default(),
            log: None,
            kept: Vec::new(),
            pending: Vec::new(),
            ever: BTreeMap::new(),
        };
        model.reopen();
        model
    }

    fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is open between steps")
    }

    /// Opens what the camera looks at, dying on the way now and then.
    fn reopen(&mut self) {
        let log = loop {
            let dies = self.random.chance(30);
            if dies {
                self.camera.arm(self.random.below(40));
            }
            let mut options = Options::new();
            options
                .segment_bytes(TINY + 4096 * self.random.below(3))
                .write_buffer_bytes(4096 << self.random.below(5))
                .background(self.random.chance(40));
            let tap = Tap::new(self.camera.disk.clone(), self.camera.clone());
            let log = options.open_with(tap).unwrap_or_else(|error| panic!("{error}: {error:?}"));
            let Some(image) = self.camera.develop() else { break log };
            drop(log);
            self.mount(image);
        };
        assert_eq!(
            [log.durable(), log.committed()],
            [log.tail(); 2],
            "all that is kept is durable"
        );
        self.log = Some(log);
        self.compare();
        // What is not there now never will be.
        self.pending.clear();
    }

    fn mount(&mut self, image: Image) {
        let disk = MemoryStorage::from_image(image);
        self.camera = Arc::new(Camera { disk, ..Camera::default() });
    }

    /// Takes what is there for kept, if it may be there.
    fn compare(&mut self) {
        let log = self.log();
        let ordered = [log.head(), log.durable(), log.committed(), log.tail()];
        assert!(log.stats().maintained || ordered.is_sorted(), "watermarks: {ordered:?}");
        let seen = records(log);
        self.check_kept(&seen);
        let more = seen[self.kept.len()..].to_vec();
        let mut rest = &more[..];
        while !rest.is_empty() {
            assert!(!self.pending.is_empty(), "never appended: {:?}", rest[0].0);
            let group = self.pending.remove(0);
            assert!(rest.starts_with(&group), "the group at {:?} is not whole", group[0].0);
            rest = &rest[group.len()..];
        }
        for (lsn, payload) in &more {
            let before = self.ever.insert(*lsn, payload.clone());
            assert!(before.is_none_or(|before| before == *payload), "{lsn} has other bytes now");
        }
        self.kept = seen;
    }

    fn check_kept(&self, seen: &Records) {
        let same = seen.iter().zip(&self.kept).take_while(|(seen, kept)| seen == kept).count();
        let expected = self.kept.get(same).map(|kept| (kept.0, kept.1.len()));
        let found = seen.get(same).map(|seen| (seen.0, seen.1.len()));
        assert!(same == self.kept.len(), "expected {expected:?} at {same}, found {found:?}");
    }

    /// Does something to the log; returns what it appended, and whether everything is committed now.
    fn operate(&mut self) -> (Records, bool) {
        let choice = self.random.below(100);
        let log = self.log().clone();
        match choice {
            0..15 => {
                let payload = self.random.bytes(2000);
                (vec![(log.append(&payload).unwrap(), payload)], true)
            }
            15..30 => {
                let payload = self.random.bytes(1000);
                (vec![(log.append_buffered(&payload).unwrap(), payload)], false)
            }
            30..42 => {
                let payload = self.random.bytes(2000);
                let lsn = log.append_durable(&payload).unwrap();
                assert!(log.durable() > lsn);
                (vec![(lsn, payload)], true)
            }
            42..50 => {
                let payload = self.random.bytes(500);
                let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&payload);
                (vec![(log.append_with(payload.len(), fill).unwrap(), payload)], true)
            }
            50..53 => {
                let payload = common::filled(self.random.next(), log.max_record_bytes() as usize);
                (vec![(log.append(&payload).unwrap(), payload)], true)
            }
            53..70 => {
                let group = self.append_batch(&log);
                let committed = !group.is_empty();
                (group, committed)
            }
            70..76 => {
                let tail = log.tail();
                assert!(log.commit().unwrap() >= tail);
                (Vec::new(), true)
            }
            76..84 => {
                let tail = log.tail();
                assert!(log.sync().unwrap() >= tail && log.durable() >= tail);
                (Vec::new(), true)
            }
            84..88 => {
                let any = self.ever.keys().nth(self.random.below(50) as usize).copied();
                let (lsn, tail) = (any.unwrap_or_default(), log.tail());
                assert!(log.sync_to(lsn).unwrap() >= tail.min(Lsn::new(lsn.get() + 1)));
                (Vec::new(), false)
            }
            88..93 => {
                log.roll().unwrap();
                (Vec::new(), false)
            }
            93..97 => {
                self.log = None;
                log.close().unwrap();
                (Vec::new(), true)
            }
            _ => {
                self.log = None;
                drop(log);
                (Vec::new(), true)
            }
        }
    }

    fn append_batch(&mut self, log: &Log) -> Records {
        let payloads: Vec<_> = (0..self.random.below(7)).map(|_| self.random.bytes(1200)).collect();
        let range = log.append_batch(&payloads).unwrap();
        let mut at = range.start.get();
        let mut group = Records::new();
        for payload in payloads {
            let lsn = Lsn::new(at);
            at += 16 + payload.len().next_multiple_of(8) as u64;
            group.push((lsn, payload));
        }
        assert_eq!(range.end.get(), at, "a batch is one stretch");
        group
    }

    fn step(&mut self) {
        if self.random.chance(20) {
            self.camera.arm(self.random.below(12));
        }
        let (group, committed) = self.operate();
        if let Some(image) = self.camera.develop() {
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
        if committed {
            self.kept.extend(self.pending.drain(..).flatten());
        }
        if self.log.is_none() {
            self.reopen();
        }
        match self.random.below(10) {
            0 => self.crash(self.camera.disk.image(), Vec::new()),
            1 => self.peek(),
            2 | 3 => self.compare(),
            _ => {}
        }
    }

    /// The process died, and left this behind; `unanswered` is what it was about to append.
    fn crash(&mut self, image: Image, unanswered: Records) {
        self.log = None;
        self.mount(image);
        if !unanswered.is_empty() {
            self.pending.push(unanswered);
        }
        self.reopen();
    }

    /// Looks at what would be there had the process died now.
    fn peek(&self) {
        let log = open_image(&self.camera.disk.image()).unwrap();
        let seen = records(&log);
        self.check_kept(&seen);
        let may_follow: Vec<_> = self.pending.iter().flatten().cloned().collect();
        assert!(may_follow.starts_with(&seen[self.kept.len()..]));
    }

    /// Asks for each address there ever was.
    fn look_up(&self) {
        let snapshot = self.log().snapshot();
        let kept: BTreeMap<_, _> = self.kept.iter().cloned().collect();
        for lsn in self.ever.keys() {
            let found = snapshot.get(*lsn).map(|record| record.payload());
            match kept.get(lsn) {
                Some(payload) => assert_eq!(found.unwrap(), payload),
                None => assert!(found.is_err(), "{lsn} was lost and is there"),
            }
        }
    }
}

#[test]
fn a_log_is_the_list_of_what_was_appended_through_crashes_and_reopening() {
    let first = seed("model");
    for case in 0..number("STRATALOG_CASES").unwrap_or(60) {
        let seed = first.wrapping_add(case);
        println!("case {case}: STRATALOG_SEED={seed} STRATALOG_CASES=1");
        let mut model = Model::new(seed);
        for _ in 0..STEPS {
            model.step();
        }
        model.compare();
        model.look_up();
    }
}
