//! Arithmetic modulo the polynomial of CRC-32C, by tables and multiplications, for the few places
//! where many short pieces are summed and a call into [`crc32c`] would cost more than its work.
//!
//! Invariant: a *remainder* is that of the polynomial whose coefficients are some bytes' bits, without
//! the inversions that CRC-32C adds before and after.
//!
//! Bits are reflected, as CRC-32C has them: the highest bit of a `u32` is the coefficient of `x^0`. So
//! a product of two `u32`s, taken for 8 bytes, stands for `x` times the product of the polynomials,
//! and its remainder for `x^33` times it, since a CRC's remainder is that of the bytes times `x^32`.
//! Powers of `x` are therefore kept as *factors*, divided by `x^33`, and that comes out even: a factor
//! times a remainder is a remainder, and a factor times a factor is a factor.

const POLYNOMIAL: u32 = 0x82F6_3B78;

/// In table `t`, for each byte the remainder of it and `t` zeros behind it.
static STEPS: [[u32; 256]; 8] = steps();

/// The remainder of what `remainder` is of, with the 8 bytes of a little-endian word behind it.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte indexes 256 entries, and no check is made")]
pub(super) fn step(remainder: u32, word: u64) -> u32 {
    let bytes = (word ^ u64::from(remainder)).to_le_bytes().map(usize::from);
    let [b0, b1, b2, b3, b4, b5, b6, b7] = bytes;
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &STEPS;
    t7[b0] ^ t6[b1] ^ t5[b2] ^ t4[b3] ^ t3[b4] ^ t2[b5] ^ t1[b6] ^ t0[b7]
}

/// The product of a factor with a remainder or another factor.
#[inline]
pub(super) fn multiply(factor: u32, other: u32) -> u32 {
    step(0, multiply_without_carries(factor, other))
}

/// The sum of two products, which costs one reduction.
#[inline]
pub(super) fn multiply_and_add([a, b]: [u32; 2], [c, d]: [u32; 2]) -> u32 {
    step(0, multiply_without_carries(a, b) ^ multiply_without_carries(c, d))
}

/// Multiplies every fourth bit with every fourth, between which there is room for the carries: at most
/// eight ones meet in a place, and the three bits above it hold their sum (as in Thomas Pornin's
/// `BearSSL`).
#[inline]
fn multiply_without_carries(a: u32, b: u32) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let split = |word: u32| [0, 1, 2, 3].map(|shift| u64::from(word) & (EVERY_FOURTH << shift));
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

/// The factor for `x^-n`.
pub(super) const fn factor_divided_by_x(n: u32) -> u32 {
    let mut remainder: u32 = 1 << 31;
    let mut done = 0;
    while done < n + 33 {
        // Multiplying shifts down, and takes the polynomial off where `x^31` goes over, which leaves
        // the highest bit set. So dividing is that backwards.
        remainder =
            if remainder >> 31 == 1 { ((remainder ^ POLYNOMIAL) << 1) | 1 } else { remainder << 1 };
        done += 1;
    }
    remainder
}

/// The remainder of `x` times what `remainder` is of.
const fn times_x(remainder: u32) -> u32 {
    if remainder & 1 == 1 { (remainder >> 1) ^ POLYNOMIAL } else { remainder >> 1 }
}

/// The factor for `x^n`.
pub(super) const fn factor_times_x(n: u32) -> u32 {
    let mut factor = factor_divided_by_x(0);
    let mut done = 0;
    while done < n {
        factor = times_x(factor);
        done += 1;
    }
    factor
}

#[expect(clippy::indexing_slicing, reason = "the loops end where the tables do")]
const fn steps() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut remainder = byte;
        let mut table = 0;
        while table < 8 {
            let mut bit = 0;
            while bit < 8 {
                remainder = times_x(remainder);
                bit += 1;
            }
            tables[table][byte as usize] = remainder;
            table += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::checksum::textbook_crc;

    proptest! {
        #[test]
        fn a_step_is_eight_bytes_of_the_textbook(before: [u8; 3], word in any::<u64>()) {
            let remainder = !textbook_crc(&before);
            let all = [before.as_slice(), &word.to_le_bytes()].concat();
            prop_assert_eq!(!step(remainder, word), textbook_crc(&all));
        }

        #[test]
        fn a_product_without_carries_is_that_of_the_textbook(a in any::<u32>(), b in any::<u32>()) {
            let textbook = (0..32)
                .filter(|bit| b >> bit & 1 == 1)
                .fold(0, |sum, bit| sum ^ u64::from(a) << bit);
            prop_assert_eq!(multiply_without_carries(a, b), textbook);
        }

        #[test]
        fn a_factor_undoes_its_inverse(remainder in any::<u32>(), n in 0..100_u32) {
            let there = multiply(factor_times_x(n), remainder);
            prop_assert_eq!(multiply(factor_divided_by_x(n), there), remainder);
            prop_assert_eq!((0..n).fold(remainder, |remainder, _| times_x(remainder)), there);
        }

        #[test]
        fn products_are_added(a: [u32; 2], b: [u32; 2]) {
            prop_assert_eq!(multiply_and_add(a, b), multiply(a[0], a[1]) ^ multiply(b[0], b[1]));
        }
    }

    #[test]
    fn the_most_ones_that_can_meet_do_not_overflow() {
        assert_eq!(multiply_without_carries(u32::MAX, u32::MAX), 0x5555_5555_5555_5555);
    }
}
