//! [`salvage()`]: what is left of a damaged log becomes a log without damage.
//!
//! Invariant: every record of the new log is one of the old, under its own address, whose checksum
//! was right; and every address of the old log that was proven to hold something, and is no record of
//! the new, is in the report. The source is only read.
//!
//! Each segment is made anew at its own base: its records, framed again under the new log's id, lie
//! where they lay; a damaged stretch is covered by one padding. So no address moves, and the new log
//! has no holes but those of addresses that are skipped.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::archive::Progress;
use super::image::SegmentImage;
use super::making::{Finish, Making};
use crate::error::{Corruption, Error, Op, Result};
use crate::format::{
    BLOCK_BYTES, DURABLE_UNKNOWN, FRAME_HEADER_BYTES, FrameHeader, Kind, LINK_FRAME_BYTES,
    LOCK_NAME, Link, LogId, Salt, SegmentHeader, frame_at, frames_end, frames_start, next_valid,
    payload_crc,
};
use crate::lsn::Lsn;
use crate::recover::{Damage, Salvageable, Stretch};
use crate::storage::{FileStorage, LockKind, Storage, StorageLock};

/// What [`salvage()`] saved, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The first address of the new log.
    pub head: Lsn,
    /// The end of its last segment's frames. It goes on at a higher address.
    pub end: Lsn,
    /// How many segments it has.
    pub segments: usize,
    /// How many records were saved.
    pub records: u64,
    /// What is damaged or missing in the old log, ascending: the addresses that can't be read, the
    /// file, and what is wrong there.
    pub missing: Vec<Damage>,
    /// Files of the old log of which nothing was taken, as nothing proves that they belong to it.
    pub ignored: Vec<PathBuf>,
    /// The id of the new log.
    pub id: LogId,
}

/// Writes what is provable of the log in `dir`, however damaged, into a new log in `new_dir`. The old
/// one is only read.
///
/// Every record keeps its address. What is missing is reported by address; of a batch that lost a part
/// the rest is saved. A torn tail is no damage: the log ends there. Where both slots of the control
/// file are lost, the segments' headers and links tell what belongs to the log; its head is then its
/// oldest segment, and what an unfinished cut took away may be back.
///
/// The new log has an id of its own; its application's state is the old one's. It is closed: open it.
///
/// # Durability
///
/// As [`restore()`](crate::restore).
///
/// # Errors
///
/// [`Locked`](Error::Locked) while the log is open for appending;
/// [`ArchiveConflict`](Error::ArchiveConflict) if `new_dir` holds anything;
/// [`NotALog`](Error::NotALog) if there is none in `dir`; [`Corrupt`](Error::Corrupt) if a file there
/// is another log's: move it away; [`UnsupportedFormat`](Error::UnsupportedFormat);
/// [`NoSpace`](Error::NoSpace); [`Io`](Error::Io), also where a file can't be read.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let [dir, saved] = ["wal", "saved"].map(|name| folder.path().join(name));
/// let log = stratalog::Log::open(&dir)?;
/// let kept = log.append(b"kept")?;
/// log.close()?;
/// std::fs::remove_file(dir.join("control"))?;
/// assert!(stratalog::Log::open(&dir).is_err());
///
/// let report = stratalog::salvage(&dir, &saved)?;
/// assert!(report.missing.is_empty());
/// let log = stratalog::Log::open(&saved)?;
/// assert_eq!(log.snapshot().get(kept)?.payload(), b"kept");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn salvage(dir: impl AsRef<Path>, new_dir: impl AsRef<Path>) -> Result<SalvageReport> {
    let (from, into) = (FileStorage::new(dir.as_ref()), FileStorage::new(new_dir.as_ref()));
    salvage_with(&from, &into, |_| {})
}

