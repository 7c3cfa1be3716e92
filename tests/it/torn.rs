//! [`contents`]: what may lie behind a torn record, benign and made to cost as much as can be.
//!
//! Invariant: none of it proves anything to [`evidence`](stratalog::format::evidence), so that a search
//! for proof goes through all of it.

use stratalog::format::{FrameHeader, Kind, LogId, Salt, frame_bytes, payload_crc};

/// The log that the contents are meant to be found in, and the address of their first byte.
pub(crate) const ID: LogId = LogId::new(*b"a log with tails");
pub(crate) const START: u64 = (64 << 20) + 4096;

/// Makes a word of the area from its index and the number of words.
type Word = fn(usize, usize) -> u64;

/// Each with a name; all begin at an address of their own.
pub(crate) const CONTENTS: &[(&str, Word)] = &[
    ("zeros", |_, _| 0),
    ("ones", |_, _| u64::MAX),
    ("small integers", |at, _| (at % 5) as u64),
    ("small integers of 32 bits", |at, _| (at % 4) as u64 | (at as u64 / 4 % 4) << 32),
    ("text", |_, _| u64::from_le_bytes(*b"to be or")),
    ("noise", |at, _| noise(at)),
    // A word that is a header's first and another one's second: a header at every step. What follows
    // it is as long as can be, or so long that it is summed at once, or just not.
    ("headers, each to the end", |at, words| header(((words - at) * 8).saturating_sub(16))),
    ("headers, each to the middle", |at, words| header((words - at) * 4)),
    ("headers of 64 bytes", |_, _| header(64)),
    ("headers of 65 bytes", |_, _| header(65)),
    ("headers of 1001 bytes", |_, _| header(1001)),
    ("headers of any length", |at, words| header(noise(at) as usize % ((words - at) * 8))),
    ("headers beyond the end", |_, _| header(u32::MAX as usize)),
    // At every other step one that names a high watermark besides.
    ("proofs, each to the end", |at, words| proof(at, ((words - at) * 8).saturating_sub(16))),
    ("proofs of 64 bytes", |at, _| proof(at, 64)),
    ("proofs of 1001 bytes", |at, _| proof(at, 1001)),
    ("proofs of any length", |at, words| proof(at, noise(at) as usize % ((words - at) * 8))),
    ("links and paddings", |at, _| [32 << 32, 3, 64 << 32 | 2, 2][at % 4]),
];

fn noise(at: usize) -> u64 {
    let mixed = (at as u64 ^ 0x5bd1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn header(len: usize) -> u64 {
    1 | (len as u64) << 32
}

fn proof(at: usize, len: usize) -> u64 {
    if at.is_multiple_of(2) { header(len) } else { 1 }
}

/// The words of one of [`CONTENTS`].
pub(crate) fn words(word: Word, bytes: usize) -> Vec<u8> {
    let words = bytes / 8;
    (0..words).flat_map(|at| word(at, words).to_le_bytes()).collect()
}

/// Records of the same log as they lay elsewhere, which was `moved` bytes away, or here, naming a
/// watermark that proves nothing.
pub(crate) fn records(bytes: usize, payload_bytes: usize, moved: u64) -> Vec<u8> {
    let mut area = Vec::with_capacity(bytes);
    let salt = Salt::new(&ID);
    let payload = vec![7; payload_bytes];
    let crc = payload_crc(&payload);
    while area.len() + frame_bytes(payload_bytes as u32) as usize <= bytes {
        let lsn = START + area.len() as u64;
        let back = if moved == 0 { u32::MAX } else { 0 };
        let header = FrameHeader::new(Kind::Record, payload_bytes as u32, false, back);
        area.extend(header.sealed(crc, salt.at(lsn + moved)).encode());
        area.extend(&payload);
        area.resize(area.len().next_multiple_of(8), 0);
    }
    area.resize(bytes, 0);
    area
}

/// All of it, made one after the other.
pub(crate) fn contents(bytes: usize) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let made = CONTENTS.iter().map(move |(name, word)| (*name, words(*word, bytes)));
    let copies: [(&str, usize, u64); 5] = [
        ("empty records from elsewhere", 0, 1 << 20),
        ("records of 100 bytes from elsewhere", 100, 1 << 20),
        ("records of 100,001 bytes from elsewhere", 100_001, 8),
        ("records that prove nothing", 100, 0),
        ("large records that prove nothing", 100_001, 0),
    ];
    let copies =
        copies.into_iter().map(move |(name, len, moved)| (name, records(bytes, len, moved)));
    made.chain(copies)
}
