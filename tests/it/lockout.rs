//! Processes that open the same log: one has it, the others are told so.
//!
//! Invariant: of several that open at once exactly one wins, whatever it finds there; a lock ends
//! with its process, however that ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use stratalog::Error;

use super::common::{Tag, number, tiny};
use super::process::{History, Running, Task, acknowledge, say};

const RACERS: u64 = 8;

/// The child: opens the log when its input ends; if it wins it appends, and waits to be killed. As a
/// test of its own it does nothing.
#[test]
fn child_that_races_for_the_log() {
    let Some(task) = Task::given() else { return };
    say("ready");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    match tiny().background(task.seed.is_multiple_of(2)).open(&task.directory) {
        Ok(log) => {
            for call in 0..40 {
                let payload = Tag::single(task.seed as u32, call).payload(700);
                acknowledge(log.append(&payload).unwrap(), &[payload]);
            }
            say("won");
            loop {
                std::thread::park();
                assert!(log.stats().segments > 0);
            }
        }
        Err(Error::Locked { path, .. }) => say(&format!("locked {}", path.display())),
        Err(other) => panic!("{other}: {other:?}"),
    }
}

fn racer(seed: u64, directory: &Path) -> Running {
    let task = Task { seed, writers: 1, calls: 0, directory: directory.to_owned() };
    let mut command = task.command(&[], "lockout::child_that_races_for_the_log");
    let mut child = Running::new(command.stdin(Stdio::piped()));
    assert!(child.hear_until("ready"));
    child
}

/// Lets children race; kills the winner when all the others are done, and returns it.
fn race(round: u64, directory: &PathBuf, history: &mut History) {
    let mut racers: Vec<_> =
        (0..RACERS).map(|racer_seed| racer(round * RACERS + racer_seed, directory)).collect();
    racers.iter_mut().for_each(Running::release);
    let locked = format!("locked {}", directory.join("LOCK").display());
    let mut winners = Vec::new();
    for mut racer in racers {
        while !racer.told.has("won") && !racer.told.has(&locked) {
            assert!(racer.hear(), "neither won nor locked out: {:?}", racer.told.lines);
        }
        if racer.told.has("won") {
            winners.push(racer);
        } else {
            let (told, status) = racer.finish();
            assert!(status.success() && told.acks == 0, "{:?}", told.lines);
        }
    }
    assert_eq!(winners.len(), 1, "the log was opened by several");
    // The winner has it to its end.
    let Err(Error::Locked { path, .. }) = tiny().open(directory) else { panic!("not locked") };
    assert_eq!(path, directory.join("LOCK"));
    let mut winner = winners.remove(0);
    winner.kill();
    let (told, _) = winner.finish();
    assert_eq!(told.acks, 40);
    history.add(told);
}

#[test]
fn of_processes_that_open_at_once_one_wins_and_its_lock_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    // Its parents are made in the race too.
    let directory = folder.path().join("deep/deeper/log");
    let mut history = History::default();
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(3) {
        // The first race is for a directory that does not exist; the others are for what the last
        // winner left when it was killed.
        race(round, &directory, &mut history);
        if round % 2 == 1 {
            let log = tiny().open(&directory).expect("the lock is free at once");
            assert!(!log.recovery().clean);
            history.check(&log);
        }
    }
    history.check(&tiny().open(&directory).unwrap());
}

#[test]
fn many_races_for_a_new_directory_have_one_winner_each() {
    for round in 0..number("STRATALOG_ROUNDS").unwrap_or(2) {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("log");
        let mut history = History::default();
        race(round, &directory, &mut history);
        let log = tiny().open(&directory).unwrap();
        history.check(&log);
        assert_eq!(history.kept.len(), 40);
    }
}
