//! Futures and callbacks: waiting for durability without a thread that blocks.
//!
//! Invariant: each ends exactly once, with what a blocking sync would have returned, though nobody
//! calls sync; whatever others do with theirs, drop or panic included.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use stratalog::storage::MemoryStorage;
use stratalog::{DurableAt, Error, Log, Lsn};

use super::common::{Random, filled, records, seed, tiny, without_hanging};
use super::faults::{Rig, is_segment_sync};
use super::tap::{Call, Event, Tap, Verdict, Watch};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor there is.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Puts the number of its future into a queue.
struct Queue(usize, Sender<usize>);

impl Wake for Queue {
    fn wake(self: Arc<Self>) {
        // The executor may be gone.
        let _ = self.1.send(self.0);
    }
}

/// Runs many futures on this thread, each polled only when it was woken, and checks what they end
/// with.
fn run_all(futures: Vec<(Lsn, DurableAt)>) {
    let (sender, woken) = channel();
    let mut left = futures.len();
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    for number in 0..left {
        sender.send(number).unwrap();
    }
    while left > 0 {
        let number = woken.recv().unwrap();
        let waker = Waker::from(Arc::new(Queue(number, sender.clone())));
        let Some((lsn, future)) = &mut futures[number] else { continue };
        if let Poll::Ready(result) = pin!(future).poll(&mut Context::from_waker(&waker)) {
            assert!(result.unwrap() > *lsn);
            futures[number] = None;
            left -= 1;
        }
    }
}

fn buffered(log: &Log, count: u64) -> Vec<Lsn> {
    (0..count).map(|key| log.append_buffered(&filled(key, 20)).unwrap()).collect()
}

#[test]
fn a_future_ends_durable_though_nobody_syncs() {
    for background in [true, false] {
        without_hanging("a future", move || {
            let log = tiny().background(background).open_with(MemoryStorage::new()).unwrap();
            for key in 0..100 {
                let lsn = log.append_buffered(&filled(key, 700)).unwrap();
                let durable = block_on(log.durable_at(lsn)).unwrap();
                assert!(durable > lsn && log.durable() >= durable);
            }
            // Beyond the tail means up to the tail.
            assert_eq!(block_on(log.durable_at(Lsn::new(u64::MAX))).unwrap(), log.tail());
        });
    }
}

#[test]
fn ten_thousand_futures_end_on_one_thread() {
    for background in [true, false] {
        without_hanging("a future", move || {
            let log = tiny().background(background).open_with(MemoryStorage::new()).unwrap();
            let futures = buffered(&log, 10_000);
            run_all(futures.into_iter().map(|lsn| (lsn, log.durable_at(lsn))).collect());
            assert!(log.durable() > log.head());
        });
    }
}

