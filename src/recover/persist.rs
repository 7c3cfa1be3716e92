//! [`persist`] and [`seal`]: make durable what is kept, and sum up the segments that have ended.
//!
//! Invariant: bytes are written only where they lie already, and only after they were found valid in
//! private memory. A sync alone would not do: after a failed write-back the system holds pages that
//! differ from the disk and counts them as written. Nor do writing and syncing: ext4 leaves blocks
//! whose first write failed marked as never written, writes the same page again without noticing, and
//! says that it is synced; after a restart the blocks read as zeros. So what was written again is let
//! go of and read back, and if it differs written once more, which then finds the mark.

use std::io;
use std::sync::Arc;

use crate::error::{Corruption, Error, Op, Result};
use crate::format::layout::BLOCK_LEN;
use crate::format::{BLOCK_BYTES, Salt, ScanEnd, Stopped, Trailer, scan};
use crate::lsn::Lsn;
use crate::recover::bytes::Bytes;
use crate::recover::facts::{Piece, Sealed, SegmentFile, path_of};
use crate::segment::seal::{trailer_of, write_trailer};
use crate::segment::segment::Segment;
use crate::storage::{Access, Storage, StorageFile, read_exact_at, write_all_at};

/// How much is read back at once.
const READ_BACK_BYTES: usize = 256 << 10;

/// Writes the frames of a piece from `proven` on again and syncs them. Returns how many bytes.
pub(super) fn persist(
    bytes: &mut Bytes<'_>,
    file: &SegmentFile,
    piece: &Piece,
    proven: u64,
) -> Result<u64> {
    let from = proven.max(piece.intact_from);
    if from >= piece.end || piece.sealed.is_some() {
        return Ok(0);
    }
    let storage = bytes.storage;
    // Read again, so that what is checked is what is written.
    let (frames, found) = check(bytes, file, piece, from)?;
    let (at, reason) = match found.stopped {
        Stopped::Complete => (found.end, None),
        Stopped::Invalid { at, defect } | Stopped::TornBatch { at, defect, .. } => {
            (at, Some(Corruption::from(defect)))
        }
        Stopped::BrokenBatch { at, .. } => (at, Some(Corruption::BrokenBatch)),
    };
    if let Some(reason) = reason {
        return Err(Error::Corrupt {
            path: path_of(storage, file),
            offset: at - file.base,
            lsn: Some(Lsn::new(at)),
            reason,
        });
    }
    let kept = usize::try_from(piece.end - from).unwrap_or(usize::MAX).min(frames.len());
    let kept = frames.get(frames.len() - kept..).unwrap_or_default();
    let target = open(storage, file)?;
    write_again(&*target, kept, from - file.base)
        .map_err(|(op, source)| Error::io(op, path_of(storage, file), source))?;
    Ok(kept.len() as u64)
}

/// Reads and scans the frames of a piece from `from` on. Where that is not where one begins, from where
/// they were found intact.
fn check(
    bytes: &Bytes<'_>,
    file: &SegmentFile,
    piece: &Piece,
    from: u64,
) -> Result<(Vec<u8>, ScanEnd)> {
    let salt = Salt::new(&file.id);
    let read = |from| {
        let frames = bytes.read_range(file, from..piece.end)?;
        let found = scan(&frames, from, from, Some(piece.end), salt);
        Ok((frames, found))
    };
    let (frames, found) = read(from)?;
    let whole = found.stopped == Stopped::Complete || from == piece.intact_from;
    if whole { Ok((frames, found)) } else { read(piece.intact_from) }
}

/// Writes the valid trailer of a segment that was cut again and syncs it: a process that ended in the
/// middle of the cut may have left it in the cache only, over an older one that names another end.
/// The mark of the cut is not to go before that.
pub(super) fn persist_trailer(
    storage: &dyn Storage,
    file: &SegmentFile,
    sealed: &Sealed,
) -> Result<()> {
    let at = file.bytes.saturating_sub(BLOCK_BYTES);
    let target = open(storage, file)?;
    let mut block = vec![0; BLOCK_LEN];
    let failed = |(op, source)| Error::io(op, path_of(storage, file), source);
    read_exact_at(&*target, &mut block, at).map_err(|error| failed((Op::Read, error)))?;
    match Trailer::decode(&block, &file.id, file.base) {
        Ok((_, checksum)) if checksum == sealed.checksum => {
            write_again(&*target, &block, at).map_err(failed)
        }
        other => Err(Error::Corrupt {
            path: path_of(storage, file),
            offset: at,
            lsn: None,
            reason: other.err().map_or(Corruption::Malformed, Corruption::from),
        }),
    }
}

