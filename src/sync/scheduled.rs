//! Locks, parking, threads and atomics that a [`Schedule`](super::schedule) can take over.
//!
//! Invariant: for a thread that is no member of a schedule each is the real thing. A member never
//! blocks: it tries, and lets others go on until what it waits for has come about.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::thread;
use std::time::Duration;

use super::schedule::{self, Parked, Spawned, Wait};

/// What points cost: an atomic access, and a lock, unlock or turn of spinning.
const ACCESS: u64 = 1;
const LOCK: u64 = 8;

/// An atomic; looking at it is a point.
#[derive(Debug, Default)]
pub(crate) struct Atomic<A>(A);

impl<A> Deref for Atomic<A> {
    type Target = A;
    #[inline]
    fn deref(&self) -> &A {
        schedule::point(ACCESS);
        &self.0
    }
}

macro_rules! atomics {
    ($($name:ident: $value:ty),*) => {$(
        pub(crate) type $name = Atomic<std::sync::atomic::$name>;

        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }
        }
    )*};
}

atomics!(AtomicBool: bool, AtomicU32: u32, AtomicU64: u64, AtomicUsize: usize);

pub(crate) fn spin_loop() {
    if schedule::is_member() { schedule::point(LOCK) } else { std::hint::spin_loop() }
}

pub(crate) fn yield_now() {
    if schedule::is_member() { schedule::yield_now() } else { thread::yield_now() }
}

/// The guard of a lock. `G` is the real one; it is there but while the lock is waited for.
pub(crate) struct Guard<'a, G> {
    real: Option<G>,
    /// Of the lock, for a member.
    address: Option<usize>,
    lock: std::marker::PhantomData<&'a ()>,
}

impl<G> Guard<'_, G> {
    /// Locks with `block`, or as a member with `attempt`.
    fn lock<L>(lock: &L, block: impl FnOnce() -> G, attempt: impl Fn() -> Option<G>) -> Self {
        let member = schedule::is_member();
        let address = member.then_some(std::ptr::from_ref(lock).addr());
        let real = match address {
            None => block(),
            Some(address) => {
                schedule::point(LOCK);
                wait_for(address, attempt)
            }
        };
        Self { real: Some(real), address, lock: std::marker::PhantomData }
    }

    fn release(&mut self) {
        self.real = None;
        if let Some(address) = self.address {
            schedule::released(address);
        }
    }
}

fn wait_for<G>(address: usize, attempt: impl Fn() -> Option<G>) -> G {
    loop {
        if let Some(real) = attempt() {
            return real;
        }
        schedule::wait(Wait::Lock(address));
    }
}

impl<G> Drop for Guard<'_, G> {
    fn drop(&mut self) {
        self.release();
        if self.address.is_some() {
            schedule::point(LOCK);
        }
    }
}

impl<G: Deref> Deref for Guard<'_, G> {
    type Target = G::Target;
    fn deref(&self) -> &G::Target {
        self.real.as_ref().unwrap()
    }
}

impl<G: DerefMut> DerefMut for Guard<'_, G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        self.real.as_mut().unwrap()
    }
}

impl<G: fmt::Debug> fmt::Debug for Guard<'_, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.real.fmt(f)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

pub(crate) type MutexGuard<'a, T> = Guard<'a, parking_lot::MutexGuard<'a, T>>;

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        Guard::lock(self, || self.0.lock(), || self.0.try_lock())
    }
}

#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(parking_lot::RwLock<T>);

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(parking_lot::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> Guard<'_, parking_lot::RwLockReadGuard<'_, T>> {
        Guard::lock(self, || self.0.read(), || self.0.try_read())
    }

    pub(crate) fn write(&self) -> Guard<'_, parking_lot::RwLockWriteGuard<'_, T>> {
        Guard::lock(self, || self.0.write(), || self.0.try_write())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

/// How a wait with a timeout ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waited(bool);

impl Waited {
    pub(crate) fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) const fn new() -> Self {
        Self(parking_lot::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        match guard.address {
            None => self.0.wait(guard.real.as_mut().unwrap()),
            Some(_) => drop(self.wait_as_member(guard, None)),
        }
    }

    pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) -> Waited {
        match guard.address {
            None => Waited(self.0.wait_for(guard.real.as_mut().unwrap(), timeout).timed_out()),
            Some(_) => self.wait_as_member(guard, Some(timeout)),
        }
    }

    fn wait_as_member<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Option<Duration>,
    ) -> Waited {
        let mutex = parking_lot::MutexGuard::mutex(guard.real.as_ref().unwrap());
        guard.release();
        let timed_out = schedule::wait(Wait::Notice(self.address(), timeout));
        guard.real = guard.address.map(|address| wait_for(address, || mutex.try_lock()));
        Waited(timed_out)
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
        schedule::notified(self.address());
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// A thread that can be unparked.
#[derive(Clone, Debug)]
pub(crate) enum Thread {
    Real(thread::Thread),
    Member(Parked),
}

impl Thread {
    pub(crate) fn unpark(&self) {
        match self {
            Self::Real(thread) => thread.unpark(),
            Self::Member(parked) => parked.unpark(),
        }
    }
}

pub(crate) fn current() -> Thread {
    schedule::current().map_or_else(|| Thread::Real(thread::current()), Thread::Member)
}

pub(crate) fn park() {
    if schedule::is_member() {
        schedule::point(LOCK);
        schedule::wait(Wait::Token(None));
    } else {
        thread::park();
    }
}

pub(crate) fn park_timeout(timeout: Duration) {
    if schedule::is_member() {
        schedule::point(LOCK);
        schedule::wait(Wait::Token(Some(timeout)));
    } else {
        thread::park_timeout(timeout);
    }
}

#[derive(Debug)]
pub(crate) enum JoinHandle<T> {
    Real(thread::JoinHandle<T>),
    Member(Spawned<T>),
}

impl<T> JoinHandle<T> {
    /// The thread, to tell it from others.
    #[allow(dead_code, reason = "as the real one has it")]
    pub(crate) fn join(self) -> thread::Result<T> {
        match self {
            Self::Real(handle) => handle.join(),
            Self::Member(spawned) => spawned.join(),
        }
    }

    pub(crate) fn thread(&self) -> &thread::Thread {
        match self {
            Self::Real(handle) => handle.thread(),
            Self::Member(spawned) => spawned.thread(),
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Self::Real(handle) => handle.is_finished(),
            Self::Member(spawned) => spawned.is_finished(),
        }
    }
}

/// Spawns a thread; from a member, another one of its schedule.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    if schedule::is_member() {
        return schedule::spawn(name, work).map(JoinHandle::Member);
    }
    thread::Builder::new().name(name.into()).spawn(work).map(JoinHandle::Real)
}

/// A moment, of the schedule's time for a member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instant {
    Real(std::time::Instant),
    Counted(Duration),
}

impl Instant {
    pub(crate) fn now() -> Self {
        schedule::now().map_or_else(|| Self::Real(std::time::Instant::now()), Self::Counted)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Real(start) => start.elapsed(),
            Self::Counted(start) => schedule::now().unwrap_or(*start).saturating_sub(*start),
        }
    }
}

/// A number to tell this log from others, where it has to follow from a seed.
pub(crate) fn drawn_number() -> Option<u64> {
    schedule::number()
}
