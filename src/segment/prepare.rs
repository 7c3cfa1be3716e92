//! [`prepare`]: a new segment file, from nothing to a durable name.
//!
//! Invariant: a file bears a segment's name only when it has its full size, all its blocks, and a
//! valid header, all durable.
//!
//! 1. Create it under a temporary name, with its blocks reserved: a full disk is an error here.
//! 2. Write zeros over the frames, in steps: syncs of written blocks need no journal commit later.
//! 3. Write the header. Sync the file.
//! 4. Rename it. Sync the directory.
//!
//! Power lost before the rename is durable leaves a temporary file, or none: opening removes it.
//! Power lost after it leaves a segment without a link: opening removes that as well.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::{
    LogId, SegmentHeader, TEMPORARY_SUFFIX, frames_end, frames_start, segment_name,
};
use crate::segment::control::no_space_or_io;
use crate::storage::{Storage, StorageFile, write_all_at};

/// A prepared segment that is not attached yet.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) base: u64,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn StorageFile>,
    /// Addresses below this are zero-filled, or need not be.
    pub(crate) filled: u64,
}

/// Zeros are written in pieces of this size. It is what the page cache keeps together (a folio): on
/// ext4 small writes cost 1.01 to 1.03 times as much in folios of 64 KiB as in single pages, writes of
/// 9 KiB less than a half, of 64 KiB a third, and replay is 1.2 times as fast; in folios of 1 MiB small
/// writes cost two to three times as much.
const PIECE: &[u8] = &[0; 64 << 10];

/// Zeros are written out every so many bytes at least, so that no later sync has to write all of
/// them. Under test the smallest segments are filled in several steps.
pub(crate) const FILL_SYNC_BYTES: u64 = if cfg!(test) { 8 << 10 } else { 1 << 20 };

/// The same where there is time: whoever syncs meanwhile waits for no more than that.
pub(crate) const GENTLE_SYNC_BYTES: u64 = if cfg!(test) { 4 << 10 } else { 128 << 10 };

/// How many bytes are filled between two looks at whether someone waits.
pub(crate) const FILL_STEP_BYTES: u64 = if cfg!(test) { 2 << 10 } else { 64 << 10 };

/// Prepares the segment at `base`. Fills it with zeros as long as `go_on` says so, and at least one
/// step. It is asked after so many bytes, and says after how many zeros are to be written out.
///
/// # Errors
///
/// `NoSpace` if the disk is full, with nothing left behind; `Io` for anything else.
pub(crate) fn prepare(
    storage: &dyn Storage,
    id: &LogId,
    base: u64,
    bytes: u64,
    go_on: impl FnMut(u64) -> Option<u64>,
) -> Result<Spare> {
    let name = segment_name(base);
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    let path = storage.path(&name);
    let file = storage
        .create(&temporary, bytes)
        .map_err(|error| no_space_or_io(Op::Create, &path, error))?;
    match write(&*file, &path, id, base, bytes, go_on) {
        Ok(filled) => {
            name_it(storage, &temporary, &name)?;
            Ok(Spare { base, bytes, file, filled })
        }
        Err(error) => {
            // The half-made file holds nothing; if it can't be removed now, opening removes it.
            let _ = storage.remove(&temporary);
            Err(error)
        }
    }
}

/// Gives a finished file its name, durably.
pub(crate) fn name_it(storage: &dyn Storage, temporary: &str, name: &str) -> Result<()> {
    storage
        .rename(temporary, name)
        .map_err(|error| Error::io(Op::Rename, storage.path(name), error))?;
    storage.sync_directory().map_err(|error| Error::io(Op::SyncDirectory, storage.path(""), error))
}

