//! [`Ring`]: the staging ring, where frames are filled in parallel before one write takes them out.
//!
//! Invariant: the word at an address is zero from the moment that `free` passed the address of one
//! lap before, until the owner of the claim there stores it. The second word of a frame is never
//! zero, so a word that is not zero where a frame's second word is expected *is* that frame,
//! published.
//!
//! 1. The owner of a claim stores its frames, payload and headers, with relaxed stores.
//! 2. It stores the second word of its first frame last, with release: the frame, or the whole
//!    batch, is published at once.
//! 3. The commit leader loads second words with acquire, one frame behind the other, until it finds
//!    a zero.
//! 4. It copies the words into a buffer of its own, which is what gets written, and zeroes them; then
//!    it raises `free`, with release. A claim is granted only up to `free` plus the ring's size, and
//!    loads `free` with acquire: it finds zeros.
//!
//! An address lies at the word `address / 8` modulo the ring's size, a power of two.

use crate::format::FrameHeader;
use crate::sync::{AtomicU64, Ordering, RaceDetector};

#[derive(Debug)]
struct Word {
    value: AtomicU64,
    race: RaceDetector,
}

#[derive(Debug)]
pub(crate) struct Ring {
    words: Box<[Word]>,
}

impl Ring {
    /// A ring of `bytes` bytes, a power of two from 64.
    pub(crate) fn new(bytes: usize) -> Self {
        debug_assert!(bytes.is_power_of_two() && bytes >= 64, "a power of two holds a link");
        let zero = || Word { value: AtomicU64::new(0), race: RaceDetector::new() };
        Self { words: std::iter::repeat_with(zero).take(bytes / 8).collect() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "masked by the length, a power of two")]
    fn word(&self, at: u64) -> &Word {
        &self.words[(at / 8) as usize & (self.words.len() - 1)]
    }

    /// The `count` words from `at` on, in two pieces: the second begins at the ring's start, and is
    /// mostly empty. Going through pieces costs less than masking the address of every word.
    #[inline]
    fn pieces(&self, at: u64, count: usize) -> [&[Word]; 2] {
        let start = (at / 8) as usize & (self.words.len() - 1);
        let (before, behind) = self.words.split_at(start);
        match behind.get(..count) {
            Some(piece) => [piece, &[]],
            None => [behind, before.get(..count - behind.len()).unwrap_or(before)],
        }
    }

    /// Stores all of a frame at `at` but its second word, which publishes it.
    #[inline]
    pub(crate) fn fill(&self, at: u64, header: FrameHeader, payload: &[u8]) {
        store(self.word(at), header.to_words()[0]);
        let (mut chunks, rest) = payload.as_chunks::<8>();
        let rest_at = at + 16 + (payload.len() - rest.len()) as u64;
        for piece in self.pieces(at + 16, chunks.len()) {
            let (here, next) = chunks.split_at(piece.len().min(chunks.len()));
            piece
                .iter()
                .zip(here)
                .for_each(|(word, chunk)| store(word, u64::from_ne_bytes(*chunk)));
            chunks = next;
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            store(self.word(rest_at), u64::from_ne_bytes(last));
        }
    }

    /// Stores the second word of a frame that is not the first of its batch: the batch's first frame
    /// publishes it.
    #[inline]
    pub(crate) fn join(&self, at: u64, header: FrameHeader) {
        self.word(at + 8).value.store(header.to_words()[1], Ordering::Relaxed);
    }

    /// Publishes the frame at `at`, and the batch that it begins. Release: partner of `peek`.
    #[inline]
    pub(crate) fn publish(&self, at: u64, header: FrameHeader) {
        self.word(at + 8).value.store(header.to_words()[1], Ordering::Release);
    }

    /// The header of the frame at `at`, if it is published. Acquire: partner of `publish`.
    #[inline]
    pub(crate) fn peek(&self, at: u64) -> Option<FrameHeader> {
        let second = self.word(at + 8).value.load(Ordering::Acquire);
        if second == 0 {
            return None;
        }
        let first = self.word(at);
        first.race.on_read();
        let header = FrameHeader::from_words([first.value.load(Ordering::Relaxed), second]);
        debug_assert!(header.is_ok(), "what is in the ring was made by this process");
        header.ok()
    }

    /// Copies the words from `at` on into `buffer`, a multiple of 8 bytes, and zeroes them.
    #[inline]
    pub(crate) fn take(&self, at: u64, buffer: &mut [u8]) {
        let (mut chunks, _) = buffer.as_chunks_mut::<8>();
        for piece in self.pieces(at, chunks.len()) {
            let (here, next) = chunks.split_at_mut(piece.len().min(chunks.len()));
            for (word, chunk) in piece.iter().zip(here) {
                word.race.on_write();
                *chunk = word.value.load(Ordering::Relaxed).to_ne_bytes();
                word.value.store(0, Ordering::Relaxed);
            }
            chunks = next;
        }
    }
}

#[inline]
fn store(word: &Word, value: u64) {
    word.race.on_write();
    word.value.store(value, Ordering::Relaxed);
}
