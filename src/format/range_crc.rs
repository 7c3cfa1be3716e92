//! [`RangeCrc`]: the CRC-32C of any range of some bytes, in a time that does not depend on its length.
//!
//! Invariant: it always gives what [`crc32c::crc32c`] of that range gives.
//!
//! Let `r(m)` be the remainder of the polynomial `m` of some bytes, without the inversions that
//! CRC-32C adds. Then `r(a b) = r(a) * x^(8 len b) + r(b)`, so that
//! `r(b..e) = r(0..e) + r(0..b) * x^(8 (e - b))`: two remainders of prefixes and one product.
//!
//! 1. Every 64 bytes the remainder of the prefix is kept; from there it is at most 63 bytes on.
//! 2. `x^(8 n)` is a product of two table entries, one for the low bits of `n`, one for the high.
//! 3. Polynomials are multiplied without carries by integer multiplications of every fourth bit,
//!    between which there is room for the sums (as in Thomas Pornin's `BearSSL`), and reduced by CRC
//!    instructions: the remainder of 8 bytes is what they compute.
//!
//! Bits are reflected, as CRC-32C has them: `x^0` is the highest bit. So a product of two `u32`s, as
//! 8 bytes, stands for `x` times the product of the polynomials, and its remainder for another
//! `x^32`. Table entries are kept divided by `x^33`, which makes that come out even: the product of an
//! entry with a remainder is a remainder, and that of two entries is an entry.

/// A prefix's remainder is kept for every so many bytes.
const STRIDE: usize = 64;
/// The low table has an entry for each length below this.
const LOW: usize = 1 << 12;

/// x^-33 and x^-25 modulo the polynomial: the entries for no byte and for one.
const ENTRY_0: u32 = divided_by_x(33);
const ENTRY_1: u32 = divided_by_x(25);

/// The CRC-32C of any range of some bytes.
pub(super) struct RangeCrc<'a> {
    bytes: &'a [u8],
    /// The remainder of `bytes[..i * STRIDE]`.
    prefixes: Vec<u32>,
    /// The entry for `i` bytes.
    low: Vec<u32>,
    /// The entry for `i * LOW` bytes.
    high: Vec<u32>,
}

impl<'a> RangeCrc<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut prefixes = Vec::with_capacity(bytes.len() / STRIDE + 1);
        let mut remainder = 0;
        prefixes.push(remainder);
        for stride in bytes.chunks_exact(STRIDE) {
            remainder = append(remainder, stride);
            prefixes.push(remainder);
        }
        let powers = |factor: u32, count: usize| -> Vec<u32> {
            std::iter::successors(Some(ENTRY_0), |entry| Some(multiply(*entry, factor)))
                .take(count)
                .collect()
        };
        let low = powers(ENTRY_1, LOW);
        let low_limit = low.last().map_or(ENTRY_0, |entry| multiply(*entry, ENTRY_1));
        let high = powers(low_limit, bytes.len() / LOW + 1);
        Self { bytes, prefixes, low, high }
    }

    /// The CRC-32C of `len` bytes from `from` on; `None` where there are not as many.
    #[inline]
    pub(super) fn crc(&self, from: usize, len: usize) -> Option<u32> {
        let before = self.prefix(from)?;
        let through = self.prefix(from.checked_add(len)?)?;
        // CRC-32C begins with all ones, and inverts the remainder.
        let entry = multiply(*self.low.get(len % LOW)?, *self.high.get(len / LOW)?);
        Some(!(through ^ multiply(!before, entry)))
    }

    #[inline]
    fn prefix(&self, end: usize) -> Option<u32> {
        let rest = self.bytes.get(end - end % STRIDE..end)?;
        self.prefixes.get(end / STRIDE).map(|remainder| append(*remainder, rest))
    }
}

/// The remainder of what `remainder` is of, with `bytes` behind it.
#[inline]
fn append(remainder: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!remainder, bytes)
}

/// The remainder of `a * b * x^33`.
#[inline]
fn multiply(a: u32, b: u32) -> u32 {
    append(0, &multiply_without_carries(a, b).to_le_bytes())
}

#[inline]
fn multiply_without_carries(a: u32, b: u32) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let split = |word: u32| [0, 1, 2, 3].map(|shift| u64::from(word) & (EVERY_FOURTH << shift));
    // At most eight ones meet in a place, which the three bits above it have room for.
    let [a0, a1, a2, a3] = split(a);
    let [b0, b1, b2, b3] = split(b);
    let place0 = (a0 * b0) ^ (a1 * b3) ^ (a2 * b2) ^ (a3 * b1);
    let place1 = (a0 * b1) ^ (a1 * b0) ^ (a2 * b3) ^ (a3 * b2);
    let place2 = (a0 * b2) ^ (a1 * b1) ^ (a2 * b0) ^ (a3 * b3);
    let place3 = (a0 * b3) ^ (a1 * b2) ^ (a2 * b1) ^ (a3 * b0);
    (place0 & EVERY_FOURTH)
        | (place1 & (EVERY_FOURTH << 1))
        | (place2 & (EVERY_FOURTH << 2))
        | (place3 & (EVERY_FOURTH << 3))
}

/// The remainder of `x^-n`.
const fn divided_by_x(n: u32) -> u32 {
    const REFLECTED: u32 = 0x82F6_3B78;
    // 1, the highest bit. Multiplying by x is a shift down, and taking the polynomial off where x^31
    // goes over; so dividing is that backwards, and the highest bit tells whether it was taken off.
    let mut remainder: u32 = 1 << 31;
    let mut step = 0;
    while step < n {
        remainder =
            if remainder >> 31 == 1 { (remainder ^ REFLECTED) << 1 | 1 } else { remainder << 1 };
        step += 1;
    }
    remainder
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::checksum::textbook_crc;

    proptest! {
        #[test]
        fn a_product_without_carries_is_that_of_the_textbook(a in any::<u32>(), b in any::<u32>()) {
            let textbook = (0..32)
                .filter(|bit| b >> bit & 1 == 1)
                .fold(0, |sum, bit| sum ^ u64::from(a) << bit);
            prop_assert_eq!(multiply_without_carries(a, b), textbook);
        }

        #[test]
        fn every_range_has_the_checksum_of_its_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            from in 0..400_usize,
            len in 0..400_usize,
        ) {
            let crcs = RangeCrc::new(&bytes);
            let range = bytes.get(from..from + len);
            prop_assert_eq!(crcs.crc(from, len), range.map(textbook_crc));
        }
    }

    #[test]
    fn the_most_ones_that_can_meet_do_not_overflow() {
        assert_eq!(multiply_without_carries(u32::MAX, u32::MAX), 0x5555_5555_5555_5555);
    }

    #[test]
    fn ranges_longer_than_the_low_table_have_the_checksum_of_their_bytes() {
        let bytes: Vec<u8> =
            (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let crcs = RangeCrc::new(&bytes);
        for from in [0, 1, 63, 64, 65, 5000, 99_999] {
            for len in [0, 1, 63, 64, LOW - 1, LOW, LOW + 1, 2 * LOW, 40_001, 90_000, 100_000] {
                let range = bytes.get(from..from + len);
                assert_eq!(crcs.crc(from, len), range.map(crc32c::crc32c), "{from} {len}");
            }
        }
        assert_eq!(crcs.crc(usize::MAX, 2), None);
        assert_eq!(crcs.crc(2, usize::MAX), None);
    }
}
