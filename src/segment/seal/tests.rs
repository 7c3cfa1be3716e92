//! What sealing writes, and what it gives back.

use std::io;
use std::sync::Arc;

use super::*;
use crate::format::{
    DURABLE_UNKNOWN, FrameHeader, LogId, Salt, frame_bytes, frames_end, frames_start, payload_crc,
};
use crate::storage::MemoryStorage;
use crate::sync::Mutex;

const BYTES: u64 = 256 << 10;
const BASE: u64 = 3 * BYTES;
const ID: LogId = LogId::new([7; 16]);

/// A file that notes what it is to give back.
#[derive(Debug)]
struct Noting {
    bytes: Mutex<Vec<u8>>,
    discarded: Mutex<Vec<(u64, u64)>>,
}

impl StorageFile for Noting {
    fn size(&self) -> io::Result<u64> {
        Ok(BYTES)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.bytes.lock()[from..from + buffer.len()]);
        Ok(buffer.len())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap();
        self.bytes.lock()[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.discarded.lock().push((offset, bytes));
        Ok(())
    }
}

/// Seals a segment with one record, an idle mark, and a padding of which `rest` bytes, a multiple of
/// a block, lie behind the block in which it begins.
fn sealed(rest: u64) -> Arc<Noting> {
    let end = frames_end(BASE, BYTES);
    let mut bytes = vec![0; usize::try_from(BYTES).unwrap()];
    let mut at = frames_start(BASE);
    let mut frame = |kind, len: u64, payload: &[u8]| {
        let len = u32::try_from(len).unwrap();
        let header = FrameHeader::new(kind, len, false, DURABLE_UNKNOWN)
            .sealed(payload_crc(payload), Salt::new(&ID).at(at))
            .encode();
        let from = usize::try_from(at - BASE).unwrap();
        bytes[from..from + 16].copy_from_slice(&header);
        bytes[from + 16..from + 16 + payload.len()].copy_from_slice(payload);
        at += frame_bytes(len);
        at
    };
    let record = end - rest - BLOCK_BYTES + 64 - frames_start(BASE) - 16;
    frame(Kind::Record, record, &vec![5; usize::try_from(record).unwrap()]);
    let at = frame(Kind::Padding, 0, &[]);
    assert_eq!(frame(Kind::Padding, end - at - 16, &[]), end);
    let (bytes, discarded) = (Mutex::new(bytes), Mutex::new(Vec::new()));
    let file = Arc::new(Noting { bytes, discarded });
    let segment = Segment::new((BASE, BYTES), end, ID, Some(Arc::clone(&file) as _));
    let storage = MemoryStorage::new();
    assert!(seal(&storage, &segment, 0).unwrap().is_some());
    assert!(segment.is_sealed());
    file
}

#[test]
fn the_body_of_a_large_last_padding_is_given_back_and_nothing_else() {
    let end = BYTES - BLOCK_BYTES;
    for rest in [DISCARD_BYTES, 2 * DISCARD_BYTES] {
        assert_eq!(*sealed(rest).discarded.lock(), [(end - rest, rest)]);
    }
    assert_eq!(*sealed(DISCARD_BYTES - BLOCK_BYTES).discarded.lock(), []);
}

#[test]
#[cfg(not(miri))]
fn others_get_to_run_while_a_large_segment_is_summed_up() {
    use crate::format::fixture::Area;
    use crate::sync::{AtomicBool, AtomicU64, Ordering, schedule, spawn};

    schedule::run(1, || {
        // Nobody is made to give way.
        schedule::pace(1 << 40);
        let mut area = Area::new(ID, 0);
        while area.bytes.len() < 8 << 20 {
            area.record(&[7; 4000]);
        }
        let end = area.end();
        let bytes = (end + BLOCK_BYTES).next_multiple_of(BLOCK_BYTES);
        let storage = MemoryStorage::new();
        let file = storage.create("00000000000000000000.seg", bytes).unwrap();
        write_all_at(&*file, &area.bytes, area.start).unwrap();
        let segment = Segment::new((0, bytes), end, ID, Some(file));
        let (turns, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (of_other, other_ends) = (Arc::clone(&turns), Arc::clone(&is_over));
        let work = move || {
            while !other_ends.load(Ordering::Relaxed) {
                of_other.fetch_add(1, Ordering::Relaxed);
                yield_now();
            }
        };
        let other = spawn("other", work).unwrap();
        assert!(seal(&storage, &segment, 0).unwrap().is_some());
        let turns = turns.load(Ordering::Relaxed);
        is_over.store(true, Ordering::Relaxed);
        other.join().unwrap();
        // Every 512 KiB or a little more, and a few where a file is locked.
        assert!((12..24).contains(&turns), "{turns} turns");
    });
}
