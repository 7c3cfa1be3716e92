//! [`Cutter`]: the images that a power cut may leave of a recorded device.
//!
//! Invariant: all that was written before the last flush that ended before the cut is there. Of what
//! was written after it any part may be there, in units of a page of 4 KiB: file systems rely on
//! their blocks being whole. Only in the bytes of the log's own files a page may be torn, in units
//! of a sector of 512 bytes.

use std::fmt;
use std::ops::Range;

use crate::common::Random;
use crate::device::{Entry, Recording};
use crate::pages::{PAGE_BYTES, Pages};

const SECTOR_BYTES: usize = 512;

/// What becomes of the writes since the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// None of them is there.
    Nothing,
    /// All of them are.
    Everything,
    /// The first pages are.
    Prefix,
    /// All are but a stretch: later ones without earlier ones.
    Gap,
    /// Each page is or is not.
    Pages,
    /// Each page is or is not, and each sector of the log's.
    Sectors,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// How many entries of the device had been done.
    pub(crate) at: usize,
    pub(crate) manner: Manner,
    pub(crate) seed: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut at entry {} with {:?} unflushed (seed {})", self.at, self.manner, self.seed)
    }
}

impl Cut {
    /// Chooses `count` cuts, in order: beside flushes, just after promises, and anywhere.
    pub(crate) fn choose(
        recording: &Recording,
        promises: &[usize],
        count: usize,
        random: &mut Random,
    ) -> Vec<Self> {
        let entries = &recording.entries;
        let is_flush = |at: &usize| matches!(entries[*at], Entry::Flush);
        let flushes: Vec<usize> = (0..entries.len()).filter(is_flush).collect();
        // Where several pages are at stake, one may be there without the other.
        let bytes = |entry: &Entry| match entry {
            Entry::Write(_, bytes) => bytes.len(),
            Entry::Flush => 0,
        };
        let is_rich = |pair: &[usize]| {
            let written: usize = entries[pair[0]..pair[1]].iter().map(bytes).sum();
            (written > PAGE_BYTES).then_some(pair[1])
        };
        let rich: Vec<usize> = flushes.windows(2).filter_map(is_rich).collect();
        let pick = |from: &[usize], random: &mut Random| match from.len() {
            0 => 0,
            len => from[random.below(len as u64) as usize],
        };
        let mut cuts: Vec<Self> = (0..count)
            .map(|_| {
                let (at, manner) = match random.below(10) {
                    // Just before a flush the most is at stake.
                    0 => (pick(&flushes, random), Manner::some(random)),
                    1..5 => (pick(&rich, random), Manner::some(random)),
                    5 => (pick(&flushes, random) + 1, Manner::Nothing),
                    6..9 => (pick(promises, random), Manner::Nothing),
                    _ => (random.below(entries.len() as u64 + 1) as usize, Manner::some(random)),
                };
                Self { at: at.min(entries.len()), manner, seed: random.next() }
            })
            .collect();
        cuts.sort_by_key(|cut| cut.at);
        cuts
    }

    /// Cuts on either side of every flush: several where several pages are at stake.
    pub(crate) fn every(recording: &Recording, random: &mut Random) -> Vec<Self> {
        let mut cuts = Vec::new();
        let mut unflushed = 0;
        for (at, entry) in recording.entries.iter().enumerate() {
            match entry {
                Entry::Write(_, bytes) => unflushed += bytes.len(),
                Entry::Flush => {
                    for _ in 0..if unflushed > PAGE_BYTES { 4 } else { 1 } {
                        cuts.push(Self { at, manner: Manner::some(random), seed: random.next() });
                    }
                    cuts.push(Self { at: at + 1, manner: Manner::Nothing, seed: 0 });
                    unflushed = 0;
                }
            }
        }
        cuts
    }
}

impl Manner {
    fn some(random: &mut Random) -> Self {
        match random.below(10) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Prefix,
            3..6 => Self::Gap,
            6..8 => Self::Pages,
            _ => Self::Sectors,
        }
    }
}

