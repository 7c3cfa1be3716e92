//! What the modules share: tiny logs, seeded random numbers, payloads that tell what they are, and
//! running something that must not hang.
//!
//! Invariant: the same seed gives the same numbers on every machine.

use std::env;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Error, Log, Lsn, Options, Snapshot};

/// The smallest segment there is.
pub(crate) const TINY: u64 = 16 << 10;
/// The most that one record or batch takes of a segment of [`TINY`] bytes, all its frames together.
pub(crate) const ROOM: u64 = stratalog::format::max_record_bytes(TINY) + 16;

/// Records with their addresses, in order.
pub(crate) type Records = Vec<(Lsn, Vec<u8>)>;

/// Options for segments and a ring as small as can be, without a thread of the log's own.
pub(crate) fn tiny() -> Options {
    let mut options = Options::new();
    options.segment_bytes(TINY).write_buffer_bytes(4096).background(false);
    options
}

/// Reads a whole snapshot: its records, and the error that they end with, if any.
pub(crate) fn read(snapshot: &Snapshot) -> (Records, Option<Error>) {
    let mut records = Vec::new();
    for record in snapshot {
        match record {
            Ok(record) => records.push((record.lsn(), record.payload().to_vec())),
            Err(error) => return (records, Some(error)),
        }
    }
    (records, None)
}

/// Reads all records that are committed; none may be damaged.
pub(crate) fn records(log: &Log) -> Records {
    let (records, error) = read(&log.snapshot());
    assert!(error.is_none(), "reading ended with {error:?}");
    records
}

/// Opens an image with [`tiny`] options.
pub(crate) fn open_image(image: &Image) -> stratalog::Result<Log> {
    tiny().open_with(MemoryStorage::from_image(image.clone()))
}

/// The number in an environment variable.
pub(crate) fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

/// The seed to begin with: given in `STRATALOG_SEED`, or new each time. Printed, so that a failure
/// shows it.
pub(crate) fn seed(test: &str) -> u64 {
    let new = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros());
    let seed = number("STRATALOG_SEED").unwrap_or_else(|| new() as u64);
    println!("{test}: STRATALOG_SEED={seed}");
    seed
}

/// Random numbers by splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Bytes of a length below `bound`.
    pub(crate) fn bytes(&mut self, bound: u64) -> Vec<u8> {
        let len = self.below(bound) as usize;
        filled(self.next(), len)
    }
}

/// `len` bytes that follow from `key`, and hardly from any other.
pub(crate) fn filled(key: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(key);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

const TAG_BYTES: usize = 24;

/// What a tagged payload says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Who appended it, and as which of its calls.
    pub(crate) writer: u32,
    pub(crate) call: u32,
    /// Which record of a batch it is, and of how many.
    pub(crate) part: u32,
    pub(crate) parts: u32,
}

impl Tag {
    pub(crate) fn single(writer: u32, call: u32) -> Self {
        Self { writer, call, part: 0, parts: 1 }
    }

    /// The tag, then `more` bytes that follow from it.
    pub(crate) fn payload(self, more: usize) -> Vec<u8> {
        let fields = [self.writer, self.call, self.part, self.parts, more as u32, 0];
        let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        bytes.extend(filled(self.key(), more));
        bytes
    }

    /// Reads the tag, and checks that the payload is the one that it says, to the last byte.
    pub(crate) fn of(payload: &[u8]) -> Self {
        let field = |index: usize| {
            let bytes = payload.get(index * 4..index * 4 + 4).expect("a payload with a tag");
            u32::from_le_bytes(bytes.try_into().unwrap())
        };
        let tag = Self { writer: field(0), call: field(1), part: field(2), parts: field(3) };
        assert!(payload[TAG_BYTES..] == filled(tag.key(), field(4) as usize), "{tag:?} is damaged");
        tag
    }

    fn key(self) -> u64 {
        u64::from(self.writer) << 40 | u64::from(self.call) << 8 | u64::from(self.part)
    }

    fn follows(self, before: Self) -> bool {
        Self { part: before.part + 1, ..before } == self
    }
}

/// Checks every payload, and that each batch is whole and in one stretch; returns the tags.
pub(crate) fn check_tags(records: &Records) -> Vec<Tag> {
    let tags: Vec<_> = records.iter().map(|(_, payload)| Tag::of(payload)).collect();
    let mut before: Option<(Tag, u64)> = None;
    for (tag, (lsn, payload)) in tags.iter().zip(records) {
        match before.filter(|(before, _)| before.part + 1 < before.parts) {
            Some((open, next)) => {
                assert!(tag.follows(open) && lsn.get() == next, "{open:?} is followed by {tag:?}");
            }
            None => assert_eq!(tag.part, 0, "{tag:?} at {lsn} has no batch before it"),
        }
        before = Some((*tag, lsn.get() + 16 + payload.len().next_multiple_of(8) as u64));
    }
    assert!(before.is_none_or(|(last, _)| last.part + 1 == last.parts), "a batch has no end");
    tags
}

/// Runs `work` in a thread of its own and returns what it returns; fails if that takes longer than
/// anything but a hang would.
pub(crate) fn without_hanging<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("a result is sent or the thread panics"),
        },
    }
}
