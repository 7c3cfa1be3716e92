//! Following a log: by threads and tasks, beside appenders, up to its end.
//!
//! Invariant: every follower hands out what was appended, all of it from where it began, in order and
//! once, and nothing that is not committed, or durable where it was asked for that; then it says why
//! nothing more will come.

mod shortened;
mod tasks;

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use stratalog::storage::MemoryStorage;
use stratalog::{Error, FollowOptions, Follower, Log, Lsn, ReadOptions, Record};

use super::asynchronous::{Gate, block_on};
use super::common::{
    Random, Records, Tag, check_tags, filled, records, seed, tiny, without_hanging,
};
use super::faults::{Rig, is_frame_write, is_segment_sync};
use super::tap::Verdict;

const DURABLE: FollowOptions = FollowOptions::new().durable_only(true);

fn memory_log(background: bool) -> Log {
    tiny().background(background).open_with(MemoryStorage::new()).unwrap()
}

fn owned(record: Record<'_>) -> (Lsn, Vec<u8>) {
    (record.lsn(), record.payload().to_vec())
}

/// The ways to ask for the next record.
#[derive(Clone, Copy, Debug)]
enum Way {
    Next,
    Timeout,
    Try,
    Async,
    Ready,
}

const WAYS: [Way; 5] = [Way::Next, Way::Timeout, Way::Try, Way::Async, Way::Ready];

impl Way {
    fn next(self, follower: &mut Follower) -> Result<(Lsn, Vec<u8>), Error> {
        match self {
            Self::Next => follower.next().map(owned),
            Self::Timeout => loop {
                if let Some(record) = follower.next_timeout(Duration::from_micros(50))? {
                    return Ok(owned(record));
                }
            },
            Self::Try => loop {
                if let Some(record) = follower.try_next()? {
                    return Ok(owned(record));
                }
                thread::yield_now();
            },
            Self::Async => block_on(follower.next_async()).map(owned),
            Self::Ready => {
                block_on(follower.ready())?;
                Ok(owned(follower.try_next()?.expect("it is ready")))
            }
        }
    }

    /// All that there is until the end, and what that is.
    fn all(self, follower: &mut Follower) -> (Records, Error) {
        let mut seen = Records::new();
        loop {
            match self.next(follower) {
                Ok(record) => seen.push(record),
                Err(error) => return (seen, error),
            }
        }
    }
}

/// What is there now.
fn ready(follower: &mut Follower) -> Vec<Lsn> {
    let mut seen = Vec::new();
    while let Some(record) = follower.try_next().unwrap() {
        seen.push(record.lsn());
    }
    seen
}

/// Appends in all ways.
fn append_some(log: &Log, writer: u32, calls: u32, mut random: Random) {
    for call in 0..calls {
        let single = Tag::single(writer, call).payload(random.below(900) as usize);
        match random.below(6) {
            0 => drop(log.append_durable(&single).unwrap()),
            1 | 2 => drop(log.append_buffered(&single).unwrap()),
            3 => {
                let parts = 1 + random.below(5) as u32;
                let tag = |part| Tag { writer, call, part, parts };
                let batch: Vec<_> = (0..parts).map(|part| tag(part).payload(50)).collect();
                assert!(!log.append_batch(&batch).unwrap().is_empty());
            }
            // Beyond half of the ring: written by its owner.
            4 => drop(log.append(&Tag::single(writer, call).payload(3000)).unwrap()),
            _ => drop(log.append(&single).unwrap()),
        }
    }
}

#[test]
fn many_followers_see_what_several_appenders_append() {
    let seed = seed("many_followers");
    for background in [true, false] {
        without_hanging("a follower", move || {
            let mut random = Random::new(seed);
            let log = memory_log(background);
            let follow = |number: usize| {
                let options = FollowOptions::new()
                    .durable_only(number.is_multiple_of(3))
                    .read(ReadOptions::new().copy(number.is_multiple_of(4)));
                let mut follower = log.follow_with(log.head(), options).unwrap();
                thread::spawn(move || WAYS[number % WAYS.len()].all(&mut follower))
            };
            let followers: Vec<_> = (0..12).map(follow).collect();
            let append = |writer: u32| {
                let (log, random) = (log.clone(), Random::new(random.next()));
                thread::spawn(move || append_some(&log, writer, 150, random))
            };
            for appender in (0..4).map(append).collect::<Vec<_>>() {
                appender.join().unwrap();
            }
            log.commit().unwrap();
            let appended = records(&log);
            assert!(log.stats().segments > 10 && appended.len() >= 600);
            check_tags(&appended);
            log.close().unwrap();
            for (number, follower) in followers.into_iter().enumerate() {
                let (seen, end) = follower.join().unwrap();
                assert!(seen == appended, "follower {number} saw something else");
                assert!(matches!(end, Error::Closed), "{end:?}");
            }
        });
    }
}

