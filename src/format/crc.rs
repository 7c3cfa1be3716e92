//! CRC-32C: by the processor's instruction where bytes are few, by the crate `crc32c` elsewhere.
//!
//! Invariant: it gives what the crate gives, for all bytes and whatever came before them.
//!
//! The crate's way to the same instruction costs 6 ns a call, as much as the payload of a small record,
//! and no function that is compiled for it can be inlined: each frame pays twice. So here is the
//! second place in the library where `unsafe` stands: calling what only some processors can do, after
//! asking whether this one can. No memory is reached but by slices.
#![expect(unsafe_code, reason = "an instruction that not every processor has")]

/// From here on the crate computes three pieces side by side, which is faster than one.
#[cfg(target_arch = "x86_64")]
const PIECES_BYTES: usize = 768;

/// The CRC-32C of bytes of which the first have the CRC `crc`, and `bytes` are the rest; of `bytes`
/// alone if `crc` is 0.
#[inline]
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < PIECES_BYTES && std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has SSE 4.2, as the line above has asked.
        return unsafe { by_instruction(crc, bytes) };
    }
    crc32c::crc32c_append(crc, bytes)
}

/// The same of the little-endian bytes of two words and a half: a frame's address and header.
#[inline]
pub(crate) fn crc32c_of_words(crc: u32, words: [u64; 2], half: u32) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has SSE 4.2, as the line above has asked.
        return unsafe { words_by_instruction(crc, words, half) };
    }
    let crc = crc32c::crc32c_append(crc, words.map(u64::to_le_bytes).as_flattened());
    crc32c::crc32c_append(crc, &half.to_le_bytes())
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn words_by_instruction(crc: u32, [first, second]: [u64; 2], half: u32) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u32, _mm_crc32_u64};

    let state = _mm_crc32_u64(_mm_crc32_u64(u64::from(!crc), first), second);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the instruction leaves the upper half zero"
    )]
    let state = state as u32;
    !_mm_crc32_u32(state, half)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn by_instruction(crc: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};

    let (words, rest) = bytes.as_chunks();
    let state = words
        .iter()
        .fold(u64::from(!crc), |state, word| _mm_crc32_u64(state, u64::from_le_bytes(*word)));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the instruction leaves the upper half zero"
    )]
    let state = state as u32;
    let (halves, rest) = rest.as_chunks();
    let state =
        halves.iter().fold(state, |state, half| _mm_crc32_u32(state, u32::from_le_bytes(*half)));
    !rest.iter().fold(state, |state, byte| _mm_crc32_u8(state, *byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::checksum::textbook_crc;

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * 151 + n / 251 * 7).to_le_bytes()[0]).collect()
    }

    #[test]
    fn every_length_at_every_alignment_has_the_crates_checksum() {
        let bytes = bytes(1108);
        for from in 0..8 {
            for len in 0..=1100 {
                let piece = &bytes[from..from + len];
                assert_eq!(crc32c(0, piece), crc32c::crc32c(piece), "{from} {len}");
                let crc = u32::try_from(len).unwrap().wrapping_mul(0x9E37_79B9);
                assert_eq!(crc32c(crc, piece), crc32c::crc32c_append(crc, piece), "{from} {len}");
            }
        }
    }

    #[test]
    fn a_short_checksum_is_that_of_the_textbook() {
        let bytes = bytes(300);
        for len in 0..=300 {
            assert_eq!(crc32c(0, &bytes[..len]), textbook_crc(&bytes[..len]), "{len}");
        }
    }

    proptest! {
        #[test]
        fn words_have_the_checksum_of_their_bytes(
            crc in any::<u32>(),
            words in any::<[u64; 2]>(),
            half in any::<u32>(),
        ) {
            let mut bytes = words.map(u64::to_le_bytes).concat();
            bytes.extend(half.to_le_bytes());
            prop_assert_eq!(
                crc32c_of_words(crc, words, half),
                crc32c::crc32c_append(crc, &bytes)
            );
        }

        #[test]
        fn any_bytes_in_two_pieces_have_the_crates_checksum(
            bytes in proptest::collection::vec(any::<u8>(), 0..1600),
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, rest) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32c(crc32c(0, first), rest), crc32c::crc32c(&bytes));
        }
    }
}
