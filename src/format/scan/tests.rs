//! Tests of frames and scans: every size, every flipped bit, every place, and arbitrary bytes.

use proptest::prelude::*;

use super::*;
use crate::format::fixture::{Area, frame, noise};
use crate::format::frame::{DURABLE_UNKNOWN, Link, durable_back};
use crate::format::layout::{
    LINK_FRAME_BYTES, LogId, MIN_SEGMENT_BYTES, frames_end, frames_start, max_record_bytes,
};

impl Area {
    fn scan(&self) -> ScanEnd {
        self.scan_until(None)
    }

    fn scan_until(&self, until: Option<u64>) -> ScanEnd {
        scan(&self.bytes, self.start, self.start, until, self.salt)
    }

    fn frame_at(&self, lsn: u64) -> Result<Frame<'_>, Defect> {
        frame_at(&self.bytes, self.start, lsn, self.salt)
    }
}

#[test]
fn records_of_every_size_are_read_as_they_were_written() {
    let area_bytes = frames_end(0, MIN_SEGMENT_BYTES) - frames_start(0);
    let largest = usize::try_from(max_record_bytes(MIN_SEGMENT_BYTES)).unwrap();
    let payload = noise(1, largest + 1);
    for len in 0..=largest {
        let mut area = Area::first();
        let lsn = area.record(&payload[..len]);
        assert!(area.bytes.len() as u64 <= area_bytes, "{len}");
        let read = area.frame_at(lsn).unwrap();
        assert_eq!((read.payload, read.end()), (&payload[..len], area.end()), "{len}");
        assert_eq!(header_at(&area.bytes, area.start, lsn), Ok(read.header));
        assert_eq!(area.scan().stopped, Stopped::Complete);
        assert_eq!(area.scan().last, Some(lsn));
    }
    let mut area = Area::first();
    area.record(&payload);
    assert!(area.bytes.len() as u64 > area_bytes);
}

#[test]
fn every_flipped_bit_of_a_frame_is_refused() {
    for len in 0..=41 {
        let mut area = Area::first();
        let lsn = area.record_of_batch(&noise(2, len), len % 2 == 1);
        // What follows must not come to the rescue of a longer length.
        area.record(&noise(3, 300));
        for bit in 0..(16 + len.next_multiple_of(8)) * 8 {
            area.flip(lsn, bit);
            assert!(area.frame_at(lsn).is_err(), "{len}: bit {bit}");
            area.flip(lsn, bit);
        }
        assert!(area.frame_at(lsn).is_ok());
    }
}

#[test]
fn every_flipped_bit_of_a_link_or_a_paddings_header_is_refused() {
    let mut area = Area::first();
    let padding = area.padding(&noise(4, 64));
    for (lsn, bits) in [(area.start, 48 * 8), (padding, 16 * 8)] {
        for bit in 0..bits {
            area.flip(lsn, bit);
            assert!(area.frame_at(lsn).is_err(), "{lsn}: bit {bit}");
            area.flip(lsn, bit);
        }
        assert!(area.frame_at(lsn).is_ok());
    }
}

#[test]
fn a_paddings_body_is_not_looked_at() {
    let mut area = Area::first();
    let padding = area.padding(&[0; 64]);
    let last = area.record(b"behind it");
    let clean = area.scan();
    for bit in 16 * 8..80 * 8 {
        area.flip(padding, bit);
        assert_eq!(area.frame_at(padding).unwrap().payload, b"");
        assert_eq!(area.scan(), clean);
    }
    assert_eq!(clean.last, Some(last));
}

#[test]
fn a_frame_at_another_address_or_of_another_log_is_refused() {
    let salt = Area::first().salt;
    for len in [0, 1, 8, 200] {
        let header = FrameHeader::new(Kind::Record, len, false, DURABLE_UNKNOWN);
        let payload = noise(5, usize::try_from(len).unwrap());
        let bytes = frame(header, &payload, 8192, salt);
        assert!(frame_at(&bytes, 8192, 8192, salt).is_ok());
        for lsn in (0..100_000).step_by(8).filter(|lsn| *lsn != 8192) {
            assert!(frame_at(&bytes, lsn, lsn, salt).is_err(), "{len} at {lsn}");
        }
        for bit in 0..128 {
            let mut id = *b"the id of a test";
            id[bit / 8] ^= 1 << (bit % 8);
            assert!(frame_at(&bytes, 8192, 8192, Salt::new(&LogId::new(id))).is_err(), "{bit}");
        }
    }
}

