//! Every bit of a small log flipped, every file cut short, zeroed, swapped, taken away, brought back.
//!
//! Invariant: after damage the log opens with exactly its records, perhaps up to an error that names
//! the place; or with a shorter prefix where nothing undamaged proves the rest durable; or opening
//! refuses with an error that names the file, and changes nothing. Never a panic, never a silent loss.

use std::panic::{AssertUnwindSafe, catch_unwind};

use stratalog::format::{BLOCK_BYTES, CONTROL_NAME, FileKind, classify, segment_name};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Corruption, Error, Log};

use super::common::{Records, TINY, Tag, check_tags, open_image, read, records, tiny};
use super::evidence::Layout;

/// An undamaged disk, and what is on it.
struct Sample {
    what: &'static str,
    image: Image,
    records: Records,
    layout: Layout,
}

impl Sample {
    fn new(what: &'static str, disk: &MemoryStorage) -> Self {
        let image = disk.image();
        let records = records(&open_image(&image).unwrap());
        check_tags(&records);
        let layout = Layout::of(&image);
        let proven = layout.proven(&image);
        println!("{what}: {} records, proven to {proven}, {image:?}", records.len());
        Self { what, image, records, layout }
    }

    fn segments(&self) -> Vec<String> {
        let names = self.image.names();
        names.filter(|name| is_segment(name)).map(str::to_owned).collect()
    }

    /// Opens and reads a damaged copy.
    fn judge(&self, damaged: &Image, what: &str) {
        let judged = catch_unwind(AssertUnwindSafe(|| self.judge_inner(damaged)));
        let wrong = judged.unwrap_or_else(|_panic| Err("it panicked".to_owned())).err();
        assert!(wrong.is_none(), "{}, {what}: {wrong:?}", self.what);
    }

    fn judge_inner(&self, damaged: &Image) -> Result<(), String> {
        let disk = MemoryStorage::from_image(damaged.clone());
        let log = match tiny().open_with(disk.clone()) {
            Ok(log) => log,
            Err(error) => {
                names_a_file(&error)?;
                let same = without_locks(disk.image()) == without_locks(damaged.clone());
                return ensure(same, || format!("refused with {error}, but changed the disk"));
            }
        };
        let (seen, error) = read(&log.snapshot());
        let count = seen.len();
        if self.records.get(..count) != Some(&seen[..]) {
            return Err("what is read was never appended".to_owned());
        }
        if let Some(error) = error {
            names_a_file(&error)?;
        } else if let Some((lost, payload)) = self.records.get(count) {
            let proven = self.layout.proven(damaged);
            if proven > *lost {
                return Err(format!("{lost} is lost, although all below {proven} was durable"));
            }
            if Tag::of(payload).part != 0 {
                return Err(format!("the batch of {lost} is torn"));
            }
        }
        goes_on(log, disk, seen)
    }
}

fn is_segment(name: &str) -> bool {
    matches!(classify(name), FileKind::Segment(_))
}

fn without_locks(mut image: Image) -> Image {
    image.remove("LOCK");
    image.remove("READERS");
    image
}

fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

fn names_a_file(error: &Error) -> Result<(), String> {
    let text = error.to_string();
    let (Error::Corrupt { path: named, .. }
    | Error::MissingSegment { path: named, .. }
    | Error::UnsupportedFormat { path: named, .. }
    | Error::NotALog { path: named, .. }) = error
    else {
        return Err(format!("not what damage is told by: {error:?}"));
    };
    let named = !text.contains('\n') && text.contains(&*named.to_string_lossy());
    ensure(named, || format!("the error does not name the file in one line: {text}"))
}

/// What was opened can be appended to, closed, and opened again.
fn goes_on(log: Log, disk: MemoryStorage, mut seen: Records) -> Result<(), String> {
    let failed = |error: Error| format!("the opened log does not go on: {error}");
    let more = Tag::single(99, 99).payload(5);
    let lsn = log.append_durable(&more).map_err(failed)?;
    let damaged = read(&log.snapshot()).1.is_some();
    log.close().map_err(failed)?;
    let again = tiny().open_with(disk).map_err(failed)?;
    seen.push((lsn, more));
    let (read, _) = read(&again.snapshot());
    ensure(damaged || read == seen, || "after going on it is another log".to_owned())
}

/// Appends a bit of everything: 40 to 200 bytes each.
fn fill(log: &Log, calls: std::ops::Range<u32>) {
    for call in calls {
        let single = Tag::single(1, call).payload(call as usize * 7 % 60);
        match call % 4 {
            0 => drop(log.append_durable(&single).unwrap()),
            3 => {
                let tag = |part| Tag { writer: 1, call, part, parts: 3 };
                let batch = [0, 1, 2].map(|part| tag(part).payload(part as usize * 9));
                log.append_batch(&batch).unwrap();
            }
            _ => drop(log.append(&single).unwrap()),
        }
    }
}

