//! [`Histories`]: which segments of an archive follow one another.
//!
//! Invariant: a segment follows another only if its link names exactly that one's base, end and log.
//! Where links leave two histories open, and neither is provably the later one, there is no choice.
//!
//! An archive holds two histories where the log was cut after it was archived, or where a log that was
//! restored from it is archived there too. Each history is a chain back from a segment that nobody
//! follows. Where two part:
//!
//! - at two ends of one segment: the shorter one is the later, as a segment only ever gets shorter;
//! - at two segments behind the same end: the one with the higher base, as addresses only rise.
//!
//! The later one has to go on above everything of the earlier. If not, both went on: a conflict.

use std::collections::{BTreeMap, BTreeSet};

use super::image::Outline;
use crate::error::{Error, Op, Result};
use crate::format::{Link, archived, frames_start};
use crate::lsn::Lsn;
use crate::storage::{Access, Storage};

/// One file of an archive.
#[derive(Clone, Debug)]
pub(super) struct Archived {
    pub(super) name: String,
    pub(super) outline: Outline,
}

impl Archived {
    fn base(&self) -> u64 {
        self.outline.header.base
    }

    fn end(&self) -> u64 {
        self.outline.trailer.end
    }

    /// What a link that names this segment says.
    fn as_link(&self) -> Link {
        Link {
            previous_base: self.base(),
            previous_end: self.end(),
            previous_id: self.outline.header.id,
        }
    }

    /// Whether both are copies of the same frames. Their trailers may differ in what they say of the
    /// segment before.
    fn is_same(&self, other: &Self) -> bool {
        self.as_link() == other.as_link()
            && self.outline.trailer.frames_crc == other.outline.trailer.frames_crc
    }

    fn holds(&self, lsn: u64) -> bool {
        (frames_start(self.base())..self.end()).contains(&lsn)
    }
}

/// What an archive holds.
#[derive(Debug)]
pub(super) struct Histories {
    /// Ascending by base.
    files: Vec<Archived>,
    /// All files, by what a link to them says.
    by_link: BTreeMap<(u64, u64, [u8; 16]), Vec<usize>>,
}

fn key(link: &Link) -> (u64, u64, [u8; 16]) {
    (link.previous_base, link.previous_end, link.previous_id.bytes())
}

