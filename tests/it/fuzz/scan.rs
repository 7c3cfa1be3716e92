//! Any bytes at all as frames, blocks, links and names, against the format's text.
//!
//! Invariant: what the pure floor says is what the text says of the same bytes; what it decodes it
//! encodes to the same bytes again; and it ends, whatever the bytes.

use stratalog::format::{
    self, BLOCK_BYTES, ControlState, Defect, FileKind, FrameHeader, Link, LogId, Salt, ScanEnd,
    SegmentHeader, Stopped, Trailer, classify, segment_name,
};

use super::Reached;
use super::frames::{Plain, seal, seal_block, valid};
use super::input::Input;

const AREA_MAX: usize = 16 << 10;

/// Runs one input; says which outcomes it came to.
pub(crate) fn scan(data: &[u8]) -> Reached {
    let mut input = Input::new(data);
    match input.below(4) {
        0 => frames(&mut input),
        1 => block(&mut input),
        2 => header_and_link(&mut input),
        _ => name(&mut input),
    }
}

fn address(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        0 => 4096,
        1 => 0,
        2 => u64::MAX - 7,
        3 => u64::MAX - 7 - AREA_MAX as u64,
        high => u64::from(high) * 4096,
    }
}

fn frames(input: &mut Input<'_>) -> Reached {
    let id = LogId::new([input.byte(); 16]);
    let start = address(input);
    let from = start.saturating_add(input.below(8) as u64 * 8);
    let until = match input.short() {
        0 => None,
        offset => Some(start.saturating_add(offset as u64)),
    };
    let above = start.saturating_add(input.short() as u64);
    let seals: Vec<_> = (0..input.byte()).map(|_| input.short() * 8).collect();
    let rest = input.rest();
    let mut area = rest[..rest.len().min(AREA_MAX)].to_vec();
    if start.checked_add(area.len() as u64).is_none() {
        // No segment lies there; all that is asked for is that it ends.
        format::scan(&area, start, from, until, Salt::new(&id));
        format::next_valid(&area, start, from, Salt::new(&id));
        return Reached::from(["beyond all addresses"]);
    }
    for offset in seals {
        seal(&mut area, start, offset, &id);
    }
    let mut reached = Reached::new();
    check_each_step(&area, start, from, above, &id, &mut reached);
    check_scan(&area, start, from, until, &id, &mut reached);
    check_summary(&area, start, &mut reached);
    reached
}

/// What a search finds is what looking at every step finds.
fn check_each_step(
    area: &[u8],
    start: u64,
    from: u64,
    above: u64,
    id: &LogId,
    reached: &mut Reached,
) {
    let salt = Salt::new(id);
    let mut all = Vec::new();
    for at in (start..start + area.len() as u64).step_by(8) {
        let plain = valid(area, start, at, id);
        let frame = format::frame_at(area, start, at, salt);
        assert_eq!(frame.ok().map(|frame| plain_of(&frame)), plain, "the frame at {at}");
        all.extend(plain);
    }
    let next = all.iter().find(|frame| frame.at >= from);
    assert_eq!(format::next_valid(area, start, from, salt), next.map(|frame| frame.at));
    let proof = all.iter().find(|frame| frame.at >= from && frame.watermark > Some(above));
    let found = format::evidence(area, start, from, above, salt);
    assert_eq!(
        found.map(|found| (found.at, Some(found.watermark))),
        proof.map(|frame| (frame.at, frame.watermark))
    );
    if next.is_some() {
        reached.insert("valid frame");
    }
    if proof.is_some() {
        reached.insert("evidence");
    }
}

fn plain_of(frame: &format::Frame<'_>) -> Plain {
    Plain {
        at: frame.lsn,
        end: frame.end(),
        kind: frame.header.kind as u8,
        continues: frame.header.continues,
        watermark: frame.header.watermark(frame.lsn),
    }
}

fn check_scan(
    area: &[u8],
    start: u64,
    from: u64,
    until: Option<u64>,
    id: &LogId,
    reached: &mut Reached,
) {
    let salt = Salt::new(id);
    let area_end = start + area.len() as u64;
    let target = until.unwrap_or(area_end);
    let within = area.get(..(target - start) as usize).unwrap_or(area);
    let found = format::scan(area, start, from, until, salt);
    let (mut at, mut first_of_batch, mut in_batch, mut last) = (from, None, 0, None);
    let mut expected =
        ScanEnd { end: from, records: 0, first: None, last: None, watermark: None, ..found };
    let stopped = loop {
        let rest = target.checked_sub(at);
        if rest == Some(0) || (target == area_end && rest.is_some_and(|rest| rest < 16)) {
            break match first_of_batch {
                Some(first) if until != Some(at) => Stopped::BrokenBatch { first, at },
                None => Stopped::Complete,
                // Where an end is known, a batch that comes to it was cut there, and is whole.
                Some(first) => {
                    expected.records += in_batch;
                    expected.first = expected.first.or(Some(first));
                    (expected.last, expected.end) = (last, at);
                    Stopped::Complete
                }
            };
        }
        let Some(frame) = valid(within, start, at, id) else {
            let defect: Defect = format::frame_at(within, start, at, salt).unwrap_err();
            break match first_of_batch {
                Some(first) => Stopped::TornBatch { first, at, defect },
                None => Stopped::Invalid { at, defect },
            };
        };
        expected.watermark = expected.watermark.max(frame.watermark);
        match (frame.kind, first_of_batch) {
            (1, first) => {
                (in_batch, last) = (in_batch + 1, Some(at));
                first_of_batch = first.or(Some(at)).filter(|_| frame.continues);
                if !frame.continues {
                    expected.records += in_batch;
                    expected.first = expected.first.or(first).or(Some(at));
                    expected.last = Some(at);
                    expected.end = frame.end;
                    in_batch = 0;
                }
            }
            (_, Some(first)) => break Stopped::BrokenBatch { first, at },
            (_, None) => expected.end = frame.end,
        }
        assert!(frame.end > at, "a scan goes on");
        at = frame.end;
    };
    assert_eq!(found, ScanEnd { stopped, ..expected });
    reached.insert(match stopped {
        Stopped::Complete => "complete",
        Stopped::Invalid { .. } => "invalid",
        Stopped::TornBatch { .. } => "torn batch",
        Stopped::BrokenBatch { .. } => "broken batch",
    });
}

