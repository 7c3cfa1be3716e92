//! [`advise`]: what follows from what was found, in plain words.
//!
//! Invariant: a pure function of the findings, so that disks which are not at hand can be tested.
//!
//! 1. What makes the place unfit: what the log takes for granted does not hold there.
//! 2. What should be looked at: it may be fine, but only somebody who knows the machine can say so.
//! 3. What to set, and what to expect.

use std::fmt::Write as _;
use std::time::Duration;

use super::place::Place;
use super::trial::{FILE_BYTES, Preallocation};
use crate::latencies::per_second;
use crate::output::{grouped, size, time};

/// No disk writes and says so in less.
const SUSPICIOUSLY_FAST_NS: u64 = 20_000;
/// Default of the library.
const SEGMENT_BYTES: u64 = 64 << 20;
const MIN_SEGMENT_BYTES: u64 = 16 << 10;
/// A log has some segments in use, and some that are prepared.
const SEGMENTS: u64 = 16;
/// The log's own control file is made for sectors up to this.
const MOST_SECTOR_BYTES: u64 = 4096;
/// Preparing a segment should not take longer.
const LONGEST_PREPARATION: Duration = Duration::from_secs(4);

/// How fit a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// To set, or to know.
    Hint,
    /// To be looked at by somebody who knows the machine.
    Doubt,
    /// No log should be here.
    Unfit,
}

/// A piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) level: Level,
    /// What programs know it by.
    pub(super) about: &'static str,
    pub(super) text: String,
}

/// What was found, reduced to what advice depends on.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    pub(super) place: Place,
    /// A page, written and synced as the log does it.
    pub(super) sync_p50_ns: u64,
    pub(super) sync_p99_ns: u64,
    /// A page, written past the page cache without a sync.
    pub(super) direct_p50_ns: Option<u64>,
    pub(super) growing_p50_ns: Option<u64>,
    pub(super) preallocated_p50_ns: Option<u64>,
    /// What a write of each size takes with its sync, ascending by size.
    pub(super) sizes: Vec<(usize, u64)>,
    /// How long it took to fill [`FILE_BYTES`] with zeros, and to sync them.
    pub(super) fill: Duration,
    pub(super) preallocation: Preallocation,
    pub(super) directory_sync: Result<(), String>,
    pub(super) locks: Result<(), String>,
    pub(super) log: Result<(), String>,
}

/// All that follows, what is worst first.
pub(super) fn advise(findings: &Findings) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut add = |level, about, text: String| advice.push(Advice { level, about, text });
    what_does_not_hold(findings, &mut add);
    file_system(findings, &mut add);
    speed_of_syncs(findings, &mut add);
    preallocation(findings, &mut add);
    sectors(findings, &mut add);
    expectations(findings, &mut add);
    settings(findings, &mut add);
    if verdict(&advice) == Level::Unfit {
        // No option mends that.
        advice.retain(|one| one.level > Level::Hint);
    }
    advice.sort_by_key(|one| std::cmp::Reverse(one.level));
    advice
}

/// File systems that write every block to a new place: the log does not fill its files there.
fn writes_anew(findings: &Findings) -> bool {
    ["btrfs", "zfs", "bcachefs", "nilfs2"].contains(&findings.place.file_system())
}

/// The worst of all.
pub(super) fn verdict(advice: &[Advice]) -> Level {
    advice.iter().map(|advice| advice.level).max().unwrap_or(Level::Hint)
}

type Add<'a> = dyn FnMut(Level, &'static str, String) + 'a;

fn nanoseconds(ns: u64) -> String {
    time(Duration::from_nanos(ns))
}

fn what_does_not_hold(findings: &Findings, add: &mut Add<'_>) {
    if let Err(reason) = &findings.locks {
        add(
            Level::Unfit,
            "locks",
            format!(
                "Locks do not work here ({reason}): two processes could write one log, and a \
                 reader's map could be written over."
            ),
        );
    }
    if let Err(reason) = &findings.directory_sync {
        add(
            Level::Unfit,
            "directory",
            format!(
                "The directory can't be synced ({reason}): after a power cut a new segment's name \
                 may be missing, and all that was durable in it."
            ),
        );
    }
    if let Err(reason) = &findings.log {
        add(Level::Unfit, "log", format!("A small log does not work here: {reason}."));
    }
}

