//! Segments without a trailer, read by several threads, compared with the same by one.

use std::io::ErrorKind;
use std::sync::Arc;

use super::images::{ID, Writer};
use crate::format::{LogId, Salt, frames_end, segment_name};
use crate::random::Random;
use crate::recover::ahead::{Answer, Question, Task, look, threads_for};
use crate::recover::facts::{LinkFact, SegmentFile};
use crate::recover::recover;
use crate::recover::windows::{Area, Windows};
use crate::storage::{Access, FaultStorage, Image, MemoryStorage, Storage};
use crate::{Error, Options, RecoveryPolicy};

/// Large enough that a few of them are worth a thread.
const BYTES: u64 = 512 << 10;

/// A log that was killed behind four rolls, none of which was followed by a trailer, with a spare.
fn killed() -> Writer {
    let mut writer = Writer::new().sized(BYTES).segment().records(50, 9000).sync();
    for _ in 0..4 {
        writer = writer.roll().records(20, 9000).batch(5, 300).sync().records(3, 40);
    }
    writer.spare()
}

fn options(background: bool, policy: RecoveryPolicy) -> Options {
    let mut options = Options::new();
    options.segment_bytes(BYTES).background(background).recovery(policy);
    options
}

/// The report or the error, what is on the disk then, and how often it was read.
fn opened(
    image: &Image,
    options: &Options,
) -> (Result<(crate::Recovery, u32), String>, Image, u64) {
    let disk = FaultStorage::from_image(image.clone());
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let recovered = recover(&storage, options);
    let result = recovered.map(|it| (it.report, it.last_checksum)).map_err(|it| it.to_string());
    (result, disk.visible(), disk.reads())
}

#[test]
fn several_threads_find_what_one_finds_and_read_no_more() {
    for seed in 0..24 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let Writer { base, at, mut image, .. } = killed();
        if seed > 0 {
            // Anywhere, in the last segment, or in the spare.
            let at = match seed % 4 {
                0 => 4096 + random.below(at - 4096),
                1 | 2 => base + 4096 + random.below(at - base - 4096),
                _ => base + BYTES + 4096 + random.below(BYTES - 8192),
            };
            let file = image.get_mut(&segment_name(at / BYTES * BYTES)).unwrap();
            let offset = usize::try_from(at % BYTES).unwrap();
            match seed % 3 {
                0 | 1 => file[offset] ^= 1 << random.index(8),
                _ => file[offset.max(4096)..].fill(0),
            }
        }
        for policy in [RecoveryPolicy::CutTornTail, RecoveryPolicy::SkipCorrupt] {
            let alone = opened(&image, &options(false, policy));
            let helped = opened(&image, &options(true, policy));
            assert_eq!(helped.0, alone.0, "{policy:?}");
            assert!(helped.1 == alone.1, "{policy:?}: the disk differs");
            // Without damage, whatever one thread reads is asked for.
            assert!(seed > 0 || helped.2 <= alone.2, "{} reads, not {}", helped.2, alone.2);
        }
    }
}

#[test]
fn a_read_that_fails_in_any_thread_is_an_error_or_made_up_for() {
    let image = killed().image;
    let expected = opened(&image, &options(false, RecoveryPolicy::CutTornTail)).0;
    let mut random = Random::new(7);
    for _ in 0..20 {
        let disk = FaultStorage::from_image(image.clone());
        let reads = random.below(4000);
        disk.fail_read(reads, ErrorKind::Other);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        match recover(&storage, &options(true, RecoveryPolicy::CutTornTail)) {
            Ok(recovered) => {
                assert_eq!(Ok((recovered.report, recovered.last_checksum)), expected, "{reads}");
            }
            Err(Error::Io { .. }) => {}
            Err(error) => panic!("read {reads}: {error}"),
        }
    }
}

fn segment(base: u64, id: LogId) -> SegmentFile {
    let (file_bytes, bytes) = (BYTES, BYTES);
    let (link, sealed, trouble) = (LinkFact::Blank, None, None);
    SegmentFile { base, file_bytes, bytes, id, link, sealed, trouble }
}

#[test]
fn each_question_gets_one_answer_whatever_the_number_of_threads() {
    let writer = killed();
    let storage = MemoryStorage::from_image(writer.image.clone());
    let files: Vec<_> = (0..6).map(|number| segment(number * BYTES, ID)).collect();
    let missing = segment(9 * BYTES, ID);
    let question = |file: &SegmentFile| match file.base / BYTES {
        5 => Question::Content { from: file.start() },
        0..3 => Question::Frames { from: file.start(), until: Some(file.frames_end()) },
        _ => Question::Frames { from: file.start(), until: None },
    };
    let mut tasks: Vec<_> =
        files.iter().map(|file| Task { file, question: question(file) }).collect();
    tasks.push(Task { file: &missing, question: question(&missing) });
    for threads in [1, 2, 3, 9] {
        let mut answers = look(&storage, &tasks, threads);
        answers.sort_unstable_by_key(|answer| answer.base);
        assert_eq!(answers.len(), files.len(), "none for what can't be opened");
        for (answer, file) in answers.iter().zip(&files) {
            let Answer { base, question: asked, frames, rest } = *answer;
            assert_eq!((base, asked), (file.base, question(file)));
            let open = storage.open(&file.name(), Access::Read).unwrap();
            let area = Area { base, end: frames_end(base, BYTES) };
            let mut buffer = Vec::new();
            let mut windows = Windows { file: &*open, buffer: &mut buffer, area };
            match asked {
                Question::Content { from } => {
                    assert_eq!((frames, rest), (None, Some((from, from))));
                }
                Question::Frames { from, until } => {
                    let found = windows.scan(from, until, Salt::new(&ID)).unwrap();
                    assert_eq!(frames, Some(found));
                    let end = found.0.end;
                    let is_torn = base == 4 * BYTES;
                    assert_eq!(rest, is_torn.then_some((end, end)));
                }
            }
        }
    }
}

#[test]
fn a_little_to_read_is_worth_no_thread() {
    let small = SegmentFile { file_bytes: 16 << 10, bytes: 16 << 10, ..segment(0, ID) };
    let large = SegmentFile { file_bytes: 2 << 20, bytes: 2 << 20, ..segment(0, ID) };
    let ask = |file| Task { file, question: Question::Content { from: 4096 } };
    assert_eq!(threads_for(&[]), 1);
    assert_eq!(threads_for(&[ask(&large)]), 1, "one segment is for one thread");
    assert_eq!(threads_for(&[ask(&small), ask(&small)]), 1);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(threads_for(&[ask(&large), ask(&large)]), cores.min(2));
    assert_eq!(threads_for(&[ask(&large); 50]), cores.min(4));
}