fn three_segments() -> (MemoryStorage, Log) {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    fill(&log, 0..5);
    log.roll().unwrap();
    fill(&log, 5..11);
    log.roll().unwrap();
    fill(&log, 11..16);
    (disk, log)
}

fn closed() -> Sample {
    let (disk, log) = three_segments();
    log.close().unwrap();
    Sample::new("closed", &disk)
}

/// The process died; behind the last sync there are committed records.
fn crashed() -> Sample {
    let (disk, log) = three_segments();
    fill(&log, 17..20);
    let sample = Sample::new("crashed", &disk);
    drop(log);
    sample
}

/// The process died after a roll, before anything was synced in the new segment.
fn rolled() -> Sample {
    let (disk, log) = three_segments();
    log.roll().unwrap();
    fill(&log, 17..20);
    let sample = Sample::new("rolled", &disk);
    drop(log);
    sample
}

/// The process died twice: a cut lies inside of the log.
fn cut() -> Sample {
    let (disk, log) = three_segments();
    fill(&log, 17..20);
    let mut image = disk.image();
    drop(log);
    let newest = image.names().filter(|name| is_segment(name)).last().unwrap().to_owned();
    let file = image.get_mut(&newest).unwrap();
    let last = file[..(TINY - BLOCK_BYTES) as usize].iter().rposition(|byte| *byte != 0).unwrap();
    file[last] ^= 1;
    let disk = MemoryStorage::from_image(image);
    let log = tiny().open_with(disk.clone()).unwrap();
    assert!(log.recovery().cut.is_some());
    fill(&log, 21..24);
    let sample = Sample::new("cut", &disk);
    drop(log);
    sample
}

