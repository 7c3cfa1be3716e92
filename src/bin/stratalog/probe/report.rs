//! [`Report`]: what probing found, as text and as JSON.
//!
//! Invariant: both say the same, from the same figures.

use std::time::Duration;

use serde_json::{Value, json};

use super::advice::{Advice, Findings, Level, advise, verdict};
use super::checks::Checks;
use super::place::Place;
use super::trial::{FILE_BYTES, Kind, PAGE_BYTES, Preallocation, Trial, Trials};
use crate::failure::Failure;
use crate::latencies::{nanoseconds, per_second};
use crate::output::{COLUMNS, Output, Paint, grouped, one_line, size, time};

/// Everything that was found.
pub(super) struct Report {
    pub(super) place: Place,
    pub(super) trials: Trials,
    pub(super) checks: Checks,
    pub(super) interrupted: bool,
}

fn text_ns(ns: u64) -> String {
    time(Duration::from_nanos(ns))
}

/// The column in which everything but measurements begins.
const INDENT: usize = 22;

impl Report {
    pub(super) fn tell(&self, output: &mut Output) -> Result<(), Failure> {
        let advice = advise(&self.findings());
        if output.is_json() {
            return output.json(&self.json(&advice));
        }
        place(&self.place, output)?;
        self.measurements(output)?;
        self.checks(output)?;
        what_follows(&advice, output)?;
        if self.interrupted {
            output.line("")?;
            output.line(output.paint(Paint::Warning, "Interrupted: the figures are few."))?;
        }
        Ok(())
    }

    fn p50_ns(&self, kind: Kind, bytes: usize) -> Option<u64> {
        self.own(kind).find(|trial| trial.bytes == bytes)?.p50_ns()
    }

    /// What was written in the log's own way: that is the first.
    fn own(&self, kind: Kind) -> impl Iterator<Item = &Trial> {
        let trials = &self.trials.all;
        let name = trials.first().map_or("", |trial| trial.way.name);
        trials.iter().filter(move |trial| trial.way.name == name && trial.kind == kind)
    }

    fn sizes(&self) -> Vec<&Trial> {
        let mut trials: Vec<&Trial> = self.own(Kind::ZeroFilled).collect();
        trials.sort_by_key(|trial| trial.bytes);
        trials
    }

    fn ways(&self) -> impl Iterator<Item = &Trial> {
        let trials = self.trials.all.iter();
        trials.filter(|trial| trial.kind == Kind::ZeroFilled && trial.bytes == PAGE_BYTES)
    }

    fn findings(&self) -> Findings {
        let own = self.trials.all.first();
        let latencies = own.and_then(|trial| trial.result.as_ref().ok());
        let direct = self.ways().find(|trial| trial.way.is_direct && !trial.way.is_durable);
        let sizes = self.sizes().into_iter();
        Findings {
            place: self.place.clone(),
            sync_p50_ns: latencies.map_or(0, |latencies| latencies.quantile_ns(0.5)),
            sync_p99_ns: latencies.map_or(0, |latencies| latencies.quantile_ns(0.99)),
            direct_p50_ns: direct.and_then(Trial::p50_ns),
            growing_p50_ns: self.p50_ns(Kind::Growing, PAGE_BYTES),
            preallocated_p50_ns: self.p50_ns(Kind::Preallocated, PAGE_BYTES),
            sizes: sizes.filter_map(|trial| Some((trial.bytes, trial.p50_ns()?))).collect(),
            fill: self.trials.fill,
            preallocation: self.trials.preallocation,
            directory_sync: match &self.checks.directory_sync {
                Some(Err(reason)) => Err(reason.clone()),
                _ => Ok(()),
            },
            locks: self.checks.locks.clone(),
            log: self.checks.log.clone(),
        }
    }

    fn measurements(&self, output: &mut Output) -> Result<(), Failure> {
        heading("Ways to make 4 KiB durable, in place, in a file of zeros", output)?;
        for trial in self.ways() {
            row(trial.way.name, trial, trial.way.note, output)?;
        }
        if cfg!(target_os = "linux") {
            let why = "not measured: it starts writing, but makes nothing durable";
            paragraph("  sync_file_range", INDENT, why, output)?;
        }
        heading("4 KiB and a sync, by kind of file", output)?;
        for (kind, name) in [
            (Kind::ZeroFilled, "filled with zeros"),
            (Kind::Preallocated, "preallocated"),
            (Kind::Growing, "growing"),
        ] {
            if let Some(trial) = self.own(kind).find(|trial| trial.bytes == PAGE_BYTES) {
                row(name, trial, "", output)?;
            }
        }
        let filled = size(per_second(FILE_BYTES, nanoseconds(self.trials.fill)));
        output.line(format_args!("  {:<20}  {filled} a second", "filling with zeros"))?;
        heading("A write and a sync, by size", output)?;
        for trial in self.sizes() {
            row(&size(trial.bytes as u64), trial, "", output)?;
        }
        Ok(())
    }

