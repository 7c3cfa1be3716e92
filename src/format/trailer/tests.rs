//! Tests of trailers, and of summing up frames.

use proptest::prelude::*;

use super::*;
use crate::format::checksum::textbook_crc;
use crate::format::fixture::{Area, noise};
use crate::format::layout::BLOCK_BYTES;

const ID: LogId = LogId::new(*b"the id of a test");
const BASE: u64 = 1 << 26;

fn trailer() -> Trailer {
    Trailer {
        end: BASE + 12_000,
        records: 3,
        first: Some(BASE + 4144),
        last: Some(BASE + 11_000),
        frames_crc: 0x1234_5678,
        previous_checksum: 0x9ABC_DEF0,
    }
}

#[test]
fn a_trailer_is_decoded_as_it_was_encoded() {
    let start = frames_start(BASE);
    let empty = Trailer { end: start + 48, records: 0, first: None, last: None, ..trailer() };
    let one = Trailer { records: 1, last: trailer().first, ..trailer() };
    for trailer in [trailer(), empty, one] {
        let block = trailer.encode(&ID, BASE);
        assert_eq!(block.len() as u64, BLOCK_BYTES);
        let (decoded, checksum) = Trailer::decode(&block, &ID, BASE).unwrap();
        assert_eq!(decoded, trailer);
        assert_eq!(checksum.to_le_bytes(), block[12..16]);
    }
}

