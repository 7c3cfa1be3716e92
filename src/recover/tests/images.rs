//! Logs as the running log leaves them on disk, and a vocabulary of damage.

use std::sync::Arc;

use crate::format::{
    BLOCK_BYTES, ControlState, CutMark, DURABLE_UNKNOWN, FileKind, FrameHeader, Kind, Link, LogId,
    Salt, SegmentHeader, Trailer, classify, durable_back, frame_at, frame_bytes, frames_end,
    frames_start, payload_crc, segment_name, summarize,
};
use crate::recover::{Recovered, recover};
use crate::storage::{Access, Image, MemoryStorage, Storage, read_exact_at};
use crate::{Error, Options, RecoveryPolicy};

/// The size of segments here, unless another is asked for: 8192 bytes of frames.
pub(super) const BYTES: u64 = 16 << 10;
pub(super) const ID: LogId = LogId::new(*b"the log in tests");

/// Writes a log into an image as the running log would, step by step.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    pub(super) image: Image,
    pub(super) state: ControlState,
    sequence: u64,
    /// The size of all segments.
    bytes: u64,
    /// The segment in use, and the address of the next frame.
    pub(super) base: u64,
    pub(super) at: u64,
    /// What frames name as durable; `None` names nothing.
    pub(super) durable: Option<u64>,
    previous: Link,
    trailer: u32,
    /// Address and payload of every record.
    pub(super) records: Vec<(u64, Vec<u8>)>,
}

impl Writer {
    /// A new log without a segment.
    pub(super) fn new() -> Self {
        let head = frames_start(0);
        let state = ControlState {
            id: ID,
            head,
            next_base: 0,
            newest: None,
            durable_end: head,
            cut: None,
            clean: false,
            app_state: b"kept".to_vec(),
        };
        let mut writer = Self {
            image: Image::new(),
            state,
            sequence: 0,
            bytes: BYTES,
            base: 0,
            at: head,
            durable: None,
            previous: Link::FIRST,
            trailer: 0,
            records: Vec::new(),
        };
        writer.image.insert("control", vec![0; 8192]);
        writer.control(|_| {}).control(|_| {})
    }