#[test]
fn a_follower_can_be_begun_anew_at_each_of_its_positions() {
    let seed = seed("positions");
    let log = memory_log(false);
    append_some(&log, 0, 60, Random::new(seed));
    log.commit().unwrap();
    let all: Vec<_> = records(&log).into_iter().map(|(lsn, _)| lsn).collect();
    let mut follower = log.follow(log.head()).unwrap();
    for handed_out in 0..=all.len() {
        let position = follower.position();
        assert_eq!(ready(&mut log.follow(position).unwrap()), all[handed_out..]);
        assert_eq!(
            follower.try_next().unwrap().map(|record| record.lsn()),
            all.get(handed_out).copied()
        );
    }
    assert_eq!(follower.position(), log.committed());
}

#[test]
fn following_from_no_place_to_resume_from_is_a_named_error() {
    let log = memory_log(false);
    let lsn = log.append(b"record").unwrap();
    log.append_buffered(b"in memory").unwrap();
    let below = log.follow(Lsn::new(log.head().get() - 8)).unwrap_err();
    assert!(matches!(below, Error::Truncated { .. }), "{below:?}");
    let inside = log.follow(Lsn::new(lsn.get() + 8)).unwrap_err();
    assert!(matches!(inside, Error::NotARecord { .. }), "{inside:?}");
    let above = log.follow(log.tail()).unwrap_err();
    assert!(matches!(above, Error::NotYet { .. }), "{above:?}");
    // What is committed and not yet durable is a place for one that waits for durable records too.
    let mut follower = log.follow_with(log.committed(), DURABLE).unwrap();
    log.sync().unwrap();
    assert_eq!(follower.try_next().unwrap().unwrap().payload(), b"in memory");
}

#[test]
fn what_is_buffered_is_handed_out_when_someone_commits_it() {
    for way in [Way::Next, Way::Async] {
        without_hanging("a follower", move || {
            let log = memory_log(false);
            let mut follower = log.follow(log.head()).unwrap();
            let lsn = log.append_buffered(b"buffered").unwrap();
            assert!(follower.try_next().unwrap().is_none());
            let thread = thread::spawn(move || way.next(&mut follower).unwrap());
            assert!(log.append_buffered(b"another").unwrap() > lsn);
            assert_eq!(log.committed(), log.head(), "a follower makes nobody commit");
            log.commit().unwrap();
            assert_eq!(thread.join().unwrap(), (lsn, b"buffered".to_vec()));
        });
    }
}

#[test]
fn only_what_is_durable_is_handed_out_to_who_asks_for_that() {
    without_hanging("a follower", || {
        let (log, is_held, let_on) = Gate::log();
        let mut committed = log.follow(log.committed()).unwrap();
        let mut durable = log.follow_with(log.committed(), DURABLE).unwrap();
        let lsn = log.append(b"committed").unwrap();
        assert_eq!(ready(&mut committed), [lsn]);
        let syncing = log.clone();
        let sync = thread::spawn(move || syncing.sync().unwrap());
        is_held.recv().unwrap();
        assert!(durable.try_next().unwrap().is_none());
        let waiting = thread::spawn(move || {
            let seen = durable.next().unwrap().lsn();
            (seen, durable)
        });
        // This one is not covered by the sync that is under way.
        let later = log.append(b"later").unwrap();
        let_on.send(()).unwrap();
        let (seen, mut durable) = waiting.join().unwrap();
        assert!(seen == lsn && sync.join().unwrap() > lsn);
        assert!(log.durable() > later || durable.try_next().unwrap().is_none());
        log.sync().unwrap();
        assert_eq!(durable.next().unwrap().lsn(), later);
    });
}

