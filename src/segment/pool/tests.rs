//! Files of dropped segments, counted until they are gone.

use std::io::ErrorKind;

use super::*;
use crate::format::{LogId, segment_name};
use crate::segment::recycle::{SetAside, set_aside};
use crate::segment::segment::Segment;
use crate::storage::{Fault, FaultStorage};
use crate::sync::schedule;

const BYTES: u64 = 16 << 10;

/// A disk with so many segments, and the pool of a log on it.
fn pool(segments: u64) -> (FaultStorage, Arc<Pool>) {
    let disk = FaultStorage::new();
    disk.set_zero_fill(true);
    for number in 0..segments {
        disk.create(&segment_name(number * BYTES), BYTES).unwrap();
    }
    let pool = Pool::new(Arc::new(disk.clone()));
    (disk, pool)
}

#[test]
fn each_file_that_is_kept_is_counted_and_handed_out_once() {
    let (disk, pool) = pool(3);
    for number in 0..3 {
        assert_eq!(pool.recycled(), number);
        let base = number * BYTES;
        let segment = Segment::new((base, BYTES), base + 12288, LogId::new([7; 16]), None);
        match set_aside(&disk, &segment) {
            Ok(SetAside::Recycled(recycled)) => pool.keep(recycled),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((pool.recycled(), pool.bytes()), (3, 3 * BYTES));
    for left in [2, 1, 0] {
        assert!(pool.take_recycled().is_some());
        assert_eq!((pool.recycled(), pool.bytes()), (left, left * BYTES));
    }
    assert!(pool.take_recycled().is_none());
}

#[test]
fn a_file_is_unremoved_while_it_is_being_removed_and_for_good_if_it_can_not_be() {
    let (disk, pool) = pool(4);
    // No other thread is to be at it.
    pool.files.lock().has_thread = true;
    for number in 0..4 {
        pool.remove_later(segment_name(number * BYTES), BYTES);
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (counts, counted) = (Arc::clone(&seen), Arc::clone(&pool));
    disk.fail_when(move |event| {
        counts.lock().push((counted.unremoved(), counted.bytes() / BYTES));
        (event.name == segment_name(BYTES)).then_some(Fault::Error(ErrorKind::Other))
    });
    assert_eq!((pool.unremoved(), pool.bytes()), (4, 4 * BYTES));
    pool.empty();
    disk.heal();
    assert_eq!(*seen.lock(), [(4, 4), (3, 3), (3, 2), (2, 1)]);
    assert_eq!((pool.unremoved(), pool.bytes()), (1, 0));
}

#[test]
fn no_thread_is_left_once_the_pool_is_empty() {
    for seed in 0..40 {
        // A schedule panics where a member outlives the first.
        schedule::run(seed, || {
            let (_disk, pool) = pool(3);
            for number in 0..3 {
                pool.remove_later(segment_name(number * BYTES), BYTES);
            }
            pool.empty();
            assert_eq!((pool.unremoved(), pool.bytes()), (0, 0));
        });
    }
}

#[test]
fn who_needs_the_space_of_what_is_leaving_waits_and_asks_again() {
    let (_disk, pool) = pool(0);
    pool.begin_leaving(BYTES);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.remove_one());
        while !waiting.is_finished() {
            pool.changed.notify_all();
            std::thread::yield_now();
        }
        assert!(waiting.join().unwrap());
    });
    pool.leaving(BYTES).end(BYTES);
    assert!(!pool.remove_one());
}

#[test]
fn what_was_leaving_when_a_storage_panicked_is_waited_for_no_more() {
    let (_disk, pool) = pool(0);
    pool.begin_leaving(3 * BYTES);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut leaving = pool.leaving(3 * BYTES);
        leaving.end(BYTES);
        panic!("a storage of the caller's");
    }));
    assert!(panicked.is_err());
    assert_eq!(pool.bytes(), 0);
    assert!(!pool.remove_one());
}
