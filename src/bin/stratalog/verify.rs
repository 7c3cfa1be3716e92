//! `verify`: every frame, trailer, link and control slot, on all cores.
//!
//! Invariant: all damage is told, not only the first; and what a writer changes meanwhile is not taken
//! for damage: what is found is looked up again in the log as it is then.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde_json::json;
use stratalog::format::CONTROL_NAME;
use stratalog::{Error, LogReader, Options, SegmentInfo};

use crate::check::{Checked, check};
use crate::control;
use crate::damage::{self, Finding, Part};
use crate::directory::{Directory, Kind, Listed, Writer};
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::output::{Output, Paint, counted, size, time};
use crate::progress::Bar;

/// More threads than that a disk does not serve better.
const THREADS_MAX: usize = 8;

/// Verifies every frame, trailer, link and control slot; lists all damage
///
/// Takes the directory of a log or of an archive, which may be in use, or single
/// segment and control files. Exit code 1 if anything durable is damaged.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  stratalog verify data/wal\n  stratalog verify backup/*.seg")]
pub(crate) struct Verify {
    /// The log's directory, or files
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
}

/// A file that is to be checked.
#[derive(Clone, Debug)]
struct Work {
    path: PathBuf,
    /// Where its frames end, if the log says so.
    end: Option<u64>,
    bytes: u64,
}

/// What was found.
#[derive(Debug, Default)]
struct Verified {
    files: u64,
    records: u64,
    bytes: u64,
    damage: Vec<Finding>,
    notes: Vec<Finding>,
    interrupted: bool,
}

pub(crate) fn run(arguments: &Verify, output: &mut Output) -> Result<Outcome, Failure> {
    let started = Instant::now();
    let mut all = Verified::default();
    let mut files = Vec::new();
    let mut damaged_dir = None;
    for path in &arguments.paths {
        if path.is_dir() {
            let before = all.damage.len();
            verify_log(path, &mut all, output)?;
            if all.damage.len() > before {
                damaged_dir = damaged_dir.or(Some(path.as_path()));
            }
        } else {
            files.push(path.clone());
        }
    }
    verify_files(&files, &mut all, output)?;
    all.damage = damage::merged(all.damage);
    tell(&all, damaged_dir, output)?;
    if output.shows_progress() {
        // Not on standard output, where the same log gives the same text.
        output.flush()?;
        eprintln!("verified in {}", time(started.elapsed()));
    }
    if all.interrupted {
        return Err(Failure::Usage("stopped before everything was verified".to_owned()));
    }
    Ok(if all.damage.is_empty() { Outcome::Fine } else { Outcome::Damage })
}

/// Verifies a whole log, or an archive.
fn verify_log(dir: &Path, all: &mut Verified, output: &Output) -> Result<(), Failure> {
    let reader = match Options::new().open_read_only(dir) {
        Ok(reader) => reader,
        Err(error) => return verify_unreadable(dir, error, all, output),
    };
    let work = |info: SegmentInfo| {
        let bytes = info.end.get() - info.start.get();
        Work { path: info.path, end: Some(info.end.get()), bytes }
    };
    let work: Vec<_> = reader.segments().into_iter().map(work).collect();
    let checked = on_all_cores(&work, all, output)?;
    // What is found is held against the log as it is now, with all its writer has done meanwhile.
    reader.refresh()?;
    // Trailers are written in order: a crash leaves no bad one below a good one, a close none at all.
    let last_sealed = checked.iter().rposition(|found| found.sealed.is_some()).unwrap_or(0);
    for (index, found) in checked.iter().enumerate() {
        let is_part = |finding: &&Finding| is_part(&reader, found.base, finding);
        all.damage.extend(found.damage.iter().filter(is_part).cloned());
        let rotten = reader.report().clean || index < last_sealed;
        let notes = found.notes.iter().filter(is_part).cloned();
        if rotten { all.damage.extend(notes) } else { all.notes.extend(notes) }
    }
    all.damage.extend(reader.report().damage.iter().map(Finding::of));
    all.notes.extend(broken_sums(&checked));
    let directory = Directory::list(dir)?;
    if directory.is_archive() {
        return Ok(());
    }
    control::check(&dir.join(CONTROL_NAME), &mut all.damage, &mut all.notes)?;
    // What opening says counts only if nobody wrote meanwhile.
    let is_idle = || directory.writer() == Writer::Nobody;
    let preview = if is_idle() { Some(Options::new().preview(dir)) } else { None };
    if let Some(preview) = preview.filter(|_| is_idle()) {
        let preview = preview?;
        let refusal = preview.refusal.and_then(|error| Finding::of_error(&error));
        all.damage.extend(refusal);
        all.notes.extend(preview.recovery.cut.as_ref().map(Finding::of_cut));
    }
    Ok(())
}

/// What lies in the directory can't be read as a log; its files can be checked all the same.
fn verify_unreadable(
    dir: &Path,
    error: Error,
    all: &mut Verified,
    output: &Output,
) -> Result<(), Failure> {
    let finding = Finding::of_error(&error).ok_or(error)?;
    all.damage.push(finding);
    let directory = Directory::list(dir)?;
    let is_segment = |file: &Listed| matches!(file.kind, Kind::Segment { .. });
    let segments = directory.files.into_iter().filter(is_segment);
    let work: Vec<_> =
        segments.map(|file| Work { path: file.path, end: None, bytes: file.bytes }).collect();
    for found in on_all_cores(&work, all, output)? {
        all.damage.extend(found.damage);
        all.notes.extend(found.notes);
    }
    control::check(&dir.join(CONTROL_NAME), &mut all.damage, &mut all.notes)
}

