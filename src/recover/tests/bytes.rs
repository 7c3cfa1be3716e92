//! The private buffer that one segment's frames are read into.

use super::images::{BYTES, ID, Writer};
use crate::format::{frames_start, segment_name};
use crate::recover::bytes::Bytes;
use crate::recover::facts::{LinkFact, SegmentFile};
use crate::storage::{FaultStorage, Image, MemoryStorage};

fn file(base: u64) -> SegmentFile {
    let (file_bytes, bytes) = (BYTES, BYTES);
    SegmentFile {
        base,
        file_bytes,
        bytes,
        id: ID,
        link: LinkFact::Blank,
        sealed: None,
        trouble: None,
    }
}

#[test]
fn what_is_held_is_not_read_again_and_what_is_not_is() {
    let writer = Writer::new().segment().records(6, 1000);
    let storage = FaultStorage::from_image(writer.image.clone());
    let whole = &writer.image.get("00000000000000000000.seg").unwrap()[4096..];
    let mut bytes = Bytes::new(&storage);
    let (start, mut reads) = (frames_start(0), storage.reads());
    // How much is asked for, how much that gives, and whether it has to be read.
    for (asked, held, reading) in [
        (100, 4196, true),
        (100, 4196, false),
        (8, 4196, false),
        (104, 4200, true),
        (4200, 8192, true),
        (9000, 8192, false),
        (100, 8192, false),
    ] {
        let frames = bytes.frames_to(&file(0), start + asked).unwrap();
        assert_eq!(frames, &whole[..held], "{asked}");
        assert_eq!(storage.reads() > reads, reading, "{asked}");
        reads = storage.reads();
    }
    bytes.forget();
    assert_eq!(bytes.frames_to(&file(0), start + 100).unwrap().len(), 4196);
    assert!(storage.reads() > reads);
}

#[test]
fn what_is_left_ends_with_the_last_byte_that_is_not_zero() {
    let writer = Writer::new().segment().records(6, 1000).roll();
    let storage = FaultStorage::from_image(writer.image.clone());
    let mut bytes = Bytes::new(&storage);
    // Behind the last record lies the header of the padding.
    let end = writer.records[5].0 + 1016 + 16;
    for (from, left) in [(4096, end - 4096), (end - 1, 1), (end - 16, 16), (end, 0), (12280, 0)] {
        assert_eq!(bytes.left_from(&file(0), from).unwrap(), left, "{from}");
    }
    // A shorter one in the same buffer: nothing of the longer one shines through.
    let start = frames_start(BYTES);
    assert_eq!(bytes.left_from(&file(BYTES), start).unwrap(), writer.at - start);
    assert!(bytes.frames(&file(BYTES)).unwrap()[48..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_segment_longer_than_one_read_is_held_whole() {
    let area = (512 << 10) + 100 * 8;
    let mut content: Vec<u8> = (1..=251).cycle().take(area + 8192).collect();
    content[40_000..300_000].fill(0);
    let mut image = Image::new();
    image.insert(segment_name(0), content.clone());
    let storage = MemoryStorage::from_image(image);
    let size = content.len() as u64;
    let file = SegmentFile { file_bytes: size, bytes: size, ..file(0) };
    let mut bytes = Bytes::new(&storage);
    assert!(bytes.frames(&file).unwrap() == &content[4096..4096 + area]);
    assert_eq!(bytes.left_from(&file, 50_000).unwrap(), (4096 + area - 50_000) as u64);
}
