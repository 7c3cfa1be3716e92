//! [`Company`]: those who come back after a write, and how long a commit leader waits for them.
//!
//! Invariant: nothing that has to be right depends on it. A leader that waits, or not, commits the same
//! records, in fewer or more writes; it looks a bounded number of times, and a lone appender never
//! waits.
//!
//! Of threads that append all the time, one writes its own record while the others wait. If the next
//! began at once it would write another single record, and so on. So a leader waits a moment until as
//! many have come as the last write served and as came while it ran: two threads on two cores then
//! share each write. More than there are cores are not waited for. The others would have to get a
//! core first, and to change the thread on a core takes longer than a write.
//!
//! A wait is *in vain* if it has brought fewer, in proportion to who was there, than it took of the
//! longest wait. After a wait in vain some writes begin at once, twice as many after each further one,
//! up to [`PATIENCE`].

use crate::sync::{Hint, Padded, SPIN_TURNS, cores, spin_loop};

/// The longest wait: while it lasts those who are here already spin, and are awake at its end.
const TURNS: u64 = SPIN_TURNS as u64 / 2;

/// After so many writes without a wait another one is tried, at the latest.
const PATIENCE: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Company {
    /// How many have begun to wait for a commit, ever.
    arrived: Padded<Hint>,
    leaders: Padded<Leaders>,
}

/// Written by leaders only, who come one after the other.
#[derive(Debug, Default)]
struct Leaders {
    /// Of those that arrived, how many had when the last write began.
    served: Hint,
    /// How many may come together, the leader among them.
    expected: Hint,
    /// How many writes are to begin at once.
    pause: Hint,
    /// How many there were to be the last time.
    last_pause: Hint,
}

impl Company {
    /// Notes that the caller waits for a commit from now on.
    #[inline]
    pub(super) fn arrive(&self) {
        self.arrived.increment();
    }

    /// Whether others are about to come: then nobody writes for itself.
    #[inline]
    pub(super) fn is_expected(&self) -> bool {
        self.leaders.expected.get() > 1
    }

    /// Waits for those who are expected, as a leader.
    #[inline]
    pub(super) fn gather(&self) {
        if self.is_expected() && self.waiting() < self.leaders.expected.get() {
            self.gather_expected();
        }
    }

    #[cold]
    fn gather_expected(&self) {
        let Leaders { expected, pause, .. } = &*self.leaders;
        if pause.get() > 0 {
            pause.set(pause.get() - 1);
            return;
        }
        let first = self.waiting();
        let (mut here, mut turns) = (first, 0);
        while here < expected.get() && turns < TURNS {
            turns += 1;
            spin_loop();
            here = self.waiting();
        }
        self.learn(is_worth_it(first, here, turns));
    }

    fn learn(&self, worth_it: bool) {
        let Leaders { pause, last_pause, .. } = &*self.leaders;
        let next = if worth_it { 0 } else { (last_pause.get() * 2).clamp(1, PATIENCE) };
        last_pause.set(next);
        pause.set(next);
    }

    /// How many have come that no write has served.
    fn waiting(&self) -> u64 {
        self.arrived.get().saturating_sub(self.leaders.served.get())
    }

    /// Notes that a leader's write begins. Returns how many it serves.
    pub(super) fn begin(&self) -> u64 {
        let serves = self.waiting();
        self.leaders.served.set(self.leaders.served.get() + serves);
        serves
    }

    /// Notes that a write for so many is over. One of those who came meanwhile leads next.
    #[inline]
    pub(super) fn end(&self, served: u64) {
        let mut expected = served + self.waiting();
        // Who is alone does not ask for the cores.
        if expected > 1 {
            expected = expected.min(cores());
        }
        self.leaders.expected.set(expected);
    }
}

/// Whether those who came during a wait, in proportion to all who are there now with the leader, are
/// more than the wait was of the longest.
fn is_worth_it(first: u64, here: u64, turns: u64) -> bool {
    (here - first) * TURNS >= turns * (first + 1)
}

#[cfg(all(test, not(stratalog_loom)))]
mod tests {
    use super::*;

    /// Of whom `count` are expected, as on a machine with so many cores.
    fn expecting(count: u64) -> Company {
        let company = Company::default();
        company.leaders.expected.set(count);
        company
    }

    #[test]
    fn who_came_while_a_write_ran_is_expected_with_those_that_it_served() {
        let company = Company::default();
        company.arrive();
        company.arrive();
        let serves = company.begin();
        company.arrive();
        company.end(serves);
        assert_eq!((serves, company.waiting()), (2, 1));
        assert_eq!(company.leaders.expected.get(), 3.min(cores()));
        assert_eq!(company.begin(), 1);
    }

    #[test]
    fn who_writes_alone_expects_those_who_came_meanwhile() {
        let company = Company::default();
        company.end(1);
        assert!(!company.is_expected());
        company.arrive();
        company.end(1);
        assert_eq!(company.is_expected(), cores() > 1);
    }

    #[test]
    fn no_more_are_expected_than_there_are_cores() {
        let company = Company::default();
        company.end(1 << 40);
        assert_eq!(company.leaders.expected.get(), cores());
    }

    #[test]
    fn who_is_here_already_is_not_waited_for() {
        let company = expecting(2);
        company.arrive();
        company.arrive();
        company.gather();
        assert_eq!(company.leaders.pause.get(), 0);
    }

    #[test]
    fn after_waits_in_vain_more_and_more_writes_begin_at_once() {
        let company = expecting(2);
        company.arrive();
        for pause in [1, 2, 4, 8, 16, 32, 64, 64] {
            company.gather();
            for left in (0..pause).rev() {
                assert_eq!(company.leaders.pause.get(), left + 1);
                company.gather();
            }
            assert_eq!(company.leaders.pause.get(), 0);
        }
        // One that was worth it ends the pauses.
        company.learn(true);
        company.gather();
        assert_eq!(company.leaders.pause.get(), 1);
    }

    #[test]
    fn a_wait_is_worth_what_it_brings_in_proportion() {
        for (first, here, turns, worth_it) in [
            (1, 2, TURNS / 2, true),
            (1, 2, TURNS / 2 + 1, false),
            (1, 1, 1, false),
            (0, 1, TURNS, true),
            (3, 7, TURNS, true),
            (3, 6, TURNS, false),
        ] {
            assert_eq!(is_worth_it(first, here, turns), worth_it, "{first} {here} {turns}");
        }
    }
}
