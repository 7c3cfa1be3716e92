//! How the golden logs were made, and the inputs that a fuzzer begins with.
//!
//! Invariant: what is made anew today holds as much as what is kept.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use stratalog::Log;
use stratalog::format::{CONTROL_NAME, FileKind, classify};
use stratalog::storage::{Image, MemoryStorage};

use super::golden::{self, pack};
use crate::common::{Tag, open_image, records, tiny};
use crate::tap::{Call, Event, Tap, Verdict, Watch};

/// Appends a bit of everything, in order.
fn fill(log: &Log, calls: std::ops::Range<u32>) {
    for call in calls {
        let single = Tag::single(1, call).payload(call as usize * 7 % 40);
        match call % 4 {
            0 => drop(log.append_durable(&single).unwrap()),
            3 => {
                let tag = |part| Tag { writer: 1, call, part, parts: 2 };
                log.append_batch(&[0, 1].map(|part| tag(part).payload(part as usize * 9))).unwrap();
            }
            _ => drop(log.append(&single).unwrap()),
        }
    }
}

fn two_segments() -> (MemoryStorage, Log) {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    fill(&log, 0..4);
    log.roll().unwrap();
    fill(&log, 4..10);
    (disk, log)
}

/// The last segment that holds a record has its last byte that is not zero changed.
fn tear(image: &mut Image) {
    let names = image.names().filter(|name| matches!(classify(name), FileKind::Segment(_)));
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    while let Some(name) = names.pop() {
        let file = image.get_mut(&name).unwrap();
        let area = &mut file[4096..12 << 10];
        if let Some(last) = area.iter().rposition(|byte| *byte != 0) {
            area[last] ^= 1;
            return;
        }
    }
}

/// Copies the disk when the control file has been written for the n-th time.
#[derive(Debug)]
struct Camera {
    disk: MemoryStorage,
    writes: Mutex<usize>,
    taken: Mutex<Option<Image>>,
}

impl Watch for Camera {
    fn after(&self, event: &Event, _ok: bool) {
        if event.call == Call::Write && event.name == CONTROL_NAME {
            let mut writes = self.writes.lock().unwrap();
            *writes += 1;
            if *writes == 2 {
                *self.taken.lock().unwrap() = Some(self.disk.image());
            }
        }
    }

    fn before(&self, _event: &Event) -> Verdict {
        Verdict::Go
    }
}

/// The process died while recovery was about to cut.
fn cutting(torn: Image) -> Image {
    let disk = MemoryStorage::from_image(torn);
    let camera =
        Arc::new(Camera { disk: disk.clone(), writes: Mutex::default(), taken: Mutex::default() });
    drop(tiny().open_with(Tap::new(disk, camera.clone())).unwrap());
    let taken = camera.taken.lock().unwrap().take();
    taken.expect("recovery writes both slots")
}

fn make(name: &str) -> Image {
    let (disk, log) = two_segments();
    match name {
        "closed" => log.close().unwrap(),
        "crashed" => {
            fill(&log, 10..12);
            return disk.image();
        }
        "rolled" => {
            log.roll().unwrap();
            log.append(&Tag::single(1, 10).payload(9)).unwrap();
            return disk.image();
        }
        "torn-batch" | "cutting" | "cut" => {
            log.append(&Tag::single(1, 10).payload(9)).unwrap();
            fill(&log, 11..12);
            let mut image = disk.image();
            tear(&mut image);
            match name {
                "torn-batch" => return image,
                "cutting" => return cutting(image),
                _ => {}
            }
            let disk = MemoryStorage::from_image(image);
            let log = tiny().open_with(disk.clone()).unwrap();
            assert!(log.recovery().cut.is_some());
            log.append(&Tag::single(1, 12).payload(9)).unwrap();
            return disk.image();
        }
        "longer" => {
            drop(log);
            let log = tiny().segment_bytes(20 << 10).open_with(disk.clone()).unwrap();
            fill(&log, 10..11);
            return disk.image();
        }
        other => panic!("{other} is not known"),
    }
    disk.image()
}

#[test]
fn golden_logs_made_anew_hold_what_the_kept_ones_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fuzz/golden");
    for golden in golden::ALL {
        let image = make(golden.name);
        if std::env::var_os("STRATALOG_GOLDEN").is_some() {
            fs::write(folder.join(golden.name).with_extension("disk"), pack(&image)).unwrap();
            continue;
        }
        let of = |image| records(&open_image(image).unwrap());
        assert_eq!(of(&image), of(&golden.image()), "{}", golden.name);
        assert_eq!(golden::unpack(&pack(&image)), image);
    }
}
