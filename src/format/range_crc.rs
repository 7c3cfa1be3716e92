//! [`RangeCrc`]: the CRC-32C of any range of some bytes, in a time that does not depend on its length.
//!
//! Invariant: it always gives what [`crc32c::crc32c`] of that range gives.
//!
//! Let `r(m)` be the remainder of bytes `m`. Then `r(a b) = r(a) * x^(8 len b) + r(b)`, so that
//! `r(b..e) = r(0..e) + r(0..b) * x^(8 (e - b))`: the remainders of two prefixes, and a product.
//!
//! 1. For every word the remainder of the bytes before it is kept: half as much memory as the bytes.
//! 2. A range ends inside a word only where zeros fill that word up, and what these multiplied the
//!    remainder by is divided out again. So the bytes themselves are never read a second time.
//! 3. `x^(8 n)` is the product of two table entries, one for the low bits of `n`, one for the high.

use super::polynomial::{factor_divided_by_x, factor_times_x, multiply, multiply_and_add, step};

pub(super) type Word = [u8; 8];

/// The low table has a factor for each length below this.
const LOW: usize = 1 << 13;

/// For each number of bytes in the last word, the factor that takes its filler off.
const UNFILLED: [u32; 8] = [
    factor_divided_by_x(0),
    factor_divided_by_x(56),
    factor_divided_by_x(48),
    factor_divided_by_x(40),
    factor_divided_by_x(32),
    factor_divided_by_x(24),
    factor_divided_by_x(16),
    factor_divided_by_x(8),
];

/// The CRC-32C of any range of some words.
#[derive(Debug)]
pub(super) struct RangeCrc {
    /// The remainder of the first `i` words.
    prefixes: Vec<u32>,
    /// The factor for `i` bytes.
    low: Vec<u32>,
    /// The factor for `i * LOW` bytes.
    high: Vec<u32>,
}

/// The remainder of the bytes before the end of a range.
///
/// Ends lie anywhere in memory: whoever has several ranges looks them all up before it uses the
/// first, so that memory is waited for once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RangeEnd(u32);

impl RangeCrc {
    pub(super) fn new(words: &[Word]) -> Self {
        let mut prefixes = Vec::with_capacity(words.len() + 1);
        prefixes.push(0);
        prefixes.extend(words.iter().scan(0, |remainder, word| {
            *remainder = step(*remainder, u64::from_le_bytes(*word));
            Some(*remainder)
        }));
        let powers = |factor: u32, count: usize| -> Vec<u32> {
            std::iter::successors(Some(factor_times_x(0)), |power| Some(multiply(factor, *power)))
                .take(count)
                .collect()
        };
        let one_byte = factor_times_x(8);
        let low = powers(one_byte, LOW);
        let low_bytes = multiply(one_byte, low.last().copied().unwrap_or_default());
        let high = powers(low_bytes, words.len() * 8 / LOW + 1);
        Self { prefixes, low, high }
    }

    /// Looks up the end of a range of `len` bytes that begins at the word `from`; `None` where there
    /// are not as many.
    #[inline]
    pub(super) fn end(&self, from: usize, len: usize) -> Option<RangeEnd> {
        self.prefixes.get(from.checked_add(len.div_ceil(8))?).copied().map(RangeEnd)
    }

    /// The CRC-32C of the `len` bytes from the word `from` on that end at `end`, if all bytes behind
    /// them in their last word are zero; if not, it is any number.
    #[inline]
    pub(super) fn crc_if_filled(&self, from: usize, len: usize, end: RangeEnd) -> Option<u32> {
        let before = *self.prefixes.get(from)?;
        let low = *self.low.get(len % LOW)?;
        let factor = if len < LOW { low } else { multiply(low, *self.high.get(len / LOW)?) };
        let unfilled = *UNFILLED.get(len % 8)?;
        // CRC-32C begins with all ones, and inverts the remainder.
        Some(!multiply_and_add([unfilled, end.0], [factor, !before]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::checksum::textbook_crc;

    fn range_crc(crcs: &RangeCrc, from: usize, len: usize) -> Option<u32> {
        crcs.crc_if_filled(from, len, crcs.end(from, len)?)
    }

    proptest! {
        #[test]
        fn every_filled_range_has_the_checksum_of_its_bytes(
            words: Vec<[u8; 8]>,
            from in 0..100_usize,
            len in 0..800_usize,
        ) {
            let mut words = words;
            let end = from * 8 + len;
            if let Some(last) = words.get_mut(end / 8) {
                last[end % 8..].fill(0);
            }
            let crcs = RangeCrc::new(&words);
            let range = words.as_flattened().get(from * 8..end);
            prop_assert_eq!(range_crc(&crcs, from, len), range.map(textbook_crc));
        }
    }

    #[test]
    fn ranges_longer_than_the_low_table_have_the_checksum_of_their_bytes() {
        let words: Vec<Word> =
            (0..10_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes()).collect();
        let crcs = RangeCrc::new(&words);
        for from in [0, 1, 7, 8, 500, 9999] {
            for len in [0, 8, 64, LOW - 8, LOW, LOW + 8, 2 * LOW, 40_000, 79_000, 80_000] {
                let range = words.as_flattened().get(from * 8..from * 8 + len);
                assert_eq!(range_crc(&crcs, from, len), range.map(crc32c::crc32c), "{from} {len}");
            }
        }
        assert_eq!(range_crc(&crcs, usize::MAX, 16), None);
        assert_eq!(range_crc(&crcs, 2, usize::MAX), None);
    }
}
