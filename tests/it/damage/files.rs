//! Damage to files as a whole: of another length, exchanged, missing, of another time or log, or with
//! old contents.
//!
//! Invariant: the tables say what each policy makes of it. Whatever opens keeps to what [`judge`] checks:
//! no record below what the undamaged rest proves is lost unless that is reported.

use stratalog::format::{
    BLOCK_BYTES, CONTROL_NAME, FileKind, SET_ASIDE_SUFFIX, classify, segment_name,
};
use stratalog::storage::Image;

use super::judge::{Outcome, Row, Tally, exhaustive, judge};
use super::logs::{Sample, area_end, base_of, samples};
use crate::common::seed;

use Outcome::{Corrupt, FoundOnRead, NoControl, Prefix, Saved, Stranger, Torn, Whole};

fn check<K: Copy + PartialEq + std::fmt::Debug>(
    tally: &mut Tally<K>,
    key: K,
    sample: &Sample,
    image: &Image,
    what: &dyn Fn() -> String,
) {
    let opened = judge(sample, image, what);
    let counted = tally.count(key, &opened);
    assert_eq!(counted, Ok(()), "{}, {}", sample.what, what());
}

/// Which file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Control,
    Segment,
    /// One that recovery set aside.
    Aside,
}

fn kind_of(name: &str) -> File {
    match classify(name) {
        FileKind::Control => File::Control,
        FileKind::Segment(_) => File::Segment,
        FileKind::SetAside => File::Aside,
        other => panic!("{name} is {other:?}"),
    }
}

/// A file of another length is refused: what it lost is not known. The policy that skips does without
/// a segment's end, but never without half a control file, whose lost slot may be the newer one.
const LENGTHS: &[Row<File>] = &[
    (File::Control, [&[Corrupt, NoControl], &[Corrupt, NoControl], &[Corrupt, NoControl]]),
    (File::Segment, [&[Corrupt], &[Corrupt], &[Saved]]),
    (File::Aside, [&[Whole], &[Whole], &[Whole]]),
];

#[test]
fn a_file_of_another_length_is_found() {
    let phase = seed("lengths") as usize;
    let mut tally = Tally::new(LENGTHS);
    for sample in samples() {
        for name in sample.files() {
            let len = sample.image.get(&name).unwrap().len();
            let pieces = sample.oracle.pieces.iter().filter(|piece| piece.file == name);
            let mut lengths: Vec<usize> = pieces
                .flat_map(|piece| {
                    let edges = [piece.range().start, piece.range().end];
                    edges.into_iter().flat_map(|edge| edge.saturating_sub(8)..=edge + 8)
                })
                .collect();
            let step = if exhaustive() { 8 } else { 512 };
            lengths.extend((0..len + 8192).step_by(step).map(|len| len + phase % step / 8 * 8));
            lengths.extend([0, 1, 8, 4096, len - 1, len - 4096, len + 1, len + 4096, 2 * len]);
            let wanted =
                |len: &usize| exhaustive() || len.is_multiple_of(8) || len % 8 == phase % 8;
            lengths.retain(wanted);
            lengths.sort_unstable();
            lengths.dedup();
            for to in lengths.into_iter().filter(|to| *to != len) {
                let mut image = sample.image.clone();
                image.get_mut(&name).unwrap().resize(to, 0);
                check(&mut tally, kind_of(&name), &sample, &image, &|| {
                    format!("{name}: {to} bytes instead of {len}")
                });
            }
        }
    }
    tally.finish();
}

/// How two files changed places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    /// Two segments under each other's name.
    Swapped,
    /// One segment under both names.
    Doubled,
    /// A segment beside the others, under a name that was never used.
    Elsewhere,
    /// The control file and a segment under each other's name.
    Control,
}

/// A segment says itself where it belongs.
const EXCHANGED: &[Row<Exchange>] = &[
    (Exchange::Swapped, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Exchange::Doubled, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Exchange::Elsewhere, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Exchange::Control, [&[NoControl], &[NoControl], &[NoControl]]),
];

