//! [`Schedule`]: threads of the operating system of which one runs at a time, the next one drawn by
//! a seed.
//!
//! Invariant: what its members do is a function of the seed. Only the member that holds the baton
//! runs; it gives it up nowhere but in this file, and to whom is drawn from the seed.
//!
//! 1. [`run`] makes the first member; [`spawn`] makes others. A thread that is no member is left
//!    alone by all of this.
//! 2. Every lock, unlock and atomic access of a member is a [`point`]. Each costs a little of a
//!    budget; when that is used up a member is drawn that goes on, maybe the same one, and a new
//!    budget. How large budgets are is the run's [`pace`]: from a switch at nearly every point to
//!    long stretches of one thread.
//! 3. A member that must wait says for what ([`wait`]) and is not drawn until another has brought
//!    that about. A wait with a timeout may be drawn as well; then it has timed out.
//! 4. Time is counted, not measured: it passes with every draw, and by the timeout of a wait that
//!    timed out.
//! 5. If nobody can run the schedule fails, and says who waits for what. Its threads are left as
//!    they are, for they can't be unwound: what they hold may be what they wait for.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::random::Random;

/// What a member waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A mutex or reader-writer lock, by its address.
    Lock(usize),
    /// A condition variable, by its address; at most so long, if a time is given.
    Notice(usize, Option<Duration>),
    /// Being unparked; at most so long, if a time is given.
    Token(Option<Duration>),
    /// The end of a member.
    End(usize),
}

impl Wait {
    fn timeout(self) -> Option<Duration> {
        match self {
            Self::Notice(_, timeout) | Self::Token(timeout) => timeout,
            Self::Lock(_) | Self::End(_) => None,
        }
    }
}

#[derive(Debug)]
struct Member {
    name: String,
    /// None: it can run.
    wait: Option<Wait>,
    timed_out: bool,
    /// Whether it was unparked since it last parked.
    token: bool,
    stage: Stage,
    thread: Option<Thread>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Alive,
    Ended,
    /// Ended, and nobody asks for it any more.
    Joined,
}

impl Member {
    fn has_ended(&self) -> bool {
        self.stage != Stage::Alive
    }
}

#[derive(Debug)]
struct State {
    random: Random,
    pace: u64,
    members: Vec<Member>,
    /// In nanoseconds.
    time: u64,
    draws: u64,
    /// How the schedule ended, once it has.
    end: Option<Result<(), Failure>>,
}

enum Failure {
    Stuck(String),
    Panicked(Box<dyn Any + Send>),
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck(why) => f.write_str(why),
            Self::Panicked(_) => f.write_str("a panic"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Schedule {
    state: Mutex<State>,
    /// The member with the baton.
    running: AtomicUsize,
    /// How many wait for a lock.
    lock_waits: AtomicUsize,
    ended: Condvar,
}

/// The membership of a thread.
#[derive(Clone, Debug)]
struct Membership {
    schedule: Arc<Schedule>,
    index: usize,
}

thread_local! {
    static MEMBERSHIP: RefCell<Option<Membership>> = const { RefCell::new(None) };
    /// What is left of the budget; 0 for a thread that is no member.
    static BUDGET: Cell<u64> = const { Cell::new(0) };
    /// Whether points are passed over.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// A schedule that makes no progress for so long is stuck where it can't see it.
const PATIENCE: Duration = Duration::from_secs(60);
/// More draws than any run makes.
const DRAWS_MAX: u64 = 1 << 32;

/// Runs `first` as the first member of a schedule, and returns what it returns, or panics as it
/// does. All other members must have ended by then.
pub(crate) fn run<T: Send + 'static>(seed: u64, first: impl FnOnce() -> T + Send + 'static) -> T {
    assert!(!is_member(), "a schedule within a schedule");
    let state = State {
        random: Random::new(seed),
        pace: 50,
        members: Vec::new(),
        time: 0,
        draws: 0,
        end: None,
    };
    let schedule = Arc::new(Schedule {
        state: Mutex::new(state),
        running: AtomicUsize::new(0),
        lock_waits: AtomicUsize::new(0),
        ended: Condvar::new(),
    });
    let handle = Schedule::start(&schedule, "first".into(), first).unwrap();
    let mut state = schedule.state();
    let mut draws = 0;
    while state.end.is_none() {
        let (again, timeout) = schedule.ended.wait_timeout(state, PATIENCE).unwrap();
        state = again;
        assert!(
            !timeout.timed_out() || state.draws > draws || state.end.is_some(),
            "the schedule hangs in {}",
            state.members[schedule.running.load(Ordering::Acquire)].name
        );
        draws = state.draws;
    }
    let end = state.end.take();
    drop(state);
    match end {
        Some(Err(Failure::Stuck(why))) => panic!("{why}"),
        Some(Err(Failure::Panicked(panic))) => resume_unwind(panic),
        _ => handle.thread.join().unwrap(),
    }
}

/// A member that was spawned.
#[derive(Debug)]
pub(crate) struct Spawned<T> {
    thread: thread::JoinHandle<T>,
    index: usize,
    schedule: Arc<Schedule>,
}

impl<T> Spawned<T> {
    pub(crate) fn thread(&self) -> &Thread {
        self.thread.thread()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.schedule.state().members[self.index].has_ended()
    }

    /// Waits for the end of the thread.
    pub(crate) fn join(self) -> thread::Result<T> {
        if !self.is_finished() {
            wait(Wait::End(self.index));
        }
        self.schedule.state().forget(self.index);
        self.thread.join()
    }
}

/// Spawns another member, from a member.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Spawned<T>> {
    let Membership { schedule, .. } = membership().unwrap();
    Schedule::start(&schedule, name.into(), work)
}

pub(crate) fn is_member() -> bool {
    BUDGET.get() > 0
}

/// A place where another member may go on. It costs so much of the budget.
#[inline]
pub(crate) fn point(cost: u64) {
    let budget = BUDGET.get();
    if budget > cost || QUIET.get() {
        BUDGET.set(budget.saturating_sub(cost).max(budget.min(1)));
    } else if budget > 0 {
        give_way(false);
    }
}

/// Lets another member go on, if one can.
pub(crate) fn yield_now() {
    if !QUIET.get() {
        give_way(true);
    }
}

/// Does something between two points.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let before = QUIET.replace(true);
    let result = work();
    QUIET.set(before);
    result
}

