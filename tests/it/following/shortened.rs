//! Following a log that is made shorter, at either end, while it is followed.
//!
//! Invariant: nothing that was kept is left out in silence. Who was overtaken is told `Truncated`, who
//! stands in what was cut away `Cut`, and everyone else goes on.

use std::mem::take;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;

use stratalog::storage::MemoryStorage;
use stratalog::{Error, FollowOptions, Follower, Log, Lsn};

use super::{DURABLE, WAYS, Way, memory_log, ready};
use crate::common::{filled, tiny, without_hanging};
use crate::tap::{Call, Event, Tap, Verdict, Watch};

const BOTH: [FollowOptions; 2] = [FollowOptions::new(), DURABLE];

/// Appends so many records of a kilobyte, eight to a segment, and syncs.
fn append(log: &Log, count: u64) -> Vec<Lsn> {
    let lsns = (0..count).map(|key| log.append(&filled(key, 1000)).unwrap()).collect();
    log.sync().unwrap();
    lsns
}

fn follow(log: &Log, lsn: Lsn, options: FollowOptions) -> Follower {
    log.follow_with(lsn, options).unwrap()
}

/// What is there, and the error that ends it.
fn rest(follower: &mut Follower) -> (Vec<Lsn>, Error) {
    let (seen, end) = Way::Try.all(follower);
    (seen.into_iter().map(|(lsn, _)| lsn).collect(), end)
}

/// It ends here with this, and stays ended.
#[track_caller]
fn assert_cut(follower: &mut Follower, at: Lsn) {
    for way in WAYS {
        let error = way.next(follower).unwrap_err();
        assert!(matches!(error, Error::Cut { lsn, .. } if lsn == at), "{error:?}");
    }
    assert_eq!(follower.position(), at);
}

#[test]
fn one_that_a_truncation_overtakes_says_so_and_one_that_has_seen_all_goes_on() {
    for options in BOTH {
        let log = memory_log(false);
        let lsns = append(&log, 60);
        let mut behind = follow(&log, lsns[3], options);
        let mut reading = follow(&log, lsns[3], options);
        assert_eq!(reading.next().unwrap().lsn(), lsns[3]);
        let mut at_head = follow(&log, lsns[40], options);
        let mut at_end = follow(&log, log.tail(), options);
        assert_eq!(log.truncate_before(lsns[40]).unwrap(), lsns[40]);
        for way in WAYS {
            let error = way.next(&mut behind).unwrap_err();
            let Error::Truncated { lsn, head, .. } = error else { panic!("{error:?}") };
            assert_eq!((lsn, head), (lsns[3], lsns[40]));
        }
        // It goes on in the segment that it pins, whose file is dropped.
        let (seen, error) = rest(&mut reading);
        assert!(!seen.is_empty() && seen.len() < 8 && lsns[4..].starts_with(&seen), "{seen:?}");
        let Error::Truncated { lsn, head, .. } = error else { panic!("{error:?}") };
        assert_eq!((lsn, head), (reading.position(), lsns[40]));
        assert_eq!(ready(&mut at_head), lsns[40..]);
        // The whole log: who has seen it misses nothing.
        assert_eq!(log.truncate_before(log.tail()).unwrap(), log.tail());
        let more = append(&log, 20);
        assert_eq!(ready(&mut at_head), more);
        assert_eq!(ready(&mut at_end), more);
        assert!(matches!(log.follow(lsns[40]), Err(Error::Truncated { .. })));
    }
}

#[test]
fn one_inside_a_cut_or_at_the_old_tail_says_so_and_one_at_its_end_goes_on() {
    // In the first segment, in the last, in between; at either end of a record.
    for (kept, keep) in [(1, false), (13, true), (20, true), (20, false), (57, true), (58, true)] {
        for options in BOTH {
            let log = memory_log(false);
            let lsns = append(&log, 60);
            let old_tail = log.tail();
            let end = kept + usize::from(keep);
            let mut inside: Vec<_> =
                lsns[end + 1..].iter().map(|lsn| (*lsn, follow(&log, *lsn, options))).collect();
            inside.push((old_tail, follow(&log, old_tail, options)));
            let mut at_end = follow(&log, lsns[end], options);
            let mut waiting = follow(&log, lsns[end], options);
            let mut before = follow(&log, lsns[0], options);
            if keep { log.truncate_after(lsns[kept]) } else { log.truncate_from(lsns[kept]) }
                .unwrap();
            for (lsn, follower) in &mut inside {
                assert_cut(follower, *lsn);
            }
            // Where nothing was appended since.
            assert!(ready(&mut at_end).is_empty());
            assert_eq!(at_end.position(), lsns[end], "{kept} {keep}");
            let more = append(&log, 20);
            assert_eq!(ready(&mut at_end), more);
            assert_eq!(ready(&mut waiting), more);
            assert_eq!(ready(&mut before), [&lsns[..end], &more].concat());
            // Once more to the same end, which is not where the log had gone on.
            log.truncate_from(more[0]).unwrap();
            assert_cut(&mut waiting, Lsn::new(more[19].get() + 1016));
        }
    }
}

