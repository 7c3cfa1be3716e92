//! [`Findings`]: everything that opening knows before it decides, and the error of a refusal.
//!
//! Invariant: nothing was changed to learn it.

use crate::error::{Corruption, Error, NotALog, Result};
use crate::format::{CONTROL_NAME, ControlState, Winner};
use crate::lsn::Lsn;
use crate::options::{Options, RecoveryPolicy};
use crate::recover::bytes::Bytes;
use crate::recover::chain::Walk;
use crate::recover::decide::Refusal;
use crate::recover::facts::{
    Chain, Facts, LinkFact, Mark, Presence, SegmentFile, StopKind, path_of,
};
use crate::recover::order::Order;
use crate::recover::report::Damage;
use crate::recover::survey::Survey;
use crate::storage::Storage;

#[derive(Debug)]
pub(super) struct Findings {
    pub(super) survey: Survey,
    pub(super) mark: Mark,
    pub(super) troubled: Vec<usize>,
    pub(super) chain: Chain,
}

impl Findings {
    /// Reads what has to be read. Where the policy is to skip damage, looks on behind it.
    pub(super) fn collect(bytes: &mut Bytes<'_>, policy: RecoveryPolicy) -> Result<Self> {
        let survey = Survey::take(bytes.storage)?;
        Self::examine(bytes, survey, policy)
    }

    /// The same for what was surveyed already.
    pub(super) fn examine(
        bytes: &mut Bytes<'_>,
        survey: Survey,
        policy: RecoveryPolicy,
    ) -> Result<Self> {
        let winner = survey.control.as_ref().map(|control| control.winner.clone());
        Self::follow(bytes, survey, winner, policy == RecoveryPolicy::SkipCorrupt)
    }

    /// Reads what has to be read to read the log, and looks on behind damage. Where there is no valid
    /// control slot the links alone say what belongs to it, from the oldest segment on.
    pub(super) fn collect_for_reading(bytes: &mut Bytes<'_>) -> Result<Self> {
        let survey = Survey::take_for_reading(bytes.storage)?;
        let winner = match &survey.control {
            Some(control) => Some(control.winner.clone()),
            None => without_control(&survey.files),
        };
        Self::follow(bytes, survey, winner, true)
    }

    fn follow(
        bytes: &mut Bytes<'_>,
        survey: Survey,
        winner: Option<Winner>,
        skip: bool,
    ) -> Result<Self> {
        let mut findings =
            Self { survey, mark: Mark::Absent, troubled: Vec::new(), chain: Chain::default() };
        let Some(winner) = winner else {
            return Ok(findings);
        };
        let files = &findings.survey.files;
        let order = Order::new(files, &winner.state);
        let hopeless = findings.survey.stranger.is_some() || !(skip || order.troubled.is_empty());
        if !hopeless {
            let mark = order.mark(bytes.storage, files, &winner)?;
            let clean = mark == Mark::Holds;
            let mut walk = |clean, keep_going| {
                Walk::new(files, &winner.state, bytes, &order, clean, keep_going).run()
            };
            let mut chain = walk(clean, skip && !clean)?;
            let whole = chain.stop.is_none() && chain.missing.is_none();
            if clean && skip && !(whole && order.troubled.is_empty()) {
                chain = walk(false, true)?;
            }
            findings.mark = mark;
            findings.chain = chain;
        }
        findings.troubled = order.troubled;
        if skip {
            findings.report_troubled(bytes.storage);
        }
        Ok(findings)
    }

    /// Files that are damaged as a whole come first in the report.
    fn report_troubled(&mut self, storage: &dyn Storage) {
        let next_base = self.survey.control.as_ref().map_or(0, |it| it.winner.state.next_base);
        let troubles = self.troubled.iter().filter_map(|index| {
            let file = self.survey.files.get(*index)?;
            let trouble = file.trouble?;
            // Where frames can be looked for, the walk has told what is lost. Otherwise all may be, up
            // to what follows, however little is left of the file.
            let next = self.survey.files.get(*index + 1).map_or(next_base, |next| next.base);
            let to = if trouble.usable { file.base } else { next.max(file.next_base()) };
            Some(Damage {
                path: path_of(storage, file),
                offset: trouble.offset,
                lsn: Lsn::new(file.base)..Lsn::new(to),
                reason: trouble.reason,
            })
        });
        let damage = troubles.chain(self.chain.damage.iter().cloned()).collect();
        self.chain.damage = damage;
    }

