//! The only file that names atomics, locks and thread parking; everything above imports them here.
//!
//! In an ordinary build these are the standard atomics and `parking_lot` locks. Under
//! `--cfg stratalog_loom` they are loom's, so that the protocol floor is explored through all its
//! interleavings. The cfg is our own because `--cfg loom` changes other crates of the same tree.
//! Under Miri the locks are the standard library's.

#[cfg(not(stratalog_loom))]
mod imp {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use std::thread::{Thread, current, park, yield_now};

    #[cfg(miri)]
    pub(crate) use super::plain::{Condvar, Mutex, RwLock};
    #[cfg(not(miri))]
    pub(crate) use parking_lot::{Condvar, Mutex, RwLock};

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

    /// True where spinning can help: another core may be running the thread that is waited for.
    pub(crate) fn has_other_cores() -> bool {
        static CORES: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        *CORES.get_or_init(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1))
    }
}

/// The standard library's locks behind the interface of `parking_lot`'s, for Miri: a contended lock
/// of `parking_lot` turns an integer into a pointer, which strict provenance does not allow.
#[cfg(miri)]
#[cfg(not(stratalog_loom))]
mod plain {
    use std::ops::{Deref, DerefMut};
    use std::sync::{self, PoisonError, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult};
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    /// Empty only inside of a wait, which takes the guard and gives it back.
    pub(crate) struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_ref().expect("a guard outside of a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("a guard outside of a wait")
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(sync::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Self {
            Self(sync::Condvar::new())
        }
        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let waited = guard.0.take().map(|inner| self.0.wait(inner));
            guard.0 = waited.map(|waited| waited.unwrap_or_else(PoisonError::into_inner));
        }
        pub(crate) fn wait_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            timeout: Duration,
        ) -> WaitTimeoutResult {
            let inner = guard.0.take().expect("a guard outside of a wait");
            let waited = self.0.wait_timeout(inner, timeout);
            let (inner, result) = waited.unwrap_or_else(PoisonError::into_inner);
            guard.0 = Some(inner);
            result
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(sync::RwLock::new(value))
        }
        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }
        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
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

    pub(crate) fn has_other_cores() -> bool {
        false
    }
}

pub(crate) use imp::*;

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
