//! What opening finds, as plain data: names, segment files, the chain they form, and [`Facts`], what
//! the decision rests on.
//!
//! Invariant: nothing here reads or writes.

use std::path::PathBuf;

use crate::error::{Corruption, Error};
use crate::format::{BLOCK_BYTES, Defect, Link, LogId, frames_end, frames_start, segment_name};
use crate::lsn::Lsn;
use crate::recover::report::{CutReport, Damage};
use crate::storage::Storage;

/// The names of a directory by what they are, each kind ascending.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) control: bool,
    pub(super) segments: Vec<u64>,
    /// Temporary and dropped files of ours: to be removed.
    pub(super) leftovers: Vec<String>,
    pub(super) foreign: Vec<String>,
}

/// What lies where the link belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkFact {
    /// Zeros: nothing was ever written there, or it never reached the disk.
    Blank,
    Valid(Link),
    Invalid(Defect),
}

/// A valid trailer: where it says that the frames end, and its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) end: u64,
    pub(super) checksum: u32,
}

/// What is wrong with a file as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) offset: u64,
    pub(super) reason: Corruption,
    /// Whether its frames can be looked for all the same.
    pub(super) usable: bool,
}

/// What the first and the last blocks of a file with a segment's name say.
#[derive(Clone, Debug)]
pub(super) struct SegmentFile {
    pub(super) base: u64,
    /// The length of the file.
    pub(super) file_bytes: u64,
    /// The size that its header names; that of the file where the header is damaged.
    pub(super) bytes: u64,
    pub(super) id: LogId,
    pub(super) link: LinkFact,
    pub(super) sealed: Option<Sealed>,
    pub(super) trouble: Option<Trouble>,
}

impl SegmentFile {
    pub(super) fn name(&self) -> String {
        segment_name(self.base)
    }

    pub(super) fn start(&self) -> u64 {
        frames_start(self.base)
    }

    pub(super) fn frames_end(&self) -> u64 {
        frames_end(self.base, self.bytes)
    }

    /// The base that the next segment made gets.
    pub(super) fn next_base(&self) -> u64 {
        self.base.saturating_add(self.bytes)
    }

    /// Whether its size is known: without a header it is only that of what is left of the file.
    pub(super) fn has_size(&self) -> bool {
        self.trouble.is_none() || self.bytes != self.file_bytes
    }

    /// How many bytes of its frames area are there. Where its size is not known, what looks like the
    /// place of the trailer may hold frames as well.
    pub(super) fn area_bytes(&self) -> u64 {
        let sized = self.bytes.saturating_sub(BLOCK_BYTES);
        let end = if self.has_size() { self.file_bytes.min(sized) } else { self.file_bytes };
        end.saturating_sub(BLOCK_BYTES)
    }

    pub(super) fn link(&self) -> Option<&Link> {
        match &self.link {
            LinkFact::Valid(link) => Some(link),
            LinkFact::Blank | LinkFact::Invalid(_) => None,
        }
    }

    /// Whether no frame was ever written to it, as far as its first bytes tell. One that holds the
    /// head was in use, whatever they say.
    pub(super) fn is_blank(&self, head: u64) -> bool {
        let holds_head = self.start() < head && head <= self.next_base();
        self.link == LinkFact::Blank && self.sealed.is_none() && !holds_head
    }
}

/// A segment whose frames are kept, up to `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its index among the files.
    pub(super) file: usize,
    pub(super) end: u64,
    /// Its trailer, if that names this end.
    pub(super) sealed: Option<Sealed>,
    /// From here to `end` all frames are valid, if it was scanned.
    pub(super) intact_from: u64,
    pub(super) scanned: bool,
    pub(super) damaged: bool,
}

/// Why the chain of valid frames stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum StopKind {
    /// At an invalid frame.
    Invalid,
    /// At a batch that has no valid end.
    TornBatch,
    /// At a batch that goes on into something valid that does not belong to it.
    BrokenBatch,
}

/// Where the chain of valid frames stops, and why.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// The file in which it stops.
    pub(super) file: usize,
    pub(super) at: u64,
    /// The invalid frame: `at`, or later in the batch that begins there.
    pub(super) invalid: u64,
    pub(super) kind: StopKind,
    pub(super) reason: Corruption,
    /// Whether something proves that more than this was durable.
    pub(super) evidence: bool,
    /// How many bytes there are from `at` to the last one that is not zero, in that segment.
    pub(super) left: u64,
}

impl CutReport {
    /// What is cut off where the chain stops.
    pub(super) fn of(storage: &dyn Storage, files: &[SegmentFile], chain: &Chain) -> Option<Self> {
        let stop = chain.stop.as_ref()?;
        let file = files.get(stop.file)?;
        Some(Self {
            lsn: Lsn::new(chain.end().unwrap_or(stop.at)),
            path: path_of(storage, file),
            bytes: stop.left,
            reason: stop.reason,
        })
    }
}

/// Something that should be there and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) base: u64,
    pub(super) lsn: u64,
}

impl Missing {
    pub(super) fn error(self, storage: &dyn Storage) -> Error {
        Error::MissingSegment {
            path: storage.path(&segment_name(self.base)),
            lsn: Lsn::new(self.lsn),
        }
    }
}

/// The segments in the order of their links, and what does not belong to them.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) pieces: Vec<Piece>,
    pub(super) stop: Option<Stop>,
    pub(super) missing: Option<Missing>,
    pub(super) damage: Vec<Damage>,
    /// Files wholly below the head.
    pub(super) below: Vec<usize>,
    /// Files whose link names another end than the chain has there.
    pub(super) leftovers: Vec<usize>,
    /// Files with something in them behind the place where the chain stops.
    pub(super) behind: Vec<usize>,
    /// Files that an unfinished cut or removal left, or that were never put to use, with nothing in
    /// them.
    pub(super) abandoned: Vec<usize>,
    /// The same with something in them.
    pub(super) discarded: Vec<usize>,
    /// Files without a frame.
    pub(super) blanks: Vec<usize>,
    /// Everything below this was durable once.
    pub(super) proven: u64,
    pub(super) scanned_bytes: u64,
}

impl Chain {
    pub(super) fn end(&self) -> Option<u64> {
        self.pieces.last().map(|piece| piece.end)
    }
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Presence {
    /// No log.
    Nothing,
    /// Segments, but no valid slot of a control file.
    NoControl,
    /// A log.
    Log,
}

/// The mark of a clean stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mark {
    /// There is none.
    Absent,
    /// There is one, and valid frames at or after the end that it names.
    Stale,
    /// There is one, and nothing speaks against it.
    Holds,
}

/// What the decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is one column of the table")]
pub(super) struct Facts {
    pub(super) presence: Presence,
    /// Whether a log may be made.
    pub(super) create: bool,
    /// There is a file of another log, or of a newer version.
    pub(super) stranger: bool,
    /// There is a file that is not ours.
    pub(super) foreign: bool,
    pub(super) mark: Mark,
    /// A file that the log needs is damaged as a whole, or the walk went on behind damage.
    pub(super) damage: bool,
    pub(super) missing: bool,
    pub(super) stop: Option<StopKind>,
    /// More than the place of the stop was durable.
    pub(super) evidence: bool,
    /// There are leftovers behind the stop.
    pub(super) torn: bool,
    /// There is a segment whose link does not match.
    pub(super) leftover: bool,
}

/// The path of a file, for messages.
pub(super) fn path_of(storage: &dyn Storage, file: &SegmentFile) -> PathBuf {
    storage.path(&file.name())
}
