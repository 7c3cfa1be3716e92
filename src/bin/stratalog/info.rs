//! `info`: what there is to know of a log at a glance, and what opening it would do.
//!
//! Invariant: nothing is written and no lock is taken, so it can be run beside the writer at any time.

use std::path::PathBuf;

use serde_json::{Value, json};
use stratalog::{Error, LogReader, Options, Preview, ReadOptions, SegmentInfo, SegmentState};

use crate::damage::{self, Finding};
use crate::directory::{Directory, Kind, Writer};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, Paint, counted, grouped, one_line, size};
use crate::picture::{self, Mark, Row, State};

/// Shows a log at a glance: state, health, segments, space
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog info data/wal")]
pub(crate) struct Info {
    /// The log's directory, or an archive's; another process may be writing it
    dir: PathBuf,
}

/// What was found.
struct Facts {
    directory: Directory,
    is_archive: bool,
    writer: Writer,
    reader: LogReader,
    segments: Vec<SegmentInfo>,
    /// How many records there are, if damage does not leave that open.
    records: Option<u64>,
    /// What opening would find. Nothing opens an archive.
    preview: Option<Preview>,
    damage: Vec<Finding>,
}

pub(crate) fn run(arguments: &Info, output: &mut Output) -> Result<Outcome, Failure> {
    let facts = Facts::find(arguments)?;
    if output.is_json() {
        output.json(&facts.as_json(arguments))?;
    } else {
        facts.tell(arguments, output)?;
    }
    Ok(if facts.is_damaged() { Outcome::Damage } else { Outcome::Fine })
}

impl Facts {
    fn find(arguments: &Info) -> Result<Self, Failure> {
        let reader = Options::new().open_read_only(&arguments.dir)?;
        let directory = Directory::list(&arguments.dir)?;
        let is_archive = directory.is_archive();
        let preview = if is_archive { None } else { Some(Options::new().preview(&arguments.dir)?) };
        let segments = reader.segments();
        let mut damage: Vec<_> = reader.report().damage.iter().map(Finding::of).collect();
        let records = match records(&reader, &segments) {
            Ok(records) => Some(records),
            Err(error) => {
                // Dropped while they were counted is no damage.
                damage.extend(Finding::of_error(&error));
                None
            }
        };
        let writer = directory.writer();
        Ok(Self {
            directory,
            is_archive,
            writer,
            reader,
            segments,
            records,
            preview,
            damage: damage::merged(damage),
        })
    }

    fn is_damaged(&self) -> bool {
        let refused = self.preview.as_ref().is_some_and(|preview| preview.refusal.is_some());
        refused || !self.damage.is_empty()
    }

    fn is_closed(&self) -> bool {
        self.preview.as_ref().is_some_and(|preview| preview.recovery.clean)
    }

    fn is_open(&self) -> bool {
        matches!(self.writer, Writer::Process(_) | Writer::Somebody)
    }

    /// Everything below is proven durable.
    fn durable(&self) -> u64 {
        let end = self.reader.end().get();
        self.preview.as_ref().map_or(end, |preview| preview.durable.get().min(end))
    }

    /// Files with a segment's name that hold nothing of the log: prepared, or left over.
    fn unused(&self) -> Vec<(u64, u64)> {
        let is_used = |base| self.segments.iter().any(|segment| segment.base == base);
        let files = self.directory.files.iter();
        let segments = files.filter_map(|file| match file.kind {
            Kind::Segment { base } if !is_used(base) => Some((base, file.bytes)),
            _ => None,
        });
        segments.collect()
    }

