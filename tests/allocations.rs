//! Appending and reading allocate nothing: neither an append, be it durable or a batch, nor a sync, nor
//! iterating, nor what is read in place. What is allocated where a segment ends is not counted, and a
//! batch of thousands allocates once.
//!
//! Invariant: only what the thread that measures allocates is counted, so other tests don't disturb.
#![expect(unsafe_code, reason = "an allocator can't be counted otherwise")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Log, Options, Record};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Bytes that are allocated, less those that were freed, and the most that they ever were.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
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
        changed(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        changed(-layout.size().cast_signed());
        // SAFETY: the memory came from `alloc` above with this layout, so from the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Notes that this thread has so many bytes more.
fn changed(by: isize) {
    let change = |bytes: &Cell<(isize, isize)>| {
        let (now, most) = bytes.get();
        bytes.set((now + by, most.max(now + by)));
    };
    let _ = BYTES.try_with(change);
}

/// How many bytes `work` takes at most, beyond what there was, and how many it keeps in what it returns.
fn bytes_taken<T>(work: impl FnOnce() -> T) -> (isize, isize, T) {
    let (before, _) = BYTES.get();
    BYTES.set((before, before));
    let kept = work();
    let (now, most) = BYTES.get();
    (most - before, now - before, kept)
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
fn a_durable_append_and_a_sync_allocate_nothing() {
    let append_durable = |log: &Log| assert!(log.append_durable(&[7; 128]).unwrap().get() > 0);
    assert_eq!(most_allocations(append_durable), 0);
    let sync = |log: &Log| {
        log.append_buffered(&[7; 128]).unwrap();
        log.sync().unwrap();
    };
    assert_eq!(most_allocations(sync), 0);
}

#[test]
fn a_batch_allocates_nothing_whatever_its_size() {
    for records in [0, 1, 2, 64, 300] {
        let batch = vec![[7; 16]; records];
        let most = most_allocations(|log| assert!(log.append_batch(&batch).is_ok()));
        assert_eq!(most, 0, "{records} records");
    }
}

#[test]
fn a_batch_of_thousands_allocates_once_and_what_it_took_is_not_kept() {
    let log = Options::new().open_with(MemoryStorage::new()).expect("a log");
    let (few, many) = (vec![[]; 2], vec![[0_u8; 0]; 3000]);
    let allocations = |batch: &[[u8; 0]]| allocations(|| assert!(log.append_batch(batch).is_ok()));
    for _ in 0..4 {
        allocations(&many);
        assert!(allocations(&many) >= 1);
        assert_eq!(allocations(&few), 1);
        assert_eq!(allocations(&few), 0);
    }
}

/// A log of so many of the smallest segments, and what a kill leaves of it.
fn images(segments: usize) -> [Image; 2] {
    let disk = MemoryStorage::new();
    let mut options = Options::new();
    options.segment_bytes(16 << 10).background(false);
    let log = options.open_with(disk.clone()).expect("a log");
    while log.stats().segments < segments {
        log.append(&[7; 1000]).expect("appended");
    }
    log.sync().expect("synced");
    let killed = disk.image();
    log.close().expect("closed");
    [disk.image(), killed]
}

#[test]
fn opening_takes_little_memory_for_a_segment_more() {
    const FEW: usize = 10;
    const MANY: usize = 1010;
    // At most while it opens, then, and for a snapshot, in bytes.
    let taken = |image: Image| {
        let disk = MemoryStorage::from_image(image);
        let open = || Options::new().background(false).open_with(disk).expect("it opens");
        let (most, kept, log) = bytes_taken(open);
        let snapshot = || log.snapshot();
        (most, kept, bytes_taken(snapshot).1)
    };
    let [few, many] = [FEW, MANY].map(|segments| images(segments).map(taken));
    for (few, many) in few.into_iter().zip(many) {
        let each = |few: isize, many: isize| (many - few) / (MANY - FEW).cast_signed();
        println!("{few:?} {many:?}");
        assert!(each(few.0, many.0) <= 512, "at most {}, {}", few.0, many.0);
        assert!(each(few.1, many.1) <= 512, "kept {}, {}", few.1, many.1);
        assert!(each(few.2, many.2) <= 64, "for a snapshot {}, {}", few.2, many.2);
        assert!(few.0 < 4 << 20, "{} bytes", few.0);
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