/// Whether what was found in a segment still concerns the log.
fn is_part(reader: &LogReader, base: u64, finding: &Finding) -> bool {
    let Finding { path, lsn, .. } = finding;
    let segments = reader.segments();
    let segment = segments.iter().find(|info| info.path == *path);
    // One that is damaged as a whole is not among them.
    let end = segment.map_or(u64::MAX, |info| info.end.get());
    let is_there = segment.is_some_and(|info| info.base == base || base == 0);
    is_there && (lsn.is_empty() || (lsn.start < end && lsn.end > reader.head().get()))
}

/// Trailers that name another one before them than there is.
fn broken_sums(checked: &[Checked]) -> Vec<Finding> {
    let pairs = checked.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        // In an archive with a gap it is not the one before.
        after.previous_base.filter(|base| *base == before.base)?;
        let (_, checksum) = before.sealed?;
        let (trailer, _) = after.sealed?;
        let named = trailer.previous_checksum;
        (named != 0 && named != checksum).then(|| Finding {
            path: after.path.clone(),
            offset: after.trailer_offset,
            lsn: 0..0,
            part: Part::Trailer,
            reason: format!("expected previous_checksum {checksum:08x}, found {named:08x}"),
        })
    });
    pairs.collect()
}

/// Verifies single files.
fn verify_files(files: &[PathBuf], all: &mut Verified, output: &Output) -> Result<(), Failure> {
    let mut work = Vec::new();
    for path in files {
        if path.file_name().is_some_and(|name| name == CONTROL_NAME) {
            all.files += 1;
            control::check(path, &mut all.damage, &mut all.notes)?;
            continue;
        }
        let metadata = fs::metadata(path).map_err(|source| Failure::io("open", path, source))?;
        work.push(Work { path: path.clone(), end: None, bytes: metadata.len() });
    }
    for found in on_all_cores(&work, all, output)? {
        all.damage.extend(found.damage);
        // A file by itself is a copy of a segment that was sealed.
        let (trailers, notes): (Vec<_>, Vec<_>) =
            found.notes.into_iter().partition(|note| note.part == Part::Trailer);
        all.damage.extend(trailers);
        all.notes.extend(notes);
    }
    Ok(())
}

/// What a thread has to tell.
enum Told {
    Bytes(u64),
    Done(usize, Result<Checked, Failure>),
}

/// Checks files, several at once; gives what was found in their order.
fn on_all_cores(
    work: &[Work],
    all: &mut Verified,
    output: &Output,
) -> Result<Vec<Checked>, Failure> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(THREADS_MAX).min(work.len());
    let bar = Bar::bytes(output, work.iter().map(|item| item.bytes).sum());
    let mut done: Vec<Option<Checked>> = work.iter().map(|_| None).collect();
    let mut gone = 0;
    thread::scope(|scope| {
        let (teller, told) = mpsc::channel();
        for first in 0..threads {
            let teller = teller.clone();
            scope.spawn(move || {
                for (index, item) in work.iter().enumerate().skip(first).step_by(threads) {
                    if interrupt::is_requested() {
                        break;
                    }
                    let progress = |bytes| drop(teller.send(Told::Bytes(bytes)));
                    let found = check(&item.path, item.end, &progress);
                    if teller.send(Told::Done(index, found)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(teller);
        for told in told {
            match told {
                Told::Bytes(bytes) => bar.add(bytes),
                // The writer has dropped it meanwhile.
                Told::Done(_, Err(failure)) if failure.is_not_found() => gone += 1,
                Told::Done(index, found) => {
                    let found = found?;
                    all.add(&found);
                    if let Some(place) = done.get_mut(index) {
                        *place = Some(found);
                    }
                }
            }
        }
        Ok::<(), Failure>(())
    })?;
    bar.finish();
    let done: Vec<_> = done.into_iter().flatten().collect();
    all.interrupted |= done.len() + gone < work.len();
    Ok(done)
}

impl Verified {
    fn add(&mut self, found: &Checked) {
        self.files += 1;
        self.records += found.records;
        self.bytes += found.bytes;
        self.interrupted |= found.interrupted;
    }
}

fn tell(all: &Verified, dir: Option<&Path>, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&json!({
            "files": all.files,
            "records": all.records,
            "bytes": all.bytes,
            "complete": !all.interrupted,
            "damage": damage::as_json(&all.damage),
            "notes": damage::notes_as_json(&all.notes),
        }));
    }
    damage::tell(&all.damage, output)?;
    damage::tell_notes(&all.notes, output)?;
    if !all.damage.is_empty() {
        damage::advise(dir, output)?;
        output.line("")?;
    }
    let (files, records) = (counted(all.files, "file"), counted(all.records, "record"));
    let verdict = match all.damage.len() as u64 {
        0 if all.interrupted => output.paint(Paint::Warning, "no damage so far"),
        0 => output.paint(Paint::Good, "no damage"),
        count => output.paint(Paint::Bad, format_args!("{} damaged", counted(count, "place"))),
    };
    output.line(format_args!("{files}, {} of frames, {records}: {verdict}", size(all.bytes)))
}