    fn health(&self) -> &'static str {
        let recovery = !self.is_archive && !self.is_closed() && !self.is_open();
        match (self.is_damaged(), recovery) {
            (true, _) => "damaged",
            (false, true) => "recovery",
            (false, false) => "fine",
        }
    }

    fn tell(&self, arguments: &Info, output: &mut Output) -> Result<(), Failure> {
        let (reader, durable) = (&self.reader, self.durable());
        output.line(output.paint(Paint::Bold, one_line(&arguments.dir)))?;
        let id = self.id().unwrap_or_else(|| "unknown".to_owned());
        output.line(format_args!("  log        {id}, format {}", stratalog::format::VERSION))?;
        output.line(format_args!("  state      {}", self.state()))?;
        let health = match self.health() {
            "damaged" => output.paint(Paint::Bad, "DAMAGED; see below, and stratalog verify"),
            "recovery" => {
                output.paint(Paint::Warning, "to be recovered when it is opened; see below")
            }
            _ => output.paint(Paint::Good, "fine, as far as opening looks; verify reads all"),
        };
        output.line(format_args!("  health     {health}"))?;
        let records = self.records.map_or("unknown".to_owned(), grouped);
        output.line(format_args!("  records    {records}"))?;
        output.line(format_args!("  head       {}", reader.head()))?;
        let more = if durable < reader.end().get() { ", or more than can be proven" } else { "" };
        output.line(format_args!("  durable    {durable}{more}"))?;
        output.line(format_args!("  committed  {}", reader.end()))?;
        let app_state = reader.app_state().len() as u64;
        output.line(format_args!("  app state  {}", counted(app_state, "byte")))?;
        output.line("")?;
        for line in self.picture() {
            output.line(line)?;
        }
        output.line("  # written   . free   H head   D durable   C committed")?;
        output.line("")?;
        self.tell_space(output)?;
        self.tell_opening(output)?;
        if self.is_damaged() {
            output.line("")?;
            damage::tell(&self.damage, output)?;
            damage::advise(Some(&arguments.dir), output)?;
        }
        Ok(())
    }

    fn id(&self) -> Option<String> {
        let known = self.preview.as_ref().and_then(|preview| preview.id);
        known.or(self.segments.last().map(|segment| segment.id)).map(|id| id.to_string())
    }

    fn state(&self) -> String {
        match (self.is_archive, self.writer, self.is_closed()) {
            (true, ..) => "an archive".to_owned(),
            (_, Writer::Process(id), _) => format!("open: process {id} writes it"),
            (_, Writer::Somebody, _) => {
                "open: a process that is not seen from here writes it".to_owned()
            }
            (_, _, true) => "closed".to_owned(),
            (_, Writer::Unknown, false) => "open, or was not closed".to_owned(),
            (_, Writer::Nobody, false) => "was not closed, and nobody writes it".to_owned(),
        }
    }

    fn picture(&self) -> Vec<String> {
        let mut rows: Vec<_> = self.segments.iter().map(row_of).collect();
        let last = rows.last().map_or(0, |row: &Row| row.base);
        let spares = self.unused().into_iter().filter(|(base, _)| *base > last || rows.is_empty());
        let spare = |(base, bytes)| Row { base, bytes, end: base, state: State::Spare };
        let spares: Vec<_> = spares.map(spare).collect();
        rows.extend(spares);
        let mark = |letter, name, at| Mark { letter, name, at };
        let marks = [
            mark('H', "head", self.reader.head().get()),
            mark('D', "durable", self.durable()),
            mark('C', "committed", self.reader.end().get()),
        ];
        picture::draw(&rows, &marks).into_iter().map(|line| format!("  {line}")).collect()
    }

    /// What takes space, and why.
    fn space(&self) -> [(&'static str, &'static str, u64, u64); 7] {
        let of = |kind| self.directory.total(kind);
        let all = |files: &[(u64, u64)]| {
            (files.len() as u64, files.iter().map(|(_, bytes)| *bytes).sum::<u64>())
        };
        let used: Vec<_> = self.segments.iter().map(|it| (it.base, it.bytes)).collect();
        let unused = self.unused();
        let row = |key, name, (files, bytes)| (key, name, files, bytes);
        [
            row("segments", "segments", all(&used)),
            row("unused", "spare or left over", all(&unused)),
            row("dropped", "dropped, still read", of(Kind::Dropped)),
            row("set_aside", "set aside (.bak)", of(Kind::SetAside)),
            row("unfinished", "unfinished (.tmp)", of(Kind::Unfinished)),
            row("control", "control file", of(Kind::Control)),
            row("foreign", "not the log's", of(Kind::Foreign)),
        ]
    }

    fn tell_space(&self, output: &mut Output) -> Result<(), Failure> {
        output.line(output.paint(Paint::Bold, "Space"))?;
        for (_, name, files, bytes) in self.space().into_iter().filter(|row| row.2 > 0) {
            let files = counted(files, "file");
            output.line(format_args!("  {name:<20} {files:>12} {:>12}", size(bytes)))?;
        }
        Ok(())
    }

    fn tell_opening(&self, output: &mut Output) -> Result<(), Failure> {
        let Some(preview) = &self.preview else { return Ok(()) };
        let when = if self.is_open() {
            "If the process ended now, opening would"
        } else {
            "Opening would"
        };
        output.line("")?;
        output.line(output.paint(Paint::Bold, when))?;
        if let Some(refusal) = &preview.refusal {
            let refusal = output.paint(Paint::Bad, format_args!("refuse: {refusal}"));
            return output.line(format_args!("  {refusal}"));
        }
        let found = &preview.recovery;
        if found.clean {
            return output.line("  find nothing to do: the log was closed");
        }
        output.line("  find a log that was not closed, and go on in a fresh segment")?;
        if found.rewritten_bytes > 0 {
            let bytes = size(found.rewritten_bytes);
            output.line(format_args!(
                "  write {bytes} again and sync them, as nothing proves them durable"
            ))?;
        }
        if let Some(cut) = &found.cut {
            output.line(format_args!(
                "  cut {} of leftovers behind lsn {}, which were never durable:",
                size(cut.bytes),
                cut.lsn
            ))?;
            output.line(format_args!("    {}", one_line(&cut.path)))?;
            output.line(format_args!("    {}", cut.reason))?;
        }
        for (what, paths) in [("rename", &found.set_aside), ("remove", &found.removed)] {
            for path in paths {
                output.line(format_args!("  {what} {}", one_line(path)))?;
            }
        }
        Ok(())
    }

    fn as_json(&self, arguments: &Info) -> Value {
        let space = self.space().into_iter().map(|(key, _, files, bytes)| {
            (key.to_owned(), json!({ "files": files, "bytes": bytes }))
        });
        let writer = match self.writer {
            Writer::Process(id) => Some(id),
            _ => None,
        };
        let state = match (self.is_archive, self.is_open(), self.is_closed()) {
            (true, ..) => "archive",
            (_, true, _) => "open",
            (_, _, true) => "closed",
            (_, false, false) if self.writer == Writer::Unknown => "unknown",
            (_, false, false) => "not closed",
        };
        json!({
            "dir": arguments.dir.to_string_lossy(),
            "log_id": self.id(),
            "format": stratalog::format::VERSION,
            "state": state,
            "writer": writer,
            "health": self.health(),
            "records": self.records,
            "head": self.reader.head().get(),
            "durable": self.durable(),
            "committed": self.reader.end().get(),
            "app_state_bytes": self.reader.app_state().len(),
            "segments": self.segments.iter().map(segment_json).collect::<Value>(),
            "space": space.collect::<serde_json::Map<_, _>>(),
            "opening": self.preview.as_ref().map(opening_json),
            "damage": damage::as_json(&self.damage),
        })
    }
}

