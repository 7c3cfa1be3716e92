//! The only file that names atomics, locks and thread parking; everything above imports them here.
//!
//! In an ordinary build these are the standard atomics and `parking_lot` locks. Under
//! `--cfg stratalog_loom` they are loom's, so that the protocol floor is explored through all its
//! interleavings. The cfg is our own because `--cfg loom` changes other crates of the same tree.
//!
//! In this crate's own tests they can be taken over by a schedule that runs one thread at a time and
//! draws the next by a seed: `schedule` and `scheduled`. Under Miri the locks are the standard
//! library's: `plain`.

#[cfg(miri)]
#[cfg(not(stratalog_loom))]
mod plain;
#[cfg(test)]
#[cfg(not(any(stratalog_loom, miri)))]
pub(crate) mod schedule;
#[cfg(test)]
#[cfg(not(any(stratalog_loom, miri)))]
mod scheduled;

#[cfg(not(stratalog_loom))]
#[cfg(any(not(test), miri))]
mod real {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};
    pub(crate) use std::thread::{JoinHandle, Thread, current, park, park_timeout, yield_now};
    pub(crate) use std::time::Instant;

    #[cfg(miri)]
    pub(crate) use super::plain::{Condvar, Mutex, RwLock};
    #[cfg(not(miri))]
    pub(crate) use parking_lot::{Condvar, Mutex, RwLock};

    /// Spawns a thread that bears a name.
    pub(crate) fn spawn<T: Send + 'static>(
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        std::thread::Builder::new().name(name.into()).spawn(work)
    }
}

#[cfg(not(stratalog_loom))]
mod imp {
    pub(crate) use std::sync::atomic::Ordering;
    use std::time::Duration;

    #[cfg(any(not(test), miri))]
    pub(crate) use super::real::*;
    #[cfg(test)]
    #[cfg(not(miri))]
    pub(crate) use super::scheduled::*;

    /// Until when to wait.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Deadline(Option<(Instant, Duration)>);

    impl Deadline {
        pub(crate) const NEVER: Self = Self(None);

        /// So far from now.
        pub(crate) fn after(timeout: Duration) -> Self {
            Self(Some((Instant::now(), timeout)))
        }
    }

    /// Parks; false, at once, if the deadline has passed. May return early, as `park` does.
    pub(crate) fn park_until(deadline: &Deadline) -> bool {
        let Some((start, timeout)) = &deadline.0 else {
            park();
            return true;
        };
        match timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            Some(left) => {
                park_timeout(left);
                true
            }
            None => false,
        }
    }

    /// Marks memory that one side writes and the other reads without synchronising on it itself.
    /// Here it is nothing; under loom it reports every pair of accesses that nothing orders.
    #[derive(Debug, Default)]
    pub(crate) struct RaceDetector;

    impl RaceDetector {
        pub(crate) fn new() -> Self {
            Self
        }
        #[inline]
        #[expect(clippy::unused_self, reason = "vanishes outside loom")]
        pub(crate) fn on_write(&self) {}
        #[inline]
        #[expect(clippy::unused_self, reason = "vanishes outside loom")]
        pub(crate) fn on_read(&self) {}
    }

    /// How many turns a waiter spins before it parks: about one small positioned write.
    pub(crate) const SPIN_TURNS: u32 = 64;

    /// How many threads of this process can run at once.
    pub(crate) fn cores() -> u64 {
        static CORES: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
        *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get() as u64))
    }
}

#[cfg(stratalog_loom)]
mod imp {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    pub(crate) use loom::thread::yield_now;
    /// For the models.
    #[cfg(test)]
    pub(crate) use loom::{model::Builder, sync::Arc, thread};

    /// A thread that can be parked. loom's own loses a token when the thread blocks on a mutex
    /// between being unparked and parking, so the token is kept here.
    #[derive(Clone, Debug)]
    pub(crate) struct Thread(std::sync::Arc<(Mutex<bool>, loom::sync::Condvar)>);

    loom::thread_local! {
        static CURRENT: Thread =
            Thread(std::sync::Arc::new((Mutex::new(false), loom::sync::Condvar::new())));
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Clone::clone)
    }

    pub(crate) fn park() {
        let thread = current();
        let (token, changed) = &*thread.0;
        let mut token = token.lock();
        while !std::mem::take(&mut *token) {
            token = changed.wait(token).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// There is no time under loom, so there is no other deadline.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Deadline;

    impl Deadline {
        pub(crate) const NEVER: Self = Self;
    }

    pub(crate) fn park_until(_deadline: &Deadline) -> bool {
        park();
        true
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            let (token, changed) = &*self.0;
            *token.lock() = true;
            changed.notify_one();
        }
    }

    /// loom's mutex behind the interface of `parking_lot`'s, which has no poisoning.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }
        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    /// Reports, under loom, every pair of accesses that nothing orders.
    #[derive(Debug)]
    pub(crate) struct RaceDetector(loom::cell::UnsafeCell<()>);

    impl RaceDetector {
        pub(crate) fn new() -> Self {
            Self(loom::cell::UnsafeCell::new(()))
        }
        pub(crate) fn on_write(&self) {
            self.0.with_mut(|_| ());
        }
        pub(crate) fn on_read(&self) {
            self.0.with(|_| ());
        }
    }

    pub(crate) const SPIN_TURNS: u32 = 0;

    pub(crate) fn cores() -> u64 {
        1
    }
}

pub(crate) use imp::*;

/// True where spinning can help: another core may be running the thread that is waited for.
pub(crate) fn has_other_cores() -> bool {
    cores() > 1
}

/// A number by which threads guess what is quicker, and from which nothing follows that has to be
/// right. So it is relaxed, and the standard library's also under loom, which would go through all the
/// values that can be read.
#[derive(Debug, Default)]
pub(crate) struct Hint(std::sync::atomic::AtomicU64);

impl Hint {
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A value alone on its cache lines, so that its writers do not slow the readers of its neighbours.
/// 128 bytes: x86 fetches lines in pairs, and Apple's cores have lines of that size.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
#[cfg(not(any(stratalog_loom, miri)))]
mod tests;
