//! Scanning and searching through a small buffer, compared with the same on the whole area.

use super::images::ID;
use crate::format::{FrameHeader, Kind, Salt, Summary, payload_crc, scan, summarize};
use crate::random::Random;
use crate::recover::windows::{Area, WINDOW_BYTES, Windows, last_content};
use crate::storage::{Access, Image, MemoryStorage, Storage};

const START: u64 = 4096;

/// Frames behind one another, as bytes from `START` on.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Frames {
    fn push(&mut self, kind: Kind, payload: &[u8], continues: bool) {
        let lsn = START + self.bytes.len() as u64;
        let len = u32::try_from(payload.len()).unwrap();
        let crc = payload_crc(if kind == Kind::Padding { &[] } else { payload });
        let header = FrameHeader::new(kind, len, continues, 0);
        self.bytes.extend(header.sealed(crc, Salt::new(&ID).at(lsn)).encode());
        self.bytes.extend(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.ends.push(START + self.bytes.len() as u64);
    }
}

/// Does the work on the bytes as the frames area of a file.
fn through<T>(bytes: &[u8], work: impl FnOnce(&mut Windows<'_>) -> T) -> T {
    let mut image = Image::new();
    image.insert("file".to_owned(), [&[0; 4096], bytes].concat());
    let storage = MemoryStorage::from_image(image);
    let file = storage.open("file", Access::Read).unwrap();
    let area = Area { base: 0, end: START + bytes.len() as u64 };
    work(&mut Windows { file: &*file, buffer: &mut Vec::new(), area })
}

fn assert_same(bytes: &[u8], from: u64, until: Option<u64>, what: &str) {
    let salt = Salt::new(&ID);
    let (found, sum) = through(bytes, |windows| windows.scan(from, until, salt)).unwrap();
    assert_eq!(found, scan(bytes, START, from, until, salt), "{what}, {from}, {until:?}");
    let offset = |at: u64| usize::try_from(at - START).unwrap().min(bytes.len());
    let valid = &bytes[offset(from)..offset(found.end)];
    assert_eq!(sum, summarize(valid, from).unwrap_or_default(), "{what}, {from}, {until:?}");
}

#[test]
fn a_scan_through_windows_finds_what_one_of_the_whole_finds() {
    let window = usize::try_from(WINDOW_BYTES).unwrap();
    for seed in 0..400 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut frames = Frames::default();
        while frames.bytes.len() < 8 * window {
            let long = random.index(8) == 0;
            let len = random.index(if long { 3 * window } else { 100 });
            let kind = if random.index(16) == 0 { Kind::Padding } else { Kind::Record };
            let continues = kind == Kind::Record && random.index(3) == 0;
            let payload = vec![random.next().to_le_bytes()[0]; len];
            frames.push(kind, &payload, continues);
        }
        let Frames { mut bytes, ends } = frames;
        let end_of = |random: &mut Random| ends[random.index(ends.len())];
        // What becomes of the area: cut anywhere, zeros from anywhere on, or a bit flipped.
        let at = random.index(bytes.len());
        match seed % 4 {
            0 => bytes.truncate(at / 8 * 8),
            1 => bytes[at..].fill(0),
            2 => bytes[at] ^= 1 << random.index(8),
            _ => {}
        }
        assert_same(&bytes, START, None, "whole");
        for _ in 0..4 {
            let until = end_of(&mut random);
            assert_same(&bytes, START, Some(until), "until an end");
            assert_same(&bytes, START, Some(until - 8), "until within a frame");
            let from = end_of(&mut random);
            assert_same(&bytes, from.min(START + bytes.len() as u64), None, "from an end");
        }
        assert_same(&bytes, START, Some(START + bytes.len() as u64 + 64), "beyond the area");
    }
}

#[test]
fn a_remainder_too_short_for_a_frame_is_an_end_only_where_the_area_ends() {
    let window = usize::try_from(WINDOW_BYTES).unwrap();
    for len in window - 64..window + 64 {
        let mut frames = Frames::default();
        frames.push(Kind::Record, &vec![7; len], false);
        let end = frames.ends[0];
        for more in [0, 8, 16, 24, 600] {
            let mut bytes = frames.bytes.clone();
            bytes.resize(bytes.len() + more, 0);
            for until in [None, Some(end), Some(end + 8), Some(end + 16)] {
                assert_same(&bytes, START, until, "a remainder");
            }
        }
    }
}

#[test]
fn a_scan_from_beyond_the_end_finds_nothing() {
    let bytes = vec![0; 64];
    for (from, until) in [(START + 72, None), (START + 64, None), (START + 16, Some(START + 8))] {
        let (found, sum) =
            through(&bytes, |windows| windows.scan(from, until, Salt::new(&ID))).unwrap();
        assert_eq!(found, scan(&bytes, START, from, until, Salt::new(&ID)));
        assert_eq!(sum, Summary::default());
    }
}

#[test]
fn a_single_byte_is_found_wherever_it_lies() {
    let window = usize::try_from(WINDOW_BYTES).unwrap();
    // Whole windows, and a last one of 8 bytes, of one less than a page, or of none.
    for len in [2 * window, 2 * window + 8, 3 * window - 8, 8] {
        for at in 0..len {
            let mut bytes = vec![0; len];
            bytes[at] = 1 << (at % 8);
            let found = |from| through(&bytes, |windows| windows.content_end(from)).unwrap();
            assert_eq!(found(START), START + at as u64 + 1, "{len} {at}");
            let before = START + (at as u64) / 8 * 8;
            assert_eq!(found(before), START + at as u64 + 1, "{len} {at}");
            assert_eq!(found(before + 8), before + 8, "{len} {at}");
        }
        let zeros = vec![0; len];
        assert_eq!(through(&zeros, |windows| windows.content_end(START)).unwrap(), START);
    }
}

#[test]
fn the_last_content_is_found_on_either_side_of_a_page() {
    for len in [1, 8, 4096, 4104, 8192, 10_000] {
        assert_eq!(last_content(&vec![0; len]), None);
        for at in [0, 1, 7, 8, 4087, 4088, 4095, 4096, 4097, 8191, 9999] {
            let mut bytes = vec![0; len];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = 1;
                assert_eq!(last_content(&bytes), Some(at), "{len} {at}");
                bytes[0] = 1;
                assert_eq!(last_content(&bytes), Some(at), "{len} {at}");
            }
        }
    }
}