/// Writes and syncs bytes until they read back from the device, at most twice.
fn write_again(
    target: &dyn StorageFile,
    bytes: &[u8],
    at: u64,
) -> std::result::Result<(), (Op, io::Error)> {
    for _ in 0..2 {
        write_all_at(target, bytes, at).map_err(|error| (Op::Write, error))?;
        target.sync().map_err(|error| (Op::Sync, error))?;
        target.drop_cached(at, bytes.len() as u64);
        if reads_back(target, bytes, at).map_err(|error| (Op::Read, error))? {
            return Ok(());
        }
    }
    let lost = "what was written and synced does not read back";
    Err((Op::Sync, io::Error::new(io::ErrorKind::InvalidData, lost)))
}

fn reads_back(target: &dyn StorageFile, bytes: &[u8], at: u64) -> io::Result<bool> {
    let mut there = vec![0; bytes.len().min(READ_BACK_BYTES)];
    let mut from = at;
    for expected in bytes.chunks(READ_BACK_BYTES) {
        let there = there.get_mut(..expected.len()).unwrap_or_default();
        read_exact_at(target, there, from)?;
        if there != expected {
            return Ok(false);
        }
        from += expected.len() as u64;
    }
    Ok(true)
}

/// Writes the trailer of a segment that has ended and returns its checksum, or 0 if its frames are
/// not all valid: damaged bytes are never summed up.
pub(super) fn seal(
    bytes: &mut Bytes<'_>,
    file: &SegmentFile,
    piece: &Piece,
    previous_checksum: u32,
) -> Result<u32> {
    let storage = bytes.storage;
    let end = piece.end;
    if piece.damaged {
        return Ok(0);
    }
    let Some(summary) = bytes.summary(file, end)? else { return Ok(0) };
    let trailer = trailer_of(&summary, end, previous_checksum);
    let segment = Segment::new((file.base, file.bytes), end, file.id, None);
    let target = open(storage, file)?;
    write_trailer(storage, &*target, &segment, &trailer)
}

/// Opens a segment to write to it.
pub(super) fn open(storage: &dyn Storage, file: &SegmentFile) -> Result<Arc<dyn StorageFile>> {
    storage
        .open(&file.name(), Access::ReadWrite)
        .map_err(|source| Error::io(Op::Open, path_of(storage, file), source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    /// A file whose first writes failed into blocks that had never been written.
    #[derive(Debug)]
    struct Marked {
        cache: Mutex<Vec<u8>>,
        disk: Mutex<Vec<u8>>,
        /// How often the cache has to be dropped until writes reach the disk.
        drops: Mutex<u32>,
    }

    impl Marked {
        fn new(drops: u32, bytes: usize) -> Self {
            let [cache, disk] = [(); 2].map(|()| Mutex::new(vec![0; bytes]));
            Self { cache, disk, drops: Mutex::new(drops) }
        }
    }

    impl StorageFile for Marked {
        fn size(&self) -> io::Result<u64> {
            Ok(self.disk.lock().len() as u64)
        }
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let offset = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&self.cache.lock()[offset..offset + buffer.len()]);
            Ok(buffer.len())
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            let offset = usize::try_from(offset).unwrap();
            self.cache.lock()[offset..offset + bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
        fn sync(&self) -> io::Result<()> {
            if *self.drops.lock() == 0 {
                self.disk.lock().clone_from(&self.cache.lock());
            }
            Ok(())
        }
        fn drop_cached(&self, _: u64, _: u64) {
            self.cache.lock().clone_from(&self.disk.lock());
            let mut drops = self.drops.lock();
            *drops = drops.saturating_sub(1);
        }
    }

    #[test]
    fn what_a_sync_only_claims_to_have_written_is_written_once_more() {
        for drops in [0, 1] {
            let file = Marked::new(drops, 64);
            write_again(&file, b"kept", 8).unwrap();
            assert_eq!(&file.disk.lock()[8..12], b"kept");
        }
    }

    #[test]
    fn what_is_too_long_for_one_read_is_read_back_piece_by_piece() {
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * READ_BACK_BYTES + 100).collect();
        let file = Marked::new(1, bytes.len() + 16);
        write_again(&file, &bytes, 8).unwrap();
        assert_eq!(file.disk.lock()[8..bytes.len() + 8], bytes[..]);
    }

    #[test]
    fn what_never_reads_back_is_an_error() {
        let (op, error) = write_again(&Marked::new(9, 64), b"kept", 8).unwrap_err();
        assert_eq!((op, error.kind()), (Op::Sync, io::ErrorKind::InvalidData));
    }
}
