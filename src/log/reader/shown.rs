//! [`Looking`]: what was found so far; and [`Current`]: what snapshots are taken of.
//!
//! Invariant: of what is current each segment is durable up to its end, or lies in memory of our own,
//! where all frames were checked.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::segment_name;
use crate::read::{ReadOptions, Snapshot};
use crate::recover::{Advance, Recovery, Shown, View, is_gone, unless_gone};
use crate::segment::read_only::ReadOnly;
use crate::segment::segment::Segment;
use crate::segment::set::SegmentSet;
use crate::storage::{Access, SharedBytes, Storage, StorageFile, read_exact_at};

/// How often everything is looked at again if what was found has changed when it is read.
const LOOKS_MAX: usize = 4;
/// How much is read at once.
const STEP_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Looking {
    view: View,
    /// The names that were there, sorted, where no control file says that something changed.
    names: Vec<String>,
    /// The segments that got other memory at the last look.
    replaced: Vec<u64>,
}

/// What was found at the last look.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) set: Arc<SegmentSet>,
    pub(super) end: u64,
    pub(super) report: Recovery,
    pub(super) app_state: Vec<u8>,
    /// Where reading ends if damage is not to be skipped, and why.
    gap: Option<(u64, Error)>,
    /// How often everything was looked at.
    pub(super) looks: u64,
    /// The segments that are read from memory of our own.
    kept: Vec<u64>,
    /// Whether more is to come in the last segment.
    is_open: bool,
}

impl Looking {
    pub(super) fn begin(storage: &ReadOnly) -> Result<(Self, Current)> {
        let looking = Self::look(storage)?;
        let mut current = looking.current(storage, None);
        current.looks = 1;
        Ok((looking, current))
    }