/// As [`salvage()`], between storages of your own, and tells how far it has come after each segment.
///
/// # Errors
///
/// As [`salvage()`].
pub fn salvage_with(
    from: &dyn Storage,
    into: &dyn Storage,
    mut progress: impl FnMut(&Progress),
) -> Result<SalvageReport> {
    let _lock = lock_source(from)?;
    let found = Salvageable::find(from)?;
    let mut making = Making::begin(into, None)?;
    let mut saving = Saving {
        id: making.id(),
        previous: None,
        previous_checksum: 0,
        head: None,
        records: 0,
        missing: found.damage().collect(),
    };
    let mut done = Progress { segments: found.segments(), ..Progress::default() };
    found.each(from, |stretch| {
        let image = saving.segment(stretch)?;
        making.add(&image)?;
        done.done += 1;
        done.bytes += stretch.end.saturating_sub(stretch.first);
        progress(&done);
        Ok(())
    })?;
    // What the log holds none of, it begins behind.
    let head = saving.head.unwrap_or(frames_start(found.next_base));
    let end = saving.previous.map_or(head, |previous| previous.previous_end);
    saving.missing.sort_by_key(|damage| (damage.lsn.start, damage.lsn.end));
    let report = SalvageReport {
        head: Lsn::new(head),
        end: Lsn::new(end),
        segments: done.done,
        records: saving.records,
        missing: saving.missing,
        ignored: found.ignored(from),
        id: saving.id,
    };
    let (next_base, app_state) = (found.next_base, found.app_state.clone());
    making.finish(Finish { head, next_base, app_state })?;
    Ok(report)
}

/// Keeps writers out, where that takes making or changing nothing.
fn lock_source(from: &dyn Storage) -> Result<Option<Box<dyn StorageLock>>> {
    let names =
        from.names().map_err(|source| Error::io(Op::OpenDirectory, from.path(""), source))?;
    if !names.iter().any(|name| name == LOCK_NAME) {
        return Ok(None);
    }
    let path = from.path(LOCK_NAME);
    match from.lock(LOCK_NAME, LockKind::Exclusive) {
        Ok(Some(lock)) => Ok(Some(lock)),
        Ok(None) => Err(Error::Locked { path }),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(Error::io(Op::Lock, path, source)),
    }
}

/// What goes on from segment to segment.
struct Saving {
    id: LogId,
    /// What the next link says.
    previous: Option<Link>,
    previous_checksum: u32,
    head: Option<u64>,
    records: u64,
    missing: Vec<Damage>,
}

/// A valid frame of the old log.
struct Kept<'a> {
    at: u64,
    header: FrameHeader,
    payload: &'a [u8],
}

impl Kept<'_> {
    fn end(&self) -> u64 {
        self.at + self.header.frame_bytes()
    }
}

impl Saving {
    fn segment(&mut self, stretch: &Stretch<'_>) -> Result<SegmentImage> {
        let header =
            SegmentHeader { id: self.id, base: stretch.base, segment_bytes: stretch.bytes };
        let start = frames_start(stretch.base);
        let first_record = start + LINK_FRAME_BYTES;
        let link = self.previous.unwrap_or(Link::FIRST);
        let mut frames = Frames::new(&header);
        frames.put(Kind::Link, &link.encode(), false);
        // A head so near to the link that no padding fits between is none of ours.
        let has_room = stretch.first >= first_record + FRAME_HEADER_BYTES;
        let from = if has_room { stretch.first } else { first_record };
        // The head stays a boundary between frames, whatever is left of what lay there.
        frames.pad_to(from.min(stretch.end));
        let kept = self.kept(stretch, from);
        for (index, frame) in kept.iter().enumerate() {
            frames.pad_to(frame.at);
            // A batch goes on only where it still does.
            let next = kept.get(index + 1).is_some_and(|next| next.at == frame.end());
            frames.put(Kind::Record, frame.payload, frame.header.continues && next);
        }
        frames.end_at(stretch.end);
        let made = (frames.bytes, frames.holes);
        let image = SegmentImage::made(header, link, made, self.previous_checksum, &stretch.path)?;
        self.previous_checksum = image.checksum;
        self.previous = Some(Link {
            previous_base: stretch.base,
            previous_end: image.trailer.end,
            previous_id: self.id,
        });
        self.records += image.trailer.records;
        let at_link = if stretch.first < first_record { start } else { first_record };
        let inside = if has_room { from } else { at_link };
        self.head.get_or_insert(inside.min(image.trailer.end));
        Ok(image)
    }

