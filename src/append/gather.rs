//! [`Gather`]: how long a sync leader waits for company.
//!
//! Invariant: a lone appender never waits, and nobody waits longer than the last sync took, nor than
//! [`WAIT_MAX`].
//!
//! Whoever a sync has served comes back in a moment, if it has more to append. Who came while it ran
//! waits already. If the next leader began at once it would serve the latter only, and the two groups
//! would go on taking turns, each of half the size. So it waits until as many are there as were
//! served and had come in the meantime: while they are woken and come back the disk would be busy
//! with a sync for few.
//!
//! That is worth it where they do come back. A wait is *in vain* if it has brought fewer, in proportion
//! to who was there, than it took of the sync's time. After a wait in vain some syncs begin at once,
//! twice as many after each further one, up to [`PATIENCE`].

use std::time::Duration;

use crate::sync::{AtomicU64, Deadline, Instant, Ordering, park_until, yield_now};

/// After so many syncs without a wait another one is tried, at the latest.
const PATIENCE: u64 = 64;

/// A disk that was stuck for a second is no reason to wait for one.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// The end of a fixed wait is passed awake: to be woken takes as long.
const AWAKE: Duration = Duration::from_micros(200);

/// Written and read by leaders only, who come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// A fixed wait instead, if the options name one.
    delay: Option<Duration>,
    /// The longest wait for those that are expected.
    wait_max: Duration,
    /// How many of those that the last sync served, or that came while it ran, may come together.
    expected: AtomicU64,
    /// How many syncs are to begin at once.
    pause: AtomicU64,
    /// How many there were to be the last time.
    last_pause: AtomicU64,
    /// How long the last sync took, in nanoseconds.
    last_nanos: AtomicU64,
    syncs: AtomicU64,
}

impl Gather {
    pub(crate) fn new(delay: Option<Duration>) -> Self {
        Self { delay, wait_max: WAIT_MAX, ..Self::default() }
    }

    /// Waits for others.
    pub(crate) fn wait(&self, waiting: &dyn Fn() -> u64) {
        match self.delay {
            Some(delay) => {
                let asleep = Deadline::after(delay.saturating_sub(AWAKE));
                let start = Instant::now();
                while park_until(&asleep) {}
                wait_until(waiting, u64::MAX, delay.saturating_sub(start.elapsed()));
            }
            None => self.wait_for_expected(waiting),
        }
    }

    fn wait_for_expected(&self, waiting: &dyn Fn() -> u64) {
        let (first, expected) = (waiting(), self.expected.load(Ordering::Relaxed));
        if first >= expected {
            return;
        }
        let pause = self.pause.load(Ordering::Relaxed);
        if pause > 0 {
            self.pause.store(pause - 1, Ordering::Relaxed);
            return;
        }
        let sync = Duration::from_nanos(self.last_nanos.load(Ordering::Relaxed));
        let start = Instant::now();
        let here = wait_until(waiting, expected, sync.min(self.wait_max));
        self.learn(is_worth_it(first, here, start.elapsed(), sync));
    }

    fn learn(&self, worth_it: bool) {
        let last = self.last_pause.load(Ordering::Relaxed);
        let pause = if worth_it { 0 } else { (last * 2).clamp(1, PATIENCE) };
        self.last_pause.store(pause, Ordering::Relaxed);
        self.pause.store(pause, Ordering::Relaxed);
    }

