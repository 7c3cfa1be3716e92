//! Tests of the search against what checking every step would give.

use proptest::prelude::*;

use super::*;
use crate::format::fixture::{Area, frame, noise};

/// The search as its invariant has it: quadratic, and without any of its steps.
fn every_step(area: &Area, from: u64, above: Option<u64>) -> Option<(u64, FrameHeader)> {
    (area.start..area.end()).step_by(8).filter(|lsn| *lsn >= from).find_map(|lsn| {
        let header = frame_at(&area.bytes, area.start, lsn, area.salt).ok()?.header;
        answers(lsn, &header, above).then_some((lsn, header))
    })
}

fn answers(lsn: u64, header: &FrameHeader, above: Option<u64>) -> bool {
    above.is_none_or(|above| header.watermark(lsn).is_some_and(|watermark| watermark > above))
}

fn search(area: &Area, from: u64, above: Option<u64>) -> Option<(u64, FrameHeader)> {
    let accept = |lsn, header: &FrameHeader| answers(lsn, header, above);
    find(&area.bytes, area.start, from..u64::MAX, area.salt, accept)
}

/// What lies between frames: zeros, small integers, frames in frames, and noise.
fn contents() -> impl Strategy<Value = Vec<u64>> {
    let words = 0..400_usize;
    let largest = |index: usize, words: usize| 1 | ((words - index) as u64 * 8) << 32;
    prop_oneof![
        words.clone().prop_map(|words| vec![0; words]),
        proptest::collection::vec(0..5_u64, words.clone()),
        proptest::collection::vec(
            (0..4_u64, 0..4_u64).prop_map(|(a, b)| a | b << 32),
            words.clone()
        ),
        words.clone().prop_map(move |words| (0..words).map(|at| largest(at, words)).collect()),
        proptest::collection::vec((0..3200_u64).prop_map(|len| 1 | len << 32), words.clone()),
        proptest::collection::vec(any::<u64>(), words),
    ]
}

/// Frames to plant: where, of which length, how far behind the watermark lies, of which kind.
fn plants() -> impl Strategy<Value = Vec<(usize, usize, u32, Kind)>> {
    let kind =
        prop_oneof![4 => Just(Kind::Record), 1 => Just(Kind::Padding), 1 => Just(Kind::Link)];
    proptest::collection::vec((0..400_usize, 0..1000_usize, 0..200_u32, kind), 0..4)
}

fn area_of(words: &[u64], plants: &[(usize, usize, u32, Kind)]) -> Area {
    let mut area = Area::new(crate::format::layout::LogId::new(*b"the id of a test"), 1 << 20);
    area.bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (at, len, back, kind) in plants {
        let len = match kind {
            Kind::Record => *len,
            Kind::Padding => len.next_multiple_of(8),
            Kind::Link => 32,
        };
        let lsn = area.start + *at as u64 * 8;
        let continues = *kind == Kind::Record && at % 2 == 1;
        let header = FrameHeader::new(*kind, u32::try_from(len).unwrap(), continues, *back);
        let bytes = frame(header, &noise(lsn, len), lsn, area.salt);
        if let Some(place) = area.bytes.get_mut(at * 8..at * 8 + bytes.len()) {
            place.copy_from_slice(&bytes);
        }
    }
    area
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_search_finds_what_checking_every_step_finds(
        words in contents(),
        plants in plants(),
        from in 0..1000_u64,
        above in proptest::option::of(0..4000_u64),
        flips in proptest::collection::vec(any::<prop::sample::Index>(), 0..3),
        odd_bytes in 0..8_usize,
    ) {
        let mut area = area_of(&words, &plants);
        area.bytes.extend(noise(1, odd_bytes));
        let from = area.start + from;
        let above = above.map(|above| area.start + above);
        prop_assert_eq!(search(&area, from, above), every_step(&area, from, above));
        for bit in flips.iter().filter(|_| !words.is_empty()) {
            area.flip(area.start, bit.index(area.bytes.len() * 8));
        }
        prop_assert_eq!(search(&area, from, above), every_step(&area, from, above));
    }
}

/// Frames in frames at every step, each as long as fits, and a real one at the end.
fn nested(words: usize, len: usize) -> (Area, u64) {
    let contents: Vec<u64> =
        (0..words).map(|at| 1 | ((words - at) as u64 * 8).saturating_sub(16) << 32).collect();
    let at = words - (16 + len).div_ceil(8);
    let area = area_of(&contents, &[(at, len, 0, Kind::Record)]);
    let lsn = area.start + at as u64 * 8;
    (area, lsn)
}

#[test]
fn a_frame_behind_frames_in_frames_is_found() {
    for len in [0, 1, 64, 65, 70, 71, 72, 1000, 20_001] {
        let (area, lsn) = nested(4000, len);
        assert_eq!(search(&area, 0, None).map(|(at, _)| at), Some(lsn), "{len}");
    }
}