    /// The records that are valid, ascending; notes what is not.
    fn kept<'a>(&mut self, stretch: &Stretch<'a>, from: u64) -> Vec<Kept<'a>> {
        let (start, salt) = (frames_start(stretch.base), Salt::new(&stretch.id));
        let within = usize::try_from(stretch.end.saturating_sub(start)).unwrap_or(usize::MAX);
        let bytes = stretch.area.get(..within).unwrap_or(stretch.area);
        let whole = frames_end(stretch.base, stretch.bytes);
        let mut kept: Vec<Kept<'a>> = Vec::new();
        let mut at = from;
        // A rest without room for a frame, at the very end of a segment, is its end.
        while at < stretch.end && !(stretch.end == whole && whole - at < FRAME_HEADER_BYTES) {
            match frame_at(bytes, start, at, salt) {
                Ok(frame) => {
                    if frame.header.kind == Kind::Record {
                        kept.push(Kept { at, header: frame.header, payload: frame.payload });
                    }
                    at = frame.end();
                }
                Err(defect) => {
                    // What covers it takes 16 bytes at least.
                    let next = next_valid(bytes, start, at + FRAME_HEADER_BYTES, salt);
                    let next = next.unwrap_or(stretch.end).min(stretch.end);
                    self.note(stretch, at..next, defect.into());
                    at = next;
                }
            }
        }
        kept
    }

    fn note(&mut self, stretch: &Stretch<'_>, lsn: Range<u64>, reason: Corruption) {
        self.missing.push(Damage {
            path: stretch.path.clone(),
            offset: lsn.start - stretch.base,
            lsn: Lsn::new(lsn.start)..Lsn::new(lsn.end),
            reason,
        });
    }
}

/// A segment file that is being made in memory.
struct Frames {
    base: u64,
    segment_bytes: u64,
    salt: Salt,
    bytes: Vec<u8>,
    holes: Vec<Range<u64>>,
}

impl Frames {
    fn new(header: &SegmentHeader) -> Self {
        let SegmentHeader { id, base, segment_bytes } = *header;
        let (bytes, holes) = (header.encode(), Vec::new());
        Self { base, segment_bytes, salt: Salt::new(&id), bytes, holes }
    }

    fn at(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn put(&mut self, kind: Kind, payload: &[u8], continues: bool) {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header = FrameHeader::new(kind, len, continues, DURABLE_UNKNOWN);
        let header = header.sealed(payload_crc(payload), self.salt.at(self.at()));
        self.bytes.extend_from_slice(&header.encode());
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    /// Covers everything up to `to` by a padding, if there is room for one.
    fn pad_to(&mut self, to: u64) {
        let Some(body) = to.checked_sub(self.at() + FRAME_HEADER_BYTES) else { return };
        let Ok(len) = u32::try_from(body) else { return };
        let header = FrameHeader::new(Kind::Padding, len, false, DURABLE_UNKNOWN);
        let header = header.sealed(payload_crc(&[]), self.salt.at(self.at()));
        self.bytes.extend_from_slice(&header.encode());
        let hole = self.bytes.len() as u64..self.bytes.len() as u64 + body;
        self.bytes.resize(usize::try_from(hole.end).unwrap_or(self.bytes.len()), 0);
        self.holes.push(hole);
    }

    /// Ends the frames at `end`.
    fn end_at(&mut self, end: u64) {
        self.pad_to(end);
        // A rest without room for a frame, at the very end, belongs to the frames.
        let whole = self.segment_bytes - BLOCK_BYTES;
        if end == self.base + whole {
            self.bytes.resize(usize::try_from(whole).unwrap_or(self.bytes.len()), 0);
        }
    }
}
