//! Following by tasks: wakers that are replaced, dropped, panic or run their task on the spot.
//!
//! Invariant: a task is woken when what it waits for is there, and not before; whatever its waker does
//! harms no appender and no other follower.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use stratalog::{Error, Follower, Log, Lsn};

use super::{DURABLE, memory_log, ready};
use crate::asynchronous::block_on;
use crate::common::{filled, records, without_hanging};

/// Counts how often it is woken.
#[derive(Default)]
struct Counting(AtomicU64);

impl Counting {
    fn poll(self: &Arc<Self>, follower: &mut Follower) -> Option<Lsn> {
        let waker = Waker::from(Arc::clone(self));
        match follower.poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(record) => Some(record.unwrap().lsn()),
            Poll::Pending => None,
        }
    }

    fn woken(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_is_woken_once_and_only_for_what_it_waits_for() {
    let log = memory_log(false);
    let mut committed = log.follow(log.head()).unwrap();
    let mut durable = log.follow_with(log.head(), DURABLE).unwrap();
    let (first, second) = (Arc::new(Counting::default()), Arc::new(Counting::default()));
    let of_durable = Arc::new(Counting::default());
    assert_eq!(first.poll(&mut committed), None);
    assert_eq!(second.poll(&mut committed), None);
    assert_eq!(of_durable.poll(&mut durable), None);
    let lsn = log.append(b"one").unwrap();
    log.append(b"two").unwrap();
    assert_eq!((first.woken(), second.woken(), of_durable.woken()), (0, 1, 0));
    assert_eq!(second.poll(&mut committed), Some(lsn));
    log.sync().unwrap();
    assert_eq!(of_durable.woken(), 1);
    assert_eq!(of_durable.poll(&mut durable), Some(lsn));
    // Dropped, or satisfied otherwise, nobody is woken for it.
    assert_eq!(ready(&mut committed).len(), 1);
    assert_eq!(first.poll(&mut committed), None);
    drop(committed);
    log.append(b"three").unwrap();
    assert_eq!((first.woken(), second.woken(), of_durable.woken()), (0, 1, 1));
}

#[test]
fn a_future_that_is_dropped_loses_no_record() {
    let log = memory_log(false);
    let mut follower = log.follow(log.head()).unwrap();
    let counting = Arc::new(Counting::default());
    let waker = Waker::from(Arc::clone(&counting));
    let mut context = Context::from_waker(&waker);
    for round in 0..50 {
        assert!(pin!(follower.next_async()).poll(&mut context).is_pending());
        let lsn = log.append(&filled(round, 500)).unwrap();
        assert!(pin!(follower.ready()).poll(&mut context).is_ready());
        let Poll::Ready(record) = pin!(follower.next_async()).poll(&mut context) else {
            panic!("it is there")
        };
        assert_eq!(record.unwrap().lsn(), lsn);
    }
    assert_eq!(counting.woken(), 50);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker's panic, which a test wants");
    }
}

/// Runs its task where it is woken, as some executors do: the task appends, and waits for more.
struct Inline {
    log: Log,
    follower: Mutex<Follower>,
    seen: AtomicU64,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut context = Context::from_waker(&waker);
        // Woken by its own append, it is at work already.
        let Ok(mut follower) = self.follower.try_lock() else { return };
        while let Poll::Ready(record) = follower.poll_next(&mut context) {
            let Ok(len) = record.map(|record| record.payload().len()) else { return };
            self.seen.fetch_add(1, Ordering::SeqCst);
            if len != 2100 {
                self.log.append(&[0; 2100]).unwrap();
            }
        }
    }
}

#[test]
fn a_waker_may_append_and_panic() {
    without_hanging("an append", || {
        let log = memory_log(false);
        let mut other = log.follow(log.head()).unwrap();
        let inline = Arc::new(Inline {
            log: log.clone(),
            follower: Mutex::new(log.follow(log.head()).unwrap()),
            seen: AtomicU64::new(0),
        });
        Arc::clone(&inline).wake();
        let appender = |writer: u64| {
            let log = log.clone();
            thread::spawn(move || {
                for number in 0..100 {
                    // Some through the ring, some beside it.
                    log.append(&filled(number, if number % 3 == writer { 3000 } else { 10 }))
                        .unwrap();
                }
            })
        };
        let waker = Waker::from(Arc::new(Panics));
        assert!(other.poll_next(&mut Context::from_waker(&waker)).is_pending());
        for thread in [appender(0), appender(1), appender(2)] {
            thread.join().unwrap();
        }
        Arc::clone(&inline).wake();
        assert_eq!(inline.seen.load(Ordering::SeqCst), 600);
        assert_eq!(ready(&mut other).len(), 600);
        log.close().unwrap();
        assert!(matches!(other.try_next(), Err(Error::Closed)));
    });
}

#[test]
fn a_task_may_change_threads() {
    without_hanging("a follower", || {
        let log = memory_log(true);
        let mut follower = log.follow(log.head()).unwrap();
        let (sender, receiver) = channel();
        let appending = log.clone();
        let appender = thread::spawn(move || {
            for number in 0..200 {
                appending.append(&filled(number, 100)).unwrap();
            }
        });
        for _ in 0..200 {
            let sender = sender.clone();
            // Left in the list by this thread, waited for by another.
            let polled = Arc::new(Counting::default()).poll(&mut follower);
            let other = thread::spawn(move || {
                let lsn = polled.unwrap_or_else(|| block_on(follower.next_async()).unwrap().lsn());
                sender.send(lsn).unwrap();
                follower
            });
            follower = other.join().unwrap();
        }
        appender.join().unwrap();
        let expected: Vec<_> = records(&log).into_iter().map(|(lsn, _)| lsn).collect();
        assert!(receiver.try_iter().eq(expected));
    });
}
