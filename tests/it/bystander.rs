//! A process that reads the files of a log while another one writes them, through the public format
//! alone.
//!
//! Invariant: every frame below the end of what the writer has acknowledged is valid, and no byte
//! below it ever changes; not by rolls, by closing, or by what opening does after a kill.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stratalog::format::{
    BLOCK_BYTES, FileKind, Kind, Link, Salt, SegmentHeader, Stopped, classify, frame_at,
    frames_end, frames_start, payload_crc, scan, segment_name,
};

use super::common::{number, seed};
use super::process::{History, Task, open};

/// What was seen of a segment: so many bytes, with this checksum.
#[derive(Clone, Copy, Debug)]
struct Seen {
    bytes: usize,
    crc: u32,
}

/// Reads a log that another process writes, and remembers what it saw.
#[derive(Debug)]
pub(crate) struct Bystander {
    directory: PathBuf,
    seen: BTreeMap<u64, Seen>,
    /// How many bytes were compared with what was seen before.
    pub(crate) compared: u64,
}

impl Bystander {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), seen: BTreeMap::new(), compared: 0 }
    }

    /// Looks at everything below `end`, which the writer has acknowledged before.
    pub(crate) fn look(&mut self, end: u64) {
        if end == 0 {
            return;
        }
        let names = fs::read_dir(&self.directory).unwrap();
        let mut bases: Vec<u64> = names
            .filter_map(|entry| match classify(entry.unwrap().file_name().to_str()?) {
                FileKind::Segment(base) if frames_start(base) < end => Some(base),
                _ => None,
            })
            .collect();
        bases.sort_unstable();
        let mut expected_end = None;
        for base in bases.into_iter().rev() {
            let file = fs::read(self.directory.join(segment_name(base))).unwrap();
            let linked = self.look_at(base, &file, end, expected_end);
            expected_end = Some(linked);
        }
        assert!(
            expected_end.is_none_or(|link| link == Link::FIRST),
            "the oldest segment there names {expected_end:?}"
        );
    }

    /// Checks one segment, and returns its link. `next` is the link of the segment behind it.
    fn look_at(&mut self, base: u64, file: &[u8], end: u64, next: Option<Link>) -> Link {
        let block = BLOCK_BYTES as usize;
        let header = SegmentHeader::decode(&file[..block]).unwrap();
        assert_eq!((header.base, header.segment_bytes), (base, file.len() as u64));
        let (start, salt) = (frames_start(base), Salt::new(&header.id));
        let until = match next {
            Some(link) => {
                assert_eq!(link.previous_base, base, "the next segment names another one");
                link.previous_end
            }
            None => end.min(frames_end(base, header.segment_bytes)),
        };
        let frames = &file[block..file.len() - block];
        let found = scan(frames, start, start, Some(until), salt);
        assert_eq!(found.stopped, Stopped::Complete, "segment {base} up to {until}: {found:?}");
        let prefix = &file[..(until - base) as usize];
        if let Some(seen) = self.seen.get(&base) {
            let same = &prefix[..seen.bytes];
            assert_eq!(payload_crc(same), seen.crc, "segment {base} has other bytes than before");
            self.compared += seen.bytes as u64;
        }
        let seen = Seen { bytes: prefix.len(), crc: payload_crc(prefix) };
        self.seen.insert(base, seen);
        let frame = frame_at(frames, start, start, salt).unwrap();
        assert_eq!(frame.header.kind, Kind::Link);
        Link::decode(frame.payload).unwrap()
    }
}

/// The child: appends until it is killed. As a test of its own it does nothing.
#[test]
fn child_that_is_read_while_it_writes() {
    let Some(task) = Task::given() else { return };
    let log = task.open().unwrap();
    let ended = task.work(&log);
    assert!(ended.is_empty(), "{ended:?}");
    log.close().unwrap();
}

#[test]
fn another_process_reads_what_is_acknowledged_and_none_of_it_ever_changes() {
    let seed = seed("bystander");
    let (mut history, mut compared) = (History::default(), 0);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("log");
    let mut bystander = Bystander::new(&directory);
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(3) {
        // With a thread of the log's own and without one.
        let seed = (seed % 1000 * 1000 + round) * 2;
        let task = Task { seed, writers: 4, calls: 200, directory: directory.clone() };
        let mut child = task.start(&[], "bystander::child_that_is_read_while_it_writes");
        while child.hear() {
            if child.told.acks.is_multiple_of(64) {
                bystander.look(child.told.end);
            }
        }
        bystander.look(child.told.end);
        let (told, status) = child.finish();
        assert!(status.success() && told.acks > 0, "{status}: {:?}", told.lines);
        history.add(told);
        let log = open(&directory, false).unwrap();
        assert!(log.recovery().clean);
        history.check(&log);
        bystander.look(log.committed().get());
        // Then what is committed ends where a segment begins that has no frame yet.
        log.roll().unwrap();
        log.close().unwrap();
        let log = open(&directory, false).unwrap();
        bystander.look(log.committed().get());
        log.close().unwrap();
        compared = bystander.compared;
    }
    assert!(compared > 4 << 20, "only {compared} bytes were compared");
}
