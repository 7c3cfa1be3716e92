//! [`ReaderFollower`]: reads on as the log grows, by looking again.
//!
//! Invariant: every record from where it began is handed out once, in order; or an error says why not.

use std::thread;
use std::time::Duration;

use super::LogReader;
use crate::error::{Error, Result};
use crate::lsn::Lsn;
use crate::read::{Record, Snapshot};
use crate::sync::Instant;

/// How long a follower that waits does nothing between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Hands out the records of a log that another process writes, one after the other.
///
/// It pins what its newest snapshot reads, and takes a new one when that is used up. After an error
/// it gives the same one again and again: begin anew with [`LogReader::follow`].
#[derive(Debug)]
pub struct ReaderFollower {
    reader: LogReader,
    snapshot: Snapshot,
    /// How often everything had been looked at when the snapshot was taken.
    looks: u64,
    position: Lsn,
    /// No record lies between the position and here.
    empty_to: Lsn,
    failed: Option<Error>,
}

impl ReaderFollower {
    pub(super) fn new(reader: LogReader, lsn: Lsn) -> Result<Self> {
        let looks = reader.current().looks;
        let snapshot = reader.snapshot();
        snapshot.iter_from(lsn)?;
        Ok(Self { reader, snapshot, looks, position: lsn, empty_to: lsn, failed: None })
    }

    /// Where it goes on: a place to resume from, also after the process was started again.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// The next record; `None` if there is none yet. Looks again if all that was seen is handed out.
    ///
    /// # Errors
    ///
    /// [`Truncated`](Error::Truncated) if the log was truncated beyond the position,
    /// [`Cut`](Error::Cut) if what it went on at was cut away, [`Corrupt`](Error::Corrupt) or
    /// [`MissingSegment`](Error::MissingSegment) where the log is damaged, unless that is skipped, and
    /// those of [`refresh`](LogReader::refresh).
    pub fn try_next(&mut self) -> Result<Option<Record<'_>>> {
        let found = self.find();
        self.take(found)
    }

    /// The next record; waits for it up to `timeout`, and gives `None` after that.
    ///
    /// It looks again once in a millisecond and sleeps in between; a look takes some microseconds.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Record<'_>>> {
        let started = Instant::now();
        let found = loop {
            let left = timeout.saturating_sub(started.elapsed());
            match self.find() {
                Ok(None) if !left.is_zero() => thread::sleep(left.min(POLL_INTERVAL)),
                found => break found,
            }
        };
        self.take(found)
    }

    fn take(&mut self, found: Result<Option<Lsn>>) -> Result<Option<Record<'_>>> {
        let found = match found {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => self.snapshot.found(found),
            Err(error) => Err(error),
        };
        match found {
            Ok(record) => {
                if let Some(record) = &record {
                    (self.position, self.empty_to) = (record.next_lsn(), record.next_lsn());
                }
                Ok(record)
            }
            Err(error) => {
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Where the next record lies.
    fn find(&mut self) -> Result<Option<Lsn>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Some(found) = self.snapshot.find_from(self.position)? {
            return Ok(Some(found));
        }
        self.empty_to = self.snapshot.end().max(self.empty_to);
        self.reader.refresh()?;
        self.look_again()?;
        self.snapshot.find_from(self.position)
    }

    /// Takes a new snapshot, and finds the position in it.
    fn look_again(&mut self) -> Result<()> {
        let current = self.reader.current();
        let snapshot = current.snapshot(&self.reader.shared.storage, self.reader.options());
        let head = snapshot.head();
        if self.position < head {
            if self.empty_to < head {
                return Err(Error::Truncated { lsn: self.position, head });
            }
            self.position = head;
        }
        // Only a new look at everything can have seen a cut.
        if current.looks != self.looks {
            snapshot.iter_from(self.position)?;
            self.looks = current.looks;
        }
        self.snapshot = snapshot;
        Ok(())
    }
}
