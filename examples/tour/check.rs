//! The check: what a log holds against the input and against what was acknowledged.
//!
//! Invariant: it trusts nothing but the input and the acknowledgements.
//!
//! For each lane, the records in the log must be the lane's first ones, each once, in order, with
//! the very bytes of the input; whole batches where the lane appends batches; each acknowledged one
//! at the address that was acknowledged; and none that was acknowledged may be missing.

use std::iter::Peekable;
use std::slice;

use stratalog::{Record, Snapshot};

use crate::Outcome;
use crate::acks::Acks;
use crate::input::{Input, take_number};
use crate::lanes::{Ack, STRETCH, following, is_loader, lane_of};
use crate::screen::Screen;

/// What a log was found to hold.
pub(crate) struct Found {
    pub(crate) records: u64,
    /// For each lane, the first record that is not in the log.
    pub(crate) next: Vec<u64>,
}

struct Lane<'a> {
    next: u64,
    acks: Peekable<slice::Iter<'a, Ack>>,
}

/// Checks all records of a snapshot.
pub(crate) fn check(
    snapshot: &Snapshot,
    input: &Input,
    acks: &Acks,
    screen: &Screen,
) -> Outcome<Found> {
    let mut lanes: Vec<Lane> = (0_u64..)
        .zip(acks.lanes())
        .map(|(lane, acks)| Lane { next: lane * STRETCH, acks: acks.iter().peekable() })
        .collect();
    let (mut records, mut bytes) = (0, 0);
    for record in snapshot {
        let record = record?;
        check_record(&record, input, &mut lanes)?;
        records += 1;
        bytes += record.payload().len() as u64;
        screen.update("checking", records, bytes);
    }
    screen.clear();
    if snapshot.end() < acks.durable {
        let (end, durable) = (snapshot.end(), acks.durable);
        return Err(format!("the log ends at {end}, but {durable} was durable").into());
    }
    for (lane, state) in (0_u64..).zip(&mut lanes) {
        if let Some(ack) = state.acks.next() {
            let Ack { number, lsn, .. } = ack;
            return Err(format!("record {number}, acknowledged at {lsn}, is missing").into());
        }
        if is_loader(lane) && !state.next.is_multiple_of(STRETCH) {
            return Err(format!("the batch before record {} is broken", state.next).into());
        }
    }
    if records < acks.records {
        let acknowledged = acks.records;
        return Err(format!("{records} records of {acknowledged} acknowledged ones").into());
    }
    Ok(Found { records, next: lanes.iter().map(|lane| lane.next).collect() })
}

fn check_record(record: &Record<'_>, input: &Input, lanes: &mut [Lane<'_>]) -> Outcome<()> {
    let lsn = record.lsn();
    let mut text = record.payload();
    let number = take_number(&mut text).ok_or_else(|| format!("the record at {lsn} is cut"))?;
    let lane = lanes.get_mut(usize::try_from(lane_of(number))?).ok_or("no such lane")?;
    if number != lane.next {
        let expected = lane.next;
        return Err(format!("at {lsn} is record {number} instead of {expected}").into());
    }
    if text != input.record(number) {
        return Err(format!("record {number} at {lsn} differs from the input").into());
    }
    lane.next = following(number);
    // Inside a batch there is no address to compare; the order proves the place.
    if let Some(ack) = lane.acks.peek().copied() {
        if ack.number == number && ack.lsn != lsn {
            let acknowledged = ack.lsn;
            return Err(format!("record {number} is at {lsn}, not at {acknowledged}").into());
        }
        if ack.number + ack.count == number + 1 {
            lane.acks.next();
        }
    }
    Ok(())
}
