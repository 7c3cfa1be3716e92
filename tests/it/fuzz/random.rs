//! The fuzz bodies on inputs at random: kept ones that are changed and put together, and new ones.
//!
//! Invariant: what fails can be kept: its seed is printed, and it as `printf` makes a file of it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Reached, corpus, model, open, rescue, scan};
use crate::common::{Random, number, seed};

/// An input that comes of those that are kept.
fn input(kept: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| kept[random.below(kept.len() as u64) as usize].clone();
    let mut bytes = if random.chance(20) { random.bytes(200) } else { pick(random) };
    if random.chance(30) {
        let other = pick(random);
        bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
        bytes.extend_from_slice(&other[random.below(other.len() as u64 + 1) as usize..]);
    }
    for _ in 0..random.below(8) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(5) {
            0 => bytes.insert(at, random.next() as u8),
            1 => drop(bytes.splice(at..at, random.bytes(12))),
            2 => bytes.truncate(at),
            3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.next() as u8),
        }
    }
    bytes.truncate(4 << 10);
    bytes
}

fn run(target: &str, body: fn(&[u8]) -> Reached, rounds: u64) {
    let Some(files) = corpus(target) else { return };
    let kept: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let Some(times) = number("STRATALOG_ROUNDS") else {
        println!("skipped: STRATALOG_ROUNDS=10 asks for it; other changes run what is kept");
        return;
    };
    let first = seed(target);
    for round in 0..times * rounds {
        let seed = first.wrapping_add(round);
        let bytes = input(&kept, &mut Random::new(seed));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&bytes))) {
            println!("{target}: STRATALOG_SEED={seed}: '{}'", bytes.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn inputs_at_random_are_scanned_as_the_format_says() {
    run("scan", scan::scan, 200);
}

#[test]
fn disks_at_random_are_refused_unchanged_or_opened_and_go_on() {
    run("open", open::open, 100);
}

#[test]
fn disks_at_random_are_looked_at_saved_archived_and_restored() {
    run("rescue", rescue::rescue, 100);
}

#[test]
fn programs_at_random_leave_what_the_model_says() {
    run("model", model::model, 50);
}