#[test]
fn futures_that_are_dropped_leave_the_others_to_end() {
    let seed = seed("futures_dropped");
    without_hanging("a future", move || {
        let mut random = Random::new(seed);
        let log = tiny().background(true).open_with(MemoryStorage::new()).unwrap();
        let mut kept = Vec::new();
        for lsn in buffered(&log, 10_000) {
            let mut future = log.durable_at(lsn);
            let polled = random.chance(50)
                && pin!(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_ready();
            if !polled && random.chance(50) {
                kept.push((lsn, future));
            }
        }
        run_all(kept);
    });
}

/// Holds up every sync of a segment while it is shut, and says so.
#[derive(Debug)]
pub(crate) struct Gate {
    shut: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Gate {
    /// A log with a thread of its own whose next sync of a segment is held up: the first receiver
    /// tells that it is, the sender lets it go on.
    pub(crate) fn log() -> (Log, Receiver<()>, Sender<()>) {
        let (here, is_here) = channel();
        let (let_on, go_on) = channel();
        let gate = Arc::new(Self { shut: Mutex::new(None) });
        let tap = Tap::new(MemoryStorage::new(), gate.clone());
        let log = tiny().background(true).open_with(tap).unwrap();
        log.append_durable(b"the first segment is there").unwrap();
        *gate.shut.lock().unwrap() = Some((here, go_on));
        (log, is_here, let_on)
    }
}

impl Watch for Gate {
    fn before(&self, event: &Event) -> Verdict {
        let held = if is_segment_sync(event) { self.shut.lock().unwrap().take() } else { None };
        if let Some((here, go_on)) = held {
            here.send(()).unwrap();
            go_on.recv().unwrap();
        }
        Verdict::Go
    }
}

#[test]
fn callbacks_of_one_sync_run_in_order_of_address_after_it() {
    let seed = seed("callback_order");
    without_hanging("a callback", move || {
        let (log, is_held, let_on) = Gate::log();
        let (sender, told) = channel();
        let first = log.append_buffered(b"first").unwrap();
        log.on_durable(first, |durable| assert!(durable.is_ok()));
        is_held.recv().unwrap();
        // None of these can be covered by the sync that is held up: it has begun.
        let mut lsns = buffered(&log, 100);
        let expected = lsns.clone();
        let mut random = Random::new(seed);
        while !lsns.is_empty() {
            let lsn = lsns.swap_remove(random.below(lsns.len() as u64) as usize);
            let (sender, log) = (sender.clone(), log.clone());
            log.clone().on_durable(lsn, move |durable| {
                let durable = durable.unwrap();
                assert!(durable > lsn && log.durable() >= durable);
                sender.send((lsn, thread::current().id())).unwrap();
            });
        }
        assert!(told.try_recv().is_err(), "called before the sync");
        let_on.send(()).unwrap();
        let calls: Vec<_> = told.iter().take(expected.len()).collect();
        assert!(calls.iter().map(|(lsn, _)| *lsn).eq(expected));
        assert!(calls.iter().all(|(_, thread)| *thread == calls[0].1), "one thread tells all");
    });
}

#[test]
fn a_callback_for_what_is_durable_already_runs_in_the_caller() {
    for background in [true, false] {
        let log = tiny().background(background).open_with(MemoryStorage::new()).unwrap();
        let lsn = log.append_durable(b"record").unwrap();
        let (sender, told) = channel();
        log.on_durable(lsn, move |durable| {
            sender.send((durable.unwrap(), thread::current().id())).unwrap();
        });
        assert_eq!(told.try_recv(), Ok((log.durable(), thread::current().id())));
    }
}

/// Appends, and once that is durable again, so many times.
fn chain(log: Log, left: u64, done: Sender<u64>) {
    let lsn = log.append_buffered(&filled(left, 700)).unwrap();
    log.clone().on_durable(lsn, move |durable| {
        assert!(durable.unwrap() > lsn);
        match left {
            0 => done.send(log.stats().segments as u64).unwrap(),
            _ => chain(log, left - 1, done),
        }
    });
}

#[test]
fn a_callback_may_append_and_ask_again() {
    for background in [true, false] {
        without_hanging("a callback", move || {
            let log = tiny().background(background).open_with(MemoryStorage::new()).unwrap();
            let (sender, done) = channel();
            for _ in 0..3 {
                chain(log.clone(), 100, sender.clone());
            }
            let segments: Vec<_> = done.iter().take(3).collect();
            assert!(segments.iter().all(|segments| *segments > 5), "{segments:?}");
            assert_eq!(records(&log).len(), 303);
        });
    }
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker's panic, which a test wants");
    }
}

#[test]
fn a_panic_of_a_callback_or_waker_harms_nobody_else() {
    without_hanging("a callback", || {
        let (log, is_held, let_on) = Gate::log();
        let (sender, told) = channel();
        let first = log.append_buffered(b"first").unwrap();
        let panicking = || panic!("a callback's panic, which a test wants");
        log.on_durable(first, move |_| panicking());
        is_held.recv().unwrap();
        let waker = Waker::from(Arc::new(Panics));
        let mut futures = Vec::new();
        for lsn in buffered(&log, 9) {
            log.on_durable(lsn, move |_| panicking());
            let mut future = log.durable_at(lsn);
            assert!(pin!(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
            futures.push(future);
            let sender = sender.clone();
            log.on_durable(lsn, move |durable| sender.send(durable.unwrap() > lsn).unwrap());
        }
        let_on.send(()).unwrap();
        assert!(told.iter().take(9).eq([true; 9]));
        for future in futures {
            block_on(future).unwrap();
        }
        assert!(log.stats().maintained && !log.stats().poisoned);
        assert!(block_on(log.durable_at(log.append(b"last").unwrap())).is_ok());
        // In the caller's own thread as well.
        log.on_durable(first, move |_| panicking());
        log.close().unwrap();
    });
}

/// Counts how often it is woken, and unparks a thread.
struct Counting(AtomicU64, Thread);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.unpark();
    }
}

#[test]
fn a_future_may_change_threads_and_wakes_whom_it_was_polled_for_last() {
    without_hanging("a future", || {
        let (log, is_held, let_on) = Gate::log();
        let lsn = log.append_buffered(b"record").unwrap();
        let mut future = log.durable_at(lsn);
        let first = Arc::new(Counting(AtomicU64::new(0), thread::current()));
        let waker = Waker::from(first.clone());
        assert!(pin!(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        is_held.recv().unwrap();
        let other = thread::spawn(move || {
            let second = Arc::new(Counting(AtomicU64::new(0), thread::current()));
            let waker = Waker::from(second.clone());
            let mut context = Context::from_waker(&waker);
            assert!(pin!(&mut future).poll(&mut context).is_pending());
            let_on.send(()).unwrap();
            while second.0.load(Ordering::SeqCst) == 0 {
                thread::park();
            }
            let Poll::Ready(result) = pin!(&mut future).poll(&mut context) else {
                panic!("woken too early")
            };
            result.unwrap()
        });
        assert!(other.join().unwrap() > lsn);
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_failed_sync_or_write_reaches_every_future_and_callback() {
    let is_write = |event: &Event| event.call == Call::Write && !event.name.contains("control");
    for applies in [is_segment_sync as fn(&Event) -> bool, is_write] {
        for background in [true, false] {
            without_hanging("a future", move || {
                let rig = Rig::new();
                let log = rig.open(background).unwrap();
                log.append_durable(b"before").unwrap();
                let lsns = buffered(&log, 50);
                let futures: Vec<_> = if background {
                    lsns.iter().map(|lsn| log.durable_at(*lsn)).collect()
                } else {
                    Vec::new()
                };
                rig.plan(applies, 0, u64::MAX, Verdict::Fail(ErrorKind::Other));
                let (sender, told) = channel();
                for lsn in &lsns {
                    let sender = sender.clone();
                    log.on_durable(*lsn, move |durable| sender.send(durable).unwrap());
                }
                let failures = told.iter().take(50).map(Result::unwrap_err);
                let failures: Vec<_> =
                    failures.chain(futures.into_iter().map(|f| block_on(f).unwrap_err())).collect();
                // A call that syncs by itself is told that its own sync failed.
                let own = |error: &Error| matches!(error, Error::Io { .. });
                assert_eq!(
                    failures.iter().filter(|error| own(error)).count(),
                    usize::from(!background)
                );
                for error in failures.iter().filter(|error| !own(error)) {
                    assert!(matches!(error, Error::Poisoned { .. }), "{error:?}");
                }
                let late = block_on(log.durable_at(log.head())).unwrap_err();
                assert!(matches!(late, Error::Poisoned { .. }), "{late:?}");
                assert!(log.close().is_err());
            });
        }
    }
}

#[test]
fn closing_or_dropping_the_log_ends_every_future_and_callback() {
    for (close, background) in [(true, true), (true, false), (false, true), (false, false)] {
        without_hanging("a future", move || {
            let disk = MemoryStorage::new();
            let log = tiny().background(background).open_with(disk.clone()).unwrap();
            let (sender, told) = channel();
            let mut futures = Vec::new();
            for lsn in buffered(&log, 200) {
                let sender = sender.clone();
                log.on_durable(lsn, move |durable| sender.send((lsn, durable.unwrap())).unwrap());
                let mut future = log.durable_at(lsn);
                if lsn.get() % 16 == 0 {
                    let _ = pin!(&mut future).poll(&mut Context::from_waker(Waker::noop()));
                }
                futures.push((lsn, future));
            }
            if close {
                log.close().unwrap();
            } else {
                drop(log);
            }
            // The futures do not keep it open.
            let reopened = tiny().open_with(disk).unwrap();
            assert!(reopened.recovery().clean);
            assert!(told.iter().take(200).all(|(lsn, durable)| durable > lsn));
            for (lsn, future) in futures {
                assert!(block_on(future).unwrap() > lsn);
            }
        });
    }
}

#[test]
fn a_log_that_was_closed_before_says_so_at_once() {
    for background in [true, false] {
        let log = tiny().background(background).open_with(MemoryStorage::new()).unwrap();
        let lsn = log.append(b"record").unwrap();
        log.clone().close().unwrap();
        assert!(matches!(block_on(log.durable_at(lsn)), Err(Error::Closed)));
        let (sender, told) = channel();
        log.on_durable(lsn, move |durable| sender.send(durable).unwrap());
        assert!(matches!(told.try_recv(), Ok(Err(Error::Closed))));
    }
}

#[test]
fn a_callback_may_close_the_log_or_drop_its_last_handle() {
    for close in [true, false] {
        without_hanging("closing", move || {
            let (log, is_held, let_on) = Gate::log();
            let disk = log.append_buffered(b"record").unwrap();
            let (sender, told) = channel();
            let other = log.clone();
            log.on_durable(disk, move |durable| {
                let stats = other.stats();
                if close {
                    other.close().unwrap();
                } else {
                    drop(other);
                }
                sender.send((durable.is_ok(), stats.maintained)).unwrap();
            });
            is_held.recv().unwrap();
            let durable = log.durable_at(disk);
            drop(log);
            let_on.send(()).unwrap();
            assert_eq!(told.recv(), Ok((true, true)));
            assert!(block_on(durable).is_ok());
        });
    }
}

#[test]
fn a_callback_may_use_a_log_that_is_closing() {
    without_hanging("closing", || {
        let (log, is_held, let_on) = Gate::log();
        let (sender, told) = channel();
        let first = log.append_buffered(b"first").unwrap();
        log.on_durable(first, |_| ());
        is_held.recv().unwrap();
        let lsn = log.append_buffered(b"second").unwrap();
        let other = log.clone();
        log.on_durable(lsn, move |durable| {
            let refused = [other.append(b"more").unwrap_err(), other.clone().close().unwrap_err()];
            let closed = refused.iter().all(|error| matches!(error, Error::Closed));
            sender.send(durable.is_ok() && closed && !other.stats().maintained).unwrap();
        });
        let user = log.clone();
        let closer = thread::spawn(move || log.close());
        // Appends nothing: who filled segments would wait for the sync, before it is let on.
        while user.append_batch(&[b""; 0]).is_ok() {
            thread::yield_now();
        }
        let_on.send(()).unwrap();
        assert_eq!(told.recv(), Ok(true));
        closer.join().unwrap().unwrap();
    });
}
