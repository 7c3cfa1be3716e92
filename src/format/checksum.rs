//! [`Salt`]: what binds a checksum to a log and an address.
//!
//! Invariant: two frames of equal bytes have different checksums unless log and address are the same.
//!
//! A frame's checksum is the CRC-32C of its payload, XOR the CRC-32C of log id and address, carried
//! on over header bytes 4 to 16. The payload comes first, so that the pass over the caller's bytes is
//! done before an address is known.

use super::crc::{crc32c, crc32c_of_words};
use super::layout::LogId;

/// The CRC-32C of a log's id, computed once, from which that of each address follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u32);

impl Salt {
    /// Computes the salt of a log.
    pub fn new(id: &LogId) -> Self {
        Self(crc32c(0, &id.bytes()))
    }

    /// The CRC-32C of the log id alone.
    #[inline]
    pub(super) const fn id_crc(self) -> u32 {
        self.0
    }

    /// Returns the CRC-32C of the log id followed by the 8 little-endian bytes of `address`.
    #[inline]
    pub fn at(self, address: u64) -> u32 {
        crc32c(self.0, &address.to_le_bytes())
    }
}

/// The checksum of the frame at `address` whose encoded header is `encoded`: the CRC-32C of log id
/// and address, XOR that of the payload, carried on over header bytes 4 to 16.
///
/// To XOR a value into the state of a CRC is to XOR it into the four bytes that follow. So the
/// payload's CRC goes into those of the length, and address and header are one piece of 20 bytes, which
/// never leave the registers.
#[inline]
pub(crate) fn checksum_at(encoded: &[u8; 16], payload_crc: u32, salt: Salt, address: u64) -> u32 {
    let [_, _, _, _, l0, l1, l2, l3, k0, k1, k2, k3, last @ ..] = *encoded;
    let word = u64::from_le_bytes([l0, l1, l2, l3, k0, k1, k2, k3]) ^ u64::from(payload_crc);
    crc32c_of_words(salt.0, [address, word], u32::from_le_bytes(last))
}

/// Returns the CRC-32C of a payload, the first part of its frame's checksum.
#[inline]
pub fn payload_crc(payload: &[u8]) -> u32 {
    crc32c(0, payload)
}

/// CRC-32C one bit at a time, as a textbook has it: what the tests compare with.
#[cfg(test)]
pub(crate) fn textbook_crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |mut state: u32, byte| {
        state ^= u32::from(*byte);
        (0..8).fold(
            state,
            |state, _| {
                if state & 1 == 1 { (state >> 1) ^ 0x82F6_3B78 } else { state >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(payload_crc(b""), 0);
        assert_eq!(payload_crc(b"123456789"), 0xE306_9283);
        assert_eq!(payload_crc(&[0; 32]), 0x8A91_36AA);
        assert_eq!(textbook_crc(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_salt_is_the_checksum_of_id_and_address_in_one_piece() {
        let id = LogId::new(*b"sixteen bytes id");
        for address in [0, 8, 4096, u64::MAX - 7] {
            let mut piece = id.bytes().to_vec();
            piece.extend_from_slice(&address.to_le_bytes());
            assert_eq!(Salt::new(&id).at(address), textbook_crc(&piece));
        }
    }

    #[test]
    fn a_checksum_in_one_piece_is_that_in_steps() {
        let salt = Salt::new(&LogId::new(*b"sixteen bytes id"));
        for (address, crc) in [(0, 0), (8, 1), (4096, 0x8A91_36AA), (u64::MAX - 7, u32::MAX)] {
            let encoded: [u8; 16] = [crc.to_le_bytes()[0] ^ 0x5A; 16];
            let in_steps = crate::format::frame::checksum_of(&encoded, crc, salt.at(address));
            assert_eq!(checksum_at(&encoded, crc, salt, address), in_steps);
        }
    }

    #[test]
    fn each_address_has_a_salt_of_its_own() {
        let salt = Salt::new(&LogId::new([7; 16]));
        let mut seen: Vec<u32> = (0..10_000).map(|n| salt.at(n * 8)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 10_000);
    }
}
