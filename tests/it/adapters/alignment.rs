//! Where payloads lie in memory, which reading in place rests on.
//!
//! Invariant: every payload begins at a multiple of 8.

use std::collections::BTreeSet;

use stratalog::{Log, Record};

use super::super::common::{Random, filled, seed};
use super::{everywhere, readings};

fn fill(log: &Log, random: &mut Random) {
    for _ in 0..150 {
        match random.below(4) {
            0 => drop(log.append(&random.bytes(20)).unwrap()),
            1 => drop(log.append_buffered(&random.bytes(3000)).unwrap()),
            // Larger than the write buffer: written past it.
            2 => drop(
                log.append(&filled(random.next(), 5000 + random.below(3000) as usize)).unwrap(),
            ),
            _ => {
                let batch: Vec<_> = (0..random.below(9)).map(|_| random.bytes(200)).collect();
                log.append_batch(&batch).unwrap();
            }
        }
    }
    log.commit().unwrap();
}

fn remainder(record: Record<'_>, of: usize) -> usize {
    record.payload().as_ptr().addr() % of
}

#[test]
fn every_payload_is_aligned_in_every_storage_and_way_of_reading() {
    let seed = seed("alignment");
    everywhere(|log| {
        fill(log, &mut Random::new(seed));
        for snapshot in readings(log) {
            let (mut count, mut seen) = (0, BTreeSet::new());
            for record in &snapshot {
                let record = record.unwrap();
                assert_eq!(remainder(record, 8), 0, "{:?}", record.lsn());
                let again = snapshot.get(record.lsn()).unwrap();
                assert_eq!(remainder(again, 8), 0, "{:?}", record.lsn());
                seen.insert(remainder(record, 16));
                count += 1;
            }
            assert!(count >= 100, "{count} records");
            // No more than 8 is promised, since no more is there.
            assert_eq!(seen, BTreeSet::from([0, 8]));
        }
    });
}
