//! `raw`: no log, but what a log can't go below. Finished frames by plain `pwrite` and `fdatasync`
//! into one file that was filled with zeros before, and a mapped scan that checks CRC-32C.
//!
//! An append is in the page cache when `pwrite` returns, a durable one on disk when `fdatasync`
//! returns; each thread syncs for itself. A buffered one is copied to memory, which is written when
//! 1 MiB is full. Frames are 16 bytes of header and the payload. Only the first frame is made, and
//! written again and again: making frames is a log's work, not the floor below it.
//!
//! The scan leaves reading ahead to the system, which it tells to expect a scan. To read and enter
//! each 256 KiB, 1 MiB or 4 MiB at once makes no difference, in the page cache or out of it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;

use crate::measure::payload;
use crate::system::{Ack, Log, Operation, Outcome, Plan, System, in_shares};
use crate::works::BATCH_RECORDS;

const HEADER_BYTES: usize = 16;
const BUFFER_BYTES: usize = 1 << 20;
const FILE_NAME: &str = "raw";

pub(crate) struct Raw;

impl System for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn ack(&self, operation: Operation) -> Option<Ack> {
        match operation {
            Operation::Append | Operation::Batch => Some(Ack::PageCache),
            Operation::Buffered => Some(Ack::Memory),
            Operation::Durable | Operation::Replay => Some(Ack::Disk),
            Operation::Open => None,
        }
    }

    fn note(&self, plan: &Plan) -> Option<&'static str> {
        let durable = "each thread syncs for itself, so it is no limit for several";
        (plan.timed == Operation::Durable && plan.threads > 1).then_some(durable)
    }

    fn open(&self, directory: &Path, plan: &Plan) -> Outcome<Box<dyn Log>> {
        let path = directory.join(FILE_NAME);
        let is_new = !path.exists();
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if is_new {
            fill_with_zeros(&file, plan.log_bytes(HEADER_BYTES))?;
        }
        let frame = frame(&payload(plan.record_bytes));
        let batch = frame.repeat(BATCH_RECORDS);
        let buffer = Mutex::new(Vec::with_capacity(BUFFER_BYTES));
        let (records, end) = (plan.records, AtomicU64::new(0));
        Ok(Box::new(RawLog { file, frame, batch, records, end, buffer }))
    }
}

/// Writes zeros as stratalog does: larger writes make larger folios, which later small writes pay for,
/// and smaller ones smaller folios, for which large writes and scans pay two to three times as much.
fn fill_with_zeros(file: &File, bytes: u64) -> Outcome {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    for offset in (0..bytes).step_by(ZEROS.len()) {
        file.write_all_at(&ZEROS, offset)?;
    }
    file.sync_all()?;
    Ok(())
}

/// Checksum, length and kind, then the payload. The checksum covers the payload, then the header.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame[4..8].copy_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame[8] = 1;
    let checksum = checksum(&frame, payload);
    frame[..4].copy_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(payload);
    frame.resize(frame.len().next_multiple_of(8), 0);
    frame
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(payload), &header[4..HEADER_BYTES])
}

struct RawLog {
    file: File,
    frame: Vec<u8>,
    batch: Vec<u8>,
    /// How many records the plan is for.
    records: u64,
    end: AtomicU64,
    buffer: Mutex<Vec<u8>>,
}

impl RawLog {
    fn write(&self, bytes: &[u8]) -> Outcome {
        let offset = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, offset)?;
        Ok(())
    }
}

/// Counts the frames until the first zeros, with their checksums checked.
fn scan(frames: &[u8]) -> Outcome<u64> {
    let (mut rest, mut records) = (frames, 0);
    while let Some((header, body)) = rest.split_at_checked(HEADER_BYTES) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if header[8] == 0 {
            break;
        }
        let payload = body.get(..length).ok_or("a frame is cut")?;
        let expected = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        if checksum(header, payload) != expected {
            return Err("a frame is damaged".into());
        }
        records += 1;
        rest = body.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(records)
}

impl Log for RawLog {
    fn append(&self, _thread: usize, _payload: &[u8]) -> Outcome {
        self.write(&self.frame)
    }

    fn append_buffered(&self, _payload: &[u8]) -> Outcome {
        let mut buffer = self.buffer.lock().map_err(|_| "poisoned")?;
        if buffer.len() + self.frame.len() > BUFFER_BYTES {
            self.write(&buffer)?;
            buffer.clear();
        }
        buffer.extend_from_slice(&self.frame);
        Ok(())
    }

    fn write_out(&self) -> Outcome {
        let mut buffer = self.buffer.lock().map_err(|_| "poisoned")?;
        self.write(&buffer)?;
        buffer.clear();
        Ok(())
    }

    fn append_batch(&self, _payloads: &[&[u8]]) -> Outcome {
        self.write(&self.batch)
    }

    fn append_durable(&self, _thread: usize, _payload: &[u8]) -> Outcome {
        self.write(&self.frame)?;
        self.file.sync_data()?;
        Ok(())
    }

    fn fill(&self, _payload: &[u8], records: u64) -> Outcome {
        for _ in 0..records {
            self.append_buffered(&[])?;
        }
        self.write_out()?;
        self.file.sync_data()?;
        Ok(())
    }

    fn replay(&self, threads: usize) -> Outcome<u64> {
        // SAFETY: nobody writes or truncates the file while it is mapped: it lies in a directory of
        // this process's own, and appends are over.
        let map = unsafe { Mmap::map(&self.file)? };
        map.advise(memmap2::Advice::Sequential)?;
        if threads == 1 {
            return scan(&map);
        }
        in_shares(threads, self.records, |share| {
            let (start, end) = (usize::try_from(share.start)?, usize::try_from(share.end)?);
            let length = self.frame.len();
            scan(map.get(start * length..end * length).ok_or("the log is too short")?)
        })
    }

    fn close(self: Box<Self>) -> Outcome {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_fails_the_scan() {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan { record_bytes: 100, records: 10, threads: 1, timed: Operation::Replay };
        let log = Raw.open(directory.path(), &plan).unwrap();
        log.fill(&[], 10).unwrap();
        assert_eq!(log.replay(1).unwrap(), 10);
        let file = OpenOptions::new().write(true).open(directory.path().join(FILE_NAME)).unwrap();
        let frame = frame(&payload(100));
        file.write_all_at(&[frame[50] ^ 1], 3 * frame.len() as u64 + 50).unwrap();
        assert!(log.replay(1).is_err());
    }
}
