//! [`judge`]: opens a damaged disk under each policy and holds what comes of it against what must
//! never happen, whatever the damage; [`Tally`]: which outcomes a table allows, and which there were.
//!
//! Invariant: a log that opens gives records that were appended, at their addresses, and in an order
//! without gaps unless damage is named; nothing that an undamaged piece proves durable is lost without
//! that; a refusal changes no byte and names a file that is damaged or missing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use stratalog::format::{CONTROL_NAME, FileKind, classify};
use stratalog::storage::{Image, MemoryStorage};
use stratalog::{Corruption, Error, Log, Lsn, Preview, ReadOptions, RecoveryPolicy};

use super::logs::Sample;
use crate::common::{Records, Tag, number, read, tiny};

pub(super) const POLICIES: [RecoveryPolicy; 3] =
    [RecoveryPolicy::CutTornTail, RecoveryPolicy::Strict, RecoveryPolicy::SkipCorrupt];

/// Of so many logs that open one is appended to, closed, and opened again. It is no multiple of 3, so
/// that each policy has its turn.
const GOING_ON: usize = 8;

/// What came of opening and reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// All records are there.
    Whole,
    /// Those are missing from the end of which nothing undamaged proves that they were durable.
    Prefix,
    /// It opens, and reading ends with an error at the first damaged frame.
    FoundOnRead,
    /// It opens with the damage reported, and all undamaged records.
    Saved,
    /// Refused: damaged, or a file is missing.
    Corrupt,
    /// Refused: no slot of the control file is valid.
    NoControl,
    /// Refused: a file of another log.
    Stranger,
    /// Refused by the strict policy: leftovers of a crash.
    Torn,
}

/// What opening gave, for tests that know more.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) outcome: Outcome,
    /// It was taken for a log that had been closed.
    pub(super) clean: bool,
    pub(super) error: Option<Error>,
    /// What was read before an error, and what with damage skipped.
    pub(super) seen: Records,
}

/// What all policies have in common about a damaged disk.
struct Damaged<'a> {
    sample: &'a Sample,
    image: &'a Image,
    proven: u64,
    broken: Vec<u64>,
}

/// Whether everything is tried that can be, however long it takes.
pub(super) fn exhaustive() -> bool {
    number("STRATALOG_EXHAUSTIVE").is_some_and(|value| value > 0)
}

/// Opens a damaged disk under each policy. Panics if what comes of it must never be.
pub(super) fn judge(sample: &Sample, image: &Image, what: &dyn Fn() -> String) -> [Opened; 3] {
    let proven = sample.oracle.proven(image);
    let broken = sample.oracle.damaged(image);
    let damaged = Damaged { sample, image, proven, broken };
    POLICIES.map(|policy| {
        let judged = catch_unwind(AssertUnwindSafe(|| damaged.open(policy)));
        let judged = judged.unwrap_or_else(|_| Err("it panicked".to_owned()));
        judged.unwrap_or_else(|wrong| panic!("{}, {}, {policy:?}: {wrong}", sample.what, what()))
    })
}

/// Opening found and did what the preview said, or was refused as it said.
fn was_previewed(
    preview: stratalog::Result<Preview>,
    opened: &stratalog::Result<Log>,
) -> Result<(), String> {
    match opened {
        Ok(log) => {
            let told = preview.as_ref().is_ok_and(|it| it.recovery == *log.recovery());
            let expected = log.recovery();
            ensure(told, || format!("{preview:?} was previewed, but it is {expected:?}"))
        }
        Err(error) => {
            let told = preview.map_or_else(Some, |preview| preview.refusal);
            let same = told.as_ref().map(ToString::to_string) == Some(error.to_string());
            ensure(same, || format!("{told:?} was previewed, but it is {error:?}"))
        }
    }
}