impl Histories {
    /// Reads header, link and trailer of every file.
    ///
    /// # Errors
    ///
    /// `Corrupt` for the first that is damaged there, whether it is needed or not: what it was to be
    /// part of is not known.
    pub(super) fn read(archive: &dyn Storage) -> Result<Self> {
        let mut names = archive
            .names()
            .map_err(|source| Error::io(Op::OpenDirectory, archive.path(""), source))?;
        names.retain(|name| archived(name).is_some());
        names.sort_unstable();
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            let path = archive.path(&name);
            let file = archive
                .open(&name, Access::Read)
                .map_err(|source| Error::io(Op::Open, path.clone(), source))?;
            let outline = Outline::read(&*file, &path)?;
            outline.check_name(&name, &path)?;
            files.push(Archived { name, outline });
        }
        let mut by_link: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            by_link.entry(key(&file.as_link())).or_default().push(index);
        }
        Ok(Self { files, by_link })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Above every address that any segment holds.
    pub(super) fn next_base(&self) -> u64 {
        let ends = self.files.iter().map(|it| it.base() + it.outline.header.segment_bytes);
        ends.max().unwrap_or(0)
    }

    /// The segments of the latest history, ascending; or of the latest that holds `until`, up to the
    /// segment that does.
    pub(super) fn choose(
        &self,
        archive: &dyn Storage,
        until: Option<u64>,
    ) -> Result<Vec<&Archived>> {
        let followed: BTreeSet<_> = self.files.iter().map(|it| key(&it.outline.link)).collect();
        let is_tip = |file: &&Archived| !followed.contains(&key(&file.as_link()));
        let mut chosen: Option<Vec<&Archived>> = None;
        let mut others: Vec<Vec<&Archived>> = Vec::new();
        for tip in self.files.iter().filter(is_tip) {
            let mut history = self.back_from(archive, tip)?;
            if let Some(until) = until {
                let Some(index) = history.iter().position(|file| file.holds(until)) else {
                    continue;
                };
                history.truncate(index + 1);
            }
            chosen = Some(match chosen.take() {
                None => history,
                Some(before) => {
                    let (later, earlier) = if is_later(&history, &before) {
                        (history, before)
                    } else {
                        (before, history)
                    };
                    others.push(earlier);
                    later
                }
            });
        }
        let Some(chosen) = chosen else { return Err(self.without(until)) };
        for other in &others {
            if let Some(name) = conflict(&chosen, other) {
                return Err(Error::ArchiveConflict { path: archive.path(name) });
            }
        }
        self.check_beginning(archive, &chosen)?;
        Ok(chosen)
    }

    /// No history holds `until`.
    fn without(&self, until: Option<u64>) -> Error {
        let lsn = Lsn::new(until.unwrap_or(0));
        let head = self.files.first().map_or(0, |file| frames_start(file.base()));
        let end = self.files.iter().map(Archived::end).max().unwrap_or(0);
        match lsn.get() {
            at if at < head => Error::Truncated { lsn, head: Lsn::new(head) },
            at if at >= end => Error::NotYet { lsn, end: Lsn::new(end) },
            _ => Error::NotARecord { lsn },
        }
    }

    /// Follows links back from a segment as far as there are any.
    fn back_from<'a>(
        &'a self,
        archive: &dyn Storage,
        tip: &'a Archived,
    ) -> Result<Vec<&'a Archived>> {
        let mut history = vec![tip];
        let mut at = tip;
        while let Some(before) = self.before(archive, at)? {
            history.push(before);
            at = before;
        }
        history.reverse();
        Ok(history)
    }

    /// The segment that one follows. Links name segments of lower bases only, so this ends.
    fn before(&self, archive: &dyn Storage, file: &Archived) -> Result<Option<&Archived>> {
        let link = &file.outline.link;
        if link.previous_base >= file.base() {
            return Ok(None);
        }
        let found = self.by_link.get(&key(link)).map(Vec::as_slice).unwrap_or_default();
        let candidates = || found.iter().filter_map(|index| self.files.get(*index));
        let Some(first) = candidates().next() else { return Ok(None) };
        // Sealed twice: the trailer behind names the one that it was written after.
        let previous = file.outline.trailer.previous_checksum;
        if let Some(named) = candidates().find(|it| it.outline.checksum == previous) {
            return Ok(Some(named));
        }
        match candidates().find(|other| !other.is_same(first)) {
            Some(other) => Err(Error::ArchiveConflict { path: archive.path(&other.name) }),
            None => Ok(Some(first)),
        }
    }

    /// A history that follows something has to be the oldest thing there is: an archive may begin
    /// anywhere, but it has no gaps.
    fn check_beginning(&self, archive: &dyn Storage, history: &[&Archived]) -> Result<()> {
        let Some(first) = history.first() else { return Ok(()) };
        let link = &first.outline.link;
        let oldest = self.files.first().is_some_and(|oldest| oldest.base() < first.base());
        if *link == Link::FIRST || !oldest {
            return Ok(());
        }
        let lsn = Lsn::new(frames_start(link.previous_base));
        Err(Error::MissingSegment { path: archive.path(&first.name), lsn })
    }
}

/// Where two histories part: the first segments in which they differ.
fn parting<'a, 'b>(
    a: &'b [&'a Archived],
    b: &'b [&'a Archived],
) -> (&'b [&'a Archived], &'b [&'a Archived]) {
    let same = a.iter().zip(b).take_while(|(a, b)| a.is_same(b)).count();
    (a.get(same..).unwrap_or_default(), b.get(same..).unwrap_or_default())
}

/// Whether `a` is later than `b`, if either is later than the other.
fn is_later(a: &[&Archived], b: &[&Archived]) -> bool {
    match parting(a, b) {
        (rest, []) => !rest.is_empty(),
        ([], _) => false,
        ([a, ..], [b, ..]) if a.base() == b.base() => a.end() < b.end(),
        ([a, ..], [b, ..]) => a.base() > b.base(),
    }
}

/// The end of the `other` history, if it is not provably the earlier one.
fn conflict<'a>(chosen: &[&'a Archived], other: &[&'a Archived]) -> Option<&'a str> {
    let tip = other.last()?;
    let superseded = match parting(chosen, other) {
        (_, []) => true,
        ([], _) => false,
        ([a, rest @ ..], [b, ..]) if a.base() == b.base() => {
            let cut = a.outline.header.id == b.outline.header.id && a.end() < b.end();
            cut && rest.first().is_none_or(|fresh| tip.base() < fresh.base())
        }
        ([a, ..], _) => tip.base() < a.base(),
    };
    (!superseded).then_some(&*tip.name)
}

#[cfg(test)]
mod tests;
