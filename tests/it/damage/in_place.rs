//! Damage inside of files: bits that flip, sectors and pages that are lost. The outcome is known to
//! the record and to the offset.
//!
//! Invariant: the table says what becomes of damage by the place of its first piece; an error names
//! exactly that piece.

use stratalog::format::FileKind;
use stratalog::{Error, RecoveryPolicy};

use super::judge::{Opened, Outcome, POLICIES, Row, Tally, below, ensure, exhaustive, judge};
use super::logs::{Sample, samples};
use super::oracle::{Expected, Place};
use crate::common::seed;

use Outcome::{Corrupt, FoundOnRead, NoControl, Prefix, Saved, Torn, Whole};

/// By the place of a flipped bit: default, strict, skip. To the strict policy a log with a torn tail
/// is refused for that, if for nothing else.
const FLIPPED: &[Row<Place>] = &[
    (Place::Slot, [&[Whole], &[Whole, Torn], &[Whole]]),
    (Place::Header, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Place::ProvenLink, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Place::UnprovenLink, [&[Prefix], &[Torn], &[Prefix]]),
    (Place::VouchedFrame, [&[FoundOnRead], &[FoundOnRead, Torn], &[FoundOnRead]]),
    (Place::ProvenFrame, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Place::UnprovenFrame, [&[Whole, Prefix], &[Torn], &[Whole, Prefix]]),
    (Place::Trailer, [&[Whole], &[Whole, Torn], &[Whole]]),
    (Place::Nothing, [&[Whole], &[Whole, Torn], &[Whole]]),
];

/// The same where whole sectors or pages are lost, which may be both slots, or all leftovers.
const LOST: &[Row<Place>] = &[
    (Place::Slot, [&[Whole], &[Whole, Torn], &[Whole]]),
    (Place::Slots, [&[NoControl], &[NoControl], &[NoControl]]),
    (Place::Header, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Place::ProvenLink, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Place::UnprovenLink, [&[Prefix], &[Prefix, Torn], &[Prefix]]),
    (Place::VouchedFrame, [&[FoundOnRead], &[FoundOnRead, Torn], &[FoundOnRead]]),
    (Place::ProvenFrame, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Place::UnprovenFrame, [&[Prefix], &[Torn], &[Prefix]]),
    (Place::Trailer, [&[Whole], &[Whole, Torn], &[Whole]]),
    (Place::Nothing, [&[Whole], &[Whole, Torn], &[Whole]]),
];

/// Opens it, and checks what the oracle says to the letter.
fn check(
    sample: &Sample,
    tally: &mut Tally<Place>,
    image: &stratalog::storage::Image,
    what: &dyn Fn() -> String,
) {
    let opened = judge(sample, image, what);
    let expected = sample.oracle.expect(image);
    let broken = sample.oracle.damaged(image);
    let mut checked = tally.count(expected.place, &opened);
    for (policy, opened) in POLICIES.iter().zip(&opened) {
        checked = checked.and_then(|()| exact(sample, &expected, &broken, *policy, opened));
    }
    assert_eq!(checked, Ok(()), "{}, {}: {expected:?}", sample.what, what());
}

fn exact(
    sample: &Sample,
    expected: &Expected,
    broken: &[u64],
    policy: RecoveryPolicy,
    opened: &Opened,
) -> Result<(), String> {
    let slot = expected.place == Place::Slot;
    ensure(!(slot && opened.clean), || "the mark of a clean stop is in both slots".to_owned())?;
    match opened.outcome {
        Outcome::Whole | Outcome::Prefix => {
            let whole = below(&sample.kept, expected.first);
            ensure(opened.seen == whole, || format!("{policy:?}: not all below the damage"))
        }
        Outcome::FoundOnRead => {
            let whole = sample.kept.iter().filter(|(lsn, _)| !broken.contains(&lsn.get()));
            // Of a batch the other records are found.
            let all = whole.into_iter().all(|record| opened.seen.contains(record));
            ensure(all, || format!("{policy:?}: not all that is undamaged"))?;
            let skips = policy == RecoveryPolicy::SkipCorrupt;
            if skips { Ok(()) } else { names(opened.error.as_ref(), expected) }
        }
        Outcome::Corrupt => names(opened.error.as_ref(), expected),
        _ => Ok(()),
    }
}

/// The error names the file and the place of the damage.
fn names(error: Option<&Error>, expected: &Expected) -> Result<(), String> {
    let Some(Error::Corrupt { path, offset, lsn, .. }) = error else {
        return Err(format!("not what damage is told by: {error:?}"));
    };
    let base = match stratalog::format::classify(&expected.file) {
        FileKind::Segment(base) => base,
        _ => 0,
    };
    let file = path.ends_with(&expected.file);
    let place = base + offset == expected.damaged;
    let lsn = lsn.is_none_or(|lsn| lsn.get() == expected.damaged);
    ensure(file && place && lsn, || format!("another place is named: {error:?}"))
}

/// Flips bits of what is in use, and one in each 64 bytes of what is not: all bits if everything is
/// to be tried, otherwise one of each byte, by the seed.
fn flip(samples: &[Sample], name: &str) {
    let phase = seed(name) as usize;
    let mut tally = Tally::new(FLIPPED);
    for sample in samples {
        for name in sample.files() {
            let file = sample.image.get(&name).unwrap();
            let mut image = sample.image.clone();
            for at in 0..file.len() {
                let near = at.saturating_sub(8)..(at + 24).min(file.len());
                let in_use = file[near].iter().any(|byte| *byte != 0);
                let one = (at / 64 + at + phase) % 8;
                let bits = match (in_use, exhaustive()) {
                    (true, true) => 0..8,
                    (true, false) => one..one + 1,
                    (false, _) if at % 256 == phase % 256 => one..one + 1,
                    (false, _) => continue,
                };
                for bit in bits {
                    image.get_mut(&name).unwrap()[at] ^= 1 << bit;
                    check(sample, &mut tally, &image, &|| format!("{name}: bit {bit} of {at}"));
                    image.get_mut(&name).unwrap()[at] ^= 1 << bit;
                }
            }
        }
    }
    tally.finish();
}

#[test]
fn each_flipped_bit_is_found_or_means_nothing() {
    flip(&samples(), "flip");
}

#[test]
fn each_lost_sector_is_found_or_means_nothing() {
    let phase = seed("sectors") as usize;
    let mut tally = Tally::new(LOST);
    for sample in samples() {
        for name in sample.files() {
            let len = sample.image.get(&name).unwrap().len();
            for (index, at) in (0..len).step_by(512).enumerate() {
                for (kind, (bytes, fill)) in
                    [(512, 0), (512, 0xff), (4096, 0), (4096, 0xff), (usize::MAX, 0)]
                        .into_iter()
                        .enumerate()
                {
                    if !exhaustive()
                        && kind > 0
                        && !(index + phase + kind).is_multiple_of(4)
                        && !at.is_multiple_of(4096)
                    {
                        continue;
                    }
                    let mut image = sample.image.clone();
                    let to = at.saturating_add(bytes).min(len);
                    image.get_mut(&name).unwrap()[at..to].fill(fill);
                    if image == sample.image {
                        continue;
                    }
                    check(&sample, &mut tally, &image, &|| {
                        format!("{name}: {at} to {to} filled with {fill}")
                    });
                }
            }
        }
    }
    tally.finish();
}
