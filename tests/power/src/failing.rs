//! [`round`]: a disk that fails some writes of the log's frames and is well again; then a power cut.
//!
//! Invariant: only blocks of segments fail, so the file system itself stays whole. A kernel that
//! could not write pages back says so once, counts them as written, and goes on showing what never
//! reached the disk: whoever believes it loses acknowledged records at the next cut.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use stratalog::{Error, Log, Op};

use crate::check::{Broken, Checker, append, chain, contents, open};
use crate::common::Random;
use crate::cut::Cut;
use crate::device::Failing;
use crate::extents::extents;
use crate::history::History;
use crate::pages::Pages;
use crate::workload::{Plan, Writer, log_directory};
use crate::workplace::Mounted;

/// Runs a workload into a failing disk, opens the log again, and cuts the power after that.
/// Returns in a few words what that was; none if nothing was told to fail in time.
pub(crate) fn round(
    checker: &mut Checker<'_>,
    empty: &Pages,
    seed: u64,
    cuts: usize,
) -> Result<Option<String>, Broken> {
    let told = |error: std::io::Error| format!("{}: {error}", checker.kind);
    let options = checker.kind.options()[0];
    let mounted = checker.place.mount(checker.kind, empty.clone(), options).map_err(told)?;
    let mut random = Random::new(seed.wrapping_add(2));
    let plan = Plan::new(seed);
    let log = open(&mounted, &plan.options)?;
    let mut before = History::default();
    before.created(mounted.device().stamp());
    let errors = fail(&mounted, &log, &plan, &mut before, &mut random)?;
    let failed = mounted.device().heal();
    if errors.is_empty() || failed == 0 {
        log.close().map_err(|error| format!("closing: {error}"))?;
        mounted.unmount().map_err(told)?;
        return Ok(None);
    }
    let told_of = errors.iter().map(|error| chain(error)).collect::<Vec<_>>().join("; ");
    let watermarks = format!("durable {}, committed {}", log.durable(), log.committed());
    stays_poisoned(log, &errors)?;
    // The device is well, the page cache is not what the device holds.
    let log = open(&mounted, &plan.options)?;
    let opened = mounted.device().stamp();
    let rewritten = log.recovery().rewritten_bytes;
    let reopened = format!(
        "{failed} writes failed: {told_of}; {watermarks}\n  opened again: {}\n  {:?}",
        log.recovery(),
        log.segments()
    );
    let found = contents(&log)?;
    before.judge(usize::MAX, &found)?;
    let mut after = History::after(&found, opened);
    append(&log, &mounted, before.used(usize::MAX), &found, &mut after)?;
    drop(log);
    let recording = mounted.unmount().map_err(told)?;
    let mut all = Cut::choose(&recording, &after.promises(), cuts, &mut random);
    all.insert(0, Cut { at: opened, manner: crate::cut::Manner::Nothing, seed });
    all.sort_by_key(|cut| cut.at);
    let checked = checker.check_all(&recording, &[], &all, &before, Some((opened, &after)));
    checked.map_err(|Broken { what, image }| Broken {
        what: format!("{what}\n  before entry {opened}: {reopened}"),
        image,
    })?;
    Ok(Some(format!(
        "{failed} writes failed, {} of {} writers were told, {} records handed out, \
         {rewritten} bytes written again, {} cuts",
        errors.len(),
        plan.writers,
        found.len(),
        all.len()
    )))
}

/// Lets writers append until the device fails them. Returns what they were told.
fn fail(
    mounted: &Mounted,
    log: &Log,
    plan: &Plan,
    history: &mut History,
    random: &mut Random,
) -> Result<Vec<Error>, String> {
    let device = mounted.device();
    let directory = log_directory(mounted);
    let (stop, running) = (AtomicBool::new(false), AtomicU32::new(plan.writers));
    let writes = if random.chance(50) { 1 + random.below(4) } else { u64::MAX };
    let wait = 100 + random.below(300);
    let ended = thread::scope(|scope| {
        let start = |number| {
            let writer = Writer::new(number, plan.seed, device);
            let log = log.clone();
            let (stop, running) = (&stop, &running);
            scope.spawn(move || {
                let ended = writer.work(&log, 20_000, || false, || stop.load(Ordering::Relaxed));
                running.fetch_sub(1, Ordering::Relaxed);
                ended
            })
        };
        let writers: Vec<_> = (0..plan.writers).map(start).collect();
        while (device.stamp() as u64) < wait && running.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        let ranges = extents(mounted, &directory, &[".seg"]);
        device.fail(Failing { ranges, writes });
        // Only the first failure is certain to be told to everyone; the rest is time to write on.
        let limit = device.stamp() + 2000;
        while device.stamp() < limit && running.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut errors = Vec::new();
    for end in ended {
        let (done, error) = end.map_err(|_| "a writer panicked")?;
        history.merge(done);
        errors.extend(error);
    }
    history.has_failed = true;
    Ok(errors)
}

/// After a failure, and with the device well again, nothing may be called durable.
fn stays_poisoned(log: Log, errors: &[Error]) -> Result<(), String> {
    for error in errors {
        let expected = match error {
            Error::Io { op, .. } | Error::Poisoned { op, .. } => {
                matches!(op, Op::Sync | Op::Write)
            }
            _ => false,
        };
        if !expected {
            return Err(format!("a failing disk was told as: {}", chain(error)));
        }
    }
    let refused = [
        ("sync", log.sync().err()),
        ("append", log.append(b"").err()),
        ("append_durable", log.append_durable(b"").err()),
        ("sync again", log.sync().err()),
    ];
    for (call, error) in refused {
        if !matches!(error, Some(Error::Poisoned { .. })) {
            return Err(format!("{call} after a failure: {error:?}"));
        }
    }
    match log.close() {
        Err(Error::Io { .. } | Error::Poisoned { .. }) => Ok(()),
        result => Err(format!("close after a failure: {result:?}")),
    }
}