#[test]
fn what_is_handed_out_as_durable_is_durable_then() {
    let seed = seed("durable_only");
    without_hanging("a follower", move || {
        let log = memory_log(true);
        let append = |writer: u32| {
            let log = log.clone();
            let random = Random::new(seed ^ u64::from(writer));
            thread::spawn(move || append_some(&log, writer, 200, random))
        };
        let mut follower = log.follow_with(log.head(), DURABLE).unwrap();
        let appenders = [append(1), append(2)];
        let closing = log.clone();
        let closer = thread::spawn(move || {
            for appender in appenders {
                appender.join().unwrap();
            }
            closing.close().unwrap();
        });
        let mut seen = 0;
        while let Ok(record) = follower.next() {
            seen += 1;
            assert!(log.durable() >= record.next_lsn());
        }
        closer.join().unwrap();
        assert_eq!(seen, records(&log).len());
    });
}

#[test]
fn a_time_that_runs_out_loses_nothing() {
    without_hanging("a follower", || {
        let log = memory_log(false);
        let mut follower = log.follow(log.head()).unwrap();
        for timeout in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(2)] {
            assert!(follower.next_timeout(timeout).unwrap().is_none());
            let lsn = log.append(b"record").unwrap();
            let record = follower.next_timeout(timeout).unwrap().expect("it is there");
            assert_eq!(record.lsn(), lsn);
        }
        let thread = thread::spawn(move || {
            follower.next_timeout(Duration::MAX).unwrap().map(|record| record.lsn())
        });
        let lsn = log.append(b"record").unwrap();
        assert_eq!(thread.join().unwrap(), Some(lsn));
    });
}

#[test]
fn closing_or_dropping_the_log_ends_every_follower_after_the_last_record() {
    let ends = [(true, true), (true, false), (false, true), (false, false)];
    for (close, background) in ends {
        without_hanging("a follower", move || {
            let disk = MemoryStorage::new();
            let log = tiny().background(background).open_with(disk.clone()).unwrap();
            let mut followers = Vec::new();
            for (number, way) in WAYS.iter().cycle().take(20).enumerate() {
                let options = FollowOptions::new().durable_only(number.is_multiple_of(2));
                let from = if number % 4 < 2 { log.head() } else { log.committed() };
                let mut follower = log.follow_with(from, options).unwrap();
                followers.push(thread::spawn(move || way.all(&mut follower)));
            }
            for key in 0..100 {
                log.append_buffered(&filled(key, 300)).unwrap();
            }
            let mut late = log.follow(log.head()).unwrap();
            if close {
                log.close().unwrap();
            } else {
                drop(log);
            }
            // They do not keep it open.
            let reopened = tiny().open_with(disk).unwrap();
            assert!(reopened.recovery().clean);
            let expected = records(&reopened);
            assert_eq!(expected.len(), 100);
            for follower in followers {
                let (seen, end) = follower.join().unwrap();
                assert!(seen == expected && matches!(end, Error::Closed), "{end:?}");
            }
            let (seen, end) = Way::Next.all(&mut late);
            assert!(seen == expected && matches!(end, Error::Closed), "{end:?}");
            for _ in 0..3 {
                assert!(matches!(late.try_next(), Err(Error::Closed)));
                assert!(matches!(block_on(late.ready()), Err(Error::Closed)));
            }
        });
    }
}

#[test]
fn a_failure_ends_every_follower_after_what_can_be_trusted() {
    for (applies, durable_only) in [
        (is_frame_write as fn(&_) -> bool, false),
        (is_segment_sync, false),
        (is_segment_sync, true),
    ] {
        for way in WAYS {
            without_hanging("a follower", move || {
                let rig = Rig::new();
                let log = rig.open(false).unwrap();
                let options = FollowOptions::new().durable_only(durable_only);
                let first = log.append_durable(b"durable").unwrap();
                let mut waiting = log.follow_with(log.committed(), options).unwrap();
                let mut behind = log.follow_with(log.head(), options).unwrap();
                rig.plan(applies, 0, 1, Verdict::Fail(ErrorKind::Other));
                let thread = thread::spawn(move || way.all(&mut waiting));
                assert!(log.append_durable(b"fails").is_err());
                let (seen, end) = thread.join().unwrap();
                assert!(matches!(end, Error::Poisoned { .. }), "{end:?}");
                assert!(seen.len() <= usize::from(!durable_only && rig.failed() == 1));
                let (seen, end) = way.all(&mut behind);
                assert!(matches!(end, Error::Poisoned { .. }), "{end:?}");
                assert_eq!(seen, [(first, b"durable".to_vec())]);
                assert!(log.close().is_err());
            });
        }
    }
}