    /// Looks at everything, and reads what is not durable yet.
    fn look(storage: &ReadOnly) -> Result<Self> {
        let mut left = LOOKS_MAX;
        loop {
            let (names, view, read) = unless_gone(storage, || {
                let names = names(storage)?;
                let view = View::look(storage, &|| storage.is_archive())?;
                match read_all(storage, &view) {
                    Err(error) if is_gone(&error) => Err(error),
                    read => Ok((names, view, read)),
                }
            })?;
            left -= 1;
            match read {
                Ok(Some(replaced)) => return Ok(Self { view, names, replaced }),
                Err(error) if left == 0 => return Err(error),
                Ok(None) if left == 0 => {
                    let source = ErrorKind::InvalidData.into();
                    return Err(Error::io(Op::Read, storage.path(""), source));
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    /// Looks for what is new; `None` if there is nothing.
    pub(super) fn refresh(
        &mut self,
        storage: &ReadOnly,
        before: &Current,
    ) -> Result<Option<Current>> {
        // Without a control file nothing changes but by files that come or go.
        if self.view.seen.is_none() && names(storage)? == self.names {
            return Ok(None);
        }
        let known = self.view.segments.len();
        let mut take = |shown: &Shown, bytes: &[u8]| add(storage, shown, bytes);
        let advance = self.view.advance(storage, &mut take)?;
        if advance == Advance::Lost {
            *self = Self::look(storage)?;
            let mut current = self.current(storage, Some(before));
            current.looks = before.looks + 1;
            let same = current.is_as(before) && known == self.view.segments.len();
            return Ok((!same).then_some(current));
        }
        self.replaced.clear();
        let (head, end) = (before.set.head, before.end);
        let same = advance == Advance::Same && (self.view.head, self.view.end()) == (head, end);
        Ok((!same).then(|| self.current(storage, Some(before))))
    }

    /// What is current now. Segments that stay as they were are the same ones.
    fn current(&self, storage: &ReadOnly, before: Option<&Current>) -> Current {
        let view = &self.view;
        let mut kept = Vec::new();
        let segment_of = |shown: &Shown| {
            let earlier = before.and_then(|before| before.set.at_base(shown.base));
            let is_kept = is_private(storage, view, shown);
            if is_kept {
                kept.push(shown.base);
            }
            let was_kept = before.is_some_and(|before| before.kept.contains(&shown.base));
            let moved = is_kept != was_kept || self.replaced.contains(&shown.base);
            segment_of(shown, earlier, moved)
        };
        let segments: Vec<_> = view.segments.iter().map(segment_of).collect();
        storage.keep_only(&kept);
        let same = before.map(|before| &before.set).filter(|set| {
            let mut pairs = set.segments.iter().zip(&segments);
            let all = set.segments.len() == segments.len();
            set.head == view.head && all && pairs.all(|(a, b)| Arc::ptr_eq(a, b))
        });
        Current {
            set: same
                .map_or_else(|| Arc::new(SegmentSet { head: view.head, segments }), Arc::clone),
            end: view.end(),
            report: view.report.clone(),
            app_state: view.seen.as_ref().map_or(Vec::new(), |seen| seen.state.app_state.clone()),
            gap: view.gap(),
            looks: before.map_or(0, |before| before.looks),
            kept,
            is_open: view.segments.last().is_some_and(|last| !last.over),
        }
    }
}

impl Current {
    pub(super) fn snapshot(&self, storage: &ReadOnly, options: ReadOptions) -> Snapshot {
        let gap = self.gap.clone().filter(|_| !options.skips_damage());
        let end = gap.as_ref().map_or(self.end, |(at, _)| self.end.min(*at).max(self.set.head));
        let storage = Arc::new(storage.with_kept());
        Snapshot::new(storage, Arc::clone(&self.set), end, gap.map(|(_, error)| error), options)
    }

    pub(super) fn is_active(&self, segment: &Arc<Segment>) -> bool {
        self.is_open && self.set.segments.last().is_some_and(|last| Arc::ptr_eq(last, segment))
    }

    fn is_as(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.set, &other.set) && self.end == other.end;
        same && self.report.damage == other.report.damage && self.app_state == other.app_state
    }
}

/// Whether a segment is read from memory of our own: as long as it is not proven durable, and not
/// before it is over if it was once.
fn is_private(storage: &ReadOnly, view: &View, shown: &Shown) -> bool {
    shown.end > view.proven || (!shown.over && storage.kept(shown.base).is_some())
}

/// The segment to read, the earlier one if that is the same. `moved`: its bytes come from elsewhere now.
fn segment_of(shown: &Shown, earlier: Option<&Arc<Segment>>, moved: bool) -> Arc<Segment> {
    let limit = shown.limit();
    match earlier {
        Some(earlier) if !moved && earlier.end == limit => Arc::clone(earlier),
        Some(earlier) if !moved => earlier.ending(limit),
        _ => {
            let segment = Segment::new((shown.base, shown.bytes), limit, shown.id, None);
            if let Some(earlier) = earlier {
                let checked = earlier.checked().lock().clone();
                *segment.checked().lock() = checked;
            }
            segment
        }
    }
}

fn names(storage: &ReadOnly) -> Result<Vec<String>> {
    let mut names =
        storage.names().map_err(|source| Error::io(Op::OpenDirectory, storage.path(""), source))?;
    names.sort_unstable();
    Ok(names)
}

/// Reads every segment that is not proven durable into memory of our own, and returns those for which
/// that is not the memory it was. `None` if one is not any more what was found.
fn read_all(storage: &ReadOnly, view: &View) -> Result<Option<Vec<u64>>> {
    let mut replaced = Vec::new();
    for shown in view.segments.iter().filter(|shown| is_private(storage, view, shown)) {
        let Some(bytes) = shown.read(storage)? else { return Ok(None) };
        let kept = storage.kept(shown.base);
        // Refused where it would change what is in use.
        if kept.is_some_and(|kept| kept.write_at(&bytes, 0).is_ok()) {
            continue;
        }
        let fresh = memory(storage, shown)?;
        fresh.write_at(&bytes, 0).map_err(|source| failed(storage, shown, source))?;
        storage.keep(shown.base, fresh);
        replaced.push(shown.base);
    }
    Ok(Some(replaced))
}

/// Adds bytes that were found valid behind the end of a segment to the memory that it is read from.
fn add(storage: &ReadOnly, shown: &Shown, bytes: &[u8]) -> Result<()> {
    let failed = |source| failed(storage, shown, source);
    let kept = if let Some(kept) = storage.kept(shown.base) {
        kept
    } else {
        let fresh = memory(storage, shown)?;
        let name = segment_name(shown.base);
        let file = storage.open(&name, Access::Read).map_err(failed)?;
        copy(&*file, &fresh, shown.end - shown.base).map_err(failed)?;
        storage.keep(shown.base, fresh.clone());
        fresh
    };
    kept.write_at(bytes, shown.end - shown.base).map(drop).map_err(failed)
}

/// Copies the first bytes of a file.
fn copy(file: &dyn StorageFile, to: &SharedBytes, bytes: u64) -> std::io::Result<()> {
    let mut step = vec![0; STEP_BYTES];
    let mut at = 0;
    while at < bytes {
        let len = usize::try_from(bytes - at).map_or(STEP_BYTES, |left| left.min(STEP_BYTES));
        let step = step.get_mut(..len).unwrap_or_default();
        read_exact_at(file, step, at)?;
        to.write_at(step, at)?;
        at += len as u64;
    }
    Ok(())
}

fn memory(storage: &ReadOnly, shown: &Shown) -> Result<SharedBytes> {
    SharedBytes::new(shown.file_bytes).map_err(|source| failed(storage, shown, source))
}

fn failed(storage: &ReadOnly, shown: &Shown, source: std::io::Error) -> Error {
    Error::io(Op::Read, storage.path(&segment_name(shown.base)), source)
}
