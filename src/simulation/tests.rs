//! The runs, and that they are repeatable.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use super::ledger::Ledger;
use super::life::{Life, Plan};
use super::run::{Counts, Place, Run, Scope};
use crate::storage::{Event, FaultStorage};
use crate::sync::schedule;

fn number(name: &str) -> Option<u64> {
    let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{name}: a number"));
    env::var(name).ok().map(number)
}

/// The first seed: given, or new each time.
fn first_seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    number("STRATALOG_SEED").unwrap_or_else(|| u64::try_from(now()).unwrap())
}

/// The one crash that is asked for: the life, the event and the attempt, with `/` between.
fn only() -> Option<Place> {
    let text = env::var("STRATALOG_CUT").ok()?;
    let parts: Vec<u64> = text.split('/').map(|part| part.parse().unwrap()).collect();
    let [life, event, attempt] = parts[..] else { panic!("STRATALOG_CUT: life/event/attempt") };
    Some(Place { life, event, attempt })
}

/// Runs so many seeds, or as many as are asked for.
fn run_seeds(test: &str, seeds: u64, scope: Scope) {
    let first = first_seed();
    let seeds = number("STRATALOG_SEEDS").unwrap_or(seeds);
    let scope = Scope { only: only(), ..scope };
    println!("{test}: STRATALOG_SEED={first} STRATALOG_SEEDS={seeds}");
    let mut counts = Counts::default();
    for seed in first..first + seeds {
        counts.add(&schedule::run(seed, move || Run::run(seed, scope)));
    }
    println!("{test}: {counts}");
}

#[test]
fn short_lives_survive_a_crash_at_every_event() {
    let scope =
        Scope { lives: 4, operations_max: 5, events_percent: 100, power_cuts: 2, only: None };
    run_seeds("short lives", 18, scope);
}

#[test]
fn long_lives_survive_crashes_at_random_events() {
    let scope =
        Scope { lives: 8, operations_max: 60, events_percent: 2, power_cuts: 3, only: None };
    run_seeds("long lives", 8, scope);
}

/// All events of one life, and what was told in it.
fn history(seed: u64) -> (Vec<Event>, String) {
    schedule::run(seed, move || {
        let life = Life::live(FaultStorage::new(), Ledger::default(), &Plan::busy(seed, 20));
        (life.disk.history(), format!("{:?}", life.ledger))
    })
}

#[test]
fn a_seed_replays_event_by_event() {
    let first = first_seed();
    println!("replay: STRATALOG_SEED={first}");
    let mut events = 0;
    for seed in first..first + 20 {
        let (once, again) = (history(seed), history(seed));
        assert_eq!(once, again, "seed {seed}");
        events += once.0.len();
    }
    assert!(events > 500, "{events} events");
}
