//! Tests of what is proof, and what is not.

use super::*;
use crate::format::fixture::Area;
use crate::format::frame::{FrameHeader, Kind, Link};

fn look(area: &Area, from: u64, above: u64) -> Option<Evidence> {
    evidence(&area.bytes, area.start, from, above, area.salt)
}

#[test]
fn a_later_frame_proves_how_far_the_log_was_durable() {
    let mut area = Area::first();
    let damaged = area.record(b"rots away");
    let beyond = area.end();
    area.record_after(damaged, b"framed when the one before was not durable");
    let proof = area.record_after(beyond, b"framed when it was");
    assert_eq!(look(&area, damaged, damaged), Some(Evidence { at: proof, watermark: beyond }));
    area.flip(damaged, 5);
    assert_eq!(look(&area, damaged, damaged), Some(Evidence { at: proof, watermark: beyond }));
    assert_eq!(look(&area, damaged, beyond), None);
    assert_eq!(look(&area, proof + 8, damaged), None);
}

#[test]
fn an_empty_padding_can_carry_the_proof() {
    let mut area = Area::first();
    let last = area.record(b"the last");
    let mark = area.push(FrameHeader::new(Kind::Padding, 0, false, 0), b"");
    area.bytes.resize(8192, 0);
    assert_eq!(look(&area, last, last), Some(Evidence { at: mark, watermark: mark }));
}

#[test]
fn neither_zeros_nor_damage_nor_unknown_watermarks_are_proof() {
    let mut area = Area::first();
    let at = area.record(b"of an unknown watermark");
    assert_eq!(look(&area, area.start, 0), None);
    let proof = area.record_after(at, b"names one");
    area.bytes.resize(8192, 0);
    assert!(look(&area, area.start, 0).is_some());
    for bit in 0..(16 + 9) * 8 {
        area.flip(proof, bit);
        assert_eq!(look(&area, area.start, 0), None, "bit {bit}");
        area.flip(proof, bit);
    }
}

#[test]
fn a_links_end_is_no_proof_but_its_watermark_is() {
    let mut area = Area::new(crate::format::LogId::new(*b"the id of a test"), 1 << 20);
    let link =
        Link { previous_base: 0, previous_end: 8000, previous_id: crate::format::LogId::default() };
    let back = crate::format::durable_back(area.start, 6000);
    let at = area.push(FrameHeader::new(Kind::Link, 32, false, back), &link.encode());
    assert_eq!(look(&area, area.start, 5000), Some(Evidence { at, watermark: 6000 }));
    assert_eq!(look(&area, area.start, 7000), None);
}

#[test]
fn the_search_may_be_told_where_the_last_frame_can_begin() {
    let mut area = Area::first();
    let damaged = area.record(b"rots away");
    let beyond = area.end();
    let proof = area.record_after(beyond, &[0; 100]);
    let found = Some(Evidence { at: proof, watermark: beyond });
    let within = |to| evidence_in(&area.bytes, area.start, damaged..to, damaged, area.salt);
    for to in [proof + 1, proof + 8, area.end(), u64::MAX] {
        assert_eq!(within(to), found);
    }
    for to in [0, damaged, proof] {
        assert_eq!(within(to), None);
    }
}