impl Damaged<'_> {
    fn open(&self, policy: RecoveryPolicy) -> Result<Opened, String> {
        let disk = MemoryStorage::from_image(self.image.clone());
        let preview = tiny().recovery(policy).preview_with(disk.clone());
        let opened = tiny().recovery(policy).open_with(disk.clone());
        was_previewed(preview, &opened)?;
        let log = match opened {
            Ok(log) => log,
            Err(error) => {
                let outcome = self.refused(&error, policy)?;
                let same = without_locks(disk.image()) == without_locks(self.image.clone());
                ensure(same, || format!("refused with {error}, but changed the disk"))?;
                return Ok(Opened { outcome, clean: false, error: Some(error), seen: Vec::new() });
            }
        };
        let clean = log.recovery().clean;
        let (seen, error) = read(&log.snapshot());
        let snapshot = log.snapshot_with(ReadOptions::new().skip_damage(true));
        let mut iter = snapshot.iter();
        let saved: Result<Records, Error> = iter
            .by_ref()
            .map(|record| record.map(|it| (it.lsn(), it.payload().to_vec())))
            .collect();
        let saved = saved.map_err(|error| format!("skipping damage failed: {error}"))?;
        let skipped = iter.skipped_bytes();
        let reported = !log.recovery().damage.is_empty();
        if reported && policy != RecoveryPolicy::SkipCorrupt {
            return Err("it opened with damage".to_owned());
        }
        let outcome = match &error {
            _ if reported => Outcome::Saved,
            // The policy that skips reads on.
            Some(_) => Outcome::FoundOnRead,
            None if skipped > 0 => Outcome::FoundOnRead,
            None if seen.len() == self.sample.kept.len() => Outcome::Whole,
            None => Outcome::Prefix,
        };
        if let Some(error) = &error {
            self.names_damage(error)?;
        }
        let skips = policy == RecoveryPolicy::SkipCorrupt;
        let told = error.is_some() == (skipped > 0 && !skips);
        ensure(told, || format!("{error:?}, but skipped {skipped}"))?;
        ensure(!skips || seen == saved, || "it is not read as its policy says".to_owned())?;
        let kept = &self.sample.kept;
        if !reported && (!skips || skipped == 0) && kept.get(..seen.len()) != Some(&seen[..]) {
            return Err("what is read is not how the log begins".to_owned());
        }
        // Leftovers of a crash are found where damage lies right before them.
        let known = if reported { &self.sample.appended } else { kept };
        if let Some(stray) = saved.iter().find(|record| !known.contains(record)) {
            return Err(format!("what is read at {} was never appended there", stray.0));
        }
        ensure(saved.is_sorted_by_key(|record| record.0), || "records in disorder".to_owned())?;
        self.nothing_is_lost(&log, &saved, skipped > 0)?;
        if outcome == Outcome::Prefix
            && kept.get(seen.len()).is_some_and(|(_, payload)| Tag::of(payload).part != 0)
        {
            return Err("a batch is torn".to_owned());
        }
        let turn = self.sample.turn.get();
        self.sample.turn.set(turn + 1);
        if turn.is_multiple_of(GOING_ON) || exhaustive() {
            self.goes_on(log, &disk, policy, seen.clone(), outcome)?;
        }
        let seen = if error.is_some() { saved } else { seen };
        Ok(Opened { outcome, clean, error, seen })
    }

    /// Each undamaged record that something proves durable is there; each damaged one is reported.
    fn nothing_is_lost(&self, log: &Log, saved: &Records, on_read: bool) -> Result<(), String> {
        let recovery = log.recovery();
        let damage = &recovery.damage;
        for (lsn, _) in self.sample.kept.iter().filter(|(lsn, _)| lsn.get() < self.proven) {
            if saved.binary_search_by_key(lsn, |record| record.0).is_ok() {
                continue;
            }
            let named = damage.iter().any(|one| one.lsn.contains(lsn)) || on_read;
            if !named {
                let proven = self.proven;
                return Err(format!(
                    "{lsn} is lost, although all below {proven} was durable: {recovery}"
                ));
            }
            if !self.broken.contains(&lsn.get()) {
                return Err(format!("{lsn} is lost, although it is undamaged: {recovery}"));
            }
        }
        Ok(())
    }

    fn refused(&self, error: &Error, policy: RecoveryPolicy) -> Result<Outcome, String> {
        if let Error::TornTail { .. } = error {
            let strict = policy == RecoveryPolicy::Strict;
            return ensure(strict, || format!("not for {policy:?}: {error}"))
                .map(|()| Outcome::Torn);
        }
        self.names_damage(error)?;
        match error {
            Error::Corrupt { reason: Corruption::NoControl, .. } => Ok(Outcome::NoControl),
            Error::Corrupt { reason: Corruption::ForeignLog, .. } => Ok(Outcome::Stranger),
            Error::Corrupt { .. } | Error::MissingSegment { .. } => Ok(Outcome::Corrupt),
            other => Err(format!("not what damage is told by: {other:?}")),
        }
    }

    /// An error names, in one line, a file that is not as it was.
    fn names_damage(&self, error: &Error) -> Result<(), String> {
        let (Error::Corrupt { path, .. } | Error::MissingSegment { path, .. }) = error else {
            return Err(format!("not what damage is told by: {error:?}"));
        };
        let text = error.to_string();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let named = !text.contains('\n') && text.contains(&*path.to_string_lossy());
        ensure(named, || format!("the error does not name the file in one line: {text}"))?;
        let name = name.unwrap_or_default();
        let changed = self.image.get(&name) != self.sample.image.get(&name);
        // The control file says which log it is, and which segments there are.
        let strangers = matches!(
            error,
            Error::Corrupt { reason: Corruption::ForeignLog, .. } | Error::MissingSegment { .. }
        );
        let control = [self.image, &self.sample.image].map(|image| image.get(CONTROL_NAME));
        let told = strangers && control[0] != control[1];
        ensure(changed || told, || format!("the file that is named is undamaged: {text}"))
    }

    /// What was opened can be appended to, closed, and opened again. No address is given again.
    fn goes_on(
        &self,
        log: Log,
        disk: &MemoryStorage,
        policy: RecoveryPolicy,
        mut seen: Records,
        outcome: Outcome,
    ) -> Result<(), String> {
        let failed = |error: Error| format!("the opened log does not go on: {error}");
        let more = Tag::single(99, 99).payload(5);
        let lsn = log.append_durable(&more).map_err(failed)?;
        // The newest slot and the newest segments know what was offered: one of them is enough.
        let control = [self.image, &self.sample.image].map(|image| image.get(CONTROL_NAME));
        let forgotten = control[0] != control[1] && self.sample.oracle.forgets(self.image);
        let fresh = lsn.get() >= self.sample.offered || forgotten;
        ensure(fresh, || format!("{lsn} was given to another record before"))?;
        log.close().map_err(failed)?;
        let again = tiny().recovery(policy).open_with(disk.clone()).map_err(failed)?;
        let (read, _) = read(&again.snapshot());
        seen.push((lsn, more));
        match outcome {
            Outcome::Whole | Outcome::Prefix => {
                ensure(read == seen, || "after going on it is another log".to_owned())
            }
            _ => {
                let skip = again.snapshot_with(ReadOptions::new().skip_damage(true));
                let last = skip.last().map_err(failed)?.map(|record| record.lsn());
                ensure(last == Some(lsn), || "what was appended last is not there".to_owned())
            }
        }
    }
}