fn write(
    file: &dyn StorageFile,
    path: &Path,
    id: &LogId,
    base: u64,
    bytes: u64,
    mut go_on: impl FnMut(u64) -> Option<u64>,
) -> Result<u64> {
    let end = frames_end(base, bytes);
    let mut filled = frames_start(base);
    if !file.wants_zero_fill() {
        filled = end;
    }
    let mut sync_bytes = GENTLE_SYNC_BYTES;
    while filled < end {
        let to = next_step(base, filled).min(end);
        fill(file, filled - base, to - base)
            .map_err(|error| no_space_or_io(Op::Write, path, error))?;
        if (to - base).is_multiple_of(sync_bytes) {
            file.sync().map_err(|error| no_space_or_io(Op::Sync, path, error))?;
        }
        filled = to;
        let Some(bytes) = go_on(to - base) else { break };
        sync_bytes = bytes;
    }
    let block = SegmentHeader { id: *id, base, segment_bytes: bytes }.encode();
    write_all_at(file, &block, 0).map_err(|error| no_space_or_io(Op::Write, path, error))?;
    file.sync().map_err(|error| no_space_or_io(Op::Sync, path, error))?;
    Ok(filled)
}

/// Where the fill step that begins at `filled` ends: at a multiple of the step in the file, so that
/// steps meet the places where zeros are written out.
pub(crate) fn next_step(base: u64, filled: u64) -> u64 {
    base + (filled - base + 1).next_multiple_of(FILL_STEP_BYTES)
}

/// Writes zeros over the offsets `from..to` of a file.
pub(crate) fn fill(file: &dyn StorageFile, from: u64, to: u64) -> std::io::Result<()> {
    let mut at = from;
    while at < to {
        let step = (to - at).min(PIECE.len() as u64 - at % PIECE.len() as u64);
        let zeros = usize::try_from(step).ok().and_then(|step| PIECE.get(..step)).unwrap_or(PIECE);
        write_all_at(file, zeros, at)?;
        at += step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::sync::Mutex;

    /// A file that notes where zeros are written.
    #[derive(Debug, Default)]
    struct Noting(Mutex<Vec<(u64, usize)>>);

    impl StorageFile for Noting {
        fn size(&self) -> io::Result<u64> {
            Ok(0)
        }
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            if bytes.iter().all(|byte| *byte == 0) {
                self.0.lock().push((offset, bytes.len()));
            }
            Ok(bytes.len())
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
        fn wants_zero_fill(&self) -> bool {
            true
        }
    }

    /// Reading would not tell: a reserved block reads as zeros. A sync of it is what would pay.
    #[test]
    fn a_segment_is_filled_with_zeros_wherever_it_is_based() {
        const BYTES: u64 = 64 << 10;
        for base in [0, BYTES, 100 * BYTES] {
            let (file, id) = (Noting::default(), LogId::default());
            let filled = write(&file, Path::new(""), &id, base, BYTES, |_| Some(BYTES)).unwrap();
            assert_eq!(filled, base + BYTES - 4096);
            let mut at = 4096;
            for (offset, len) in file.0.lock().iter() {
                assert_eq!(*offset, at, "{base}");
                at += *len as u64;
            }
            assert_eq!(at, BYTES - 4096, "{base}");
        }
    }

    /// The size of the writes decides how the file is kept in memory.
    #[test]
    fn zeros_are_written_in_whole_pieces_that_begin_at_multiples_of_their_size() {
        const KIB: u64 = 1 << 10;
        let written = |from, to| {
            let file = Noting::default();
            fill(&file, from, to).unwrap();
            file.0.lock().clone()
        };
        assert_eq!(
            written(4 * KIB, 200 * KIB),
            [
                (4 * KIB, 60 << 10),
                (64 * KIB, 64 << 10),
                (128 * KIB, 64 << 10),
                (192 * KIB, 8 << 10)
            ]
        );
        assert_eq!(written(64 * KIB, 128 * KIB), [(64 * KIB, 64 << 10)]);
        assert_eq!(written(72, 80), [(72, 8)]);
        assert_eq!(written(72, 72), []);
    }
}