    /// Segments have this size.
    pub(super) fn sized(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Writes the next control slot.
    pub(super) fn control(mut self, change: impl FnOnce(&mut ControlState)) -> Self {
        change(&mut self.state);
        self.sequence += 1;
        let at = usize::try_from(self.sequence % 2 * BLOCK_BYTES).unwrap();
        let slot = self.state.encode(self.sequence);
        self.image.get_mut("control").unwrap()[at..at + 4096].copy_from_slice(&slot);
        self
    }

    /// Prepares a segment at `next_base`, as the supply does.
    pub(super) fn spare(mut self) -> Self {
        let base = self.state.next_base;
        let segment_bytes = self.bytes;
        let mut bytes = SegmentHeader { id: ID, base, segment_bytes }.encode();
        bytes.resize(usize::try_from(segment_bytes).unwrap(), 0);
        self.image.insert(segment_name(base), bytes);
        self.control(|state| {
            state.next_base = base + segment_bytes;
            state.newest = Some(base);
        })
    }

    /// Begins the segment at `base`, which was prepared: writes its link.
    pub(super) fn attach(mut self, base: u64) -> Self {
        self.base = base;
        self.at = frames_start(base);
        let payload = self.previous.encode();
        self.frame(Kind::Link, &payload, 32, false);
        self
    }

    /// Prepares the next segment and begins it.
    pub(super) fn segment(self) -> Self {
        let base = self.state.next_base;
        self.spare().attach(base)
    }

    /// `count` records of `len` bytes, each with bytes of its own.
    pub(super) fn records(mut self, count: usize, len: usize) -> Self {
        for _ in 0..count {
            let payload = self.payload(len);
            self.push(&payload, false);
        }
        self
    }

    pub(super) fn batch(mut self, count: usize, len: usize) -> Self {
        for number in 1..=count {
            let payload = self.payload(len);
            self.push(&payload, number < count);
        }
        self
    }

    /// One record that says that the batch goes on.
    pub(super) fn unfinished(mut self, payload: &[u8]) -> Self {
        self.push(payload, true);
        self
    }

    /// From here on frames name everything so far as durable.
    pub(super) fn sync(mut self) -> Self {
        self.durable = Some(self.at);
        self
    }

    /// What the maintenance thread appends when nothing happens.
    pub(super) fn idle(mut self) -> Self {
        self.frame(Kind::Padding, &[], 0, false);
        self
    }

    /// Pads the segment to its end and prepares nothing.
    pub(super) fn pad(mut self) -> Self {
        let rest = frames_end(self.base, self.bytes) - self.at;
        if rest >= 16 {
            self.frame(Kind::Padding, &[], u32::try_from(rest - 16).unwrap(), false);
        }
        let end = frames_end(self.base, self.bytes);
        self.end_at(end)
    }

    /// Pads and goes on in the next segment, made if need be.
    pub(super) fn roll(self) -> Self {
        let padded = self.pad();
        let base = padded.base + padded.bytes;
        if padded.image.get(&segment_name(base)).is_some() {
            padded.attach(base)
        } else {
            padded.segment()
        }
    }

    /// The next link names this end.
    pub(super) fn end_at(mut self, end: u64) -> Self {
        self.previous = Link { previous_base: self.base, previous_end: end, previous_id: ID };
        self
    }

    /// Writes the trailer of the segment at `base`, whose frames end at `end`.
    pub(super) fn seal_at(mut self, base: u64, end: u64) -> Self {
        let start = frames_start(base);
        let previous_checksum = self.trailer;
        let file = self.image.get_mut(&segment_name(base)).unwrap();
        let to = usize::try_from(end - base).unwrap();
        let summary = summarize(&file[4096..to], start).unwrap();
        let trailer = Trailer {
            end,
            records: summary.records,
            first: summary.first,
            last: summary.last,
            frames_crc: summary.frames_crc,
            previous_checksum,
        };
        let block = trailer.encode(&ID, base);
        self.trailer = Trailer::decode(&block, &ID, base).unwrap().1;
        let at = file.len() - 4096;
        file[at..].copy_from_slice(&block);
        self
    }

    /// Seals a segment that is full.
    pub(super) fn seal(self, base: u64) -> Self {
        let end = frames_end(base, self.bytes);
        self.seal_at(base, end)
    }

    /// Closes the log where it is.
    pub(super) fn close(self) -> Self {
        let end = self.at;
        self.control(|state| {
            state.durable_end = end;
            state.clean = true;
        })
    }

    /// What recovery wrote when it cut the log.
    pub(super) fn cut(self, segment: u64, end: u64) -> Self {
        self.control(|state| {
            let fresh = state.next_base;
            state.cut = Some(CutMark { segment, end, fresh });
            state.newest = Some(segment);
            state.durable_end = frames_start(fresh);
        })
    }

    fn payload(&self, len: usize) -> Vec<u8> {
        (0..len).map(|n| u8::try_from((n + self.records.len() * 7) % 251 + 1).unwrap()).collect()
    }

    fn push(&mut self, payload: &[u8], continues: bool) {
        self.records.push((self.at, payload.to_vec()));
        let len = u32::try_from(payload.len()).unwrap();
        self.frame(Kind::Record, payload, len, continues);
    }

    fn frame(&mut self, kind: Kind, payload: &[u8], len: u32, continues: bool) {
        let back = self.durable.map_or(DURABLE_UNKNOWN, |to| durable_back(self.at, to));
        let header = FrameHeader::new(kind, len, continues, back)
            .sealed(payload_crc(payload), Salt::new(&ID).at(self.at));
        let from = usize::try_from(self.at - self.base).unwrap();
        let file = self.image.get_mut(&segment_name(self.base)).unwrap();
        file[from..from + 16].copy_from_slice(&header.encode());
        file[from + 16..from + 16 + payload.len()].copy_from_slice(payload);
        self.at += frame_bytes(len);
    }

    /// The records below an address.
    pub(super) fn records_below(&self, end: u64) -> Vec<(u64, Vec<u8>)> {
        self.records.iter().filter(|(lsn, _)| *lsn < end).cloned().collect()
    }

    pub(super) fn flip(mut self, address: u64) -> Self {
        let base = self.base_of(address);
        flip(&mut self.image, base, address);
        self
    }

    pub(super) fn zero(mut self, addresses: std::ops::Range<u64>) -> Self {
        let base = self.base_of(addresses.start);
        let [from, to] =
            [addresses.start, addresses.end].map(|at| usize::try_from(at - base).unwrap());
        self.image.get_mut(&segment_name(base)).unwrap()[from..to].fill(0);
        self
    }

    pub(super) fn lose(mut self, base: u64) -> Self {
        assert!(self.image.remove(&segment_name(base)).is_some());
        self
    }

    pub(super) fn damage_slot(mut self, slot: usize) -> Self {
        self.image.get_mut("control").unwrap()[slot * 4096 + 100] ^= 1;
        self
    }

    /// The base of the segment whose file has this address.
    fn base_of(&self, address: u64) -> u64 {
        let names = self.image.names().filter_map(|name| name.strip_suffix(".seg"));
        names.map(|digits| digits.parse().unwrap()).filter(|base| *base <= address).max().unwrap()
    }
}

pub(super) fn flip(image: &mut Image, base: u64, address: u64) {
    let at = usize::try_from(address - base).unwrap();
    image.get_mut(&segment_name(base)).unwrap()[at] ^= 0x10;
}

/// What opening brought.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) recovered: Recovered,
    pub(super) storage: MemoryStorage,
}