#[test]
fn every_flipped_bit_of_a_trailer_is_refused() {
    let mut block = trailer().encode(&ID, BASE);
    for bit in 0..block.len() * 8 {
        block[bit / 8] ^= 1 << (bit % 8);
        let refused = Trailer::decode(&block, &ID, BASE).unwrap_err();
        assert!(!matches!(refused, Defect::Version { .. }), "bit {bit}");
        block[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(Trailer::decode(&block, &ID, BASE).is_ok());
}

#[test]
fn a_trailer_of_another_segment_or_log_is_refused() {
    let block = trailer().encode(&ID, BASE);
    let refused = |id, base| {
        assert!(matches!(Trailer::decode(&block, &id, base), Err(Defect::Checksum { .. })));
    };
    refused(ID, 0);
    refused(ID, BASE + 8);
    refused(LogId::default(), BASE);
    assert_eq!(Trailer::decode(&[0; 4096], &ID, BASE), Err(Defect::Malformed));
    assert_eq!(Trailer::decode(&block[..4095], &ID, BASE), Err(Defect::Malformed));
}

#[test]
fn a_newer_trailer_is_named_only_under_a_right_checksum() {
    let salt_at = Salt::new(&ID).at(BASE);
    let newer = block::with_version(trailer().encode(&ID, BASE), 3, salt_at);
    assert_eq!(Trailer::decode(&newer, &ID, BASE), Err(Defect::Version { found: 3 }));
    assert!(matches!(Trailer::decode(&newer, &ID, 0), Err(Defect::Checksum { .. })));
}

#[test]
fn a_trailer_that_no_frames_could_have_is_refused() {
    let refused = |trailer: Trailer| {
        let block = trailer.encode(&ID, BASE);
        assert_eq!(Trailer::decode(&block, &ID, BASE), Err(Defect::Malformed), "{trailer:?}");
    };
    let start = frames_start(BASE);
    refused(Trailer { end: start - 8, ..trailer() });
    refused(Trailer { end: trailer().end + 4, ..trailer() });
    refused(Trailer { end: BASE + MAX_SEGMENT_BYTES, ..trailer() });
    refused(Trailer { records: 0, ..trailer() });
    refused(Trailer { records: 1, ..trailer() });
    refused(Trailer { records: 12_000, ..trailer() });
    refused(Trailer { first: None, ..trailer() });
    refused(Trailer { last: None, ..trailer() });
    refused(Trailer { first: None, last: None, ..trailer() });
    refused(Trailer { first: Some(start - 8), ..trailer() });
    refused(Trailer { first: trailer().last, ..trailer() });
    refused(Trailer { last: Some(trailer().end), ..trailer() });
    let end = Some(trailer().end);
    refused(Trailer { records: 1, first: end, last: end, ..trailer() });
    let block = trailer().encode(&ID, BASE);
    let block = block::with_field(block, 4088, 1, Salt::new(&ID).at(BASE));
    assert_eq!(Trailer::decode(&block, &ID, BASE), Err(Defect::Malformed));
}

proptest! {
    /// Each item is a record of this size, or a padding with a body of this size.
    #[test]
    fn frames_are_summed_up_without_the_bodies_of_paddings(
        items in proptest::collection::vec((any::<bool>(), 0..200_usize), 0..20),
        remainder in 0..16_usize,
    ) {
        let mut area = Area::first();
        let mut summed = area.bytes.clone();
        let mut records = Vec::new();
        for (is_record, size) in items {
            let from = area.bytes.len();
            if is_record {
                records.push(area.record(&noise(area.end(), size)));
                summed.extend(&area.bytes[from..]);
            } else {
                area.padding(&noise(area.end(), size.next_multiple_of(8)));
                summed.extend(&area.bytes[from..from + 16]);
            }
        }
        area.bytes.extend(noise(0, remainder));
        let expected = Summary {
            records: records.len() as u64,
            first: records.first().copied(),
            last: records.last().copied(),
            frames_crc: textbook_crc(&summed),
        };
        prop_assert_eq!(summarize(&area.bytes, area.start), Ok(expected));
    }

    #[test]
    fn no_bytes_make_summing_up_panic(bytes: Vec<u8>, kind in 1..4_u8, len: u8, start: u64) {
        let mut bytes = bytes;
        if let Some(header) = bytes.first_chunk_mut::<16>() {
            header[4..12].copy_from_slice(&[len, 0, 0, 0, kind, 0, 0, 0]);
        }
        let _ = summarize(&bytes, start);
    }
}

#[test]
fn many_frames_are_summed_up_in_runs() {
    let mut area = Area::first();
    for n in 0..300 {
        area.record(&noise(n, usize::try_from(n * 13 % 3000).unwrap()));
        if n % 70 == 0 {
            area.padding(&[]);
        }
    }
    assert!(area.bytes.len() > 4 * RUN_BYTES);
    let summary = summarize(&area.bytes, area.start).unwrap();
    assert_eq!(summary.records, 300);
    assert_eq!(summary.frames_crc, textbook_crc(&area.bytes));
}

#[test]
fn the_first_header_that_is_invalid_is_named() {
    let mut area = Area::first();
    let first = area.record(&[0; 100]);
    let second = area.record(&[0; 100]);
    let at_second = |defect| Err(DefectAt { at: second, defect });
    let short = &area.bytes[..area.bytes.len() - 8];
    let cut_off = Defect::Length { max: 96, found: 100 };
    assert_eq!(summarize(short, area.start), at_second(cut_off));
    area.flip(second, 10 * 8);
    assert_eq!(summarize(&area.bytes, area.start), at_second(Defect::Malformed));
    area.flip(first, 8 * 8 + 3);
    let at_first = DefectAt { at: first, defect: Defect::Malformed };
    assert_eq!(summarize(&area.bytes, area.start), Err(at_first));
}

#[test]
fn others_get_to_run_as_often_beside_large_records_as_beside_small_ones() {
    for len in [1 << 10, 40 << 10, 640 << 10] {
        let mut area = Area::new(ID, BASE);
        while area.bytes.len() < 1280 << 10 {
            area.record(&noise(7, len));
        }
        let mut times = 0;
        let summary = summarize_with(&area.bytes, area.start, || times += 1).unwrap();
        // A piece that ends with a record is a little longer than one of those that are counted.
        assert!((15..=20).contains(&times), "{times} times beside records of {len}");
        assert_eq!(summary.frames_crc, textbook_crc(&area.bytes));
    }
}