fn swap(image: &mut Image, one: &str, other: &str) {
    let bytes = image.remove(one).unwrap();
    let other_bytes = image.insert(other, bytes).unwrap();
    image.insert(one, other_bytes);
}

#[test]
fn files_in_each_others_place_are_found() {
    let mut tally = Tally::new(EXCHANGED);
    for sample in samples() {
        let names = sample.segments();
        for one in &names {
            for other in names.iter().filter(|other| *other != one) {
                let mut image = sample.image.clone();
                swap(&mut image, one, other);
                let what = || format!("{one} and {other} exchanged");
                check(&mut tally, Exchange::Swapped, &sample, &image, &what);
                let mut image = sample.image.clone();
                image.insert(other, sample.image.get(one).unwrap().to_vec());
                let what = || format!("{one} instead of {other}");
                check(&mut tally, Exchange::Doubled, &sample, &image, &what);
            }
            let mut image = sample.image.clone();
            image.insert(segment_name(1 << 40), sample.image.get(one).unwrap().to_vec());
            check(&mut tally, Exchange::Elsewhere, &sample, &image, &|| format!("{one} at 2^40"));
            let mut image = sample.image.clone();
            swap(&mut image, one, CONTROL_NAME);
            let what = || format!("{one} and the control file exchanged");
            check(&mut tally, Exchange::Control, &sample, &image, &what);
        }
    }
    tally.finish();
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Control,
    /// One that is in use, or the spare.
    Segment,
    TwoSegments,
    Aside,
}

const MISSING: &[Row<Missing>] = &[
    (Missing::Control, [&[NoControl], &[NoControl], &[NoControl]]),
    (Missing::Segment, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Missing::TwoSegments, [&[Corrupt], &[Corrupt], &[Saved]]),
    (Missing::Aside, [&[Whole], &[Whole], &[Whole]]),
];

#[test]
fn a_missing_file_is_missed() {
    let mut tally = Tally::new(MISSING);
    for sample in samples() {
        let names = sample.files();
        for one in &names {
            for other in names.iter().filter(|other| *other >= one) {
                let mut image = sample.image.clone();
                image.remove(one);
                image.remove(other);
                let gone = [one, other].map(|name| kind_of(name));
                let key = match gone {
                    _ if gone.contains(&File::Control) => Missing::Control,
                    [File::Aside, File::Aside] => Missing::Aside,
                    [File::Segment, File::Segment] if one != other => Missing::TwoSegments,
                    _ => Missing::Segment,
                };
                check(&mut tally, key, &sample, &image, &|| format!("without {one} and {other}"));
            }
        }
    }
    tally.finish();
}

/// A file of an earlier time of the same log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stale {
    Control,
    /// In the place of what the segment has become.
    Segment,
    /// One that was unlinked or set aside since.
    Gone,
}

const STALE: &[Row<Stale>] = &[
    (Stale::Control, [&[Whole, Corrupt], &[Whole, Torn, Corrupt], &[Whole, Saved]]),
    (
        Stale::Segment,
        [
            &[Whole, Prefix, FoundOnRead, Corrupt],
            &[Whole, Prefix, FoundOnRead, Torn, Corrupt],
            &[Whole, Prefix, FoundOnRead, Saved],
        ],
    ),
    (Stale::Gone, [&[Whole], &[Whole, Torn], &[Whole]]),
];

#[test]
fn a_file_of_an_earlier_time_brings_nothing_back_and_takes_nothing_away() {
    let mut tally = Tally::new(STALE);
    for sample in samples() {
        for (step, earlier) in sample.earlier.iter().enumerate() {
            for name in earlier.names() {
                let key = match classify(name) {
                    FileKind::Control => Stale::Control,
                    FileKind::Segment(_) if sample.image.get(name).is_none() => Stale::Gone,
                    FileKind::Segment(_) => Stale::Segment,
                    _ => continue,
                };
                let bytes = earlier.get(name).unwrap();
                let mut image = sample.image.clone();
                image.insert(name, bytes.to_vec());
                if image != sample.image {
                    let what = || format!("{name} as it was after step {step}");
                    check(&mut tally, key, &sample, &image, &what);
                }
            }
        }
    }
    tally.finish();
}