fn without_locks(mut image: Image) -> Image {
    let locks: Vec<String> =
        image.names().filter(|name| is_lock(name)).map(str::to_owned).collect();
    for name in locks {
        image.remove(&name);
    }
    image
}

fn is_lock(name: &str) -> bool {
    matches!(classify(name), FileKind::Lock | FileKind::Readers)
}

pub(super) fn ensure(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// The records below an address.
pub(super) fn below(records: &Records, end: u64) -> &[(Lsn, Vec<u8>)] {
    &records[..records.partition_point(|(lsn, _)| lsn.get() < end)]
}

/// What each policy may make of a kind of damage: the default, the strict one, the one that skips.
/// Every outcome that is listed has to occur, and no other.
pub(super) type Row<K> = (K, [&'static [Outcome]; 3]);

/// Counts what came of the rows of a table.
#[derive(Debug)]
pub(super) struct Tally<K: 'static> {
    table: &'static [Row<K>],
    counts: BTreeMap<(usize, usize, Outcome), usize>,
}

impl<K: Copy + PartialEq + Debug> Tally<K> {
    pub(super) fn new(table: &'static [Row<K>]) -> Self {
        Self { table, counts: BTreeMap::new() }
    }

    /// Counts, after a look into the table.
    pub(super) fn count(&mut self, key: K, opened: &[Opened; 3]) -> Result<(), String> {
        let row = self.table.iter().position(|(row, _)| *row == key);
        let row = row.ok_or_else(|| format!("no row for {key:?}"))?;
        for (policy, opened) in opened.iter().enumerate() {
            if !self.table[row].1[policy].contains(&opened.outcome) {
                let (policy, outcome) = (POLICIES[policy], opened.outcome);
                return Err(format!("{key:?} is {outcome:?} to {policy:?}: {:?}", opened.error));
            }
            *self.counts.entry((row, policy, opened.outcome)).or_default() += 1;
        }
        Ok(())
    }

    /// Prints the counts; fails if something that the table lists never occurred.
    pub(super) fn finish(self) {
        let total: usize = self.counts.values().sum();
        println!("{total} times opened");
        for (row, (key, columns)) in self.table.iter().enumerate() {
            for (policy, outcomes) in columns.iter().enumerate() {
                for outcome in *outcomes {
                    let count = self.counts.get(&(row, policy, *outcome));
                    let cell = format!("{key:?}, {:?}: {outcome:?}", POLICIES[policy]);
                    println!("{cell} {}", count.copied().unwrap_or(0));
                    assert!(count.is_some(), "{cell}: never");
                }
            }
        }
    }
}
