//! Closing while others are at work, and what a closed log still answers.
//!
//! Invariant: after `close` returned this process changes nothing on the disk any more, whoever was
//! in the middle of what; and all that was acknowledged is there.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use stratalog::Error;
use stratalog::storage::MemoryStorage;

use super::common::{filled, records, seed, tiny, without_hanging};
use super::concurrency::{WRITERS, Writer};
use super::faults::is_segment;
use super::tap::{Call, Event, Tap, Verdict, Watch};

/// Finds out who changes something after the log was closed.
#[derive(Debug, Default)]
struct Late {
    closed: AtomicBool,
    events: Mutex<Vec<Event>>,
}

impl Late {
    fn look(&self, event: &Event) {
        if self.closed.load(Ordering::SeqCst) && event.call.changes() {
            self.events.lock().unwrap().push(event.clone());
        }
    }
}

impl Watch for Late {
    fn before(&self, event: &Event) -> Verdict {
        self.look(event);
        Verdict::Go
    }

    fn after(&self, event: &Event, _ok: bool) {
        self.look(event);
    }
}

#[test]
fn closing_beside_appends_loses_nothing_that_was_acknowledged() {
    let seed = seed("closing");
    without_hanging("closing", move || {
        for round in 0..20 {
            let (disk, late) = (MemoryStorage::new(), Arc::new(Late::default()));
            let tap = Tap::new(disk.clone(), late.clone());
            let log = tiny().background(round % 2 == 0).open_with(tap).unwrap();
            let writers: Vec<_> = (0..WRITERS)
                .map(|number| {
                    let mut writer = Writer::new(&log, number, seed + round);
                    thread::spawn(move || {
                        let failed = (0..).find_map(|call| writer.call(call).err());
                        assert!(matches!(failed, Some(Error::Closed)), "{failed:?}");
                        writer.acknowledged
                    })
                })
                .collect();
            while log.stats().segments < 3 + round as usize {
                thread::yield_now();
            }
            log.close().unwrap();
            late.closed.store(true, Ordering::SeqCst);
            let acknowledged: Vec<_> =
                writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
            let events = late.events.lock().unwrap();
            assert!(events.is_empty(), "after closing: {events:?}");
            let reopened = tiny().open_with(disk).unwrap();
            assert!(reopened.recovery().clean);
            let kept: BTreeMap<_, _> = records(&reopened).into_iter().collect();
            for (lsn, payload) in acknowledged {
                assert!(kept.get(&lsn) == Some(&payload), "{lsn} is lost");
            }
        }
    });
}

/// Stops the second creation of a file where it begins, says so, and waits to be let on.
#[derive(Debug)]
struct Gate {
    calls: Mutex<(u32, Sender<()>, Receiver<()>)>,
}

impl Watch for Gate {
    fn before(&self, event: &Event) -> Verdict {
        if event.call == Call::Create && event.name.contains(".seg") {
            let mut calls = self.calls.lock().unwrap();
            calls.0 += 1;
            if calls.0 == 2 {
                calls.1.send(()).unwrap();
                calls.2.recv().unwrap();
            }
        }
        Verdict::Go
    }
}

#[test]
fn closing_waits_for_an_appender_that_makes_a_segment() {
    let (at_gate, arrived) = channel();
    let (let_on, open_gate) = channel();
    let gate = Arc::new(Gate { calls: Mutex::new((0, at_gate, open_gate)) });
    let disk = MemoryStorage::new();
    let log = tiny().open_with(Tap::new(disk.clone(), gate)).unwrap();
    let appender = log.clone();
    let appender = thread::spawn(move || {
        (0..).find_map(|key| appender.append(&filled(key, 700)).err()).expect("closed in the end")
    });
    arrived.recv().unwrap();
    let (tell, told) = channel();
    let closer = thread::spawn(move || tell.send(log.close()).unwrap());
    // If closing does not wait it returns at once; if it does this is how long it has to.
    let early = told.recv_timeout(Duration::from_millis(300));
    let before = disk.image();
    let_on.send(()).unwrap();
    let failure = appender.join().unwrap();
    assert!(matches!(failure, Error::Closed), "{failure:?}");
    assert!(early.is_err() || disk.image() == before, "the disk was changed after closing");
    if early.is_err() {
        told.recv().unwrap().unwrap();
    }
    closer.join().unwrap();
    assert!(tiny().open_with(disk).unwrap().recovery().clean);
}

/// Stops the first large write where it begins, and fails all syncs.
#[derive(Debug)]
struct Slow {
    gate: Mutex<(Sender<()>, Receiver<()>)>,
    late: Late,
}

impl Watch for Slow {
    fn before(&self, event: &Event) -> Verdict {
        self.late.look(event);
        let in_segment = is_segment(event);
        if in_segment && event.call == Call::Write && event.len > 1000 {
            let gate = self.gate.lock().unwrap();
            gate.0.send(()).unwrap();
            gate.1.recv().unwrap();
        }
        if in_segment && event.call == Call::Sync {
            return Verdict::Fail(ErrorKind::Other);
        }
        Verdict::Go
    }

    fn after(&self, event: &Event, _ok: bool) {
        self.late.look(event);
    }
}

#[test]
fn closing_a_poisoned_log_waits_for_a_write_that_is_under_way() {
    for bytes in [1500, 5000] {
        let (at_gate, arrived) = channel();
        let (let_on, open_gate) = channel();
        let gate = Mutex::new((at_gate, open_gate));
        let slow = Arc::new(Slow { gate, late: Late::default() });
        let log = tiny().open_with(Tap::new(MemoryStorage::new(), slow.clone())).unwrap();
        let first = log.append(b"first").unwrap();
        let appender = log.clone();
        let appender = thread::spawn(move || appender.append(&filled(1, bytes)));
        arrived.recv().unwrap();
        assert!(log.sync_to(first).is_err());
        let (tell, told) = channel();
        let (watch, closer_log) = (slow.clone(), log.clone());
        let closer = thread::spawn(move || {
            let result = closer_log.close();
            watch.late.closed.store(true, Ordering::SeqCst);
            tell.send(result).unwrap();
        });
        let early = told.recv_timeout(Duration::from_millis(300));
        let_on.send(()).unwrap();
        let _indeterminate = appender.join().unwrap();
        closer.join().unwrap();
        let result = early.unwrap_or_else(|_| told.recv().unwrap());
        assert!(result.is_err());
        let events = slow.late.events.lock().unwrap();
        assert!(events.is_empty(), "after closing: {events:?}");
    }
}

#[test]
fn a_closed_log_still_reads_and_refuses_the_rest() {
    for background in [false, true] {
        let log = tiny().background(background).open_with(MemoryStorage::new()).unwrap();
        let lsn = log.append(b"kept").unwrap();
        let other = log.clone();
        log.close().unwrap();
        let refusals = [
            other.append(b"more").unwrap_err(),
            other.append_buffered(b"more").unwrap_err(),
            other.append_durable(b"more").unwrap_err(),
            other.append_with(4, |_| ()).unwrap_err(),
            other.append_batch(&["more"]).unwrap_err(),
            other.roll().unwrap_err(),
        ];
        for refusal in refusals {
            assert!(matches!(refusal, Error::Closed), "{refusal:?}");
        }
        assert_eq!([other.durable(), other.committed()], [other.tail(); 2]);
        assert_eq!(other.snapshot().get(lsn).unwrap().payload(), b"kept");
        assert!(matches!(other.clone().close(), Err(Error::Closed)));
    }
}
