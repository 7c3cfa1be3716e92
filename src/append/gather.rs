//! [`Gather`]: how long a sync leader waits for company.
//!
//! Invariant: a lone appender never waits. After a sync that served several, the next leader waits
//! until as many have arrived again, at most a quarter of the last sync's time: while they were
//! woken and came back the disk would have been busy with a sync for one.

use std::time::Duration;

use crate::sync::{AtomicU64, Instant, Ordering, yield_now};

#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// A fixed wait instead, if the options name one.
    delay: Option<Duration>,
    /// How many the last sync served beside its leader. Written and read by leaders only.
    last_group: AtomicU64,
    /// How long the last sync took, in nanoseconds.
    last_nanos: AtomicU64,
    syncs: AtomicU64,
}

impl Gather {
    pub(crate) fn new(delay: Option<Duration>) -> Self {
        Self { delay, ..Self::default() }
    }

    /// Waits for others, and notes how many there are now.
    pub(crate) fn wait(&self, waiting: &dyn Fn() -> usize) {
        let wanted = self.last_group.load(Ordering::Relaxed);
        let limit = match self.delay {
            Some(delay) => delay,
            None if wanted == 0 => Duration::ZERO,
            None => Duration::from_nanos(self.last_nanos.load(Ordering::Relaxed) / 4),
        };
        let mut here = waiting() as u64;
        if !limit.is_zero() && (self.delay.is_some() || here < wanted) {
            let start = Instant::now();
            while start.elapsed() < limit && (self.delay.is_some() || here < wanted) {
                yield_now();
                here = waiting() as u64;
            }
        }
        self.last_group.store(here, Ordering::Relaxed);
    }

    /// Notes how long a sync took.
    pub(crate) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.last_nanos.store(nanos, Ordering::Relaxed);
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// How many syncs there were.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}