#[test]
fn one_that_was_shown_what_is_cut_away_then_says_so_also_when_the_head_has_passed_it() {
    for truncates in [false, true] {
        let log = memory_log(false);
        let lsns = append(&log, 30);
        let mut follower = follow(&log, lsns[0], DURABLE);
        assert_eq!(ready(&mut follower), lsns);
        let position = follower.position();
        log.truncate_after(lsns[25]).unwrap();
        let more = append(&log, 40);
        if truncates {
            log.truncate_before(more[20]).unwrap();
        }
        assert_cut(&mut follower, position);
    }
}

#[test]
fn whoever_waits_is_woken_for_what_comes_behind_a_cut_and_for_the_cut() {
    for way in WAYS {
        for options in BOTH {
            without_hanging("a follower", move || {
                let log = memory_log(true);
                let lsns = append(&log, 30);
                let old_tail = log.tail();
                let mut waiting = follow(&log, old_tail, options);
                let cut = thread::spawn(move || {
                    let error = way.next(&mut waiting).unwrap_err();
                    assert!(
                        matches!(error, Error::Cut { lsn, .. } if lsn == old_tail),
                        "{error:?}"
                    );
                });
                log.truncate_after(lsns[20]).unwrap();
                cut.join().unwrap();
                let mut at_end = follow(&log, lsns[20], options);
                assert_eq!(ready(&mut at_end), [lsns[20]]);
                let behind = thread::spawn(move || way.next(&mut at_end).unwrap().0);
                let lsn = log.append_durable(b"behind").unwrap();
                assert_eq!(behind.join().unwrap(), lsn);
            });
        }
    }
}

/// Holds the log when it is woken, which takes the lock that a cut holds.
struct Holding(Log, Mutex<Vec<Lsn>>);

impl Wake for Holding {
    fn wake(self: Arc<Self>) {
        let hold = self.0.hold(self.0.head()).unwrap();
        self.1.lock().unwrap().push(hold.lsn());
    }
}

#[test]
fn a_waker_is_told_of_a_cut_when_no_lock_is_held() {
    for options in BOTH {
        without_hanging("a cut", move || {
            let log = memory_log(false);
            let lsns = append(&log, 10);
            let told = Arc::new(Holding(log.clone(), Mutex::default()));
            let waker = Waker::from(Arc::clone(&told));
            let mut follower = follow(&log, log.tail(), options);
            assert!(follower.poll_next(&mut Context::from_waker(&waker)).is_pending());
            log.truncate_after(lsns[4]).unwrap();
            assert_eq!(*told.1.lock().unwrap(), [log.head()]);
            assert!(matches!(follower.try_next(), Err(Error::Cut { .. })));
        });
    }
}

/// Asks followers when a cut has moved the end, and has yet to move the watermarks. How many were
/// asked is counted.
#[derive(Debug, Default)]
struct Asking(Mutex<(Vec<Follower>, usize)>);

impl Watch for Asking {
    fn before(&self, event: &Event) -> Verdict {
        if event.call == Call::SyncDirectory {
            let (followers, asked) = &mut *self.0.lock().unwrap();
            for follower in followers {
                let position = follower.position();
                assert!(follower.try_next().unwrap().is_none(), "there is nothing for now");
                assert_eq!(follower.position(), position);
                *asked += 1;
            }
        }
        Verdict::Go
    }
}

#[test]
fn one_at_the_end_of_a_cut_waits_until_the_cut_is_done() {
    // The last of its segment, too.
    for kept in [2, 8, 20, 24] {
        without_hanging("a follower", move || {
            let asking = Arc::new(Asking::default());
            let disk = Tap::new(MemoryStorage::new(), Arc::<Asking>::clone(&asking));
            let log = tiny().open_with(disk).unwrap();
            // What they were shown ends there.
            let lsns = append(&log, kept);
            let followers = BOTH.map(|options| {
                let mut follower = follow(&log, log.head(), options);
                assert_eq!(ready(&mut follower), lsns);
                follower
            });
            append(&log, 12);
            asking.0.lock().unwrap().0 = followers.into();
            log.truncate_after(lsns[lsns.len() - 1]).unwrap();
            let (mut followers, asked) = take(&mut *asking.0.lock().unwrap());
            assert_eq!(asked, 2);
            let more = append(&log, 10);
            for follower in &mut followers {
                assert_eq!(ready(follower), more);
            }
        });
    }
}
