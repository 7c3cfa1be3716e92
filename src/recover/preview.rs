//! [`Preview`]: what opening a log would find and do.
//!
//! Invariant: it is read, judged and planned by what opening itself uses, up to where that would begin
//! to write; nothing is changed.
//!
//! Beside a writer a look is no single moment: what it finds wrong may just not have been written when
//! it was read. So a refusal is believed when two looks in a row have come to it.

use crate::error::{Error, Result};
use crate::format::{LogId, SET_ASIDE_SUFFIX};
use crate::lsn::Lsn;
use crate::options::Options;
use crate::recover::bytes::Bytes;
use crate::recover::decide::{Decision, Refusal, decide};
use crate::recover::facts::{Chain, SegmentFile};
use crate::recover::findings::Findings;
use crate::recover::gone::unless_gone;
use crate::recover::plan::Plan;
use crate::recover::report::{CutReport, Recovery};
use crate::storage::Storage;

/// How often is looked where each look finds another reason to refuse.
const LOOKS_MAX: usize = 8;

/// What opening a log would find and do, found by changing nothing. From
/// [`Options::preview`](crate::Options::preview).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Preview {
    /// What [`Log::recovery`](crate::Log::recovery) would say. Where opening would be refused, `head`,
    /// `end`, `segments`, `damage` and `foreign` alone are filled in, as far as they are known.
    pub recovery: Recovery,
    /// Why opening would be refused.
    pub refusal: Option<Error>,
    /// Everything below was durable once: what is there proves it.
    pub durable: Lsn,
    /// The log, unless nothing says which one it is.
    pub id: Option<LogId>,
}

impl Preview {
    /// Looks at the log in `storage`, through which nothing is to be changed.
    pub(crate) fn look(storage: &dyn Storage, options: &Options) -> Result<Self> {
        let mut before: Option<String> = None;
        let mut looks = 1;
        loop {
            let found = unless_gone(storage, || Self::look_once(storage, options));
            let trouble = match &found {
                Ok(Self { refusal: None, .. }) => return found,
                Ok(Self { refusal: Some(error), .. }) | Err(error) => error.to_string(),
            };
            if looks == LOOKS_MAX || before.as_ref() == Some(&trouble) {
                return found;
            }
            before = Some(trouble);
            looks += 1;
        }
    }

    fn look_once(storage: &dyn Storage, options: &Options) -> Result<Self> {
        let mut bytes = Bytes::new(storage);
        let findings = Findings::collect(&mut bytes, options.recovery)?;
        let Findings { survey, chain, .. } = &findings;
        let winner = survey.control.as_ref().map(|control| &control.winner.state);
        let head = winner.map_or(0, |state| state.head);
        let mut preview = Self {
            recovery: Recovery {
                head: Lsn::new(head),
                end: Lsn::new(chain.end().unwrap_or(head)),
                segments: chain.pieces.len(),
                scanned_bytes: chain.scanned_bytes,
                foreign: survey.names.foreign.iter().map(|name| storage.path(name)).collect(),
                damage: chain.damage.clone(),
                ..Recovery::default()
            },
            refusal: None,
            durable: Lsn::new(chain.proven),
            id: winner.map(|state| state.id),
        };
        let (clean, cut) = match decide(&findings.facts(options), options.recovery) {
            Decision::Create => {
                preview.recovery.created = true;
                return Ok(preview);
            }
            Decision::Continue => (true, false),
            Decision::Recover { cut, .. } => (false, cut),
            Decision::ReadOnly => {
                preview.refusal = Some(findings.refuse(storage, Refusal::NoControl));
                return Ok(preview);
            }
            Decision::Refuse(refusal) => {
                preview.refusal = Some(findings.refuse(storage, refusal));
                return Ok(preview);
            }
        };
        let Some(state) = winner else { return Ok(preview) };
        let files = &survey.files;
        let plan = Plan::new(files, chain, state, clean, options.segment_bytes);
        let report = &mut preview.recovery;
        report.clean = clean;
        report.head = Lsn::new(plan.state.head);
        report.end = Lsn::new(chain.end().unwrap_or(plan.state.head));
        report.segments = kept_segments(files, chain, plan.state.head);
        report.rewritten_bytes = if clean { 0 } else { rewritten_bytes(chain) };
        report.cut = if cut { CutReport::of(storage, files, chain) } else { None };
        let names = |indices: &[usize]| {
            let names = indices.iter().filter_map(|index| files.get(*index)).map(SegmentFile::name);
            names.collect::<Vec<_>>()
        };
        let aside = names(&plan.set_aside);
        let aside = aside.iter().map(|name| storage.path(&format!("{name}{SET_ASIDE_SUFFIX}")));
        report.set_aside = aside.collect();
        let removed = survey.names.leftovers.iter().cloned().chain(names(&plan.remove));
        report.removed = removed.map(|name| storage.path(&name)).collect();
        Ok(preview)
    }
}

/// How many segments the opened log has.
fn kept_segments(files: &[SegmentFile], chain: &Chain, head: u64) -> usize {
    let last = chain.pieces.len().saturating_sub(1);
    let pieces = chain.pieces.iter().enumerate();
    let kept = pieces.filter(|(index, piece)| {
        files.get(piece.file).is_some() && (piece.end > head || *index == last)
    });
    kept.count()
}

/// How many bytes are written again.
fn rewritten_bytes(chain: &Chain) -> u64 {
    let unsealed = chain.pieces.iter().filter(|piece| piece.sealed.is_none());
    unsealed.map(|piece| piece.end.saturating_sub(chain.proven.max(piece.intact_from))).sum()
}