    fn checks(&self, output: &mut Output) -> Result<(), Failure> {
        output.line("")?;
        output.line(output.paint(Paint::Bold, "What a log takes for granted"))?;
        let checked = |result: &Result<(), String>, yes: &str| match result {
            Ok(()) => format!("yes: {yes}"),
            Err(reason) => format!("NO: {reason}"),
        };
        let preallocation = match self.trials.preallocation {
            Preallocation::None => "no such call: the log fills with zeros".to_owned(),
            Preallocation::NotKnown => "there is such a call".to_owned(),
            Preallocation::Blocks(bytes) => {
                let real = if bytes < FILE_BYTES { "NO" } else { "yes" };
                format!("{real}: {} of blocks for {}", size(bytes), size(FILE_BYTES))
            }
        };
        let directory = match &self.checks.directory_sync {
            None => "names need no sync here".to_owned(),
            Some(Ok(latencies)) => format!("yes: in {}", text_ns(latencies.quantile_ns(0.5))),
            Some(Err(reason)) => format!("NO: {reason}"),
        };
        let locks = checked(&self.checks.locks, "one writer, or any number of readers");
        let log = checked(&self.checks.log, "appended, read through the map, opened again");
        for (name, text) in [
            ("real preallocation", preallocation),
            ("directory sync", directory),
            ("locks", locks),
            ("a small log", log),
        ] {
            paragraph(&format!("  {name:<20}"), INDENT, &text, output)?;
        }
        Ok(())
    }

    fn json(&self, advice: &[Advice]) -> Value {
        let space = self.place.space;
        let device = self.place.device.as_ref();
        let mount = self.place.mount.as_ref();
        let checked = |result: &Result<(), String>| match result {
            Ok(()) => json!({"works": true}),
            Err(reason) => json!({"works": false, "reason": reason}),
        };
        let directory_sync = match &self.checks.directory_sync {
            None => json!({"works": true, "needed": false}),
            Some(Ok(latencies)) => json!({"works": true, "p50_ns": latencies.quantile_ns(0.5)}),
            Some(Err(reason)) => json!({"works": false, "reason": reason}),
        };
        let blocks = match self.trials.preallocation {
            Preallocation::Blocks(bytes) => Some(bytes),
            Preallocation::None | Preallocation::NotKnown => None,
        };
        json!({
            "path": self.place.path.display().to_string(),
            "interrupted": self.interrupted,
            "file_system": mount.map(|mount| json!({
                "type": mount.file_system,
                "source": mount.source,
                "mounted_at": mount.point,
                "options": mount.options,
            })),
            "device": device.map(|device| json!({
                "name": device.name,
                "model": device.model,
                "logical_sector_bytes": device.logical_sector_bytes,
                "physical_sector_bytes": device.physical_sector_bytes,
                "optimal_io_bytes": device.optimal_io_bytes,
                "rotational": device.is_rotational,
                "write_cache": device.write_cache,
            })),
            "space": space.map(|space| json!({
                "bytes": space.bytes,
                "free_bytes": space.free_bytes,
                "block_bytes": space.block_bytes,
            })),
            "trials": self.trials.all.iter().map(trial_json).collect::<Vec<_>>(),
            "zero_fill_bytes_per_second": per_second(FILE_BYTES, nanoseconds(self.trials.fill)),
            "preallocation": {
                "offered": self.trials.preallocation != Preallocation::None,
                "asked_bytes": FILE_BYTES,
                "given_bytes": blocks,
            },
            "directory_sync": directory_sync,
            "locks": checked(&self.checks.locks),
            "log": checked(&self.checks.log),
            "verdict": level_name(verdict(advice)),
            "advice": advice
                .iter()
                .map(|one| json!({"level": level_name(one.level), "about": one.about, "text": one.text}))
                .collect::<Vec<_>>(),
        })
    }
}

