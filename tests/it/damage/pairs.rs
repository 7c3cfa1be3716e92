//! Two damages at once, of all kinds, by a seed; and no more memory than the files are large.
//!
//! Invariant: what [`judge`] checks holds for any of them: nothing that the undamaged rest proves is
//! lost unless that is reported.

use stratalog::format::{BLOCK_BYTES, CONTROL_NAME};
use stratalog::storage::Image;

use super::judge::{Outcome, Row, Tally, exhaustive, judge};
use super::logs::{Sample, filled, samples};
use super::oracle::What;
use crate::common::{Random, number, seed};

use Outcome::{Corrupt, FoundOnRead, NoControl, Prefix, Saved, Stranger, Torn, Whole};

/// Nothing is known of the outcome but that each occurs. A file of another log is refused by all, and
/// a control file that lost a part.
const TWICE: &[Row<()>] = &[(
    (),
    [
        &[Whole, Prefix, FoundOnRead, Corrupt, NoControl, Stranger],
        &[Whole, Prefix, FoundOnRead, Corrupt, NoControl, Stranger, Torn],
        &[Whole, Prefix, FoundOnRead, Saved, Corrupt, NoControl, Stranger],
    ],
)];

const ORDINARY_ROUNDS: u64 = 4000;

/// Does one thing to a file, and says what.
fn damage(image: &mut Image, sample: &Sample, other: &Sample, random: &mut Random) -> String {
    let names = sample.files();
    let pick = |random: &mut Random| names[random.below(names.len() as u64) as usize].clone();
    let (name, second) = (pick(random), pick(random));
    let Some(len) = image.get(&name).map(<[u8]>::len) else { return format!("{name} is gone") };
    let pieces: Vec<_> = sample.oracle.pieces.iter().filter(|piece| piece.file == name).collect();
    // The first piece says what all others are.
    let any = random.below(pieces.len() as u64 + 1) as usize;
    let at = match pieces.get(if random.chance(12) { 0 } else { any }) {
        // Most of a file is nothing.
        Some(piece) => piece.offset + random.below(64.min(piece.bytes.len() as u64)) as usize,
        None => random.below(len.max(1) as u64) as usize,
    };
    match random.below(20) {
        0..9 if at < len => {
            let bit = random.below(8);
            image.get_mut(&name).unwrap()[at] ^= 1 << bit;
            format!("{name}: bit {bit} of {at}")
        }
        9..13 if at < len => {
            let from = at / 512 * 512;
            let to = len.min(from + [512, 4096, len][random.below(3) as usize]);
            let fill = [0, 0xff][random.below(2) as usize];
            image.get_mut(&name).unwrap()[from..to].fill(fill);
            format!("{name}: {from}..{to} filled with {fill}")
        }
        13 => {
            let block = BLOCK_BYTES as usize;
            let at = if random.chance(50) { at } else { random.below(9) as usize * block };
            image.get_mut(&name).unwrap().truncate(at);
            format!("{name}: {} bytes", at.min(len))
        }
        14 => {
            image.remove(&name);
            format!("without {name}")
        }
        15 if image.get(&second).is_some() => {
            let bytes = image.get(&name).unwrap().to_vec();
            let exchanged = image.insert(&second, bytes).unwrap();
            image.insert(&name, exchanged);
            format!("{name} and {second} exchanged")
        }
        16 => {
            let bytes = other.image.get(&name).unwrap().to_vec();
            image.insert(&name, bytes);
            format!("{name} of another log")
        }
        _ => {
            let step = random.below(sample.earlier.len() as u64) as usize;
            let earlier = &sample.earlier[step];
            let stale: Vec<&str> =
                earlier.names().filter(|name| name.len() > 7 || *name == CONTROL_NAME).collect();
            let name = stale[random.below(stale.len() as u64) as usize];
            image.insert(name, earlier.get(name).unwrap().to_vec());
            format!("{name} as it was after step {step}")
        }
    }
}

#[test]
fn two_damages_at_once_lose_nothing_silently() {
    let seed = seed("pairs");
    let rounds =
        number("STRATALOG_ROUNDS").unwrap_or(if exhaustive() { 300_000 } else { ORDINARY_ROUNDS });
    let mut tally = Tally::new(TWICE);
    let all = || samples().into_iter().chain([filled()]).collect::<Vec<_>>();
    let (samples, others) = (all(), all());
    for round in 0..rounds {
        let mut random = Random::new(seed.wrapping_add(round));
        let index = random.below(samples.len() as u64) as usize;
        let (sample, other) = (&samples[index], &others[index]);
        let mut image = sample.image.clone();
        let done = [(); 2].map(|()| damage(&mut image, sample, other, &mut random));
        let what = || format!("STRATALOG_SEED={}: {done:?}", seed.wrapping_add(round));
        let opened = judge(sample, &image, &what);
        assert_eq!(tally.count((), &opened), Ok(()), "{}, {}", sample.what, what());
    }
    // A few rounds, as to see one again, don't come to every outcome.
    if rounds >= ORDINARY_ROUNDS {
        tally.finish();
    }
}

/// The lengths in headers are what could make memory be asked for: with little of it allowed, each
/// of their bits is flipped once more, in a process of its own.
#[cfg(target_os = "linux")]
#[test]
fn no_length_on_disk_makes_opening_ask_for_much_memory() {
    use std::process::Command;
    const CHILD: &str = "STRATALOG_LITTLE_MEMORY";
    if std::env::var_os(CHILD).is_some() {
        for sample in samples() {
            for piece in &sample.oracle.pieces {
                let is_block = piece.bytes.len() as u64 == BLOCK_BYTES;
                let lengths = if is_block { 0..112 } else { 4..12 };
                let step = if piece.what == What::Leftover { 8 } else { 1 };
                for at in lengths.step_by(step).map(|at| piece.offset + at) {
                    let mut damaged = sample.image.clone();
                    for bit in [6, 7] {
                        damaged.get_mut(&piece.file).unwrap()[at] ^= 1 << bit;
                    }
                    judge(&sample, &damaged, &|| format!("{}: byte {at}", piece.file));
                }
            }
        }
        return;
    }
    let name = "damage::pairs::no_length_on_disk_makes_opening_ask_for_much_memory";
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 262144 && exec \"$0\" --exact \"$1\" --test-threads 1"])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
