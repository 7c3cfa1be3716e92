//! One record at a time, for whoever keeps a snapshot and a place in it.
//!
//! Invariant: the place was come to by reading, so that it is a frame boundary; it is not proven again.

use crate::error::Result;
use crate::lsn::Lsn;
use crate::read::iter::Iter;
use crate::read::record::Record;
use crate::read::snapshot::Snapshot;
use crate::read::walk::Walk;

/// How much is made readable for one record.
const STEP_BYTES: u64 = 64 << 10;

impl Snapshot {
    /// Finds the first record at or after `at`, and checks it as the options say.
    pub(crate) fn find_from(&self, at: Lsn) -> Result<Option<Lsn>> {
        let (pinned, at) = (&*self.pinned, at.get());
        let above = pinned.set.segments.partition_point(|segment| segment.start() <= at);
        let index = above.saturating_sub(1);
        let iter = match pinned.area(index) {
            Some(area) if area.first() < at && at < area.end => {
                Iter::starting(pinned, area, index, at)
            }
            Some(area) if area.end <= at => Iter::over(pinned, index + 1, usize::MAX),
            _ => Iter::over(pinned, index, usize::MAX),
        };
        let found = iter.with_window(STEP_BYTES).next().transpose()?;
        Ok(found.map(|record| record.lsn()))
    }

    /// The record that was [found](Self::find_from) at `lsn`.
    pub(crate) fn found(&self, lsn: Lsn) -> Result<Option<Record<'_>>> {
        let (pinned, at) = (&*self.pinned, lsn.get());
        let above = pinned.set.segments.partition_point(|segment| segment.start() <= at);
        let Some(area) = above.checked_sub(1).and_then(|index| pinned.area(index)) else {
            return Ok(None);
        };
        let frame = Walk::new(area, at, false).with_window(STEP_BYTES).next()?;
        Ok(frame.map(|frame| Record::of(&frame)))
    }
}
