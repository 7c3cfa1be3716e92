//! One file for each system, in its best setting that keeps its acknowledgement honest.

use crate::system::System;

mod okaywal;
mod open_wal;
mod raft_engine;
mod raw;
mod seglog;
#[cfg(feature = "stratalog")]
mod stratalog;
mod wal_db;

pub(crate) fn all() -> Vec<Box<dyn System>> {
    vec![
        Box::new(raw::Raw),
        #[cfg(feature = "stratalog")]
        Box::new(stratalog::Stratalog),
        Box::new(wal_db::WalDb),
        Box::new(okaywal::Okaywal),
        Box::new(raft_engine::RaftEngine),
        Box::new(open_wal::OpenWal),
        Box::new(seglog::Seglog),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::payload;
    use crate::system::{Operation, Plan};

    const PLAN: Plan =
        Plan { record_bytes: 100, records: 1000, threads: 2, timed: Operation::Replay };

    #[test]
    fn every_system_replays_what_was_appended() {
        for system in all() {
            if system.ack(Operation::Replay).is_none() {
                continue;
            }
            let directory = tempfile::tempdir().unwrap();
            let log = system.open(directory.path(), &PLAN).unwrap();
            log.append_durable(0, &payload(PLAN.record_bytes)).unwrap();
            log.fill(&payload(PLAN.record_bytes), 200).unwrap();
            log.close().unwrap();
            let log = system.open(directory.path(), &PLAN).unwrap();
            assert_eq!(log.replay(1).unwrap(), 201, "{}", system.name());
        }
    }

    #[test]
    fn two_threads_replay_each_record_once() {
        let plan = Plan { records: 601, ..PLAN };
        for system in all() {
            if system.ack(Operation::Replay).is_none()
                || system.refuses_threads(Operation::Replay).is_some()
            {
                continue;
            }
            let directory = tempfile::tempdir().unwrap();
            let log = system.open(directory.path(), &plan).unwrap();
            log.fill(&payload(plan.record_bytes), plan.records).unwrap();
            log.close().unwrap();
            let log = system.open(directory.path(), &plan).unwrap();
            assert_eq!(log.replay(2).unwrap(), plan.records, "{}", system.name());
        }
    }

    #[test]
    fn every_system_offers_what_it_is_compared_in() {
        let payload = payload(PLAN.record_bytes);
        for system in all() {
            let directory = tempfile::tempdir().unwrap();
            let plan = Plan { timed: Operation::Durable, ..PLAN };
            let log = system.open(directory.path(), &plan).unwrap();
            let compared = |operation: Operation| system.ack(operation) == operation.class();
            if compared(Operation::Append) {
                log.append(1, &payload).unwrap();
            }
            if compared(Operation::Batch) {
                log.append_batch(&[&payload, &payload]).unwrap();
            }
            if compared(Operation::Buffered) {
                log.append_buffered(&payload).unwrap();
                log.write_out().unwrap();
            }
            log.append_durable(0, &payload).unwrap();
            log.close().unwrap();
        }
    }
}
