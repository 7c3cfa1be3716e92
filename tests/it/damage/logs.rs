//! [`Story`]: makes a log step by step and notes what each step made of it; [`samples`]: the logs that
//! are damaged.
//!
//! Invariant: what a sample is said to hold is known from what was appended, synced and torn, never
//! from what opening it gives.

use std::cell::Cell;

use stratalog::format::{
    BLOCK_BYTES, ControlState, FileKind, FrameHeader, Kind, Salt, classify, durable_back,
    frames_end, segment_name,
};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Log, Options};

use super::oracle::Oracle;
use crate::common::{Records, TINY, Tag, tiny};

/// An undamaged disk, what is on it, and what was on it before.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) what: &'static str,
    pub(super) image: Image,
    /// What opening it has to give.
    pub(super) kept: Records,
    /// That, and all leftovers of crashes.
    pub(super) appended: Records,
    /// The first address above all records that were ever appended.
    pub(super) offered: u64,
    pub(super) oracle: Oracle,
    /// The disk after each step that came before.
    pub(super) earlier: Vec<Image>,
    /// How often it was judged.
    pub(super) turn: Cell<usize>,
}

impl Sample {
    /// The names of all files that hold something, locks left out.
    pub(super) fn files(&self) -> Vec<String> {
        let locks = [FileKind::Lock, FileKind::Readers];
        let names = self.image.names().filter(|name| !locks.contains(&classify(name)));
        names.map(str::to_owned).collect()
    }

    pub(super) fn segments(&self) -> Vec<String> {
        let names = self.files().into_iter();
        names.filter(|name| matches!(classify(name), FileKind::Segment(_))).collect()
    }

    /// The segment that the last record that is kept lies in.
    pub(super) fn last_in_use(&self) -> String {
        let last = self.kept.last().expect("a record").0.get();
        let segments = self.segments();
        segments.into_iter().rfind(|name| base_of(name) < last).expect("a segment")
    }
}

pub(super) fn base_of(name: &str) -> u64 {
    match classify(name) {
        FileKind::Segment(base) => base,
        other => panic!("{name} is no segment but {other:?}"),
    }
}

/// A log that is being made. Appends of 40 to 200 bytes each.
pub(super) struct Story {
    disk: MemoryStorage,
    log: Log,
    options: Options,
    calls: u32,
    kept: Records,
    appended: Records,
    offered: u64,
    earlier: Vec<Image>,
}

impl Story {
    pub(super) fn new() -> Self {
        let disk = MemoryStorage::new();
        let options = tiny();
        let log = options.open_with(disk.clone()).unwrap();
        let (kept, appended, earlier) = (Vec::new(), Vec::new(), Vec::new());
        let (calls, offered) = (0, 0);
        Self { disk, log, options, calls, kept, appended, offered, earlier }
    }

    fn step(mut self, act: impl FnOnce(&mut Self)) -> Self {
        self.earlier.push(self.disk.image());
        act(&mut self);
        self
    }

    fn note(&mut self, lsn: stratalog::Lsn, payload: Vec<u8>) {
        self.offered = self.log.tail().get();
        self.kept.push((lsn, payload.clone()));
        self.appended.push((lsn, payload));
    }

    /// Records that are committed.
    pub(super) fn append(self, count: usize) -> Self {
        self.step(|story| {
            for _ in 0..count {
                let payload = Tag::single(1, story.calls).payload(story.calls as usize * 7 % 60);
                story.calls += 1;
                let lsn = story.log.append(&payload).unwrap();
                story.note(lsn, payload);
            }
        })
    }

    /// A batch of three records.
    pub(super) fn batch(self) -> Self {
        self.step(|story| {
            let tag = |part| Tag { writer: 1, call: story.calls, part, parts: 3 };
            let batch = [0, 1, 2].map(|part| tag(part).payload(part as usize * 9));
            story.calls += 1;
            let mut at = story.log.append_batch(&batch).unwrap().start.get();
            for payload in batch {
                let next = at + 16 + payload.len().next_multiple_of(8) as u64;
                story.note(stratalog::Lsn::new(at), payload);
                at = next;
            }
        })
    }

    pub(super) fn sync(self) -> Self {
        self.step(|story| {
            story.log.sync().unwrap();
        })
    }

    pub(super) fn roll(self) -> Self {
        self.step(|story| story.log.roll().unwrap())
    }

    /// Syncs, and appends and syncs the empty padding of a log that has fallen idle.
    pub(super) fn idle(self) -> Self {
        let mut story = self.sync();
        let durable = story.log.durable().get();
        // Written by hand, since the thread that does it waits for the clock.
        let mut image = story.disk.image();
        let (_, state) = ControlState::decode(&image.get("control").unwrap()[..4096]).unwrap();
        let mark = FrameHeader::new(Kind::Padding, 0, false, durable_back(durable, durable));
        let mark = mark.sealed(0, Salt::new(&state.id).at(durable)).encode();
        let base = segments_of(&image).into_iter().rfind(|base| *base < durable).unwrap();
        let at = (durable - base) as usize;
        image.get_mut(&segment_name(base)).unwrap()[at..at + 16].copy_from_slice(&mark);
        story.disk = MemoryStorage::from_image(image);
        story
    }

