//! [`Repair`]: carries the decision out.
//!
//! Invariant: each step leaves a log that opening again brings to the same end, and none destroys
//! anything of a segment that is kept. Power may be lost between any two of them.
//!
//! 1. Remove unfinished files. Write the newest control slot again in its place: from here on one slot
//!    is known to be on disk.
//! 2. After a stop that was not clean: persist the frames that nothing proves durable; sync the
//!    directory.
//! 3. Write trailers that are missing, oldest first, but for the last segment's.
//! 4. Write the control file: not clean, and the cut, if the log ends here. The commit point.
//! 5. Set aside and remove what is not part of the log; sync the directory.
//! 6. Write the trailer of the segment that was cut.
//! 7. Write the control file once more: then both slots say so.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Op, Result};
use crate::format::{ControlState, LogId, SET_ASIDE_SUFFIX};
use crate::lsn::Lsn;
use crate::options::Options;
use crate::recover::Recovered;
use crate::recover::bytes::Bytes;
use crate::recover::facts::{Chain, Piece, SegmentFile};
use crate::recover::persist::{open, persist, persist_trailer, seal};
use crate::recover::plan::Plan;
use crate::recover::report::{CutReport, Recovery};
use crate::recover::survey::{ControlFile, Survey};
use crate::segment::control::Control;
use crate::segment::prepare::Spare;
use crate::segment::segment::Segment;
use crate::segment::supply::Start;
use crate::storage::{Access, Storage, StorageFile};

/// How many removed files are kept open at most, of each kind: each takes a descriptor.
const DOOMED_MAX: usize = 8;
/// How many descriptors have to be left beside those: opening needs some itself.
const DESCRIPTORS_LEFT: usize = 8;

pub(super) struct Repair<'a, 'b> {
    pub(super) bytes: &'a mut Bytes<'b>,
    pub(super) files: &'a [SegmentFile],
    pub(super) chain: &'a Chain,
    pub(super) report: Recovery,
    /// The checksum of the newest trailer.
    last_checksum: u32,
    doomed: Vec<Arc<dyn StorageFile>>,
}

impl<'a, 'b> Repair<'a, 'b> {
    /// Opens the log that was found. `clean`: it was closed, and is whole. `cut`: leftovers are cut
    /// off.
    pub(super) fn open(
        bytes: &'a mut Bytes<'b>,
        survey: &'a Survey,
        control: &ControlFile,
        chain: &'a Chain,
        options: &Options,
        (clean, cut): (bool, bool),
    ) -> Result<Recovered> {
        let storage = bytes.storage;
        let winner = &control.winner;
        let files = &survey.files;
        let plan = Plan::new(files, chain, &winner.state, clean, options.segment_bytes);
        let report = Recovery {
            clean,
            head: Lsn::new(plan.state.head),
            end: Lsn::new(chain.end().unwrap_or(plan.state.head)),
            scanned_bytes: chain.scanned_bytes,
            foreign: survey.names.foreign.iter().map(|name| storage.path(name)).collect(),
            damage: chain.damage.clone(),
            ..Recovery::default()
        };
        let doomed = Vec::new();
        let mut repair = Self { bytes, files, chain, report, last_checksum: 0, doomed };
        repair.report.cut = if cut { CutReport::of(storage, files, chain) } else { None };

        repair.report.removed = repair.remove(&survey.names.leftovers)?;
        let file = Arc::clone(&control.file);
        let control = Control::adopt(storage, file, winner.state.clone(), winner.sequence);
        control.rewrite()?;
        if !clean {
            repair.persist(winner.state.cut.map(|cut| cut.segment))?;
            repair.sync_directory()?;
        }
        repair.seal_all_but_last()?;
        control.update(|state| *state = plan.state.clone())?;
        repair.clear_away(&plan)?;
        repair.seal_last(&plan)?;
        control.update(|_| {})?;
        repair.finish(control, &plan)
    }

