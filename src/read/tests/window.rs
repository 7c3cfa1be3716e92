//! Windows of followers: what is found in one that is extended, and what of it was made readable.

use std::sync::Arc;

use super::files::{shorten, write};
use super::fixture::{Made, Maker};
use crate::read::ReadOptions;
use crate::read::window::Window;
use crate::storage::{MemoryStorage, Storage};

/// Records of two thirds of a page and less.
fn made() -> Made {
    let mut maker = Maker::small(0);
    for number in 0..6 {
        maker.record(&[number; 1000]);
    }
    Made::of([maker])
}

/// Where the record ends that has this number, from 1 on; the link does if it is 0.
fn end_of(made: &Made, number: usize) -> u64 {
    made.frames()[number].end
}

fn window(made: &Made, storage: Arc<dyn Storage>, end: u64, copy: bool) -> Window {
    let segment = Arc::clone(&made.set().segments[0]);
    let start = made.records()[0].0;
    Window::new(storage, segment, (start, end), ReadOptions::new().copy(copy))
}

#[test]
fn records_are_found_wherever_a_window_was_when_it_was_extended() {
    let made = made();
    let records = made.records();
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::from_image(made.image()));
    for copy in [true, false] {
        for shown in 0..=records.len() {
            for before in 0..=shown {
                let mut window = window(&made, Arc::clone(&storage), end_of(&made, shown), copy);
                for (number, (lsn, payload)) in records.iter().enumerate() {
                    if number == before {
                        window.extend(made.end);
                    }
                    let found = window.find().unwrap().expect("it is shown");
                    let record = window.record(found).unwrap();
                    let read = (record.lsn().get(), record.payload());
                    assert_eq!(read, (*lsn, payload.as_slice()), "{copy} {shown} {before}");
                }
                assert_eq!(window.find().unwrap(), None);
            }
        }
    }
}

/// The file has shrunk to its first two pages: to load a byte beyond them is a signal.
#[cfg(target_os = "linux")]
#[test]
fn of_an_extended_window_the_last_page_is_readable_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let made = made();
    let storage = write(&made, &directory);
    let mut window = window(&made, Arc::new(storage.clone()), end_of(&made, 1), false);
    assert!(window.find().unwrap().is_some());
    shorten(&storage, 8192);
    window.extend(made.end);
    for _ in 0..2 {
        assert!(window.find().unwrap().is_some(), "on the same page");
    }
    let error = window.find().unwrap_err();
    assert!(matches!(error, crate::Error::Io { op: crate::Op::Read, .. }), "{error}");
}
