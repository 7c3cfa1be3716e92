//! Feature `zerocopy`.
//!
//! Invariant: what is handed out lies in the payload itself.

use proptest::prelude::*;
use stratalog::adapters::Typed;
use stratalog::adapters::zerocopy::{encode, encode_slice};
use stratalog::{Error, WrongType};
use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

use super::super::common::TINY;
use super::{everywhere, readings, reason, with_record};

/// Aligned to 8 bytes, and not every pattern of bits is one.
#[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Transfer {
    cents: u64,
    to: u32,
    kind: Kind,
    urgent: bool,
    rest: [u8; 2],
}

#[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
enum Kind {
    Once = 1,
    Monthly = 2,
}

impl Typed for Transfer {
    const TYPE: &'static str = "transfer";
}

/// The same name for another size.
#[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout, Debug)]
#[repr(C)]
struct OldTransfer {
    cents: u64,
}

impl Typed for OldTransfer {
    const TYPE: &'static str = "transfer";
}

#[derive(TryFromBytes, IntoBytes, Immutable, KnownLayout, Debug, PartialEq)]
#[repr(C)]
struct Nothing;

impl Typed for Nothing {
    const TYPE: &'static str = "nothing";
}

const TRANSFER: Transfer =
    Transfer { cents: 5, to: 7, kind: Kind::Monthly, urgent: true, rest: [9; 2] };

fn transfer() -> impl Strategy<Value = Transfer> {
    let kind = prop_oneof![Just(Kind::Once), Just(Kind::Monthly)];
    (any::<u64>(), any::<u32>(), kind, any::<bool>(), any::<[u8; 2]>())
        .prop_map(|(cents, to, kind, urgent, rest)| Transfer { cents, to, kind, urgent, rest })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn values_and_slices_are_read_where_they_lie(
        groups in prop::collection::vec(prop::collection::vec(transfer(), 0..50), 0..30),
    ) {
        everywhere(|log| {
            for group in &groups {
                log.append_slice_of(group).unwrap();
                if let Some(one) = group.first() {
                    log.append_bytes_of(one).unwrap();
                    log.append_batch(&[encode(one), encode_slice(group)]).unwrap();
                }
            }
            for snapshot in readings(log) {
                let mut records = snapshot.iter().map(|record| record.unwrap());
                for group in &groups {
                    let record = records.next().unwrap();
                    let slice: &[Transfer] = record.get_slice().unwrap();
                    assert_eq!(slice, group);
                    assert_eq!(slice.as_bytes().as_ptr(), record.payload()[8..].as_ptr());
                    if let Some(one) = group.first() {
                        for _ in 0..2 {
                            let record = records.next().unwrap();
                            let read: &Transfer = record.get_ref().unwrap();
                            assert_eq!(read, one);
                            assert_eq!(read.as_bytes().as_ptr(), record.payload()[8..].as_ptr());
                        }
                        assert_eq!(records.next().unwrap().get_slice::<Transfer>().unwrap(), group);
                    }
                }
                assert!(records.next().is_none());
            }
        });
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes: [u8; 16], more in 0_usize..40) {
        let tag = &encode(&TRANSFER)[..8];
        let valid = [1, 2].contains(&bytes[12]) && bytes[13] < 2;
        let found = with_record(&[tag, &bytes].concat(), |record| match record.get_ref::<Transfer>() {
            Ok(read) => {
                assert_eq!(read.as_bytes(), bytes);
                true
            }
            error => {
                assert_eq!(reason(error), WrongType::Invalid);
                false
            }
        });
        assert_eq!(found, valid);
        // As a slice, each element must be one.
        let values = [TRANSFER.as_bytes(), &bytes, &vec![0; more]].concat();
        let tag = &encode_slice(&[TRANSFER])[..8];
        with_record(&[tag, &values].concat(), |record| match record.get_slice::<Transfer>() {
            Ok(read) => assert!(valid && more == 0 && read.as_bytes() == values),
            error => match reason(error) {
                WrongType::Length { expected, found } => {
                    assert!(!more.is_multiple_of(16) && found == 32 + more as u64);
                    assert_eq!(expected, found / 16 * 16);
                }
                // Zero is no `Kind`.
                found => assert!(found == WrongType::Invalid && (!valid || more >= 16)),
            },
        });
    }
}

#[test]
fn every_shorter_and_longer_payload_is_refused() {
    let longest = [encode(&TRANSFER), vec![0; 40]].concat();
    for len in (0..24).chain(25..longest.len()) {
        let found = with_record(&longest[..len], |record| reason(record.get_ref::<Transfer>()));
        let found_bytes = len as u64;
        let expected = match len {
            0..8 => WrongType::NoTag { found: found_bytes },
            _ => WrongType::Length { expected: 16, found: found_bytes - 8 },
        };
        assert_eq!(found, expected, "{len} bytes");
    }
}

#[test]
fn a_slice_is_no_value_and_another_size_no_slice() {
    everywhere(|log| {
        let one = log.append_bytes_of(&TRANSFER).unwrap();
        let slice = log.append_slice_of(&[TRANSFER]).unwrap();
        let old =
            log.append_slice_of(&[OldTransfer { cents: 1 }, OldTransfer { cents: 2 }]).unwrap();
        for snapshot in readings(log) {
            let read = |lsn| snapshot.get(lsn).unwrap();
            for found in [
                reason(read(one).get_slice::<Transfer>()),
                reason(read(slice).get_ref::<Transfer>()),
                reason(read(slice).get_slice::<OldTransfer>()),
                reason(read(one).get_ref::<OldTransfer>()),
                reason(read(old).get_slice::<Transfer>()),
            ] {
                assert!(matches!(found, WrongType::Tag { .. }), "{found:?}");
            }
            assert_eq!(read(old).get_slice::<OldTransfer>().unwrap().len(), 2);
        }
    });
}

#[test]
fn a_value_without_size_and_a_slice_without_values_are_records() {
    everywhere(|log| {
        let nothing = log.append_bytes_of(&Nothing).unwrap();
        let none = log.append_slice_of::<Transfer>(&[]).unwrap();
        let snapshot = log.snapshot();
        assert_eq!(snapshot.get(nothing).unwrap().get_ref::<Nothing>().unwrap(), &Nothing);
        assert_eq!(snapshot.get(none).unwrap().get_slice::<Transfer>().unwrap(), []);
    });
}

#[test]
fn too_many_values_for_a_segment_append_nothing() {
    everywhere(|log| {
        let before = log.tail();
        let error = log.append_slice_of(&vec![TRANSFER; TINY as usize / 16]).unwrap_err();
        assert!(matches!(error, Error::RecordTooLarge { .. }), "{error:?}");
        assert_eq!(log.tail(), before);
    });
}

#[test]
fn the_bytes_of_a_record_stay_what_they_are() {
    let bytes = [5_u64.to_ne_bytes(), [0, 0, 0, 0, 2, 1, 9, 9]].concat();
    let mut expected = bytes;
    expected[8..12].copy_from_slice(&7_u32.to_ne_bytes());
    let one = [0x4392_d79d_ea63_61a1_u64.to_le_bytes().to_vec(), expected.clone()].concat();
    let slice = [0x4020_999f_b371_51df_u64.to_le_bytes().to_vec(), expected].concat();
    assert_eq!((encode(&TRANSFER), encode_slice(&[TRANSFER])), (one, slice));
}