/// What the points of some work of a member cost together: how much it locks, and looks at atomics.
pub(crate) fn cost(work: impl FnOnce()) -> u64 {
    let budget = BUDGET.replace(u64::MAX);
    quietly(work);
    u64::MAX - BUDGET.replace(budget)
}

/// Sets how far apart switches are from now on: the mean budget. The largest cost of a point is 8.
pub(crate) fn pace(mean: u64) {
    let Membership { schedule, .. } = membership().unwrap();
    schedule.state().pace = mean.max(1);
}

/// Goes on drawing from another seed: what follows depends on it alone.
pub(crate) fn reseed(seed: u64) {
    let Membership { schedule, .. } = membership().unwrap();
    schedule.state().random = Random::new(seed);
    BUDGET.set(1);
}

/// Sleeps.
pub(crate) fn nap(time: Duration) {
    // Nobody notifies at this address.
    wait(Wait::Notice(0, Some(time)));
}

/// The time of the schedule, for a member.
pub(crate) fn now() -> Option<Duration> {
    membership().map(|member| Duration::from_nanos(member.schedule.state().time))
}

/// A number that only follows from the seed, for a member.
pub(crate) fn number() -> Option<u64> {
    membership().map(|member| member.schedule.state().random.next())
}

/// Waits. True if the time given ran out.
pub(crate) fn wait(what: Wait) -> bool {
    let Membership { schedule, index } = membership().unwrap();
    let mut state = schedule.state();
    let is_token = matches!(what, Wait::Token(_));
    if is_token && std::mem::take(&mut state.members[index].token) {
        return false;
    }
    let is_lock = matches!(what, Wait::Lock(_));
    schedule.lock_waits.fetch_add(usize::from(is_lock), Ordering::Relaxed);
    state.members[index].wait = Some(what);
    schedule.pass_on(state, index, false);
    schedule.lock_waits.fetch_sub(usize::from(is_lock), Ordering::Relaxed);
    let member = &mut schedule.state().members[index];
    member.token &= !is_token;
    std::mem::take(&mut member.timed_out)
}

/// A lock was given up.
pub(crate) fn released(address: usize) {
    let Some(Membership { schedule, .. }) = membership() else { return };
    if schedule.lock_waits.load(Ordering::Relaxed) > 0 {
        schedule.state().wake(|wait| *wait == Wait::Lock(address));
    }
}

/// A condition variable notifies all who wait for it.
pub(crate) fn notified(address: usize) {
    let Some(Membership { schedule, .. }) = membership() else { return };
    schedule.state().wake(|wait| matches!(wait, Wait::Notice(at, _) if *at == address));
}

/// A member, to be unparked by another.
#[derive(Clone, Debug)]
pub(crate) struct Parked(Membership);

pub(crate) fn current() -> Option<Parked> {
    membership().map(Parked)
}

impl Parked {
    pub(crate) fn unpark(&self) {
        let Membership { schedule, index } = &self.0;
        let mut state = schedule.state();
        let member = &mut state.members[*index];
        member.token = true;
        member.wait = member.wait.filter(|wait| !matches!(wait, Wait::Token(_)));
    }
}

fn membership() -> Option<Membership> {
    MEMBERSHIP.try_with(|membership| membership.borrow().clone()).ok().flatten()
}

fn give_way(to_another: bool) {
    let Some(Membership { schedule, index }) = membership() else { return };
    let state = schedule.state();
    schedule.pass_on(state, index, to_another);
}

impl State {
    fn wake(&mut self, is_over: impl Fn(&Wait) -> bool) {
        for member in &mut self.members {
            member.wait = member.wait.filter(|wait| !is_over(wait));
        }
    }