/// Makes images of ascending cuts of one recording.
pub(crate) struct Cutter<'a> {
    recording: &'a Recording,
    /// Where the log's own bytes are, so that a torn sector there is torn for the log alone.
    tearable: &'a [Range<u64>],
    /// What was flushed, up to the entry `done`.
    flushed: Pages,
    done: usize,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(recording: &'a Recording, tearable: &'a [Range<u64>]) -> Self {
        Self { recording, tearable, flushed: recording.base.clone(), done: 0 }
    }

    /// What the device holds after the cut. No earlier cut may follow.
    pub(crate) fn image(&mut self, cut: &Cut) -> Pages {
        let entries = &self.recording.entries;
        let before = &entries[self.done..cut.at];
        let is_flush = |entry: &Entry| matches!(entry, Entry::Flush);
        if let Some(last) = before.iter().rposition(is_flush) {
            for entry in &before[..last] {
                if let Entry::Write(offset, bytes) = entry {
                    self.flushed.write(*offset, bytes);
                }
            }
            self.done += last + 1;
        }
        let mut image = self.flushed.clone();
        self.unflushed(cut, &mut image);
        image
    }

    fn unflushed(&self, cut: &Cut, image: &mut Pages) {
        let writes = self.recording.entries[self.done..cut.at].iter();
        // A write of many pages is no more whole than many writes.
        let pages: Vec<_> = writes
            .filter_map(|entry| match entry {
                Entry::Write(offset, bytes) => Some(pieces(*offset, bytes, PAGE_BYTES)),
                Entry::Flush => None,
            })
            .flatten()
            .collect();
        let mut random = Random::new(cut.seed);
        let count = pages.len() as u64;
        let (first, second) = (random.below(count + 1), random.below(count + 1));
        let gap = first.min(second)..first.max(second);
        let percent = 10 + random.below(81);
        for (index, (offset, page)) in (0..).zip(pages) {
            let is_there = match cut.manner {
                Manner::Nothing => false,
                Manner::Everything => true,
                Manner::Prefix => index < first,
                Manner::Gap => !gap.contains(&index),
                Manner::Pages | Manner::Sectors => random.chance(percent),
            };
            if is_there && cut.manner == Manner::Sectors && self.may_tear(offset, page.len()) {
                for (offset, sector) in pieces(offset, page, SECTOR_BYTES) {
                    if random.chance(50) {
                        image.write(offset, sector);
                    }
                }
            } else if is_there {
                image.write(offset, page);
            }
        }
    }

    fn may_tear(&self, offset: u64, len: usize) -> bool {
        let end = offset + len as u64;
        self.tearable.iter().any(|range| range.start <= offset && end <= range.end)
    }
}

/// Cuts bytes at the multiples of `unit` on the device.
fn pieces(offset: u64, bytes: &[u8], unit: usize) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = bytes;
    let mut at = offset;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let step = (unit - at as usize % unit).min(rest.len());
        let (piece, later) = rest.split_at(step);
        let start = at;
        (at, rest) = (at + step as u64, later);
        Some((start, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNERS: [Manner; 6] = [
        Manner::Nothing,
        Manner::Everything,
        Manner::Prefix,
        Manner::Gap,
        Manner::Pages,
        Manner::Sectors,
    ];

    /// Pages 0 to 3 are written with ones and flushed, then with twos.
    fn recording() -> Recording {
        let write = |page: u64, byte: u8| Entry::Write(page * 4096, vec![byte; PAGE_BYTES].into());
        let mut entries: Vec<Entry> = (0..4).map(|page| write(page, 1)).collect();
        entries.push(Entry::Flush);
        entries.extend((0..4).map(|page| write(page, 2)));
        Recording { base: Pages::new(1 << 20), entries: entries.into() }
    }

    fn image(recording: &Recording, tearable: &[Range<u64>], cut: Cut) -> Vec<u8> {
        Cutter::new(recording, tearable).image(&cut).read(0, 4 * PAGE_BYTES)
    }

    #[test]
    fn what_was_flushed_is_there_and_what_was_not_may_be() {
        let recording = recording();
        for manner in MANNERS {
            let mut seen = [false; 3];
            for seed in 0..50 {
                let bytes = image(&recording, &[], Cut { at: 9, manner, seed });
                for byte in &bytes {
                    seen[usize::from(*byte)] = true;
                }
                let is_whole = |page: &[u8]| page.iter().all(|byte| *byte == page[0]);
                assert!(bytes.chunks(PAGE_BYTES).all(is_whole));
            }
            let expected = match manner {
                Manner::Nothing => [false, true, false],
                Manner::Everything => [false, false, true],
                _ => [false, true, true],
            };
            assert_eq!(seen, expected, "{manner:?}");
        }
    }

    #[test]
    fn before_its_flush_nothing_is_certain() {
        let recording = recording();
        let cut = Cut { at: 4, manner: Manner::Nothing, seed: 0 };
        assert!(image(&recording, &[], cut).iter().all(|byte| *byte == 0));
        let cut = Cut { at: 5, ..cut };
        assert!(image(&recording, &[], cut).iter().all(|byte| *byte == 1));
    }

    #[test]
    fn only_pages_of_the_log_tear_and_by_sectors() {
        let recording = recording();
        let mut torn = 0;
        for seed in 0..50 {
            let cut = Cut { at: 9, manner: Manner::Sectors, seed };
            let bytes = image(&recording, std::slice::from_ref(&(4096..8192)), cut);
            for (page, bytes) in bytes.chunks(PAGE_BYTES).enumerate() {
                let is_torn = bytes.iter().any(|byte| *byte != bytes[0]);
                assert!(!is_torn || page == 1);
                torn += u32::from(is_torn);
                let is_whole = |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]);
                assert!(bytes.chunks(SECTOR_BYTES).all(is_whole));
            }
        }
        assert!(torn > 0);
    }

    #[test]
    fn images_of_ascending_cuts_are_those_of_each_alone() {
        let recording = recording();
        let mut cutter = Cutter::new(&recording, &[]);
        for at in 0..=9 {
            let cut = Cut { at, manner: Manner::Pages, seed: 7 };
            let bytes = cutter.image(&cut).read(0, 4 * PAGE_BYTES);
            assert!(bytes == image(&recording, &[], cut), "at {at}");
        }
    }
}
