//! [`Plan`]: what a run does, checked before anything is made.
//!
//! Invariant: a plan that was made can be run, as far as its numbers go.

use std::time::Duration;

/// What each append waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `append`: in the operating system's hands.
    Committed,
    /// `append_durable`: on the disk.
    Durable,
    /// `append_batch`, and then a sync if that is asked for.
    Batch { records: usize, durable: bool },
    /// `append_buffered`: in this process's memory.
    Buffered,
}

impl Mode {
    /// As it is called in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Durable => "durable",
            Self::Batch { durable: false, .. } => "batch",
            Self::Batch { durable: true, .. } => "durable batch",
            Self::Buffered => "buffered",
        }
    }

    /// How many records one append appends.
    pub(super) fn records(self) -> usize {
        if let Self::Batch { records, .. } = self { records } else { 1 }
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) threads: usize,
    pub(super) payload_bytes: usize,
    pub(super) time: Duration,
    pub(super) segment_bytes: u64,
    /// How large the log becomes before its oldest segments are dropped.
    pub(super) keep_bytes: u64,
}

/// The bytes of a frame before its payload.
const FRAME_HEADER_BYTES: u64 = 16;
/// A segment's header, trailer and link; some more, so that something fits besides.
const SEGMENT_REST_BYTES: u64 = 2 * 4096 + 64;
const MOST_THREADS: usize = 256;
const FEWEST_SEGMENTS: u64 = 4;

impl Plan {
    /// What one append takes in the log.
    pub(super) fn framed_bytes(&self) -> u64 {
        let frame = FRAME_HEADER_BYTES + (self.payload_bytes as u64).next_multiple_of(8);
        frame.saturating_mul(self.mode.records() as u64)
    }

    /// Says what about the plan can't be run.
    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..=MOST_THREADS).contains(&self.threads) {
            return Err(format!("--threads {}: expected 1 to {MOST_THREADS}", self.threads));
        }
        if self.mode.records() == 0 {
            return Err("--batch 0: expected at least one record".to_owned());
        }
        let room = self.segment_bytes.saturating_sub(SEGMENT_REST_BYTES);
        if self.framed_bytes() > room {
            return Err(format!(
                "one append takes {} bytes, and a segment has room for {room}: \
                 choose a larger --segment-bytes",
                self.framed_bytes()
            ));
        }
        if self.keep_bytes / FEWEST_SEGMENTS < self.segment_bytes {
            return Err(format!(
                "--keep {}: expected at least {FEWEST_SEGMENTS} segments, which are {} bytes",
                self.keep_bytes,
                self.segment_bytes.saturating_mul(FEWEST_SEGMENTS)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        mode: Mode::Committed,
        threads: 1,
        payload_bytes: 100,
        time: Duration::from_secs(1),
        segment_bytes: 16 << 10,
        keep_bytes: 64 << 10,
    };

    #[test]
    fn what_an_append_takes_in_the_log_is_known() {
        assert_eq!(PLAN.framed_bytes(), 16 + 104);
        let mode = Mode::Batch { records: 10, durable: false };
        assert_eq!(Plan { mode, ..PLAN }.framed_bytes(), 1200);
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        assert_eq!(PLAN.check(), Ok(()));
        let none = Mode::Batch { records: 0, durable: true };
        let many = Mode::Batch { records: 100, durable: true };
        for (plan, expected) in [
            (Plan { threads: 0, ..PLAN }, "--threads 0"),
            (Plan { threads: 257, ..PLAN }, "--threads 257"),
            (Plan { mode: none, ..PLAN }, "--batch 0"),
            (Plan { mode: many, ..PLAN }, "one append takes 12000 bytes"),
            (Plan { payload_bytes: usize::MAX / 2, ..PLAN }, "one append takes"),
            (Plan { keep_bytes: 63 << 10, ..PLAN }, "--keep 64512"),
        ] {
            let refused = plan.check().expect_err("it can't be run");
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
