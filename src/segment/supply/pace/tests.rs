//! How long the thread that fills a spare rests, how often it syncs, and what ends either. Time is counted
//! by a schedule.

use std::sync::Arc;

use super::*;
use crate::format::LogId;
use crate::options::Options;
use crate::segment::prepare::Spare;
use crate::segment::segment::Segment;
use crate::segment::supply::{Start, VecDeque};
use crate::storage::{MemoryStorage, Storage};
use crate::sync::schedule;

const BYTES: u64 = 16 << 10;
const ID: LogId = LogId::new([7; 16]);
const WORK: Duration = Duration::from_millis(1);

#[test]
fn who_is_well_ahead_rests_and_who_is_not_goes_on() {
    const MIB: u64 = 1 << 20;
    let ms = Duration::from_millis;
    let table = [
        // Nothing is used yet, or a little: three parts of four are rest.
        (ms(1), 0, 0, 0, ms(3)),
        (ms(1), MIB, 0, 0, ms(3)),
        (ms(1), 20 * MIB, 10 * MIB, 0, ms(3)),
        // The appenders come near.
        (ms(1), 20 * MIB, 10 * MIB + 1, 0, ms(0)),
        (ms(1), 0, 1, 0, ms(0)),
        // There is another spare.
        (ms(1), 64 * MIB, 31 * MIB, 0, ms(3)),
        (ms(1), 64 * MIB, 33 * MIB, 0, ms(0)),
        // One was missed before, so there are to be two.
        (ms(1), 63 * MIB, 0, 64 * MIB, ms(0)),
        (ms(1), 65 * MIB, 0, 64 * MIB, ms(3)),
        (ms(1), 65 * MIB, MIB, 64 * MIB, ms(0)),
        // The newest segment itself is not filled yet.
        (ms(1), 128 * MIB, 0, u64::MAX, ms(0)),
        // Slow disks, numbers without sense.
        (ms(100), MIB, 0, 0, ms(10)),
        (Duration::MAX, u64::MAX, 0, 0, ms(10)),
        (Duration::MAX, u64::MAX - 1, u64::MAX, u64::MAX, ms(0)),
    ];
    for (worked, ahead, used, reserve, expected) in table {
        let standing = Standing { ahead, used, reserve };
        assert_eq!(rest(worked, standing), expected, "{worked:?}, {standing:?}");
    }
}

/// A log whose newest segment is filled, and of which so many bytes are used.
fn begun(used: u64) -> (Arc<Supply>, Arc<Protocol>) {
    let newest = Segment::new((BYTES, BYTES), 2 * BYTES - 4096, ID, None);
    let start = Start {
        active: Some(newest),
        spares: VecDeque::new(),
        previous_base: 0,
        previous_end: BYTES,
        next_base: 2 * BYTES,
    };
    let mut options = Options::new();
    options.segment_bytes(BYTES);
    let supply = Supply::new(Arc::new(MemoryStorage::new()), ID, &options, start);
    (Arc::new(supply), Arc::new(Protocol::new(BYTES + used, 4096, ID)))
}

/// Has the thread that fills be asked after so many bytes, and after [`WORK`] each time: how long it
/// rested, in milliseconds, and what it is to do.
fn asked(supply: &Supply, protocol: &Protocol, done: &[u64]) -> Vec<(u64, Option<u64>)> {
    let mut go_on = supply.paced(protocol);
    let ask = |done: &u64| {
        schedule::nap(WORK);
        let start = Instant::now();
        let answer = go_on(*done);
        (u64::try_from(start.elapsed().as_millis()).unwrap(), answer)
    };
    done.iter().map(ask).collect()
}

const GENTLE: Option<u64> = Some(GENTLE_SYNC_BYTES);
const QUICK: Option<u64> = Some(FILL_SYNC_BYTES);

#[test]
fn who_fills_rests_after_each_sync_as_long_as_the_spare_is_ahead() {
    schedule::run(1, || {
        schedule::pace(1 << 40);
        let (supply, protocol) = begun(3 << 10);
        // Half of what is used, then all that is needed. Where nothing was synced is no rest, and what
        // was done before a rest is not rested for again.
        let done = [2 << 10, 4 << 10, 6 << 10, 8 << 10, 10 << 10, 12 << 10];
        let got = asked(&supply, &protocol, &done);
        assert_eq!(
            got,
            [(0, GENTLE), (0, QUICK), (0, QUICK), (6, GENTLE), (0, GENTLE), (6, GENTLE)]
        );
    });
}

#[test]
fn who_fills_is_in_no_hurry_where_there_are_spares_and_in_one_where_some_were_missed() {
    schedule::run(2, || {
        schedule::pace(1 << 40);
        let ask = |spares: u64, wanted: u64, is_filled: bool| {
            let (supply, protocol) = begun(BYTES / 2 + 8);
            let file = MemoryStorage::new().create("spare", BYTES).unwrap();
            for number in 0..spares {
                let (base, bytes, file) = ((2 + number) * BYTES, BYTES, Arc::clone(&file));
                let spare = Spare { base, bytes, file, filled: base + BYTES };
                supply.state.lock().spares.push_back(spare);
            }
            supply.wanted.store(wanted, Ordering::Relaxed);
            if !is_filled {
                supply.state.lock().filled -= 8;
            }
            asked(&supply, &protocol, &[4 << 10])[0]
        };
        assert_eq!(ask(0, 1, true), (0, QUICK));
        assert_eq!(ask(1, 1, true), (3, GENTLE));
        assert_eq!(ask(1, 2, true), (0, QUICK), "one was missed");
        assert_eq!(ask(2, 2, true), (3, GENTLE));
        assert_eq!(ask(2, 2, false), (0, QUICK), "appenders fill the newest");
    });
}

#[test]
fn who_needs_a_segment_or_a_sync_ends_the_filling() {
    type Need = fn(&Supply, &Protocol);
    let needs: [Need; 2] = [
        |supply, _| supply.hurry(),
        |supply, protocol| {
            assert!(protocol.call_when_durable(BYTES + 8, Box::new(|_| ())));
            supply.bell.ring();
        },
    ];
    for need in needs {
        schedule::run(3, move || {
            schedule::pace(1 << 40);
            let (supply, protocol) = begun(0);
            need(&supply, &protocol);
            assert_eq!(asked(&supply, &protocol, &[2 << 10, 4 << 10]), [(0, None), (0, None)]);
        });
    }
}
