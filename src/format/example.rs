//! Tests that `FORMAT.md` says what the code does: its example is decoded from the text and encoded
//! again, and its field tables leave no gaps.

use super::*;

const TEXT: &str = include_str!("FORMAT.md");
const ID: LogId = LogId::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
const SEGMENT_BYTES: u64 = 16384;

/// The bytes that the example's listing of this number gives; those that it does not list are zero.
fn listed(number: usize, len: usize) -> Vec<u8> {
    let (_, example) = TEXT.split_once("\n## Worked example\n").unwrap();
    let listing = example.split("```text\n").nth(number + 1).unwrap().split("```").next().unwrap();
    let mut image = vec![0; len];
    for line in listing.lines().filter(|line| !line.is_empty()) {
        let (at, rest) = line.split_once("  ").unwrap();
        let at = usize::from_str_radix(at, 16).unwrap();
        let (bytes, _) = rest.split_once("  ").unwrap();
        for (n, byte) in bytes.split(' ').enumerate() {
            image[at + n] = u8::from_str_radix(byte, 16).unwrap();
        }
    }
    image
}

fn segment() -> Vec<u8> {
    listed(0, usize::try_from(SEGMENT_BYTES).unwrap())
}

fn frames_of(segment: &[u8]) -> &[u8] {
    &segment[4096..12288]
}

fn trailer() -> Trailer {
    Trailer {
        end: 12288,
        records: 3,
        first: Some(4144),
        last: Some(4200),
        frames_crc: 0xebab_2c69,
        previous_checksum: 0,
    }
}

#[test]
fn the_header_and_trailer_of_the_example_are_decoded() {
    let segment = segment();
    let header = SegmentHeader { id: ID, base: 0, segment_bytes: SEGMENT_BYTES };
    assert_eq!(SegmentHeader::decode(&segment[..4096]), Ok(header));
    let (decoded, checksum) = Trailer::decode(&segment[12288..], &ID, 0).unwrap();
    assert_eq!((decoded, checksum), (trailer(), 0x08c4_9c84));
    let summary = summarize(frames_of(&segment), 4096).unwrap();
    assert_eq!((summary.records, summary.frames_crc), (decoded.records, decoded.frames_crc));
    assert_eq!((summary.first, summary.last), (decoded.first, decoded.last));
}

#[test]
fn the_frames_of_the_example_are_decoded() {
    let segment = segment();
    let (bytes, salt) = (frames_of(&segment), Salt::new(&ID));
    let link = Link::FIRST.encode();
    let mut lsn = 4096;
    for (kind, len, continues, watermark, payload) in [
        (Kind::Link, 32, false, None, link.as_slice()),
        (Kind::Record, 10, false, Some(4096), b"hello, log"),
        (Kind::Record, 5, true, Some(4096), b"first"),
        (Kind::Record, 6, false, Some(4096), b"second"),
        (Kind::Padding, 0, false, Some(4224), b""),
        (Kind::Padding, 8032, false, Some(4224), b""),
    ] {
        let frame = frame_at(bytes, 4096, lsn, salt).unwrap();
        assert_eq!((frame.header.kind, frame.header.len), (kind, len), "{lsn}");
        assert_eq!((frame.header.continues, frame.payload), (continues, payload), "{lsn}");
        assert_eq!(frame.header.watermark(lsn), watermark, "{lsn}");
        lsn = frame.end();
    }
    assert_eq!(lsn, trailer().end);
    let found = scan(bytes, 4096, 4096, Some(trailer().end), salt);
    assert_eq!((found.end, found.records, found.stopped), (lsn, 3, Stopped::Complete));
    assert_eq!((found.first, found.last), (trailer().first, trailer().last));
    assert_eq!(evidence(bytes, 4096, 4200, 4200, salt).map(|proof| proof.at), Some(4224));
}

#[test]
fn the_example_is_encoded_to_the_same_bytes() {
    let mut image = SegmentHeader { id: ID, base: 0, segment_bytes: SEGMENT_BYTES }.encode();
    let mut push = |kind, continues, durable: Option<u64>, payload: &[u8]| {
        let lsn = image.len() as u64;
        let len = u32::try_from(payload.len()).unwrap();
        let back = durable.map_or(DURABLE_UNKNOWN, |durable| durable_back(lsn, durable));
        let header = FrameHeader::new(kind, len, continues, back);
        image.extend(fixture::frame(header, payload, lsn, Salt::new(&ID)));
    };
    push(Kind::Link, false, None, &Link::FIRST.encode());
    push(Kind::Record, false, Some(4096), b"hello, log");
    push(Kind::Record, true, Some(4096), b"first");
    push(Kind::Record, false, Some(4096), b"second");
    push(Kind::Padding, false, Some(4224), b"");
    push(Kind::Padding, false, Some(4224), &[0; 8032]);
    image.extend(trailer().encode(&ID, 0));
    let expected = segment();
    assert_eq!(image.len(), expected.len());
    let differs = (0..image.len()).find(|at| image[*at] != expected[*at]);
    assert_eq!(differs, None);
}

#[test]
fn the_control_slot_of_the_example_is_decoded_and_encoded_to_the_same_bytes() {
    let slot = listed(1, 4096);
    let (sequence, state) = ControlState::decode(&slot).unwrap();
    let expected = ControlState {
        id: ID,
        head: 4144,
        next_base: 16384,
        newest: Some(0),
        durable_end: 12288,
        cut: None,
        clean: true,
        app_state: b"vote".to_vec(),
    };
    assert_eq!((sequence, &state), (3, &expected));
    assert_eq!(state.encode(sequence), slot);
}

#[test]
fn the_field_tables_leave_no_gaps() {
    let mut rows = 0;
    let mut next = None;
    for line in TEXT.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let number = |cell: Option<&&str>| cell.and_then(|cell| cell.parse::<u64>().ok());
        match (number(cells.first()), number(cells.get(1))) {
            (Some(offset), bytes) if line.starts_with('|') => {
                assert!(next.is_none_or(|next| next == offset || offset == 0), "{line}");
                next = bytes.map(|bytes| offset + bytes);
                rows += 1;
            }
            _ => next = None,
        }
    }
    assert_eq!(rows, 6 + 9 + 15 + 6 + 3);
}
