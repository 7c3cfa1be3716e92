//! [`round`]: the file system is shut down under a running log, as by a power cut.
//!
//! Invariant: what counts as promised had returned before the shutdown was asked for.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use crate::check::{Broken, Checker, append, contents, open};
use crate::common::Random;
use crate::history::History;
use crate::os;
use crate::pages::Pages;
use crate::workload::{Plan, Writer, log_directory, some_options};

/// Runs a workload, shuts the file system down, mounts it again, looks; several times over the same
/// log. Returns how many records there were in the end.
pub(crate) fn round(
    checker: &mut Checker<'_>,
    empty: &Pages,
    seed: u64,
    times: u32,
) -> Result<usize, Broken> {
    let told = |error: std::io::Error| format!("{}: {error}", checker.kind);
    let options = checker.kind.options()[0];
    let mounted = checker.place.mount(checker.kind, empty.clone(), options).map_err(told)?;
    let mut random = Random::new(seed.wrapping_add(3));
    let mut plan = Plan::new(seed);
    let mut history = History::default();
    let mut records = 0;
    for time in 0..times {
        let log = open(&mounted, &plan.options)?;
        let root = File::open(log_directory(&mounted)).map_err(told)?;
        let (begun, returned) = (AtomicBool::new(false), AtomicU32::new(0));
        let wait = 50 + random.below(400);
        let (cut, ended) = thread::scope(|scope| {
            let start = |number| {
                let number = time * plan.writers + number;
                let writer = Writer::new(number, plan.seed, mounted.device());
                let (log, begun, returned) = (log.clone(), &begun, &returned);
                scope.spawn(move || {
                    let ended =
                        writer.work(&log, 20_000, || begun.load(Ordering::SeqCst), || false);
                    returned.fetch_add(1, Ordering::Relaxed);
                    ended
                })
            };
            let from = mounted.device().stamp() as u64;
            let writers: Vec<_> = (0..plan.writers).map(start).collect();
            while (mounted.device().stamp() as u64) < from + wait
                && returned.load(Ordering::Relaxed) == 0
            {
                thread::yield_now();
            }
            begun.store(true, Ordering::SeqCst);
            let cut = os::shut_down(&root);
            (cut, writers.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>())
        });
        cut.map_err(told)?;
        for end in ended {
            let (done, _error) = end.map_err(|_| "a writer panicked".to_owned())?;
            history.merge(done);
        }
        history.has_failed = true;
        drop((log, root));
        mounted.remount().map_err(told)?;
        checker.count.cuts += 1;
        plan.options = some_options(&mut random);
        let log = open(&mounted, &plan.options)?;
        let found = contents(&log)?;
        history.judge(usize::MAX, &found)?;
        let used = history.used(usize::MAX);
        history = History::after(&found, 0);
        records = append(&log, &mounted, used, &found, &mut history)?.len() + found.len();
        log.close().map_err(|error| format!("closing: {error}"))?;
    }
    mounted.unmount().map_err(told)?;
    Ok(records)
}