    fn file(&self, piece: &Piece) -> Option<&'a SegmentFile> {
        self.files.get(piece.file)
    }

    /// Makes durable what is kept, and the trailer of the segment that was `cut` last.
    fn persist(&mut self, cut: Option<u64>) -> Result<()> {
        for piece in &self.chain.pieces {
            let Some(file) = self.file(piece) else { continue };
            if let Some(sealed) = piece.sealed.filter(|_| cut == Some(file.base)) {
                persist_trailer(self.bytes.storage, file, &sealed)?;
            }
            self.report.rewritten_bytes += persist(self.bytes, file, piece, self.chain.proven)?;
        }
        Ok(())
    }

    fn seal_all_but_last(&mut self) -> Result<()> {
        let (_, earlier) = self.chain.pieces.split_last().unzip();
        for piece in earlier.unwrap_or_default() {
            self.seal(piece)?;
        }
        Ok(())
    }

    fn seal_last(&mut self, plan: &Plan) -> Result<()> {
        match self.chain.pieces.last() {
            Some(piece) if !plan.active => self.seal(piece),
            _ => Ok(()),
        }
    }

    fn seal(&mut self, piece: &Piece) -> Result<()> {
        let Some(file) = self.file(piece) else { return Ok(()) };
        self.last_checksum = match piece.sealed {
            Some(sealed) => sealed.checksum,
            None if file.trouble.is_some() => 0,
            None => seal(self.bytes, file, piece, self.last_checksum)?,
        };
        Ok(())
    }

    /// Renames and removes segments that are not part of the log.
    fn clear_away(&mut self, plan: &Plan) -> Result<()> {
        let name_of = |index: &usize| self.files.get(*index).map(SegmentFile::name);
        let aside: Vec<_> = plan.set_aside.iter().filter_map(name_of).collect();
        let removed: Vec<_> = plan.remove.iter().filter_map(name_of).collect();
        let storage = self.bytes.storage;
        for name in &aside {
            let to = format!("{name}{SET_ASIDE_SUFFIX}");
            storage
                .rename(name, &to)
                .map_err(|source| Error::io(Op::Rename, storage.path(name), source))?;
            self.report.set_aside.push(storage.path(&to));
        }
        let removed = self.remove(&removed)?;
        self.report.removed.extend(removed);
        let same = self.report.set_aside.is_empty() && self.report.removed.is_empty();
        if same { Ok(()) } else { self.sync_directory() }
    }

    /// Removes files, of which the names go at once. The system takes long to give back a large one's
    /// pages and blocks, which is left to who drops it.
    fn remove(&mut self, names: &[String]) -> Result<Vec<PathBuf>> {
        let storage = self.bytes.storage;
        // Elsewhere a name stays as long as its file is open.
        if cfg!(unix) && !names.is_empty() {
            let open = |name: &String| storage.open(name, Access::Read).ok();
            self.doomed.extend(names.iter().filter_map(open).take(DOOMED_MAX));
            let more = names.iter().cycle().take(DESCRIPTORS_LEFT);
            let more: Vec<_> = more.map_while(open).collect();
            if more.len() < DESCRIPTORS_LEFT {
                self.doomed.clear();
            }
        }
        remove(storage, names)
    }

    fn sync_directory(&self) -> Result<()> {
        let storage = self.bytes.storage;
        storage
            .sync_directory()
            .map_err(|source| Error::io(Op::SyncDirectory, storage.path(""), source))
    }

    /// The ids other than the log's own that its segments bear, each with the last base.
    fn earlier(&self, own: LogId) -> Vec<(u64, LogId)> {
        let mut earlier: Vec<(u64, LogId)> = Vec::new();
        for file in self.chain.pieces.iter().filter_map(|piece| self.file(piece)) {
            match earlier.last_mut() {
                Some(last) if last.1 == file.id => last.0 = file.base,
                _ if file.id != own => earlier.push((file.base, file.id)),
                _ => {}
            }
        }
        earlier
    }

    fn finish(mut self, control: Control, plan: &Plan) -> Result<Recovered> {
        let head = plan.state.head;
        let mut segments = Vec::with_capacity(self.chain.pieces.len());
        let mut active = None;
        let count = self.chain.pieces.len();
        for (number, piece) in self.chain.pieces.iter().enumerate() {
            let Some(file) = self.file(piece) else { continue };
            if plan.active && number + 1 == count {
                let handle = open(self.bytes.storage, file)?;
                let segment =
                    Segment::new((file.base, file.bytes), file.frames_end(), file.id, Some(handle));
                active = Some(Arc::clone(&segment));
                segments.push(segment);
            } else if piece.end > head || number + 1 == count {
                // The last one stays also where all of it lies below the head: the next link names it.
                // Never beyond what a file that lost its end still holds.
                let there = file.start().saturating_add(file.area_bytes());
                let end = piece.end.min(there);
                segments.push(Segment::new((file.base, file.bytes), end, file.id, None));
            }
        }
        let mut spares = VecDeque::new();
        for file in plan.spares.iter().filter_map(|index| self.files.get(*index)) {
            let (base, bytes, filled) = (file.base, file.bytes, file.frames_end());
            spares.push_back(Spare { base, bytes, file: open(self.bytes.storage, file)?, filled });
        }
        self.report.segments = segments.len();
        let start = Start {
            active,
            spares,
            previous_base: plan.previous.0,
            previous_end: plan.previous.1,
            next_base: plan.state.next_base,
        };
        Ok(Recovered {
            id: plan.state.id,
            earlier: self.earlier(plan.state.id),
            control,
            head,
            segments,
            tail: plan.tail,
            start,
            last_checksum: self.last_checksum,
            report: self.report,
            doomed: self.doomed,
        })
    }
}