/// Flips all bits of what is in use, and one bit in each 64 bytes of what is not.
fn flip_every_bit(sample: &Sample) {
    for name in sample.image.names().filter(|name| *name != "LOCK" && *name != "READERS") {
        let file = sample.image.get(name).unwrap();
        let mut damaged = sample.image.clone();
        for at in 0..file.len() {
            let near = at.saturating_sub(8)..(at + 24).min(file.len());
            let in_use = file[near].iter().any(|byte| *byte != 0);
            let bits = match (in_use, at % 64) {
                (true, _) => 0..8,
                (false, 0) => 0..1,
                (false, _) => continue,
            };
            for bit in bits {
                damaged.get_mut(name).unwrap()[at] ^= 1 << bit;
                sample.judge(&damaged, &format!("{name}: bit {bit} of byte {at} flipped"));
                damaged.get_mut(name).unwrap()[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn a_flipped_bit_of_a_closed_log_is_found() {
    flip_every_bit(&closed());
}

#[test]
fn a_flipped_bit_of_a_crashed_log_is_found() {
    flip_every_bit(&crashed());
}

#[test]
fn a_flipped_bit_of_a_log_that_just_rolled_is_found() {
    flip_every_bit(&rolled());
}

#[test]
fn a_flipped_bit_of_a_log_that_was_cut_is_found() {
    flip_every_bit(&cut());
}

fn samples() -> [Sample; 4] {
    [closed(), crashed(), rolled(), cut()]
}

#[test]
fn a_file_of_another_length_is_found() {
    for sample in samples() {
        for name in sample.image.names().filter(|name| *name == CONTROL_NAME || is_segment(name)) {
            let file = sample.image.get(name).unwrap();
            let edges = sample.layout.pieces.iter().filter(|piece| piece.file == name);
            let edges = edges.flat_map(|piece| [piece.offset, piece.offset + piece.bytes.len()]);
            let around = edges.flat_map(|edge| edge.saturating_sub(8)..=edge + 8);
            let steps = (0..file.len()).step_by(512);
            for len in around.chain(steps).filter(|len| len % 8 == 0 && *len != file.len()) {
                let mut damaged = sample.image.clone();
                damaged.get_mut(name).unwrap().resize(len, 0);
                sample.judge(&damaged, &format!("{name}: length {len}"));
            }
        }
    }
}

#[test]
fn a_stretch_of_zeros_is_found() {
    for sample in samples() {
        for name in sample.image.names().filter(|name| *name == CONTROL_NAME || is_segment(name)) {
            let len = sample.image.get(name).unwrap().len();
            let pieces = sample.layout.pieces.iter().filter(|piece| piece.file == name);
            let pieces = pieces.map(|piece| piece.offset..piece.offset + piece.bytes.len());
            let blocks = (0..len).step_by(512).map(|at| at..at + 512);
            let rests = (0..len).step_by(512).map(|at| at..len);
            for range in pieces.chain(blocks).chain(rests) {
                let mut damaged = sample.image.clone();
                damaged.get_mut(name).unwrap()[range.clone()].fill(0);
                sample.judge(&damaged, &format!("{name}: {range:?} zeroed"));
            }
        }
    }
}

#[test]
fn missing_swapped_and_foreign_segments_are_found() {
    for (sample, other) in samples().into_iter().zip(samples()) {
        let names = sample.segments();
        for name in &names {
            let mut damaged = sample.image.clone();
            damaged.remove(name);
            sample.judge(&damaged, &format!("{name} taken away"));
            for second in names.iter().filter(|second| *second > name) {
                let mut damaged = sample.image.clone();
                let first = damaged.remove(name).unwrap();
                let second_bytes = damaged.insert(second, first).unwrap();
                damaged.insert(name, second_bytes);
                sample.judge(&damaged, &format!("{name} and {second} swapped"));
            }
            if let Some(foreign) = other.image.get(name) {
                let mut damaged = sample.image.clone();
                damaged.insert(name, foreign.to_vec());
                sample.judge(&damaged, &format!("{name} from another log"));
            }
        }
        let mut damaged = sample.image.clone();
        let control = other.image.get(CONTROL_NAME).unwrap();
        damaged.insert(CONTROL_NAME, control.to_vec());
        sample.judge(&damaged, "the control file from another log");
    }
}

#[test]
fn no_valid_control_slot_beside_segments_is_refused() {
    for sample in samples() {
        let mut damaged = sample.image.clone();
        for slot in [0, BLOCK_BYTES as usize] {
            damaged.get_mut(CONTROL_NAME).unwrap()[slot + 50] ^= 4;
        }
        sample.judge(&damaged, "both slots damaged");
        let refused = open_image(&damaged).unwrap_err();
        assert!(
            matches!(refused, Error::Corrupt { reason: Corruption::NoControl, .. }),
            "{refused:?}"
        );
        damaged.remove(CONTROL_NAME);
        sample.judge(&damaged, "no control file");
        let refused = open_image(&damaged).unwrap_err();
        assert!(
            matches!(refused, Error::Corrupt { reason: Corruption::NoControl, .. }),
            "{refused:?}"
        );
    }
}

#[test]
fn a_segment_that_was_cut_away_stays_away_when_it_comes_back() {
    let disk = MemoryStorage::new();
    let log = tiny().open_with(disk.clone()).unwrap();
    let append = |log: &Log, calls: std::ops::Range<u32>| {
        for call in calls {
            log.append(&Tag::single(1, call).payload(500)).unwrap();
        }
    };
    append(&log, 0..20);
    log.sync().unwrap();
    append(&log, 20..40);
    let torn = records(&log)[24].0.get();
    let mut image = disk.image();
    image.get_mut(&segment_name(torn / TINY * TINY)).unwrap()[(torn % TINY) as usize + 99] ^= 1;
    let behind = segment_name(torn / TINY * TINY + TINY);
    let abandoned = image.get(&behind).unwrap().to_vec();

    let disk = MemoryStorage::from_image(image);
    for round in 0..3 {
        let log = tiny().open_with(disk.clone()).unwrap();
        assert_eq!(log.recovery().set_aside.len(), usize::from(round == 0));
        assert_eq!(records(&log).len(), 24 + 20 * round as usize);
        append(&log, 100 + round * 20..120 + round * 20);
        let expected = records(&log);
        let mut images = vec![disk.image()];
        log.close().unwrap();
        images.push(disk.image());
        for mut image in images {
            let before = image.insert(&behind, abandoned.clone());
            assert!(before.is_none(), "its addresses were given to other records");
            let log = open_image(&image).unwrap();
            assert_eq!(records(&log), expected);
            assert!(!log.recovery().set_aside.is_empty(), "{}", log.recovery());
        }
    }
}

/// The lengths in headers are what could make memory be asked for: with little of it allowed, each
/// of their bits is flipped once more, in a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn no_length_on_disk_makes_opening_ask_for_much_memory() {
    use std::process::Command;
    const CHILD: &str = "STRATALOG_LITTLE_MEMORY";
    if std::env::var_os(CHILD).is_some() {
        for sample in samples() {
            for piece in &sample.layout.pieces {
                let header = piece.offset..piece.offset + piece.bytes.len().min(80);
                for at in header {
                    let mut damaged = sample.image.clone();
                    for bit in [6, 7] {
                        damaged.get_mut(&piece.file).unwrap()[at] ^= 1 << bit;
                    }
                    sample.judge(&damaged, &format!("{}: byte {at}", piece.file));
                }
            }
        }
        return;
    }
    let name = "damage::no_length_on_disk_makes_opening_ask_for_much_memory";
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 262144 && exec \"$0\" --exact \"$1\" --test-threads 1"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
