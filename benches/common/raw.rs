//! `raw`: what a log can't go below. Finished frames by plain `pwrite` and `fdatasync` into one file
//! that was filled with zeros before, and a scan that checks CRC-32C.
//!
//! Invariant: nothing is computed for a frame that is written. Only one is made, and it is written
//! again and again: making frames is a log's work, not the floor below it. At the file's end it goes
//! on at its start, whose pages were written as often.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;

use tempfile::TempDir;

use super::{HEADER_BYTES, folder, frame_bytes, full_or_quick, payload};

/// How much is buffered, and how much is scanned, at a time.
const BUFFER_BYTES: usize = 256 << 10;

#[cfg(unix)]
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset).expect("the file can be written");
}

#[cfg(windows)]
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) {
    let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset);
    assert_eq!(written.expect("the file can be written"), bytes.len());
}

/// Writes zeros over `bytes` bytes at `offset`, `step` bytes at a time.
pub(crate) fn write_zeros(file: &File, offset: u64, bytes: u64, step: usize) {
    let zeros = vec![0; step];
    for at in (offset..offset + bytes).step_by(step) {
        write_at(file, &zeros, at);
    }
}

/// A file filled with zeros, and a frame.
pub(crate) struct Raw {
    file: File,
    file_bytes: u64,
    end: u64,
    pub(crate) frame: Vec<u8>,
    buffer: Vec<u8>,
    _folder: TempDir,
}

impl Raw {
    pub(crate) fn new(payload_bytes: usize) -> Self {
        Self::with_bytes(payload_bytes, full_or_quick(64 << 20, 4 << 20))
    }

    pub(crate) fn with_bytes(payload_bytes: usize, file_bytes: u64) -> Self {
        let folder = folder();
        let path = folder.path().join("raw");
        let file = File::create_new(path).expect("a file can be made");
        // As a log fills its segments: larger writes make larger folios, which small writes pay for
        // later, and smaller ones smaller folios, which large writes and scans pay for.
        write_zeros(&file, 0, file_bytes, 64 << 10);
        file.sync_all().expect("the file can be synced");
        let frame = frame(&payload(payload_bytes));
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Self { file, file_bytes, end: 0, frame, buffer, _folder: folder }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.end + bytes.len() as u64 > self.file_bytes {
            self.end = 0;
        }
        write_at(&self.file, bytes, self.end);
        self.end += bytes.len() as u64;
    }

    pub(crate) fn append(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        self.write(&frame);
        self.frame = frame;
    }

    pub(crate) fn append_durable(&mut self) {
        self.append();
        self.file.sync_data().expect("the file can be synced");
    }

    pub(crate) fn append_buffered(&mut self) {
        if self.buffer.len() + self.frame.len() > BUFFER_BYTES {
            self.write_out();
        }
        self.buffer.extend_from_slice(&self.frame);
    }

    pub(crate) fn write_out(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.write(&buffer);
        buffer.clear();
        self.buffer = buffer;
    }
}

/// Checksum, length and kind, then the payload. The checksum covers the payload, then the header.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES as usize];
    let len = u32::try_from(payload.len()).expect("a payload is small");
    frame[4..8].copy_from_slice(&len.to_le_bytes());
    frame[8] = 1;
    let checksum = checksum(&frame, payload);
    frame[..4].copy_from_slice(&checksum.to_le_bytes());
    frame.extend_from_slice(payload);
    frame.resize(frame.len().next_multiple_of(8), 0);
    frame
}

fn checksum(header: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(payload), &header[4..16])
}

/// Writes `records` frames into a new file.
pub(crate) fn write_frames(path: &Path, payload_bytes: usize, records: u64) {
    let file = File::create_new(path).expect("a file can be made");
    let frame = frame(&payload(payload_bytes));
    let together = (BUFFER_BYTES / frame.len()).max(1);
    let frames = frame.repeat(together);
    for number in 0..records.div_ceil(together as u64) {
        write_at(&file, &frames, number * frames.len() as u64);
    }
    file.set_len(records * frame_bytes(payload_bytes)).expect("the file can be cut");
    file.sync_all().expect("the file can be synced");
}

/// Reads the file in pieces into one buffer that stays in the cache, checks every frame where it is
/// asked to, and returns how many there are. A scan of a map is in `benches/peers`, where `unsafe` may
/// stand; it lies between this, which copies, and [`scan_bytes`], which has nothing to read or to map.
pub(crate) fn scan(path: &Path, verify: bool) -> u64 {
    use std::io::Read;
    let mut file = File::open(path).expect("the file is there");
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut kept, mut records) = (0, 0);
    loop {
        let read = file.read(&mut buffer[kept..]).expect("the file can be read");
        let have = kept + read;
        let (passed, found) = pass(&buffer[..have], verify);
        records += found;
        if read == 0 {
            return records;
        }
        buffer.copy_within(passed..have, 0);
        kept = have - passed;
    }
}

/// The same of bytes in memory.
pub(crate) fn scan_bytes(bytes: &[u8], verify: bool) -> u64 {
    pass(bytes, verify).1
}

/// Passes all whole frames: their bytes and their number.
fn pass(bytes: &[u8], verify: bool) -> (usize, u64) {
    let (mut at, mut records) = (0, 0);
    while let Some((header, body)) = bytes[at..].split_at_checked(16) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let Some(payload) = body.get(..length) else { break };
        if verify {
            let expected = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
            assert_eq!(checksum(header, payload), expected, "a frame is damaged");
        }
        black_box(payload);
        records += 1;
        at += 16 + length.next_multiple_of(8);
    }
    (at, records)
}
