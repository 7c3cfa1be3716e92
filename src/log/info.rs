//! [`SegmentInfo`]: what there is to know of one segment file.

use std::path::PathBuf;

use super::Log;
use crate::format::{LogId, Trailer, frames_start, segment_name};
use crate::lsn::Lsn;
use crate::options::{SealedFile, SealedSummary};

/// Where a segment stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentState {
    /// Prepared and empty.
    Spare,
    /// Appended to, or full and about to be sealed.
    Active,
    /// Full, immutable, summed up by its trailer, safe to copy.
    Sealed,
}

/// One segment file of a log.
///
/// A sealed one can be copied by whatever means while the log is in use. What matters of it are the
/// first 4096 bytes, the header; the frames, from `start` to `end`, which begin behind the header; and
/// the last 4096 bytes, the trailer. Bodies of paddings, and what lies between `end` and the trailer,
/// are never read: they may differ between copies. A copy is right if and only if
/// [`verify_segment`](crate::verify_segment) says so and its [`seal`](Self::seal) is that of the
/// original. A copy for [`restore`](crate::restore) has to be named as
/// [`archived_name`](crate::format::archived_name) says, from `base` and the seal's checksum.
///
/// A segment that the log drops while it is copied can vanish under the tool: archive it with
/// [`Log::archive`], which pins what it copies. One that is cut gets another `end` and another
/// trailer; so look at [`Log::segments`] again when the copy is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file.
    pub path: PathBuf,
    /// Where it stands in its life.
    pub state: SegmentState,
    /// The address of the file's first byte; byte `o` has the address `base + o`.
    pub base: u64,
    /// The file's size, in bytes.
    pub bytes: u64,
    /// Where its frames begin.
    pub start: Lsn,
    /// Where its frames end: in the active segment, and in a spare, where they end now.
    pub end: Lsn,
    /// The log that wrote it: another one than the log it is in, where that was restored.
    pub id: LogId,
    /// What its trailer says, where it is sealed and has a trailer that can be read.
    pub seal: Option<SegmentSeal>,
}

/// What the trailer of a sealed segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentSeal {
    /// How many records there are.
    pub records: u64,
    /// The first record's address.
    pub first: Option<Lsn>,
    /// The last record's address.
    pub last: Option<Lsn>,
    /// The CRC-32C of the frames, without the bodies of paddings: see
    /// [`summarize`](crate::format::summarize).
    pub frames_crc: u32,
    /// The trailer's own checksum, which covers all of the above, log id, base and end.
    pub checksum: u32,
    /// The checksum of the trailer of the segment before; 0 for the first, and where it is not known.
    pub previous_checksum: u32,
}

impl SegmentSeal {
    pub(super) fn new(trailer: &Trailer, checksum: u32) -> Self {
        let Trailer { records, first, last, frames_crc, previous_checksum, .. } = *trailer;
        let (first, last) = (first.map(Lsn::new), last.map(Lsn::new));
        Self { records, first, last, frames_crc, checksum, previous_checksum }
    }
}

impl From<SealedFile> for SegmentInfo {
    fn from(SealedFile { path, base, bytes, end, id, summary }: SealedFile) -> Self {
        let (start, end) = (Lsn::new(frames_start(base)), Lsn::new(end));
        let seal = summary.map(|summary| {
            let SealedSummary { records, first, last, frames_crc, previous_checksum, checksum } =
                summary;
            let (first, last) = (first.map(Lsn::new), last.map(Lsn::new));
            SegmentSeal { records, first, last, frames_crc, checksum, previous_checksum }
        });
        let id = LogId::new(id);
        Self { path, state: SegmentState::Sealed, base, bytes, start, end, id, seal }
    }
}

impl Log {
    /// All segment files, ascending by address, the spares last. Reads the trailer, once, of each
    /// sealed segment that was sealed before the log was opened.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let disk = &self.appender().disk;
        let own = self.appender().protocol.id();
        let committed = self.committed().get();
        let info = |state, base, bytes, end| SegmentInfo {
            path: disk.storage.path(&segment_name(base)),
            state,
            base,
            bytes,
            start: Lsn::new(frames_start(base)),
            end: Lsn::new(end),
            id: own,
            seal: None,
        };
        let spares = disk.supply.spares();
        let set = disk.segments.load();
        let attached = set.segments.iter().map(|segment| {
            let sealed = segment.is_sealed();
            let state = if sealed { SegmentState::Sealed } else { SegmentState::Active };
            let end = segment.end.min(committed.max(segment.start()));
            let summary = sealed.then(|| segment.summary(&*disk.storage)).flatten();
            let seal = summary.map(|(trailer, checksum)| SegmentSeal::new(&trailer, checksum));
            let id = segment.id;
            SegmentInfo { id, seal, ..info(state, segment.base, segment.bytes, end) }
        });
        // One that was attached in between is not listed twice.
        let spares = spares
            .into_iter()
            .filter(|(base, _)| set.at_base(*base).is_none())
            .map(|(base, bytes)| info(SegmentState::Spare, base, bytes, frames_start(base)));
        attached.chain(spares).collect()
    }
}