#[test]
fn a_frame_whose_filler_is_not_zero_is_refused_under_a_right_checksum() {
    let mut area = Area::first();
    let lsn = area.record(b"12345");
    area.flip(lsn, (16 + 7) * 8);
    assert_eq!(area.frame_at(lsn), Err(Defect::Malformed));
}

#[test]
fn a_length_beyond_the_end_is_refused_before_anything_is_read() {
    let area = Area::first();
    let lsn = area.end();
    for len in [1, 9, 1 << 20, u32::MAX - 7, u32::MAX] {
        let header = FrameHeader::new(Kind::Record, len, false, 0).encode();
        let bytes = [area.bytes.as_slice(), &header].concat();
        let refused = Defect::Length { max: 0, found: u64::from(len) };
        assert_eq!(header_at(&bytes, area.start, lsn), Err(refused));
        assert_eq!(frame_at(&bytes, area.start, lsn, area.salt), Err(refused));
    }
}

#[test]
fn a_frame_lies_inside_the_bytes_at_a_multiple_of_eight() {
    let area = Area::first();
    let lsns = [0, area.start - 8, area.start + 4, area.end() - 8, area.end(), u64::MAX];
    for lsn in lsns {
        assert_eq!(header_at(&area.bytes, area.start, lsn), Err(Defect::Malformed), "{lsn}");
        assert_eq!(area.frame_at(lsn), Err(Defect::Malformed), "{lsn}");
    }
}

#[test]
fn a_frame_between_multiples_of_eight_is_refused_under_a_right_checksum() {
    let salt = Area::first().salt;
    let header = FrameHeader::new(Kind::Record, 5, false, 0);
    let bytes = [vec![0; 4], frame(header, b"12345", 4100, salt)].concat();
    assert_eq!(frame_at(&bytes, 4096, 4100, salt), Err(Defect::Malformed));
    assert!(frame_at(&bytes[4..], 4100, 4100, salt).is_ok());
}

#[test]
fn the_image_of_a_frame_inside_a_payload_is_not_taken_for_a_record() {
    let mut area = Area::first();
    // A frame that is right in every respect, for the very address where the payload holds it.
    let inside = area.end() + 16 + 64;
    let header = FrameHeader::new(Kind::Record, 5, false, 0);
    let image = frame(header, b"image", inside, area.salt);
    let outer = area.record(&[noise(6, 64), image, noise(7, 40)].concat());
    let last = area.record(b"the next");
    assert!(area.frame_at(inside).is_ok());
    let found = area.scan();
    assert_eq!((found.records, found.first, found.last), (2, Some(outer), Some(last)));
    assert_eq!((found.end, found.stopped), (area.end(), Stopped::Complete));
}

#[test]
fn zeros_are_never_a_frame() {
    let mut area = Area::first();
    let end = area.end();
    area.bytes.resize(4096, 0);
    let stopped = Stopped::Invalid { at: end, defect: Defect::Malformed };
    assert_eq!((area.scan().end, area.scan().stopped), (end, stopped));
    assert_eq!(next_valid(&area.bytes, area.start, end, area.salt), None);
}

#[test]
fn a_remainder_of_less_than_a_header_is_the_end() {
    let mut area = Area::first();
    let last = area.record(b"the last");
    let end = area.end();
    for remainder in 0..24 {
        let mut area = area.clone();
        area.bytes.resize(area.bytes.len() + remainder, 0xFF);
        let complete = remainder < 16;
        assert_eq!(area.scan().stopped == Stopped::Complete, complete, "{remainder}");
        assert_eq!((area.scan().end, area.scan().last), (end, Some(last)));
        let until_area_end = area.scan_until(Some(area.end()));
        assert_eq!(until_area_end, area.scan());
        assert_eq!(area.scan_until(Some(end)).stopped, Stopped::Complete);
    }
}