    /// Notes how long a sync took.
    pub(crate) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.last_nanos.store(nanos, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how many wait when a sync is over: those that it serves, and those that came while it ran.
    /// One of them leads next, so that of all with the leader so many may be waiting for it.
    pub(crate) fn synced(&self, waiting: u64) {
        self.expected.store(waiting, Ordering::Relaxed);
    }

    /// How many syncs there were.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

/// Waits until `count` wait, or the time is over, and returns how many do.
fn wait_until(waiting: &dyn Fn() -> u64, count: u64, limit: Duration) -> u64 {
    let start = Instant::now();
    loop {
        let here = waiting();
        if here >= count || start.elapsed() >= limit {
            return here;
        }
        yield_now();
    }
}

/// Whether those who came during a wait, in proportion to all who are there now with the leader, are
/// more than the wait was of the time of a sync.
fn is_worth_it(first: u64, here: u64, waited: Duration, sync: Duration) -> bool {
    let came = u128::from(here.saturating_sub(first));
    came * sync.as_nanos() >= waited.as_nanos() * u128::from(first + 1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SYNC: Duration = Duration::from_micros(100);

    /// Waits, where `counts` tells how many wait at each look, the last of them for ever; returns how
    /// often was looked.
    fn looks(gather: &Gather, counts: &[u64]) -> usize {
        let looks = Cell::new(0);
        gather.wait(&|| {
            looks.set(looks.get() + 1);
            *counts.get(looks.get() - 1).or(counts.last()).unwrap()
        });
        looks.get()
    }

    fn synced(waiting: u64) -> Gather {
        let mut gather = Gather::new(None);
        gather.took(Duration::from_secs(3600));
        gather.synced(waiting);
        // However long the machine lets nobody run.
        gather.wait_max = Duration::from_secs(60);
        gather
    }

    #[test]
    fn a_lone_appender_waits_for_nobody() {
        assert_eq!(looks(&Gather::new(None), &[0]), 1);
        assert_eq!(looks(&synced(0), &[0]), 1);
    }

    #[test]
    fn a_leader_waits_until_all_are_back_who_were_there_at_the_end_of_the_last_sync() {
        assert_eq!(looks(&synced(3), &[0, 1, 1, 2, 2, 3]), 1 + 5);
        assert_eq!(looks(&synced(3), &[4]), 1);
    }

    /// In the time of a schedule, in which a look takes far less than a microsecond.
    #[cfg(not(miri))]
    #[test]
    fn a_fixed_wait_is_slept_through() {
        use crate::sync::schedule;
        for delay in [Duration::ZERO, AWAKE, Duration::from_secs(1)] {
            schedule::run(1, move || {
                let (gather, start) = (Gather::new(Some(delay)), Instant::now());
                let looks = looks(&gather, &[0]);
                let took = start.elapsed();
                assert!(took >= delay && took < delay + AWAKE, "{took:?}");
                println!("{looks} looks in {took:?}");
                assert!(looks < 10_000, "{looks} looks");
            });
        }
    }

    #[test]
    fn a_wait_ends_after_the_time_of_a_sync() {
        let gather = synced(3);
        gather.took(Duration::from_nanos(1));
        assert!(looks(&gather, &[0]) <= 3);
    }

    #[test]
    fn a_sync_that_took_an_hour_is_not_waited_for_as_long() {
        let gather = Gather { wait_max: WAIT_MAX, ..synced(3) };
        assert!(looks(&gather, &[0]) > 1);
    }

    #[test]
    fn after_waits_in_vain_more_and_more_syncs_begin_at_once() {
        let gather = synced(1);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            gather.learn(false);
            pauses.push(gather.pause.load(Ordering::Relaxed));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        for left in (0..64).rev() {
            assert_eq!(looks(&gather, &[0]), 1);
            assert_eq!(gather.pause.load(Ordering::Relaxed), left);
        }
        // Now it waits again, and one that was worth it ends the pauses.
        assert!(looks(&gather, &[0, 0, 1]) > 1);
        assert_eq!(gather.last_pause.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_wait_is_worth_what_it_brings_in_proportion() {
        // Was there, is there, time, whether it was worth it.
        for (first, here, micros, worth_it) in [
            (0, 1, 100, true),
            (0, 0, 1, false),
            (0, 7, 100, true),
            (3, 4, 25, true),
            (3, 4, 26, false),
            (3, 7, 100, true),
            (7, 3, 1, false),
        ] {
            let waited = Duration::from_micros(micros);
            assert_eq!(is_worth_it(first, here, waited, SYNC), worth_it, "{first} {here} {micros}");
        }
    }
}