/// Removes files and returns their paths.
pub(super) fn remove(storage: &dyn Storage, names: &[String]) -> Result<Vec<PathBuf>> {
    names
        .iter()
        .map(|name| {
            let path = storage.path(name);
            match storage.remove(name) {
                Ok(()) => Ok(path),
                Err(source) => Err(Error::io(Op::Remove, path, source)),
            }
        })
        .collect()
}

/// Makes a log where there is none.
pub(super) fn create(storage: &dyn Storage, survey: &Survey) -> Result<Recovered> {
    let removed = remove(storage, &survey.names.leftovers)?;
    let head = crate::format::frames_start(0);
    let id = new_id();
    let control = Control::create(
        storage,
        ControlState {
            id,
            head,
            next_base: 0,
            newest: None,
            durable_end: head,
            cut: None,
            clean: false,
            app_state: Vec::new(),
        },
    )?;
    let start = Start {
        active: None,
        spares: VecDeque::new(),
        previous_base: u64::MAX,
        previous_end: u64::MAX,
        next_base: 0,
    };
    let report = Recovery {
        created: true,
        head: Lsn::new(head),
        end: Lsn::new(head),
        foreign: survey.names.foreign.iter().map(|name| storage.path(name)).collect(),
        removed,
        ..Recovery::default()
    };
    let segments = Vec::new();
    let (earlier, last_checksum) = (Vec::new(), 0);
    Ok(Recovered {
        control,
        id,
        earlier,
        head,
        segments,
        tail: head,
        start,
        last_checksum,
        report,
        doomed: Vec::new(),
    })
}

/// An id that no other log has: the standard library's hash keys are random for each thread, and
/// time and process are mixed in.
pub(crate) fn new_id() -> LogId {
    use std::hash::{BuildHasher, RandomState};
    #[cfg(test)]
    #[cfg(not(miri))]
    if let Some(drawn) = crate::sync::drawn_number() {
        return LogId::new(u128::from(drawn).to_le_bytes());
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = (now.map_or(0, |time| time.as_nanos()), std::process::id());
    let [high, low] = [(); 2].map(|()| u128::from(RandomState::new().hash_one(seed)));
    LogId::new((high << 64 | low).to_le_bytes())
}
