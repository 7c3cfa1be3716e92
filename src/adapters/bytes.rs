//! Payloads as [`Bytes`], which outlive the snapshot that they were read from (feature `bytes`).
//!
//! Invariant: nothing is copied, and the memory stays as it is while the handle or a part of it lives.

use ::bytes::Bytes;

use crate::error::{Error, Result};
use crate::read::{Pin, Record, Snapshot};

/// What a handle owns.
struct Owner(Pin);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.payload()
    }
}

impl Snapshot {
    /// Gives the payload of a record of this snapshot as a handle that owns it. Nothing is copied; the
    /// handle is cheap to clone, to cut up, and to send to other threads. Needs the feature `bytes`.
    ///
    /// The handle, each clone and each part of it keep the record's *whole segment* as a snapshot does,
    /// and no other: its file and its map, or its copy in memory where the snapshot reads
    /// [by copy](crate::ReadOptions::copy). They stay readable when snapshot and log are gone and the
    /// segment was truncated away; its space on disk is freed when the last of them is dropped.
    /// Copy a small payload that is to be kept for long.
    ///
    /// ```
    /// let log = stratalog::Options::new().open_with(stratalog::storage::MemoryStorage::new())?;
    /// let lsn = log.append(b"kept for later")?;
    ///
    /// let snapshot = log.snapshot();
    /// let bytes: bytes::Bytes = snapshot.bytes(&snapshot.get(lsn)?)?;
    /// drop(snapshot);
    /// log.close()?;
    /// assert_eq!(bytes.slice(..4), "kept");
    /// # Ok::<(), stratalog::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotARecord`](Error::NotARecord) if the record was read from something else than this snapshot
    /// or a clone of it.
    pub fn bytes(&self, record: &Record<'_>) -> Result<Bytes> {
        let pin = self.pin(record).ok_or(Error::NotARecord { lsn: record.lsn() })?;
        Ok(Bytes::from_owner(Owner(pin)))
    }
}
