//! [`Run`]: one log through several lives, crashed everywhere on the way.
//!
//! Invariant: a run is a function of its seed and its [`Scope`]; so is each crash in it and all that
//! follows from that one, whether the others are tried or not.
//!
//! 1. Live. Then crash the life in hindsight at its events, and look at what is left: open it, check
//!    it, sometimes append to it; crash that again, also while it is opened, a few times over.
//! 2. Choose one crash to be the one that happened. The next life begins with what it left.

use std::fmt;

use super::ledger::{Crash, Ledger};
use super::life::{Life, Plan};
use crate::random::Random;
use crate::storage::FaultStorage;

/// How much a run tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) lives: u64,
    /// How much a thread does in a life, at most.
    pub(super) operations_max: u64,
    /// Of a hundred events, at how many there is a crash.
    pub(super) events_percent: u64,
    /// How many power cuts there are at each of these, beside an end of the process.
    pub(super) power_cuts: u64,
    /// The one crash to try, to see it fail again.
    pub(super) only: Option<Place>,
}

/// Where in a run there is a crash: the life, the event, and which of those that are tried there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) life: u64,
    pub(super) event: u64,
    pub(super) attempt: u64,
}

/// How much was tried.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) runs: u64,
    pub(super) lives: u64,
    pub(super) records: u64,
    pub(super) events: u64,
    pub(super) power_cuts: u64,
    /// Of these, while a log was being opened.
    pub(super) in_recovery: u64,
    pub(super) process_ends: u64,
    pub(super) recoveries: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.lives += other.lives;
        self.records += other.records;
        self.events += other.events;
        self.power_cuts += other.power_cuts;
        self.in_recovery += other.in_recovery;
        self.process_ends += other.process_ends;
        self.recoveries += other.recoveries;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            lives,
            records,
            events,
            power_cuts,
            in_recovery,
            process_ends,
            recoveries,
        } = self;
        write!(
            f,
            "{runs} runs of {lives} lives, {records} records, {events} events; {power_cuts} power \
             cuts, {in_recovery} of them while opening; {process_ends} ends of the process; \
             {recoveries} recoveries"
        )
    }
}

/// Says on the way out of a failed check which crash led there.
struct Step(String);

impl Drop for Step {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("  {}", self.0);
        }
    }
}

#[derive(Debug)]
pub(super) struct Run {
    seed: u64,
    scope: Scope,
    counts: Counts,
}

impl Run {
    /// Runs from the first member of a schedule.
    pub(super) fn run(seed: u64, scope: Scope) -> Counts {
        let mut run = Self { seed, scope, counts: Counts { runs: 1, ..Counts::default() } };
        let mut random = Random::new(seed);
        let (mut disk, mut ledger) = (FaultStorage::new(), Ledger::default());
        let mut steps = Vec::new();
        for number in 0..scope.lives {
            let _step = run.step(&format!("life {number}, to be seen again with"), "");
            let plan = Plan::busy(random.next(), scope.operations_max);
            let life = run.live(disk, ledger, &plan);
            run.counts.lives += 1;
            run.counts.events += life.ended - life.began;
            run.counts.records += life.ledger.records();
            run.crash_everywhere(&life, number, random.next());
            let crash = if random.chance(25) {
                // What a life that ended in peace leaves is worth going on from.
                Crash::Process { event: life.ended }
            } else {
                draw_crash(&mut random, &life)
            };
            steps.push(Step(format!("before that, {crash} in life {number}")));
            (disk, ledger) = run.crash(&life, crash);
        }
        run.counts
    }

    /// A step that says how to come back to it.
    fn step(&self, what: &str, cut: &str) -> Step {
        Step(format!("{what} STRATALOG_SEED={} STRATALOG_SEEDS=1 {cut}", self.seed))
    }

    fn live(&mut self, disk: FaultStorage, ledger: Ledger, plan: &Plan) -> Life {
        self.counts.recoveries += 1;
        Life::live(disk, ledger, plan)
    }

    fn crash(&mut self, life: &Life, crash: Crash) -> (FaultStorage, Ledger) {
        match crash {
            Crash::Power { event, .. } => {
                self.counts.power_cuts += 1;
                self.counts.in_recovery += u64::from(event < life.opened);
            }
            Crash::Process { .. } => self.counts.process_ends += 1,
        }
        life.after(crash)
    }

    fn crash_everywhere(&mut self, life: &Life, number: u64, seed: u64) {
        if self.scope.only.is_some_and(|only| only.life == number) {
            life.disk.history().iter().for_each(|event| println!("{event:?}"));
        }
        for event in life.began..=life.ended {
            for attempt in 0..=self.scope.power_cuts {
                let mut random =
                    Random::new(seed ^ event.rotate_left(20) ^ attempt.rotate_left(50));
                random.next();
                let place = Place { life: number, event, attempt };
                let here = random.chance(self.scope.events_percent);
                if self.scope.only.map_or(!here, |only| only != place) {
                    continue;
                }
                let crash = match attempt {
                    0 => Crash::Process { event },
                    _ => Crash::Power { event, seed: random.next() },
                };
                let _step =
                    self.step("the crash", &format!("STRATALOG_CUT={number}/{event}/{attempt}"));
                // What the cache alone holds is lost in what follows, if it is.
                let depth = match crash {
                    Crash::Process { .. } => random.one_of(&[1, 1, 1, 3]),
                    Crash::Power { .. } => random.one_of(&[0, 0, 0, 1, 1, 3, 5]),
                };
                self.follow(life, crash, &mut random, depth);
            }
        }
    }

    /// Looks at what a crash leaves, and crashes that.
    fn follow(&mut self, life: &Life, crash: Crash, random: &mut Random, depth: u32) {
        let _step = Step(format!("{crash}, and all that was done since"));
        let plan = Plan::look(random.next());
        let (disk, ledger) = self.crash(life, crash);
        let next = self.live(disk, ledger, &plan);
        if random.chance(5) {
            let (disk, ledger) = life.after(crash);
            let again = self.live(disk, ledger, &plan);
            assert!(again.shown == next.shown, "opened twice, the log is not the same");
        }
        let Some(depth) = depth.checked_sub(1) else { return };
        let all_percent = if matches!(crash, Crash::Process { .. }) { 25 } else { 8 };
        if random.chance(all_percent) {
            for event in next.began..=next.opened {
                let crash = Crash::Power { event, seed: random.next() };
                self.follow(&next, crash, random, depth.min(1));
            }
        } else if random.chance(35) {
            let crash = Crash::Power { event: next.opened, seed: random.next() };
            self.follow(&next, crash, random, depth);
        } else {
            let crash = draw_crash(random, &next);
            self.follow(&next, crash, random, depth);
        }
    }
}

fn draw_crash(random: &mut Random, life: &Life) -> Crash {
    let event = life.began + random.below(life.ended - life.began + 1);
    if random.chance(25) {
        Crash::Process { event }
    } else {
        Crash::Power { event, seed: random.next() }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power { event, seed } => {
                write!(f, "a power cut before event {event} of seed {seed}")
            }
            Self::Process { event } => write!(f, "an end of the process before event {event}"),
        }
    }
}
