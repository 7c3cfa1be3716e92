//! Tests of frame headers and links: exhaustive over kinds and flags, property tests over the rest.

use proptest::prelude::*;

use super::*;

fn kinds() -> impl Strategy<Value = (Kind, u32, bool)> {
    prop_oneof![
        (any::<u32>(), any::<bool>()).prop_map(|(len, continues)| (Kind::Record, len, continues)),
        (0..=u32::MAX / 8).prop_map(|units| (Kind::Padding, units * 8, false)),
        Just((Kind::Link, 32, false)),
    ]
}

proptest! {
    #[test]
    fn a_header_is_decoded_as_it_was_encoded(
        (kind, len, continues) in kinds(),
        checksum in any::<u32>(),
        durable_back in any::<u32>(),
    ) {
        let header =
            FrameHeader { checksum, ..FrameHeader::new(kind, len, continues, durable_back) };
        prop_assert_eq!(FrameHeader::decode(header.encode()), Ok(header));
        prop_assert_eq!(FrameHeader::from_words(header.to_words()), Ok(header));
        let [first, second] = header.to_words();
        prop_assert_ne!(second, 0);
        let memory: Vec<u8> = [first.to_ne_bytes(), second.to_ne_bytes()].concat();
        prop_assert_eq!(memory, header.encode().to_vec());
    }

    #[test]
    fn whatever_is_decoded_encodes_to_the_same_bytes(bytes in any::<[u8; 16]>(), kind in 0..5_u8) {
        let mut bytes = bytes;
        bytes[8] = kind;
        bytes[9] &= 1;
        bytes[10] &= bytes[0] & 1;
        bytes[11] = 0;
        if let Ok(header) = FrameHeader::decode(bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn a_frame_never_names_more_than_was_durable(lsn in any::<u64>(), back in any::<u64>()) {
        let durable = lsn.wrapping_sub(back);
        let header = FrameHeader::new(Kind::Record, 0, false, durable_back(lsn, durable));
        if let Some(watermark) = header.watermark(lsn) {
            prop_assert!(watermark <= durable);
            prop_assert!(durable - watermark < 8);
        }
    }

    #[test]
    fn a_near_and_aligned_watermark_is_named_exactly(lsn in 0..=u64::MAX / 8, back in 0..u32::MAX) {
        let lsn = lsn * 8;
        prop_assume!(u64::from(back) * 8 <= lsn);
        let durable = lsn - u64::from(back) * 8;
        let header = FrameHeader::new(Kind::Record, 0, false, durable_back(lsn, durable));
        prop_assert_eq!(header.watermark(lsn), Some(durable));
    }

    #[test]
    fn a_link_is_decoded_as_it_was_encoded(base in 0..1_u64 << 60, len in 1..1_u64 << 30, id: [u8; 16]) {
        let link = Link {
            previous_base: base * 8,
            previous_end: (base + len) * 8,
            previous_id: LogId::new(id),
        };
        prop_assert_eq!(Link::decode(&link.encode()), Ok(link));
    }
}

#[test]
fn the_fields_lie_where_the_format_says() {
    let header = FrameHeader {
        checksum: 0x0403_0201,
        ..FrameHeader::new(Kind::Record, 0x0807_0605, true, 0x0F0E_0D0C)
    };
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 0, 0, 0x0C, 0x0D, 0x0E, 0x0F];
    assert_eq!(header.encode(), bytes);
}

#[test]
fn of_all_kinds_and_flags_only_four_are_frames() {
    let mut accepted = Vec::new();
    for low in 0..=u16::MAX {
        for high in [0_u16, 1, 0x8000] {
            let mut bytes = FrameHeader::new(Kind::Link, 32, false, 0).encode();
            bytes[8..10].copy_from_slice(&low.to_le_bytes());
            bytes[10..12].copy_from_slice(&high.to_le_bytes());
            if FrameHeader::decode(bytes).is_ok() {
                accepted.push((low, high));
            }
        }
    }
    assert_eq!(accepted, [(0x001, 0), (0x002, 0), (0x003, 0), (0x101, 0)]);
}

#[test]
fn a_padding_is_a_multiple_of_eight_and_a_link_of_one_length() {
    let with_len = |kind, len| FrameHeader::decode(FrameHeader::new(kind, len, false, 0).encode());
    for len in 0..100 {
        assert!(with_len(Kind::Record, len).is_ok());
        assert_eq!(with_len(Kind::Padding, len).is_ok(), len % 8 == 0, "{len}");
        assert_eq!(with_len(Kind::Link, len).is_ok(), len == 32, "{len}");
    }
}

#[test]
fn zeros_are_never_a_header() {
    assert_eq!(FrameHeader::decode([0; 16]), Err(Defect::Malformed));
    assert_eq!(FrameHeader::from_words([u64::MAX, 0]), Err(Defect::Malformed));
}

#[test]
fn a_frame_takes_its_header_and_its_payload_filled_up_to_eight() {
    for (len, bytes) in [(0, 16), (1, 24), (8, 24), (9, 32), (32, 48), (u32::MAX, 4_294_967_312)] {
        assert_eq!(frame_bytes(len), bytes);
        assert_eq!(FrameHeader::new(Kind::Record, len, false, 0).frame_bytes(), bytes);
    }
}

#[test]
fn a_watermark_that_cannot_be_named_is_unknown() {
    assert_eq!(durable_back(4096, 4096), 0);
    assert_eq!(durable_back(4096, 4104), DURABLE_UNKNOWN);
    assert_eq!(durable_back(u64::MAX - 7, 0), DURABLE_UNKNOWN);
    let limit = u64::from(u32::MAX) * 8;
    assert_eq!(durable_back(limit - 8, 0), u32::MAX - 1);
    assert_eq!(durable_back(limit - 7, 0), DURABLE_UNKNOWN);
    assert_eq!(durable_back(limit, 0), DURABLE_UNKNOWN);
    let far = FrameHeader::new(Kind::Record, 0, false, 2);
    assert_eq!(far.watermark(15), None);
    assert_eq!(far.watermark(16), Some(0));
}

#[test]
fn the_first_link_is_all_ones_and_no_other_link_has_such_addresses() {
    let mut payload = Link::FIRST.encode();
    assert_eq!(payload[..16], [0xFF; 16]);
    assert_eq!(payload[16..], [0; 16]);
    assert_eq!(Link::decode(&payload), Ok(Link::FIRST));
    payload[31] = 1;
    assert_eq!(Link::decode(&payload), Err(Defect::Malformed));
}

#[test]
fn a_link_that_no_segment_could_have_is_refused() {
    let link = Link { previous_base: 4096, previous_end: 8192, previous_id: LogId::default() };
    assert!(Link::decode(&link.encode()).is_ok());
    for (previous_base, previous_end) in [(4097, 8192), (4096, 8190), (8192, 4096), (8, 8)] {
        let link = Link { previous_base, previous_end, ..link };
        assert_eq!(Link::decode(&link.encode()), Err(Defect::Malformed));
    }
    for len in [0, 8, 16, 31] {
        assert_eq!(Link::decode(&link.encode()[..len]), Err(Defect::Malformed));
    }
    assert_eq!(Link::decode(&[0; 40]), Err(Defect::Malformed));
}
