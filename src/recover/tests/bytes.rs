//! The private buffer that one segment's frames are read into.

use super::images::{BYTES, ID, Writer};
use crate::format::{frames_start, segment_name, summarize};
use crate::recover::ahead::{Question, Task, threads_for};
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
fn what_is_known_is_not_read_again_and_what_is_not_is() {
    let writer = Writer::new().segment().records(6, 1000);
    let storage = FaultStorage::from_image(writer.image.clone());
    let mut bytes = Bytes::new(&storage);
    let (start, end, mut reads) = (frames_start(0), writer.at, storage.reads());
    let mut has_read = || {
        let before = std::mem::replace(&mut reads, storage.reads());
        before < storage.reads()
    };
    assert_eq!(bytes.scan(&file(0), start, None).unwrap().end, end);
    assert!(has_read());
    assert_eq!(bytes.summary(&file(0), end).unwrap().unwrap().records, 6);
    assert!(!has_read(), "what was scanned is summed up");
    for (from, left, reading) in
        [(end, 0, false), (end + 8, 0, false), (end - 8, 8, true), (end, 0, false)]
    {
        assert_eq!(bytes.left_from(&file(0), from).unwrap(), left, "{from}");
        assert_eq!(has_read(), reading, "{from}");
    }
    assert_eq!(bytes.evidence(&file(0), end, end).unwrap(), None);
    assert!(!has_read(), "zeros prove nothing");
    bytes.frames(&file(0)).unwrap();
    assert!(has_read());
    assert_eq!(bytes.scan(&file(0), start, None).unwrap().end, end);
    assert_eq!(bytes.left_from(&file(0), start).unwrap(), end - start);
    assert!(!has_read(), "all of it is held");
}

#[test]
fn frames_are_summed_up_only_to_where_all_are_valid() {
    let writer = Writer::new().segment().records(6, 1000);
    let storage = FaultStorage::from_image(writer.image.clone());
    let whole = &writer.image.get("00000000000000000000.seg").unwrap()[4096..];
    let start = frames_start(0);
    for count in 1..=6 {
        let end = writer.records[count - 1].0 + 1016;
        let expected = summarize(&whole[..usize::try_from(end - start).unwrap()], start).unwrap();
        let mut bytes = Bytes::new(&storage);
        assert_eq!(bytes.summary(&file(0), end).unwrap(), Some(expected), "{count}");
        // Another end than that which was scanned.
        bytes.scan(&file(0), start, None).unwrap();
        assert_eq!(bytes.summary(&file(0), end).unwrap(), Some(expected), "{count}");
        assert_eq!(bytes.summary(&file(0), end + 8).unwrap(), None, "{count}");
    }
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

#[test]
fn what_was_looked_up_ahead_answers_the_same_question_and_no_other() {
    let size = 1 << 20;
    let writer = Writer::new().sized(size).segment().records(6, 1000).roll().records(2, 1000);
    let storage = FaultStorage::from_image(writer.image.clone());
    let [first, second] =
        [0, size].map(|base| SegmentFile { file_bytes: size, bytes: size, ..file(base) });
    let (start, until) = (frames_start(0), Some(writer.records[2].0));
    let tasks = [(&first, until), (&second, None)].map(|(file, until)| {
        let question = Question::Frames { from: file.start(), until };
        Task { file, question }
    });
    let alone = |until| Bytes::new(&storage).scan(&first, start, until).unwrap();
    assert_ne!(alone(until), alone(None));
    for (asked, is_known) in [(until, true), (None, false)] {
        let mut bytes = Bytes::new(&storage);
        bytes.may_use_threads = true;
        bytes.look_ahead(&tasks);
        let reads = storage.reads();
        let found = bytes.scan(&first, start, asked).unwrap();
        // Nobody helps where there is one processor.
        let helped = threads_for(&tasks) > 1;
        assert_eq!(storage.reads() == reads, is_known && helped, "{asked:?}");
        assert_eq!(found, alone(asked));
    }
}