    pub(super) fn facts(&self, options: &Options) -> Facts {
        let names = &self.survey.names;
        let chain = &self.chain;
        let stop = chain.stop.as_ref();
        let behind = !chain.behind.is_empty();
        Facts {
            presence: match &self.survey.control {
                Some(_) => Presence::Log,
                None if names.control || !names.segments.is_empty() => Presence::NoControl,
                None => Presence::Nothing,
            },
            create: options.create,
            stranger: self.survey.stranger.is_some(),
            foreign: !names.foreign.is_empty(),
            mark: self.mark,
            damage: !self.troubled.is_empty() || !chain.damage.is_empty(),
            missing: chain.missing.is_some(),
            stop: stop.map(|stop| stop.kind),
            evidence: stop.is_some_and(|stop| stop.evidence),
            torn: stop.is_some_and(|stop| stop.left > 0) || (stop.is_some() && behind),
            leftover: !chain.leftovers.is_empty() || (stop.is_none() && behind),
        }
    }

    pub(super) fn refuse(self, storage: &dyn Storage, refusal: Refusal) -> Error {
        let chain = &self.chain;
        let file = |index: usize| self.survey.files.get(index);
        let no_control = || Error::Corrupt {
            path: storage.path(CONTROL_NAME),
            offset: 0,
            lsn: None,
            reason: Corruption::NoControl,
        };
        let nothing = || Error::NotALog { path: storage.path(""), found: NotALog::Nothing };
        let torn = |file: &SegmentFile, lsn| Error::TornTail {
            path: path_of(storage, file),
            lsn: Lsn::new(lsn),
        };
        let stop = chain.stop.as_ref();
        let error = match refusal {
            Refusal::Nothing => None,
            Refusal::NoControl => Some(no_control()),
            Refusal::Missing => chain.missing.map(|missing| missing.error(storage)),
            Refusal::Foreign => {
                let name = self.survey.names.foreign.first();
                name.map(|name| Error::ForeignFile { path: storage.path(name) })
            }
            Refusal::Torn => {
                stop.and_then(|stop| Some(torn(file(stop.file)?, chain.end().unwrap_or(stop.at))))
            }
            Refusal::Leftover => {
                let first = chain.leftovers.first().or(chain.behind.first());
                let end = chain.end().unwrap_or_default();
                first.and_then(|index| Some(torn(file(*index)?, end)))
            }
            Refusal::Corrupt => self.corrupt(storage),
            Refusal::Stranger => return self.survey.stranger.unwrap_or_else(nothing),
        };
        error.unwrap_or_else(nothing)
    }

    /// The first damage: a file's as a whole, or where the chain stops.
    fn corrupt(&self, storage: &dyn Storage) -> Option<Error> {
        let file = |index: usize| self.survey.files.get(index);
        if let Some(troubled) = self.troubled.first().and_then(|index| file(*index)) {
            let trouble = troubled.trouble?;
            return Some(Error::Corrupt {
                path: path_of(storage, troubled),
                offset: trouble.offset,
                lsn: Some(Lsn::new(troubled.base)),
                reason: trouble.reason,
            });
        }
        let stop = self.chain.stop.as_ref()?;
        let stopped = file(stop.file)?;
        // Of a torn batch the invalid frame is the damage, of a broken one its beginning.
        let at = if stop.kind == StopKind::TornBatch { stop.invalid } else { stop.at };
        Some(Error::Corrupt {
            path: path_of(storage, stopped),
            offset: at.saturating_sub(stopped.base),
            lsn: Some(Lsn::new(at)),
            reason: stop.reason,
        })
    }
}

/// What a control file would say that knows nothing but the segments: that the log begins where the
/// oldest one does.
fn without_control(files: &[SegmentFile]) -> Option<Winner> {
    let oldest = files.iter().find(|file| {
        file.trouble.is_none_or(|trouble| trouble.usable)
            && (file.link != LinkFact::Blank || file.sealed.is_some())
    });
    let oldest = oldest.or(files.first())?;
    let state = ControlState {
        id: files.last().map_or(oldest.id, |newest| newest.id),
        head: oldest.start(),
        next_base: 0,
        newest: None,
        durable_end: 0,
        cut: None,
        clean: false,
        app_state: Vec::new(),
    };
    Some(Winner { slot: 0, sequence: 0, state, both_valid: false })
}
