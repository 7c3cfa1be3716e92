//! What a schedule promises: one at a time, drawn by the seed, and a word where nobody can go on.

use std::sync::Arc;
use std::time::Duration;

use super::schedule::{self, pace, run};
use super::{
    AtomicU64, Condvar, Deadline, Instant, Mutex, Ordering, RwLock, current, park, park_until,
    spawn,
};

/// Three members write down who they are, at each of a few points.
fn order(seed: u64) -> Vec<u64> {
    run(seed, || {
        pace(3);
        let (seen, turns) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let member = |number: u64| {
            let (seen, turns) = (Arc::clone(&seen), Arc::clone(&turns));
            let work = move || {
                for _ in 0..20 {
                    turns.fetch_add(1, Ordering::Relaxed);
                    seen.lock().push(number);
                }
            };
            spawn("member", work).unwrap()
        };
        let members = [member(1), member(2), member(3)];
        for member in members {
            member.join().unwrap();
        }
        assert_eq!(turns.load(Ordering::Relaxed), 60);
        seen.lock().clone()
    })
}

#[test]
fn a_seed_gives_the_same_order_again_and_another_a_different_one() {
    let orders: Vec<_> = (0..20).map(order).collect();
    for (seed, first) in (0..).zip(&orders) {
        assert_eq!(&order(seed), first, "seed {seed}");
    }
    let different: std::collections::BTreeSet<_> = orders.iter().collect();
    assert!(different.len() > 15, "{} of 20 orders differ", different.len());
}

#[test]
fn a_lock_excludes_members_that_are_drawn_while_it_is_held() {
    for seed in 0..50 {
        run(seed, || {
            pace(2);
            let pair = Arc::new((Mutex::new(0), RwLock::new(()), AtomicU64::new(0)));
            let work = |_| {
                let pair = Arc::clone(&pair);
                let work = move || {
                    for _ in 0..10 {
                        let mut sum = pair.0.lock();
                        let seen = *sum;
                        pair.2.fetch_add(1, Ordering::Relaxed);
                        let beside = pair.1.read();
                        *sum = seen + 1;
                        drop(sum);
                        drop(beside);
                        let _alone = pair.1.write();
                    }
                };
                spawn("member", work).unwrap()
            };
            let members: Vec<_> = (0..3).map(work).collect();
            for member in members {
                member.join().unwrap();
            }
            assert_eq!(*pair.0.lock(), 30);
        });
    }
}

#[test]
fn a_member_that_is_unparked_before_it_parks_goes_on() {
    for seed in 0..50 {
        run(seed, || {
            let main = current();
            let other = spawn("waker", move || main.unpark()).unwrap();
            park();
            other.join().unwrap();
        });
    }
}

#[test]
fn who_parks_until_a_deadline_is_unparked_or_late_as_the_seed_has_it() {
    let ends = |seed| {
        run(seed, || {
            let (main, said) = (current(), Arc::new(AtomicU64::new(0)));
            let other = Arc::clone(&said);
            let say = move || {
                for _ in 0..10 {
                    super::yield_now();
                }
                other.store(1, Ordering::Release);
                main.unpark();
            };
            let sayer = spawn("sayer", say).unwrap();
            let (start, limit) = (Instant::now(), Duration::from_millis(5));
            let deadline = Deadline::after(limit);
            let mut in_time = true;
            while in_time && said.load(Ordering::Acquire) == 0 {
                in_time = park_until(&deadline);
            }
            assert!(in_time || start.elapsed() >= limit);
            sayer.join().unwrap();
            in_time
        })
    };
    let ends: Vec<_> = (0..50).map(ends).collect();
    assert!(ends.contains(&true) && ends.contains(&false));
}

#[test]
fn a_timed_wait_ends_by_notice_or_by_its_time_as_the_seed_has_it() {
    let timed_out = |seed| {
        run(seed, || {
            let bell = Arc::new((Mutex::new(false), Condvar::new()));
            let other = Arc::clone(&bell);
            let ring = move || {
                for _ in 0..10 {
                    super::yield_now();
                }
                *other.0.lock() = true;
                other.1.notify_all();
            };
            let ringer = spawn("ringer", ring).unwrap();
            let start = Instant::now();
            let mut rung = bell.0.lock();
            let mut timed_out = false;
            while !*rung && !timed_out {
                timed_out = bell.1.wait_for(&mut rung, Duration::from_secs(5)).timed_out();
            }
            drop(rung);
            ringer.join().unwrap();
            assert_eq!(timed_out, start.elapsed() >= Duration::from_secs(5));
            timed_out
        })
    };
    let outcomes: Vec<bool> = (0..100).map(timed_out).collect();
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}

/// What a failing schedule says.
fn failure(work: impl FnOnce() + Send + 'static) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(1, work)));
    let panic = panic.expect_err("the schedule fails");
    panic
        .downcast_ref::<String>()
        .cloned()
        .or(panic.downcast_ref().map(|s: &&str| s.to_string()))
        .unwrap()
}

#[test]
fn members_that_wait_for_each_other_are_told() {
    let said = failure(|| {
        let locks = Arc::new((Mutex::new(()), Mutex::new(())));
        let other = Arc::clone(&locks);
        let _first = locks.0.lock();
        let crossing = move || {
            let _second = other.1.lock();
            let _first = other.0.lock();
        };
        let crossing = spawn("crossing", crossing).unwrap();
        crossing.join().unwrap();
    });
    assert!(
        said.contains("nobody can run: first for Some(End(1)), crossing for Some(Lock("),
        "{said}"
    );
    let said = failure(park);
    assert_eq!(said, "nobody can run: first for Some(Token(None))");
}

#[test]
fn a_panic_of_the_first_member_is_the_failure_of_the_schedule() {
    assert_eq!(failure(|| panic!("for good reason")), "for good reason");
    let said = failure(|| drop(spawn("left behind", park).unwrap()));
    assert_eq!(said, "1 members outlive the first");
}

#[test]
fn threads_outside_of_a_schedule_are_left_alone() {
    assert!(!schedule::is_member() && schedule::now().is_none() && schedule::number().is_none());
    let lock = Arc::new(Mutex::new(1));
    let other = Arc::clone(&lock);
    let thread = spawn("real", move || *other.lock() += 1).unwrap();
    thread.join().unwrap();
    assert_eq!(*lock.lock(), 2);
}