/// The sum of frames is that of their bytes without the bodies of paddings.
fn check_summary(area: &[u8], start: u64, reached: &mut Reached) {
    let (mut at, mut bytes, mut records) = (start, Vec::new(), Vec::new());
    let wrong = loop {
        let offset = (at - start) as usize;
        // A remainder that is too small for a header is left out.
        if area.len() - offset < 16 {
            break None;
        }
        let header = match format::header_at(area, start, at) {
            Ok(header) => header,
            Err(defect) => break Some((at, defect)),
        };
        let summed = match header.kind {
            format::Kind::Padding => 16,
            format::Kind::Record | format::Kind::Link => header.frame_bytes() as usize,
        };
        if header.kind == format::Kind::Record {
            records.push(at);
        }
        bytes.extend_from_slice(&area[offset..offset + summed]);
        at += header.frame_bytes();
    };
    match (format::summarize(area, start), wrong) {
        (Err(found), wrong) => assert_eq!(Some((found.at, found.defect)), wrong),
        (Ok(found), None) => {
            let expected = (records.len() as u64, records.first(), records.last());
            assert_eq!((found.records, found.first.as_ref(), found.last.as_ref()), expected);
            assert_eq!(found.frames_crc, crc32c::crc32c(&bytes));
            reached.insert("summary");
        }
        (Ok(found), Some(wrong)) => panic!("{found:?} in spite of {wrong:?}"),
    }
}

/// A block of any fields, with a right checksum or without.
fn block(input: &mut Input<'_>) -> Reached {
    let kind = input.below(3);
    let magic = [b"STRATSEG", b"STRATEND", b"STRATCTL"][kind];
    let sealed = input.byte() != 0;
    let version = u32::from(input.byte());
    let id = LogId::new([input.byte(); 16]);
    let base = input.word();
    let salt = if kind == 1 { Salt::new(&id).at(base) } else { 0 };
    let mut block = [&magic[..], &version.to_le_bytes(), &[0; 4], input.rest()].concat();
    if sealed {
        block.resize(BLOCK_BYTES as usize, 0);
        seal_block(&mut block, salt);
    }
    let again = match kind {
        0 => SegmentHeader::decode(&block).map(|header| header.encode()),
        1 => Trailer::decode(&block, &id, base).map(|(trailer, checksum)| {
            assert_eq!(checksum.to_le_bytes(), block[12..16]);
            trailer.encode(&id, base)
        }),
        _ => ControlState::decode(&block).map(|(sequence, state)| {
            let slots = [Ok((sequence, state.clone())), Err(Defect::Malformed)];
            let winner = format::winner(slots).unwrap();
            assert_eq!((winner.slot, winner.sequence, &winner.state), (0, sequence, &state));
            state.encode(sequence)
        }),
    };
    match again {
        Ok(again) => {
            assert!(again == block, "what is decoded is encoded to the same bytes");
            Reached::from([["header", "trailer", "control slot"][kind]])
        }
        Err(Defect::Version { found }) => {
            assert!(sealed && version > 1 && found == version);
            Reached::from(["newer version"])
        }
        Err(_) => Reached::from(["no block"]),
    }
}

fn header_and_link(input: &mut Input<'_>) -> Reached {
    let mut reached = Reached::new();
    let bytes: [u8; 16] = std::array::from_fn(|_| input.byte());
    let header = FrameHeader::decode(bytes);
    assert_eq!(FrameHeader::from_words(words(bytes)), header);
    if let Ok(header) = header {
        assert_eq!(header.encode(), bytes);
        assert_eq!(header.to_words(), words(bytes));
        assert_ne!(header.to_words()[1], 0, "the word that publishes is not zero");
        assert!(header.watermark(4096).is_none_or(|watermark| watermark <= 4096));
        reached.insert("frame header");
    }
    let payload = input.rest();
    if let Ok(link) = Link::decode(payload) {
        assert_eq!(link.encode(), payload);
        reached.insert("link");
    }
    reached
}

fn words(bytes: [u8; 16]) -> [u64; 2] {
    let (words, _) = bytes.as_chunks();
    [0, 1].map(|n| u64::from_ne_bytes(words[n]))
}

fn name(input: &mut Input<'_>) -> Reached {
    let base = input.word();
    let made = segment_name(base);
    let aligned = base.is_multiple_of(8);
    let kind = if aligned { FileKind::Segment(base) } else { FileKind::Foreign };
    assert_eq!(classify(&made), kind);
    let text = String::from_utf8_lossy(input.rest()).into_owned();
    let ours = aligned && matches!(text.as_str(), ".tmp" | ".bak" | ".drop");
    let suffixed = classify(&format!("{made}{text}"));
    assert_eq!(suffixed == FileKind::Foreign, !ours && (!text.is_empty() || !aligned));
    match classify(&text) {
        FileKind::Segment(base) => {
            assert_eq!(segment_name(base), text);
            Reached::from(["segment name"])
        }
        FileKind::Foreign => Reached::from(["foreign name"]),
        _ => Reached::from(["other name of ours"]),
    }
}
