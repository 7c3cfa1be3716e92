//! [`Acks`]: what was acknowledged, lane by lane.
//!
//! Invariant: the acknowledgements of a lane stand in its order.

use stratalog::Lsn;

use crate::input::Input;
use crate::lanes::{Ack, LANES, lane_of};

pub(crate) struct Acks {
    lanes: Vec<Vec<Ack>>,
    pub(crate) records: u64,
    /// Payload bytes of these.
    pub(crate) bytes: u64,
    /// The highest durable watermark that was seen.
    pub(crate) durable: Lsn,
}

impl Default for Acks {
    fn default() -> Self {
        let lanes = (0..LANES).map(|_| Vec::new()).collect();
        Self { lanes, records: 0, bytes: 0, durable: Lsn::new(0) }
    }
}

impl Acks {
    pub(crate) fn add(&mut self, ack: Ack, input: &Input) {
        self.records += ack.count;
        self.bytes += bytes_of(&ack, input);
        self.durable = self.durable.max(ack.durable);
        let lane = usize::try_from(lane_of(ack.number)).unwrap_or_default();
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.push(ack);
        }
    }

    pub(crate) fn lanes(&self) -> impl Iterator<Item = &[Ack]> {
        self.lanes.iter().map(Vec::as_slice)
    }
}

/// The payload bytes of what was acknowledged. A call appends from one stretch of the input.
pub(crate) fn bytes_of(ack: &Ack, input: &Input) -> u64 {
    (ack.number..ack.number + ack.count).map(|number| input.payload_bytes(number)).sum()
}