    /// The process is gone; what it wrote is there. The last `count` records, none of which was
    /// synced, are torn at the first one's last byte but 8.
    pub(super) fn crash(self, count: usize) -> Self {
        let durable = self.log.durable();
        self.step(|story| {
            let mut image = story.disk.image();
            let left = story.kept.len() - count;
            if let Some((lsn, payload)) = story.kept.get(left).cloned() {
                assert!(lsn >= durable, "what was synced does not tear");
                let end = lsn.get() + 16 + payload.len() as u64;
                let base = segments_of(&image).into_iter().rfind(|base| *base < end).unwrap();
                let at = (end - base) as usize - 8;
                let byte = payload[payload.len() - 8];
                // It never was whole on the disk, so no earlier image has it whole either.
                for image in story.earlier.iter_mut().chain([&mut image]) {
                    if let Some(file) = image.get_mut(&segment_name(base))
                        && file[at] == byte
                    {
                        file[at] = !byte;
                    }
                }
                let first = Tag::of(&payload).part as usize;
                story.kept.truncate(left - first);
            }
            story.disk = MemoryStorage::from_image(image);
        })
    }

    /// Opens it again, perhaps with segments of another size.
    pub(super) fn open(self, segment_bytes: u64) -> Self {
        self.step(|story| {
            story.options.segment_bytes(segment_bytes);
            story.log = story.options.open_with(story.disk.clone()).unwrap();
        })
    }

    pub(super) fn close(self) -> Self {
        self.step(|story| story.log.clone().close().unwrap())
    }

    pub(super) fn end(self, what: &'static str) -> Sample {
        let Self { disk, log, kept, appended, offered, earlier, .. } = self;
        let image = disk.image();
        let oracle = Oracle::of(&image, kept.last().map_or(0, |(lsn, _)| lsn.get()));
        let proven = oracle.proven(&image);
        assert!(proven <= log.tail().get(), "nothing beyond its end is proven");
        println!("{what}: {} records, proven to {proven}, {image:?}", kept.len());
        Sample { what, image, kept, appended, offered, oracle, earlier, turn: Cell::new(0) }
    }
}

fn segments_of(image: &Image) -> Vec<u64> {
    let kinds = image.names().map(classify);
    kinds
        .filter_map(|kind| if let FileKind::Segment(base) = kind { Some(base) } else { None })
        .collect()
}

/// Three segments, of which the first has its trailer; the last group is synced.
fn three_segments() -> Story {
    let story = Story::new().append(1).sync().append(8).batch().roll();
    story.append(2).sync().append(1).batch().roll().append(6).batch().sync()
}

/// The logs by how they ended.
pub(super) fn samples() -> Vec<Sample> {
    let rolled = || three_segments().append(1).roll();
    vec![
        three_segments().append(1).close().end("closed"),
        three_segments().append(2).crash(0).end("crashed"),
        three_segments().append(2).batch().append(2).crash(4).end("torn batch"),
        three_segments().append(3).crash(2).end("torn"),
        three_segments().append(1).idle().crash(0).end("idle"),
        rolled().crash(0).end("rolled"),
        rolled().append(2).crash(0).end("rolled and appended to"),
        generations().append(2).sync().append(1).crash(0).end("generations"),
        generations().close().end("generations, closed"),
        sizes().append(2).crash(1).end("sizes"),
        sizes().close().end("sizes, closed"),
    ]
}

/// Cut twice, once across a roll: addresses are skipped, and a segment was set aside.
fn generations() -> Story {
    let first = Story::new().append(2).sync().append(2).roll().append(2).crash(3).open(TINY);
    first.append(2).batch().sync().append(2).crash(1).open(TINY).append(1).batch()
}

fn sizes() -> Story {
    let larger = Story::new().append(2).batch().sync().close().open(TINY + 2 * BLOCK_BYTES).roll();
    let largest = larger.append(2).sync().roll().append(1).crash(0).open(2 * TINY);
    largest.append(1).batch().roll().append(2).sync().append(1)
}

/// A log whose segments are long and full: too much of it to go through all its bytes.
pub(super) fn filled() -> Sample {
    let long = TINY + 2 * BLOCK_BYTES;
    let story = Story::new().append(2).sync().close().open(long).roll().append(120).sync();
    let story = story.append(120).batch().sync().append(2).crash(1).open(long).append(130);
    story.batch().sync().append(2).crash(0).end("filled")
}

/// Where the frames area of a segment's file ends.
pub(super) fn area_end(file: &[u8]) -> usize {
    frames_end(0, file.len() as u64) as usize
}
