//! The work: four threads that append to one log, each the records of its own lane.
//!
//! Invariant: the records of a lane are appended in order and without a gap, so what a log holds of
//! a lane after a crash must be a prefix of it.
//!
//! The records of the repeated input, by their numbers, in stretches of [`STRETCH`], are dealt to
//! the lanes in turn. Three lanes are *loaders*: each stretch is a batch, and every eighth batch is
//! followed by a sync. The last lane is a *committer*: it appends one record at a time and waits
//! until that is durable. All share the syncs.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use stratalog::{Log, Lsn};

use crate::Outcome;
use crate::input::Input;

pub(crate) const LANES: u64 = 4;
pub(crate) const STRETCH: u64 = 64;
const BATCHES_PER_SYNC: u64 = 8;

/// The lane to which a record belongs.
pub(crate) const fn lane_of(number: u64) -> u64 {
    number / STRETCH % LANES
}

/// The record that follows this one in its lane.
pub(crate) const fn following(number: u64) -> u64 {
    let next = number + 1;
    if next.is_multiple_of(STRETCH) { next + (LANES - 1) * STRETCH } else { next }
}

/// Whether the lane appends its stretches as batches.
pub(crate) const fn is_loader(lane: u64) -> bool {
    lane + 1 < LANES
}

/// How often a lane waited for a sync in this many calls.
pub(crate) const fn waits(lane: u64, calls: u64) -> u64 {
    if is_loader(lane) { calls / BATCHES_PER_SYNC } else { calls }
}

/// What a lane says after a call returned: these records are in the log.
#[derive(Clone, Copy)]
pub(crate) struct Ack {
    /// The number of the first record of the call.
    pub(crate) number: u64,
    /// How many records the call appended.
    pub(crate) count: u64,
    /// The address of the first.
    pub(crate) lsn: Lsn,
    /// The end of what was durable after the call.
    pub(crate) durable: Lsn,
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.number, self.count, self.lsn.get(), self.durable.get())
    }
}

impl FromStr for Ack {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let mut next = || match numbers.next() {
            Some(Ok(number)) => Ok(number),
            _ => Err(format!("the writer said {line:?}")),
        };
        let (number, count) = (next()?, next()?);
        Ok(Self { number, count, lsn: Lsn::new(next()?), durable: Lsn::new(next()?) })
    }
}

/// Appends a lane from record `number` on, until `acknowledge` says that it is enough.
pub(crate) fn append(
    log: &Log,
    input: &Input,
    mut number: u64,
    mut acknowledge: impl FnMut(Ack) -> Outcome<ControlFlow<()>>,
) -> Outcome<()> {
    let is_loader = is_loader(lane_of(number));
    let (mut flat, mut ends) = (Vec::new(), Vec::new());
    for call in 1_u64.. {
        let first = number;
        let count = if is_loader { STRETCH - first % STRETCH } else { 1 };
        flat.clear();
        ends.clear();
        for _ in 0..count {
            flat.extend_from_slice(&number.to_le_bytes());
            flat.extend_from_slice(input.record(number));
            ends.push(flat.len());
            number = following(number);
        }
        let lsn = if is_loader {
            let range = log.append_batch(&payloads(&flat, &ends))?;
            if call.is_multiple_of(BATCHES_PER_SYNC) {
                log.sync()?;
            }
            range.start
        } else {
            log.append_durable(&flat)?
        };
        let ack = Ack { number: first, count, lsn, durable: log.durable() };
        if acknowledge(ack)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn payloads<'a>(mut flat: &'a [u8], ends: &[usize]) -> Vec<&'a [u8]> {
    let mut start = 0;
    let cut = |end: &usize| {
        let (payload, rest) = flat.split_at(*end - start);
        (flat, start) = (rest, *end);
        payload
    };
    ends.iter().map(cut).collect()
}