fn trial_json(trial: &Trial) -> Value {
    let kind = match trial.kind {
        Kind::Growing => "growing",
        Kind::Preallocated => "preallocated",
        Kind::ZeroFilled => "zero-filled",
    };
    let mut value = json!({
        "way": trial.way.name,
        "durable": trial.way.is_durable,
        "file": kind,
        "bytes": trial.bytes,
    });
    let more = match &trial.result {
        Ok(latencies) => json!({
            "samples": latencies.count(),
            "p50_ns": latencies.quantile_ns(0.5),
            "p99_ns": latencies.quantile_ns(0.99),
            "max_ns": latencies.longest_ns(),
        }),
        Err(reason) => json!({"not_offered": reason}),
    };
    if let (Value::Object(value), Value::Object(mut more)) = (&mut value, more) {
        value.append(&mut more);
    }
    value
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Hint => "fit",
        Level::Doubt => "doubtful",
        Level::Unfit => "unfit",
    }
}

fn place(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let title = format!("probe of {}", one_line(&place.path));
    output.line(output.paint(Paint::Bold, title))?;
    if let Some(mount) = &place.mount {
        let text = format!("{} on {}, at {}", mount.file_system, mount.source, mount.point);
        paragraph("  file system", INDENT, &text, output)?;
        paragraph("  mount options", INDENT, &mount.options.join(", "), output)?;
    } else {
        paragraph("  file system", INDENT, "not known on this platform", output)?;
    }
    if let Some(device) = &place.device {
        let sector =
            |bytes: Option<u64>| bytes.map_or("unknown".to_owned(), |bytes| bytes.to_string());
        let mut parts = vec![device.name.clone()];
        parts.extend(device.model.clone());
        parts.extend(device.is_rotational.map(|turns| {
            if turns { "rotational".to_owned() } else { "not rotational".to_owned() }
        }));
        parts.extend(device.write_cache.clone());
        paragraph("  device", INDENT, &parts.join(", "), output)?;
        let text = format!(
            "logical {} bytes, physical {}",
            sector(device.logical_sector_bytes),
            sector(device.physical_sector_bytes)
        );
        paragraph("  sectors", INDENT, &text, output)?;
    }
    if let Some(space) = &place.space {
        let (free, all) = (size(space.free_bytes), size(space.bytes));
        let text = format!("{free} free of {all}, in blocks of {}", space.block_bytes);
        paragraph("  space", INDENT, &text, output)?;
    }
    Ok(())
}

fn heading(title: &str, output: &mut Output) -> Result<(), Failure> {
    output.line("")?;
    output.line(output.paint(Paint::Bold, title))?;
    output.line(format_args!("  {:<20}{:>11}{:>11}{:>11}", "", "p50", "p99", "a second"))
}

fn row(name: &str, trial: &Trial, note: &str, output: &mut Output) -> Result<(), Failure> {
    match &trial.result {
        Ok(latencies) if latencies.count() > 0 => {
            let (p50, p99) = (latencies.quantile_ns(0.5), latencies.quantile_ns(0.99));
            let rate = grouped(per_second(1, p50));
            // What does not fit beside the figures stands below them.
            let beside = if note.len() <= COLUMNS - 57 { note } else { "" };
            let text =
                format!("  {name:<20}{:>11}{:>11}{rate:>11}  {beside}", text_ns(p50), text_ns(p99));
            output.line(text.trim_end())?;
            if beside.is_empty() && !note.is_empty() {
                output.line(format_args!("  {:<20}    ({note})", ""))?;
            }
            Ok(())
        }
        Ok(_) => output.line(format_args!("  {name:<20}  not measured")),
        Err(reason) => paragraph(
            &format!("  {name:<20}"),
            INDENT,
            &format!("not offered here: {reason}"),
            output,
        ),
    }
}

fn what_follows(advice: &[Advice], output: &mut Output) -> Result<(), Failure> {
    output.line("")?;
    let (paint, verdict) = match verdict(advice) {
        Level::Hint => (Paint::Good, "A log is well placed here."),
        Level::Doubt => {
            (Paint::Warning, "A log may be here, if what is marked with ? is in order.")
        }
        Level::Unfit => (Paint::Bad, "This is no place for a log."),
    };
    output.line(output.paint(paint, verdict))?;
    for one in advice {
        let mark = match one.level {
            Level::Hint => "-",
            Level::Doubt => "?",
            Level::Unfit => "!",
        };
        paragraph(&format!("  {mark} "), 4, &one.text, output)?;
    }
    Ok(())
}

/// Text that begins behind `first`, and whose further lines are indented.
fn paragraph(first: &str, indent: usize, text: &str, output: &mut Output) -> Result<(), Failure> {
    let mut line = format!("{first:<indent$}");
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let room = line.chars().count() + usize::from(!is_empty) + word.chars().count();
        if !is_empty && room > COLUMNS {
            output.line(line.trim_end())?;
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    output.line(line.trim_end())
}