#[test]
fn a_scan_stops_exactly_where_it_is_to() {
    let mut area = Area::first();
    let first = area.record(&noise(8, 50));
    let second = area.record(&noise(9, 50));
    let upto_second = area.scan_until(Some(second));
    assert_eq!(upto_second.stopped, Stopped::Complete);
    assert_eq!((upto_second.end, upto_second.last), (second, Some(first)));
    for until in [second + 8, second + 16, second + 24, area.end() - 8] {
        let found = area.scan_until(Some(until));
        assert!(matches!(found.stopped, Stopped::Invalid { at, .. } if at == second), "{until}");
        assert_eq!(found.end, second);
    }
    let beyond = area.scan_until(Some(area.end() + 8));
    let missing = Stopped::Invalid { at: area.end(), defect: Defect::Malformed };
    assert_eq!((beyond.end, beyond.stopped), (area.end(), missing));
    let before = area.scan_until(Some(area.start - 8));
    assert!(matches!(before.stopped, Stopped::Invalid { at, .. } if at == area.start));
}

#[test]
fn a_batch_counts_only_when_it_is_whole() {
    let mut area = Area::first();
    let alone = area.record(b"alone");
    let first = area.record_of_batch(b"one", true);
    let second = area.record_of_batch(b"two", true);
    let third = area.record_of_batch(b"three", false);
    let whole = area.scan();
    assert_eq!((whole.records, whole.last, whole.stopped), (4, Some(third), Stopped::Complete));
    for (at, torn) in [(first, None), (second, Some(first)), (third, Some(first))] {
        let mut area = area.clone();
        area.flip(at, 17 * 8);
        let found = area.scan();
        assert_eq!((found.end, found.records, found.last), (first, 1, Some(alone)));
        match (torn, found.stopped) {
            (None, Stopped::Invalid { at: stopped, .. }) => assert_eq!(stopped, at),
            (Some(torn), Stopped::TornBatch { first, at: stopped, .. }) => {
                assert_eq!((first, stopped), (torn, at));
            }
            (_, other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_batch_that_goes_on_into_anything_but_a_record_is_broken() {
    let mut batch = Area::first();
    let first = batch.record_of_batch(b"one", true);
    let broken = |area: &Area, until, at| {
        let found = area.scan_until(until);
        assert_eq!(found.stopped, Stopped::BrokenBatch { first, at });
        assert_eq!((found.end, found.records), (first, 0));
    };
    let end = batch.end();
    broken(&batch, None, end);
    let mut with_remainder = batch.clone();
    with_remainder.bytes.extend([0; 8]);
    broken(&with_remainder, None, end);
    let mut with_padding = batch.clone();
    with_padding.padding(&[0; 8]);
    broken(&with_padding, None, end);
    let mut with_link = batch.clone();
    let link = FrameHeader::new(Kind::Link, 32, false, DURABLE_UNKNOWN);
    with_link.push(link, &Link::FIRST.encode());
    broken(&with_link, None, end);
}

#[test]
fn a_batch_that_was_cut_is_whole_at_the_end_that_someone_names() {
    let mut area = Area::first();
    let first = area.record_of_batch(b"one", true);
    let second = area.record_of_batch(b"two", true);
    let end = area.end();
    area.record(b"three");
    let found = area.scan_until(Some(end));
    assert_eq!((found.stopped, found.end, found.records), (Stopped::Complete, end, 2));
    assert_eq!((found.first, found.last), (Some(first), Some(second)));
    let found = area.scan_until(Some(second));
    assert_eq!((found.end, found.records, found.last), (second, 1, Some(first)));
}

#[test]
fn the_highest_watermark_counts_also_of_an_unfinished_batch() {
    let mut area = Area::first();
    area.record_after(4096, b"low");
    let high = area.record_after(area.end() - 8, b"high");
    area.record_after(4104, b"low again");
    assert_eq!(area.scan().watermark, Some(high - 8));
    let higher = area.end();
    let back = durable_back(higher, higher - 16);
    area.push(FrameHeader::new(Kind::Record, 1, true, back), b"x");
    area.bytes.extend([0; 64]);
    let found = area.scan();
    assert!(matches!(found.stopped, Stopped::TornBatch { first, .. } if first == higher));
    assert_eq!((found.watermark, found.end), (Some(higher - 16), higher));
}

#[test]
fn a_scan_may_begin_at_any_frame() {
    let mut area = Area::first();
    let first = area.record(b"first");
    let second = area.record(b"second");
    for (from, records, first) in
        [(area.start, 2, Some(first)), (second, 1, Some(second)), (area.end(), 0, None)]
    {
        let found = scan(&area.bytes, area.start, from, None, area.salt);
        assert_eq!((found.records, found.first), (records, first));
        assert_eq!((found.end, found.stopped), (area.end(), Stopped::Complete));
    }
}

#[test]
fn damage_is_skipped_to_the_next_frame() {
    let mut area = Area::first();
    let first = area.record(&noise(10, 100));
    let second = area.record(&noise(11, 10));
    let third = area.record(&noise(12, 1000));
    let next = |area: &Area, from| next_valid(&area.bytes, area.start, from, area.salt);
    assert_eq!(next(&area, area.start), Some(area.start));
    assert_eq!(next(&area, 0), Some(area.start));
    assert_eq!(next(&area, area.start + 1), Some(first));
    area.flip(first, 9);
    area.flip(second, 33);
    assert_eq!(next(&area, first), Some(third));
    assert_eq!(next(&area, third + 8), None);
    assert_eq!(next(&area, u64::MAX), None);
}

/// Words that look like headers, as often as not.
fn frame_like() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        any::<u64>(),
        0..4_u64,
        (1..4_u64, 0..300_u64).prop_map(|(kind, len)| kind | len << 32),
        (0..300_u64).prop_map(|len| 0x101 | len << 32),
    ];
    proptest::collection::vec(word, 0..100)
        .prop_map(|words| words.into_iter().flat_map(u64::to_le_bytes).collect())
}

proptest! {
    #[test]
    fn no_bytes_make_a_scan_panic_or_leave_them(
        bytes in prop_oneof![frame_like(), any::<Vec<u8>>()],
        start in prop_oneof![Just(4096_u64), any::<u64>()],
        from in prop_oneof![0..1000_u64, any::<u64>()],
        until in proptest::option::of(prop_oneof![0..1000_u64, any::<u64>()]),
    ) {
        let salt = Salt::new(&LogId::default());
        let from = start.wrapping_add(from);
        let found = scan(&bytes, start, from, until.map(|until| start.wrapping_add(until)), salt);
        prop_assert!(found.end >= from);
        if found.end > from {
            prop_assert!(found.end - start <= bytes.len() as u64);
        }
        prop_assert!(found.records <= bytes.len() as u64 / 16);
        let _ = frame_at(&bytes, start, from, salt);
        let _ = header_at(&bytes, start, from);
        let _ = next_valid(&bytes, start, from, salt);
    }

    /// Each item is a batch of records of these sizes, or, where it is empty, a padding.
    #[test]
    fn a_scan_finds_what_was_written_up_to_the_first_damage(
        items in proptest::collection::vec(proptest::collection::vec(0..100_usize, 0..4), 1..12),
        bit in any::<prop::sample::Index>(),
    ) {
        let mut area = Area::first();
        // The end of each item, and how many records there are up to it.
        let mut ends = vec![(area.end(), 0)];
        let mut records = Vec::new();
        for sizes in &items {
            if sizes.is_empty() {
                area.padding(&[]);
            }
            for (n, size) in sizes.iter().enumerate() {
                let payload = noise(area.end(), *size);
                records.push(area.record_of_batch(&payload, n + 1 < sizes.len()));
            }
            ends.push((area.end(), records.len()));
        }
        let whole = area.scan();
        prop_assert_eq!(whole.stopped, Stopped::Complete);
        prop_assert_eq!((whole.end, whole.records), (area.end(), records.len() as u64));
        prop_assert_eq!((whole.first, whole.last), (records.first().copied(), records.last().copied()));

        let link = usize::try_from(LINK_FRAME_BYTES).unwrap() * 8;
        let bit = link + bit.index(area.bytes.len() * 8 - link);
        area.flip(area.start, bit);
        let damage = area.start + bit as u64 / 8;
        let (end, count) = *ends.iter().rev().find(|(end, _)| *end <= damage).unwrap();
        let found = area.scan();
        prop_assert_eq!((found.end, found.records), (end, count as u64));
        prop_assert_eq!(found.last, records[..count].last().copied());
        match found.stopped {
            Stopped::Invalid { at, .. } => prop_assert_eq!(at, end),
            Stopped::TornBatch { first, at, .. } => {
                prop_assert_eq!(first, end);
                prop_assert!(at > first && at <= damage);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
