//! Tests of the protocol on a medium that is a list: what the leaders take out of the ring.
//!
//! Invariant: what is written is what was staged, once and in order.

use super::*;
use crate::format::{LINK_FRAME_BYTES, frames_start};
use crate::sync::{AtomicU64, Mutex, Ordering};

const START: u64 = frames_start(0) + LINK_FRAME_BYTES;

/// What was written: address and bytes of each run.
#[derive(Default)]
struct List {
    runs: Mutex<Vec<(u64, Vec<u8>)>>,
    /// How many records another thread publishes, one during each write.
    fed: AtomicU64,
}

impl Medium for List {
    type NoRoom = ();

    fn make_room(&self, _protocol: &Protocol, _tail: u64, _need: u64) -> Result<bool, ()> {
        Err(())
    }

    fn write(&self, protocol: &Protocol, run: &Run) -> Result<(), Failed> {
        let mut bytes = vec![0; usize::try_from(run.data_end - run.from).unwrap()];
        protocol.take(run.from, &mut bytes);
        self.runs.lock().push((run.from, bytes));
        if self.fed.load(Ordering::Relaxed) > 0 {
            self.fed.fetch_sub(1, Ordering::Relaxed);
            let end = stage(protocol, self, 64);
            protocol.published(self, end)?;
        }
        Ok(())
    }

    fn sync(&self, _from: u64, _to: u64) -> Result<(), Failed> {
        Ok(())
    }

    fn await_cut(&self) {}

    fn gather(&self, _waiting: &dyn Fn() -> usize) {}
}

/// A protocol with a ring of 4 KiB and one segment of 1 MiB.
fn protocol() -> Protocol {
    let protocol = Protocol::new(START, 4096, LogId::new([7; 16]));
    let end = 1 << 20;
    protocol.attach(Extent { base: 0, end, previous_base: u64::MAX, previous_end: u64::MAX });
    protocol.raise_attached_end(end);
    protocol
}

/// Stages a record whose frame has `bytes` bytes, and tells no leader of it.
fn stage(protocol: &Protocol, list: &List, bytes: usize) -> u64 {
    let payload = vec![1; bytes - 16];
    let part = Part::new(&payload, u32::try_from(payload.len()).unwrap());
    protocol.stage(list, part).unwrap().1
}

#[test]
fn a_leader_that_finds_the_whole_ring_published_takes_it_out_once() {
    // What several threads do that are all stopped between publishing and signalling. The ends of
    // the last frames differ: exactly the ring, and a word less.
    for last in [1024, 1016] {
        let (protocol, list) = (protocol(), List::default());
        for bytes in [1024, 1024, 1024] {
            stage(&protocol, &list, bytes);
        }
        let end = stage(&protocol, &list, last);
        protocol.commit_until(&list, end).unwrap();
        assert_eq!(protocol.committed(), end);
        assert_eq!(protocol.tail(), end);
        let next = stage(&protocol, &list, 64);
        protocol.commit_until(&list, next).unwrap();
        let written: Vec<_> = list.runs.lock().iter().map(|(at, run)| (*at, run.len())).collect();
        assert_eq!(written, [(START, 3072 + last), (end, 64)]);
    }
}

#[test]
fn a_leader_is_let_go_while_others_go_on_publishing() {
    let (protocol, list) = (protocol(), List::default());
    list.fed.store(1000, Ordering::Relaxed);
    let end = stage(&protocol, &list, 64);
    protocol.commit_until(&list, end).unwrap();
    assert_eq!(list.runs.lock().len(), 2, "its own round and one more");
    let tail = protocol.tail();
    list.fed.store(0, Ordering::Relaxed);
    assert_eq!(protocol.commit_until(&list, tail), Ok(tail));
}