#[test]
fn frames_in_frames_are_not_summed_one_by_one() {
    let (area, lsn) = nested(4000, 1000);
    let mut search = Search::new(&area.bytes, area.start, area.salt);
    let headers: Vec<Candidate> =
        (0..3999).filter_map(|at| search.candidate(at, search.words[at + 1])).collect();
    let long: usize = headers.iter().map(|found| found.len).sum();
    assert!(long > 1000 * area.bytes.len(), "{long}");
    let found = headers.chunks(BLOCK_WORDS).find_map(|block| search.first_valid(block));
    assert_eq!(found.map(|found| found.lsn), Some(lsn));
    assert!(search.crcs.is_some());
}

/// What costs most: headers at every step, or at every other one with a high watermark, whose frames
/// are of this length, or end at the end.
fn costly(words: usize, len: Option<usize>, dense: bool) -> Area {
    let room = |at: usize| ((words - at) * 8).saturating_sub(16);
    let len_at = |at: usize| len.unwrap_or(usize::MAX).min(room(at)) as u64;
    let second = |at: usize| if at.is_multiple_of(2) { 1 | len_at(at) << 32 } else { 1 };
    let contents: Vec<u64> =
        (0..words).map(|at| if dense { 1 | len_at(at) << 32 } else { second(at) }).collect();
    area_of(&contents, &[])
}

#[test]
fn the_work_of_a_search_is_bounded_by_the_bytes_whatever_they_are() {
    // Each step's short payload, the longer ones until that is given up, and one pass for all of them.
    let passes = SHORT / 8 + DIRECT_PASSES + 1;
    let mut most = 0;
    for words in [1000, 4000, 64_000] {
        let lengths = [0, 8, 63, 64, 65, 100, 1001, 4096, 20_000, words * 4];
        for len in lengths.into_iter().map(Some).chain([None]) {
            for (dense, above) in [(true, None), (false, None), (false, Some(0))] {
                let area = costly(words, len, dense);
                let mut search = Search::new(&area.bytes, area.start, area.salt);
                let accept = |lsn, header: &FrameHeader| answers(lsn, header, above);
                assert_eq!(search.find(0..u64::MAX, accept), None);
                let [summed, compared] = search.work.get();
                assert!(compared <= words, "{words} {len:?}: {compared} checksums compared");
                let bound = passes * area.bytes.len();
                assert!(summed <= bound, "{words} {len:?}: {summed} bytes summed");
                most = most.max(summed / area.bytes.len());
            }
        }
    }
    assert!(most >= SHORT / 8 - 1, "{most} passes at most: what is meant to cost much does not");
}

#[test]
fn what_seems_right_but_for_its_filler_is_not_summed_again_and_again() {
    // The last word of all payloads is the same one, so that its filler spoils each of them.
    let (mut area, lsn) = nested(4000, 1001);
    area.flip(lsn, (16 + 1001) * 8 + 3);
    let mut search = Search::new(&area.bytes, area.start, area.salt);
    assert_eq!(search.find(0..u64::MAX, |_, _| true), None);
    let [summed, compared] = search.work.get();
    assert!(summed <= (DIRECT_PASSES + 2) * area.bytes.len() && compared <= 4000);
}

#[test]
fn a_frame_whose_filler_is_not_zero_is_not_found() {
    for len in [1, 1001] {
        let (mut area, lsn) = nested(4000, len);
        assert!(search(&area, 0, None).is_some());
        area.flip(lsn, (16 + len) * 8 + 3);
        assert_eq!(search(&area, 0, None), None);
    }
}

#[test]
fn the_checksums_are_the_same_as_elsewhere() {
    let salt = Area::first().salt;
    for lsn in [0, 8, 4096, 1 << 40, u64::MAX - 7] {
        assert_eq!(salt_at(salt, lsn), salt.at(lsn));
        for len in [0, 1, 300, u32::MAX] {
            let header = FrameHeader::new(Kind::Record, len, true, len / 2);
            let [_, second] = header.to_words();
            let second = u64::from_le_bytes(second.to_ne_bytes());
            assert_eq!(
                expected_checksum(&header, second, len ^ salt.at(lsn)),
                header.expected_checksum(len, salt.at(lsn))
            );
        }
    }
}

#[test]
fn a_search_from_anywhere_stays_inside() {
    let mut area = Area::first();
    let lsn = area.record(b"a record");
    for from in [0, 8, area.start] {
        assert_eq!(search(&area, from, None).map(|(at, _)| at), Some(area.start));
    }
    assert_eq!(search(&area, lsn - 7, None).map(|(at, _)| at), Some(lsn));
    for from in [lsn + 1, area.end() - 8, area.end(), area.end() + 8, u64::MAX] {
        assert_eq!(search(&area, from, None), None);
    }
    let high = find(&area.bytes, u64::MAX - 7, 0..u64::MAX, area.salt, |_, _| true);
    assert_eq!(high, None);
    assert_eq!(find(&[], 0, 0..u64::MAX, area.salt, |_, _| true), None);
}