fn file_system(findings: &Findings, add: &mut Add<'_>) {
    let Some(mount) = &findings.place.mount else { return };
    let name = mount.file_system.as_str();
    match name {
        "tmpfs" | "ramfs" => add(
            Level::Unfit,
            "file_system",
            format!("{name} is memory: a power cut, or a restart, takes the whole log."),
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "afs" | "ceph" | "9p" => add(
            Level::Unfit,
            "file_system",
            format!(
                "{name} is a network's file system. The log rests on a local one: on locks, maps \
                 and syncs that hold whatever the network does."
            ),
        ),
        "overlay" if mount.has("volatile") => add(
            Level::Unfit,
            "file_system",
            "This overlay is mounted `volatile`: it leaves out every sync.".to_owned(),
        ),
        "overlay" => add(
            Level::Doubt,
            "file_system",
            "overlay is the layer of a container, and goes with it: give the log a volume."
                .to_owned(),
        ),
        _ if name == "virtiofs" || name.starts_with("fuse") => add(
            Level::Doubt,
            "file_system",
            format!(
                "{name} hands everything to another program. What a sync means is up to that one: \
                 ask whether it reaches a disk."
            ),
        ),
        "vfat" | "msdos" | "exfat" => add(
            Level::Doubt,
            "file_system",
            format!("{name} has no journal: a power cut can take names and whole files with it."),
        ),
        _ => {}
    }
    let lies = ["nobarrier", "barrier=0", "nointegrity", "eatmydata"];
    for option in lies.into_iter().filter(|option| mount.has(option)) {
        add(
            Level::Unfit,
            "mount_options",
            format!(
                "It is mounted with `{option}`: a sync does not empty the drive's cache. Mount it \
                 without, unless the cache survives a power cut."
            ),
        );
    }
}

fn speed_of_syncs(findings: &Findings, add: &mut Add<'_>) {
    // Of memory nothing else is expected.
    if ["tmpfs", "ramfs"].contains(&findings.place.file_system()) {
        return;
    }
    let sync = nanoseconds(findings.sync_p50_ns);
    let who = "Ask whoever runs the machine: a virtual disk that ignores flushes (such as \
               cache=unsafe), a controller's cache without a battery, or a file on a memory disk, \
               loses what was acknowledged. A drive that is protected against power loss does not.";
    if findings.sync_p50_ns < SUSPICIOUSLY_FAST_NS {
        let text = format!(
            "A sync takes {sync}, less than flash or disks need ({} or more): something says \
             `durable` before it is so. {who}",
            nanoseconds(SUSPICIOUSLY_FAST_NS)
        );
        add(Level::Doubt, "fast_sync", text);
        return;
    }
    let direct = findings.direct_p50_ns.filter(|direct| findings.sync_p50_ns < direct / 2);
    if let Some(direct) = direct {
        let text = format!(
            "A write with its sync takes {sync}, but a write straight to the device, without one, \
             {}: the sync may not reach it. {who}",
            nanoseconds(direct)
        );
        add(Level::Doubt, "fast_sync", text);
    }
}

fn preallocation(findings: &Findings, add: &mut Add<'_>) {
    let hint = |text: &str| text.to_owned();
    match findings.preallocation {
        Preallocation::Blocks(bytes) if bytes < FILE_BYTES => add(
            Level::Doubt,
            "preallocation",
            format!(
                "Preallocation is not real: of {} only {} were given. A disk that fills up is \
                 then met by a write, which stops the log until it is opened again, not when a \
                 segment is made. Set max_log_bytes, and keep others off this disk.",
                size(FILE_BYTES),
                size(bytes)
            ),
        ),
        Preallocation::Blocks(_) | Preallocation::NotKnown => {}
        Preallocation::None => add(
            Level::Hint,
            "preallocation",
            hint("There is no preallocation to be had: the log fills segments with zeros instead."),
        ),
    }
    if writes_anew(findings) {
        let text = "This file system writes every block to a new place, so the log does not fill \
                    its segments with zeros, and a segment's space is not quite its own: leave \
                    some of the disk free.";
        add(Level::Hint, "preallocation", hint(text));
    }
}

fn sectors(findings: &Findings, add: &mut Add<'_>) {
    let Some(device) = &findings.place.device else { return };
    let sector = device.physical_sector_bytes.unwrap_or(0);
    if sector > MOST_SECTOR_BYTES {
        let text = format!(
            "The device writes sectors of {sector} bytes. Where it does not protect them against a \
             power cut in the middle, neighbours of what is written can be lost with it."
        );
        add(Level::Doubt, "sectors", text);
    }
}

fn expectations(findings: &Findings, add: &mut Add<'_>) {
    let rate = grouped(per_second(1, findings.sync_p50_ns));
    let mut text = format!(
        "One thread reaches about {rate} durable appends a second ({} each, one in a hundred {}). \
         Threads that wait at the same time share a sync",
        nanoseconds(findings.sync_p50_ns),
        nanoseconds(findings.sync_p99_ns)
    );
    let base = findings.sizes.first().map(|(_, ns)| *ns);
    let as_cheap = |(_, ns): &&(usize, u64)| base.is_some_and(|base| *ns <= base + base / 4);
    let largest = findings.sizes.iter().take_while(as_cheap).last();
    match largest {
        Some((bytes, _)) if *bytes > 512 => {
            let bytes = size(*bytes as u64);
            let _ = write!(
                text,
                ", and {bytes} cost hardly more than 512 B: more threads, append_batch, or \
                 on_durable with many records under way reach far more."
            );
        }
        _ => text += ": more threads, append_batch or on_durable reach more.",
    }
    add(Level::Hint, "throughput", text);
    zero_filling(findings, add);
}

fn zero_filling(findings: &Findings, add: &mut Add<'_>) {
    if writes_anew(findings) {
        return;
    }
    let ratio = |ns: Option<u64>| {
        let tenths = ns?.saturating_mul(10) / findings.sync_p50_ns.max(1);
        (tenths >= 12).then(|| format!("{}.{} times as long", tenths / 10, tenths % 10))
    };
    let slower = [
        ratio(findings.growing_p50_ns).map(|times| format!("a growing file takes {times}")),
        ratio(findings.preallocated_p50_ns).map(|times| format!("a preallocated one {times}")),
    ];
    let slower: Vec<String> = slower.into_iter().flatten().collect();
    if !slower.is_empty() {
        let text = format!(
            "The log writes to files that were filled with zeros before. That pays off here: {}. \
             Leave background(true), so that it is done ahead.",
            slower.join(", ")
        );
        add(Level::Hint, "zero_filling", text);
    }
}

fn settings(findings: &Findings, add: &mut Add<'_>) {
    let filled = |bytes: u64| {
        let ns = findings.fill.as_nanos() * u128::from(bytes) / u128::from(FILE_BYTES);
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    };
    let free = findings.place.space.map_or(u64::MAX, |space| space.free_bytes);
    let fills = !writes_anew(findings);
    let mut segment = SEGMENT_BYTES;
    while segment > MIN_SEGMENT_BYTES
        && (segment > free / SEGMENTS || (fills && filled(segment) > LONGEST_PREPARATION))
    {
        segment /= 2;
    }
    let takes = time(filled(segment));
    let sustained = per_second(FILE_BYTES, u64::try_from(findings.fill.as_nanos()).unwrap_or(1));
    let mut text = if segment == SEGMENT_BYTES {
        format!("Leave segment_bytes at {}", size(segment))
    } else {
        format!("Set segment_bytes({segment}), which is {}", size(segment))
    };
    if fills {
        let _ = write!(
            text,
            ": preparing one takes about {takes}. Who appends more than {} a second for long waits \
             for segments, unless dropped ones can be used again",
            size(sustained)
        );
    }
    add(Level::Hint, "segment_bytes", text + ".");
    let limit = nanoseconds(findings.sync_p50_ns);
    let text = format!(
        "Leave commit_delay unset: a sync that follows a shared one then waits for others as long as \
         that pays, here up to {limit}, and a lone thread never waits."
    );
    add(Level::Hint, "commit_delay", text);
    if let Some(space) = findings.place.space {
        let text = format!(
            "Set max_log_bytes to what the log may have of the {} that are free.",
            size(space.free_bytes)
        );
        add(Level::Hint, "max_log_bytes", text);
    }
}

#[cfg(test)]
mod tests;