    /// Gives up the place of a member that has ended, once all behind it are given up.
    fn forget(&mut self, index: usize) {
        self.members[index].stage = Stage::Joined;
        while self.members.last().is_some_and(|member| member.stage == Stage::Joined) {
            self.members.pop();
        }
    }

    /// Draws who goes on; someone else than `me` if there is anyone and `to_another`.
    fn draw(&mut self, me: usize, to_another: bool) -> Option<usize> {
        self.draws += 1;
        self.time += 1_000 + self.random.below(20_000);
        let live = || self.members.iter().enumerate().filter(|(_, member)| !member.has_ended());
        let mut ready: Vec<usize> =
            live().filter(|(_, member)| member.wait.is_none()).map(|(index, _)| index).collect();
        let timed: Vec<usize> = live()
            .filter(|(_, member)| member.wait.is_some_and(|wait| wait.timeout().is_some()))
            .map(|(index, _)| index)
            .collect();
        if to_another && ready.len() > 1 {
            ready.retain(|index| *index != me);
        }
        if !timed.is_empty() && (ready.is_empty() || self.random.chance(3)) {
            let index = self.random.one_of(&timed);
            let member = &mut self.members[index];
            if let Some(timeout) = member.wait.take().and_then(Wait::timeout) {
                self.time += u64::try_from(timeout.as_nanos()).unwrap();
            }
            member.timed_out = true;
            return Some(index);
        }
        (!ready.is_empty()).then(|| self.random.one_of(&ready))
    }

    fn who_waits(&self) -> String {
        let waits = self.members.iter().filter(|member| !member.has_ended());
        let waits = waits.map(|member| format!("{} for {:?}", member.name, member.wait));
        format!("nobody can run: {}", waits.collect::<Vec<_>>().join(", "))
    }
}

impl Schedule {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start<T: Send + 'static>(
        schedule: &Arc<Self>,
        name: String,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Spawned<T>> {
        let mut state = schedule.state();
        let index = state.members.len();
        let member = Membership { schedule: Arc::clone(schedule), index };
        let builder = thread::Builder::new().name(name.clone());
        let thread = builder.spawn(move || member.work(work))?;
        state.members.push(Member {
            name,
            wait: None,
            timed_out: false,
            token: false,
            stage: Stage::Alive,
            thread: Some(thread.thread().clone()),
        });
        drop(state);
        Ok(Spawned { thread, index, schedule: Arc::clone(schedule) })
    }

    /// Hands the baton to whoever is drawn, and waits until it is back.
    fn pass_on(&self, mut state: MutexGuard<'_, State>, me: usize, to_another: bool) {
        let pace = state.pace;
        BUDGET.set(1 + state.random.below(2 * pace));
        self.hand_over(state, me, to_another);
        self.await_baton(me);
    }

    fn hand_over(&self, mut state: MutexGuard<'_, State>, me: usize, to_another: bool) {
        match state.draw(me, to_another) {
            Some(next) if state.draws < DRAWS_MAX => {
                if next != me {
                    let thread = state.members[next].thread.clone();
                    self.running.store(next, Ordering::Release);
                    drop(state);
                    if let Some(thread) = thread {
                        thread.unpark();
                    }
                }
            }
            Some(_) => self.fail(state, Failure::Stuck("the members never end".into())),
            None => {
                let why = state.who_waits();
                self.fail(state, Failure::Stuck(why));
            }
        }
    }

    fn await_baton(&self, me: usize) {
        while self.running.load(Ordering::Acquire) != me {
            thread::park();
        }
    }

    /// Ends the schedule, and the use of this thread.
    fn fail(&self, mut state: MutexGuard<'_, State>, failure: Failure) {
        state.end.get_or_insert(Err(failure));
        drop(state);
        self.ended.notify_all();
        loop {
            thread::park();
        }
    }
}

impl Membership {
    fn work<T>(self, work: impl FnOnce() -> T) -> T {
        MEMBERSHIP.set(Some(self.clone()));
        BUDGET.set(1);
        self.schedule.await_baton(self.index);
        let result = catch_unwind(AssertUnwindSafe(work));
        BUDGET.set(0);
        MEMBERSHIP.set(None);
        let mut state = self.schedule.state();
        state.members[self.index].stage = Stage::Ended;
        state.wake(|wait| *wait == Wait::End(self.index));
        if self.index > 0 {
            self.schedule.hand_over(state, self.index, false);
            return result.unwrap_or_else(|panic| resume_unwind(panic));
        }
        let others = state.members.iter().filter(|member| !member.has_ended()).count();
        let (end, result) = match result {
            Ok(_) if others > 0 => {
                let why = format!("{others} members outlive the first");
                (Err(Failure::Stuck(why)), None)
            }
            Ok(result) => (Ok(()), Some(result)),
            Err(panic) => (Err(Failure::Panicked(panic)), None),
        };
        state.end = Some(end);
        drop(state);
        self.schedule.ended.notify_all();
        // Whoever ran the schedule panics without looking at it.
        result.unwrap_or_else(|| panic!("the schedule has failed"))
    }
}
