//! [`round`]: a workload on a recorded device, and power cuts all along it.
//!
//! Invariant: the workload ends without an error; whatever fails after that is the cut's doing.

use crate::check::{Broken, Checker};
use crate::common::Random;
use crate::cut::Cut;
use crate::extents::extents;
use crate::pages::Pages;
use crate::workload::{Plan, log_directory, run};

/// How many cuts of one workload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cuts {
    Some(usize),
    /// On either side of every flush.
    Every,
}

/// Runs a workload and cuts it. Returns in a few words what that was.
pub(crate) fn round(
    checker: &mut Checker<'_>,
    empty: &Pages,
    seed: u64,
    cuts: Cuts,
) -> Result<String, Broken> {
    let plan = Plan::new(seed);
    let mut random = Random::new(seed.wrapping_add(1));
    let all = checker.kind.options();
    let options = all[random.below(all.len() as u64) as usize];
    let told = |error: std::io::Error| format!("{} with {options:?}: {error}", checker.kind);
    let mounted = checker.place.mount(checker.kind, empty.clone(), options).map_err(told)?;
    let history = run(&mounted, &plan)?;
    let tearable = extents(&mounted, &log_directory(&mounted), &[".seg", "control"]);
    let recording = mounted.unmount().map_err(told)?;
    let cuts = match cuts {
        Cuts::Some(count) => Cut::choose(&recording, &history.promises(), count, &mut random),
        Cuts::Every => Cut::every(&recording, &mut random),
    };
    let what = format!(
        "{} records, {} entries, {} promises, {} cuts, mounted with {options:?}, {} extents",
        history.known.len(),
        recording.entries.len(),
        history.promises().len(),
        cuts.len(),
        tearable.len(),
    );
    checker.check_all(&recording, &tearable, &cuts, &history, None)?;
    Ok(what)
}
