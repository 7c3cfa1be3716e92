//! Cutting the end of the log off, while appenders and readers are at work.
//!
//! Invariant: one thread at a time makes the log shorter. Nobody is called back while it holds the
//! lock that says so.

use std::ops::Range;

use super::Log;
use crate::append::cut::Uncut;
use crate::error::Result;
use crate::lsn::Lsn;
use crate::protocol::Protocol;
use crate::read::{ReadOptions, Record};

impl Log {
    /// Keeps the record at `lsn` and drops all that follow it. Appends that are under way come before
    /// the cut, or wait until it is done and come after it.
    ///
    /// The addresses that were dropped are never given out again: the log goes on further up, and the
    /// [durable](Self::durable), [committed](Self::committed) and [tail](Self::tail) watermarks are
    /// there when this returns. They never go back. A snapshot that was taken before goes on showing
    /// what it has shown. Whoever waits for a dropped record to become durable, follows the log
    /// beyond `lsn`, or asks for a dropped address, now or after reopening, gets
    /// [`Cut`](crate::Error::Cut).
    ///
    /// The record may lie inside a batch, which then ends with it. If nothing follows it, nothing
    /// changes. [Holds](Self::hold) do not prevent a cut.
    ///
    /// A callback of [`on_durable`](Self::on_durable) must not call this.
    ///
    /// ```
    /// use stratalog::{Error, Options, storage::MemoryStorage};
    ///
    /// let log = Options::new().open_with(MemoryStorage::new())?;
    /// let [one, two] = [log.append(b"one")?, log.append(b"two")?];
    /// log.truncate_after(one)?;
    /// let three = log.append(b"three")?;
    /// assert!(three > two);
    ///
    /// let snapshot = log.snapshot();
    /// let payloads: Vec<_> = snapshot.iter().map(|it| it.map(|it| it.payload())).collect();
    /// assert!(matches!(payloads[..], [Ok(b"one"), Ok(b"three")]));
    /// assert!(matches!(snapshot.get(two), Err(Error::Cut { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Durability
    ///
    /// On return the cut and everything that was kept survive power loss. Power lost before leaves
    /// the log as it was, or as it is afterwards.
    ///
    /// # Errors
    ///
    /// [`NotARecord`](crate::Error::NotARecord), [`Truncated`](crate::Error::Truncated),
    /// [`NotYet`](crate::Error::NotYet) and [`Cut`](crate::Error::Cut) for an address of no record
    /// that is there, [`Corrupt`](crate::Error::Corrupt) where its segment is damaged before it, and
    /// [`Closed`](crate::Error::Closed): nothing was changed. [`Io`](crate::Error::Io) and
    /// [`Poisoned`](crate::Error::Poisoned): the log may be cut or not when it is opened again.
    pub fn truncate_after(&self, lsn: Lsn) -> Result<()> {
        self.cut(lsn, |record| record.next_lsn()).map(drop)
    }

    /// Drops the record at `lsn` and all that follow it; in everything else this is
    /// [`truncate_after`](Self::truncate_after). From the first record on, it empties the log.
    ///
    /// # Durability
    ///
    /// As [`truncate_after`](Self::truncate_after).
    ///
    /// # Errors
    ///
    /// As [`truncate_after`](Self::truncate_after).
    pub fn truncate_from(&self, lsn: Lsn) -> Result<()> {
        self.cut(lsn, |record| record.lsn()).map(drop)
    }

    /// Whether it is being cut, or can't be appended to any more.
    #[cfg(test)]
    pub(crate) fn is_standing_still(&self) -> bool {
        self.appender().protocol.refuses()
    }

    /// How often it was cut since it was opened.
    #[cfg(test)]
    pub(crate) fn cuts(&self) -> u64 {
        self.appender().protocol.cuts()
    }

    /// Cuts the log at an end of the record at `lsn`. Returns the range that is gone, if any.
    pub(crate) fn cut(
        &self,
        lsn: Lsn,
        end_of: impl FnOnce(Record<'_>) -> Lsn,
    ) -> Result<Option<Range<u64>>> {
        let appender = self.appender();
        let (protocol, disk) = (&appender.protocol, &appender.disk);
        appender.check_open()?;
        // What is buffered is a record too.
        appender.commit_until(protocol.tail())?;
        let result = {
            let _unwinding = Unwinding(protocol);
            let _alone = disk.truncation.lock();
            // The snapshot is gone again before it could pin what is cut off.
            let end = self.snapshot_with(ReadOptions::new()).get(lsn).map(end_of);
            end.map_err(Uncut::Refused).and_then(|end| disk.cut(protocol, end.get()))
        };
        let result = result.map_err(|uncut| match uncut {
            Uncut::Refused(error) => error,
            Uncut::Failed(error) => {
                disk.poison(protocol, &error);
                error
            }
        });
        protocol.tell_of_cut();
        disk.bell.ring();
        let done = result?;
        // Where nothing followed, what is kept may not be durable yet.
        appender.sync_kept(lsn.get() + 1)?;
        Ok(done.map(|done| {
            disk.tell_sealed(&done.sealed);
            done.range
        }))
    }
}

/// Poisons if a storage of the caller's panics: the log would stand still otherwise.
struct Unwinding<'a>(&'a Protocol);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison();
        }
    }
}