fn row_of(segment: &SegmentInfo) -> Row {
    let state = match segment.state {
        SegmentState::Sealed => State::Sealed,
        SegmentState::Active => State::Active,
        SegmentState::Spare => State::Spare,
    };
    Row { base: segment.base, bytes: segment.bytes, end: segment.end.get(), state }
}

/// Counts the records. Trailers say how many there are, where they sum up just what is shown.
fn records(reader: &LogReader, segments: &[SegmentInfo]) -> Result<u64, Error> {
    let snapshot = reader.snapshot_with(ReadOptions::new().copy(true));
    let mut records = 0;
    for shown in snapshot.segments() {
        let info = segments.iter().find(|info| info.base == shown.base().get());
        let seal = info.filter(|info| info.start >= snapshot.head()).and_then(|info| info.seal);
        records += match seal {
            Some(seal) => seal.records,
            None => shown.iter().try_fold(0, |count, record| record.map(|_| count + 1))?,
        };
    }
    Ok(records)
}

fn segment_json(segment: &SegmentInfo) -> Value {
    let state = match segment.state {
        SegmentState::Sealed => "sealed",
        SegmentState::Active => "active",
        SegmentState::Spare => "spare",
    };
    json!({
        "path": segment.path.to_string_lossy(),
        "state": state,
        "base": segment.base,
        "bytes": segment.bytes,
        "start": segment.start.get(),
        "end": segment.end.get(),
        "records": segment.seal.map(|seal| seal.records),
        "checksum": segment.seal.map(|seal| format!("{:08x}", seal.checksum)),
    })
}

fn opening_json(preview: &Preview) -> Value {
    let found = &preview.recovery;
    let paths = |paths: &[PathBuf]| -> Value {
        paths.iter().map(|path| Value::from(path.to_string_lossy())).collect()
    };
    json!({
        "refused": preview.refusal.as_ref().map(ToString::to_string),
        "clean": found.clean,
        "rewritten_bytes": found.rewritten_bytes,
        "cut": found.cut.as_ref().map(|cut| json!({
            "lsn": cut.lsn.get(),
            "path": cut.path.to_string_lossy(),
            "bytes": cut.bytes,
            "reason": cut.reason.to_string(),
        })),
        "set_aside": paths(&found.set_aside),
        "removed": paths(&found.removed),
    })
}
