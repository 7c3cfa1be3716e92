//! Appending and reading allocate nothing for a record: neither an append that waits for no sync, nor
//! iterating, nor what is read in place. A sync and a batch may allocate once, whatever their size. What is allocated where a segment ends is not counted.
//!
//! Invariant: only what the thread that measures allocates is counted, so other tests don't disturb.
#![expect(unsafe_code, reason = "an allocator can't be counted otherwise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use stratalog::storage::MemoryStorage;
use stratalog::{Log, Options, Record};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: each call is passed on to the system's allocator as it came; counting touches a number of
// the thread's own, which is made without allocating.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may have no count any more.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the memory came from `alloc` above with this layout, so from the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

/// Over several segments, in files and in memory: once all is mapped, reading each record by `read`
/// allocates nothing.
fn reads_without_allocating(append: impl Fn(&Log, usize), read: impl Fn(Record<'_>)) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = Options::new();
    options.segment_bytes(16 << 10).background(false);
    let files = options.open(directory.path()).expect("a log");
    let memory = options.open_with(MemoryStorage::new()).expect("a log");
    for log in [files, memory] {
        for index in 0..1000 {
            append(&log, index);
        }
        let snapshot = log.snapshot();
        assert!(snapshot.segments().count() > 1);
        assert_eq!(snapshot.iter().map(|record| read(record.expect("no damage"))).count(), 1000);
        let count = allocations(|| {
            for record in &snapshot {
                read(record.expect("no damage"));
            }
        });
        assert_eq!(count, 0);
    }
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn iterating_allocates_nothing() {
    let append = |log: &Log, index: usize| {
        log.append(&[7].repeat(index % 100)).unwrap();
    };
    reads_without_allocating(append, |record| assert!(record.payload().len() < 100));
}

/// How often `append` allocates at most in one of 1,000 calls, in files and in memory, after as many to
/// warm up.
fn most_allocations(append: impl Fn(&Log)) -> u64 {
    // Larger than all that a test appends. The log's own thread prepares it, which doesn't count.
    const SEGMENT_BYTES: u64 = 32 << 20;
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = Options::new();
    options.segment_bytes(SEGMENT_BYTES);
    let files = options.open(directory.path()).expect("a log");
    let memory = options.open_with(MemoryStorage::new()).expect("a log");
    let mut most = 0;
    for log in [files, memory] {
        for _ in 0..1000 {
            append(&log);
        }
        for _ in 0..1000 {
            most = most.max(allocations(|| append(&log)));
        }
        assert!(log.tail().get() < SEGMENT_BYTES, "nothing is said of an append that rolls");
    }
    most
}

#[test]
fn appending_allocates_nothing() {
    let append = |log: &Log| assert!(log.append(&[7; 128]).unwrap().get() > 0);
    assert_eq!(most_allocations(append), 0);
    // The write buffer is half full several times.
    let append_buffered =
        |log: &Log| assert!(log.append_buffered(&[7; 1 << 10]).unwrap().get() > 0);
    assert_eq!(most_allocations(append_buffered), 0);
}

#[test]
fn a_closure_fills_a_buffer_that_is_kept() {
    for bytes in [0, 128, 10 << 10] {
        let append = |log: &Log| {
            assert!(log.append_with(bytes, |payload| payload.fill(7)).unwrap().get() > 0);
        };
        assert_eq!(most_allocations(append), 0, "{bytes} bytes");
    }
}

#[test]
fn a_sync_allocates_at_most_once() {
    let append_durable = |log: &Log| assert!(log.append_durable(&[7; 128]).unwrap().get() > 0);
    assert!(most_allocations(append_durable) <= 1);
    let sync = |log: &Log| {
        log.append_buffered(&[7; 128]).unwrap();
        log.sync().unwrap();
    };
    assert!(most_allocations(sync) <= 1);
}

#[test]
fn a_batch_allocates_at_most_once_whatever_its_size() {
    for records in [0, 1, 2, 64, 300] {
        let batch = vec![[7; 16]; records];
        let most = most_allocations(|log| assert!(log.append_batch(&batch).is_ok()));
        assert!(most <= 1, "{records} records: {most}");
    }
}

#[cfg(feature = "zerocopy")]
mod in_place {
    //! Feature `zerocopy`.
    use stratalog::adapters::Typed;
    use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

    #[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct Transfer {
        cents: u64,
        to: u64,
    }

    impl Typed for Transfer {
        const TYPE: &'static str = "transfer";
    }

    #[test]
    fn values_and_slices_in_place_allocate_nothing_with_adapters() {
        super::reads_without_allocating(
            |log, index| {
                let value = Transfer { cents: index as u64, to: 1 };
                if index.is_multiple_of(2) {
                    log.append_bytes_of(&value).unwrap();
                } else {
                    log.append_slice_of(&[value]).unwrap();
                }
            },
            |record| {
                let one = record.get_ref().or_else(|_| record.get_slice().map(|them| &them[0]));
                let one: &Transfer = one.unwrap();
                assert!(one.cents < 1000 && one.to == 1);
            },
        );
    }
}

#[cfg(feature = "rkyv")]
mod archived {
    //! Feature `rkyv`.
    use stratalog::adapters::Typed;

    #[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
    struct Order {
        customer: String,
        items: Vec<u64>,
    }

    impl Typed for Order {
        const TYPE: &'static str = "order";
    }

    #[test]
    fn archives_in_place_allocate_nothing_with_adapters() {
        super::reads_without_allocating(
            |log, index| {
                let items = vec![1; index % 10];
                let order = Order { customer: "a customer of ours".repeat(index % 3), items };
                log.append_archived(&order).unwrap();
            },
            |record| {
                let order = record.access::<Order>().unwrap();
                assert_eq!(order.customer.len() % 18, 0);
                assert!(order.items.iter().all(|item| *item == 1));
            },
        );
    }
}