/// A file of another log of the same making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Foreign {
    /// A segment, whether one of that name is there or not, or one that was set aside.
    Segment,
    Control,
    /// A segment of this very log that was set aside, under its old name.
    OwnAside,
}

const FOREIGN: &[Row<Foreign>] = &[
    (Foreign::Segment, [&[Stranger], &[Stranger], &[Stranger]]),
    (Foreign::Control, [&[Stranger], &[Stranger], &[Stranger]]),
    (Foreign::OwnAside, [&[Whole], &[Torn], &[Whole]]),
];

#[test]
fn a_file_of_another_log_is_refused_by_all() {
    let mut tally = Tally::new(FOREIGN);
    for (sample, other) in samples().into_iter().zip(samples()) {
        for name in other.files() {
            let bytes = other.image.get(&name).unwrap().to_vec();
            let mut image = sample.image.clone();
            let to = name.strip_suffix(SET_ASIDE_SUFFIX).unwrap_or(&name);
            image.insert(to, bytes.clone());
            let key = if name == CONTROL_NAME { Foreign::Control } else { Foreign::Segment };
            check(&mut tally, key, &sample, &image, &|| format!("{name} of another log"));
            if to == name && key == Foreign::Segment {
                let mut image = sample.image.clone();
                let to = segment_name(1 << 40 | base_of(&name));
                image.insert(&to, bytes);
                check(&mut tally, key, &sample, &image, &|| format!("{name} as {to}"));
            }
            if to != name {
                let mut image = sample.image.clone();
                let own = image.remove(&name).unwrap();
                image.insert(to, own);
                let key = Foreign::OwnAside;
                check(&mut tally, key, &sample, &image, &|| format!("{name} as {to}"));
            }
        }
    }
    tally.finish();
}

/// Where old frames of this log lie, which had other addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recycled {
    /// Behind the end of the last segment in use.
    Tail,
    /// Behind the end of a segment that is sealed.
    Sealed,
    /// All over the spare.
    Spare,
}

/// They are leftovers at most.
const RECYCLED: &[Row<Recycled>] = &[
    (Recycled::Tail, [&[Whole], &[Whole, Torn], &[Whole]]),
    (Recycled::Sealed, [&[Whole], &[Whole, Torn], &[Whole]]),
    (Recycled::Spare, [&[Whole], &[Torn], &[Whole]]),
];

#[test]
fn old_frames_of_another_address_mean_nothing() {
    let mut tally = Tally::new(RECYCLED);
    for sample in samples() {
        let last = sample.last_in_use();
        for name in sample.segments() {
            let pieces = sample.oracle.pieces.iter().filter(|piece| piece.file == name);
            let frames = pieces
                .filter(|piece| piece.range().end <= area_end(sample.image.get(&name).unwrap()));
            let end = frames.map(|piece| piece.range().end).max().unwrap_or_default();
            let end = end.max(BLOCK_BYTES as usize);
            let key = match () {
                () if end == BLOCK_BYTES as usize => Recycled::Spare,
                () if name == last => Recycled::Tail,
                () => Recycled::Sealed,
            };
            for from in sample.segments().iter().filter(|from| **from != name) {
                let old = &sample.image.get(from).unwrap()[BLOCK_BYTES as usize..];
                for shift in [0, 8, 48, 512] {
                    let mut image = sample.image.clone();
                    let file = image.get_mut(&name).unwrap();
                    let room = end..area_end(file);
                    // As they lay in the old file, or moved.
                    let old = old.iter().skip(if shift == 0 { end - 4096 } else { 0 });
                    let to = file[room].iter_mut().skip(shift);
                    to.zip(old).for_each(|(to, from)| *to = *from);
                    if image == sample.image {
                        continue;
                    }
                    let what = || format!("{name} with frames of {from} from {end} + {shift} on");
                    check(&mut tally, key, &sample, &image, &what);
                }
            }
        }
    }
    tally.finish();
}