pub(super) fn open_with(image: &Image, options: &Options) -> Result<Opened, Error> {
    let storage = MemoryStorage::from_image(image.clone());
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    match recover(&shared, options) {
        Ok(recovered) => Ok(Opened { recovered, storage }),
        Err(error) => {
            assert_eq!(&storage.image(), image, "a refusal changes no byte: {error}");
            Err(error)
        }
    }
}

pub(super) fn open_as(image: &Image, policy: RecoveryPolicy) -> Result<Opened, Error> {
    open_with(image, Options::new().segment_bytes(BYTES).recovery(policy))
}

pub(super) fn open(image: &Image) -> Result<Opened, Error> {
    open_as(image, RecoveryPolicy::CutTornTail)
}

impl Opened {
    /// All valid records that the segments hold, in order; fails on an invalid frame unless told to
    /// skip.
    pub(super) fn records(&self) -> Vec<(u64, Vec<u8>)> {
        let recovered = &self.recovered;
        let mut records = Vec::new();
        for segment in &recovered.segments {
            let end = segment.end.min(recovered.tail.max(segment.start()));
            let file = self.storage.open(&segment.name(), Access::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(end - segment.start()).unwrap()];
            read_exact_at(&*file, &mut bytes, BLOCK_BYTES).unwrap();
            let salt = Salt::new(&recovered.id);
            let mut at = segment.start().max(recovered.head);
            while at + 16 <= end {
                let Ok(frame) = frame_at(&bytes, segment.start(), at, salt) else {
                    assert!(!recovered.report.damage.is_empty(), "an invalid frame at {at}");
                    at += 8;
                    continue;
                };
                if frame.header.kind == Kind::Record {
                    records.push((at, frame.payload.to_vec()));
                }
                at = frame.end();
            }
        }
        records
    }

    pub(super) fn image(&self) -> Image {
        self.storage.image()
    }

    pub(super) fn state(&self) -> ControlState {
        self.recovered.control.state()
    }

    /// What every opened log keeps to, and that opening it once more finds the same.
    pub(super) fn checked(self) -> Self {
        let Recovered { head, tail, start, segments, report, .. } = &self.recovered;
        let state = self.state();
        assert!(!state.clean, "an open log is not clean");
        assert_eq!((state.head, state.durable_end), (*head, *tail));
        assert!(head <= tail || segments.is_empty(), "head {head}, tail {tail}");
        assert!(report.end.get() <= *tail || segments.is_empty());
        assert!(segments.windows(2).all(|pair| pair[0].base + pair[0].bytes <= pair[1].base));
        let newest = segments.last().map_or(0, |segment| segment.base + segment.bytes);
        assert!(start.next_base >= newest);
        let image = self.image();
        let slots = image.get("control").unwrap();
        let decoded = [0, 4096].map(|at| ControlState::decode(&slots[at..at + 4096]).unwrap().1);
        assert_eq!(decoded, [state.clone(), state.clone()], "both slots say the same");
        let gone = [FileKind::Temporary, FileKind::Dropped];
        assert!(image.names().all(|name| !gone.contains(&classify(name))));
        self
    }
}
