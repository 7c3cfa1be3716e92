//! [`round`]: the process dies, the log is opened again under the same mount, and then the power
//! goes.
//!
//! Invariant: what the second opening handed out is there after any cut from then on, although the
//! page cache held it and the disk may not have.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use crate::check::{Broken, Checker, append, contents, open};
use crate::common::Random;
use crate::cut::{Cut, Manner};
use crate::device::Device;
use crate::history::History;
use crate::pages::Pages;
use crate::workload::{Plan, Writer, log_directory, some_options};

/// What the program is called with to be the one that dies.
pub(crate) const CHILD: &str = "--child";

/// Kills a process at work, opens its log, cuts the power. Returns in a few words what that was.
pub(crate) fn round(
    checker: &mut Checker<'_>,
    empty: &Pages,
    seed: u64,
    cuts: usize,
) -> Result<String, Broken> {
    let told = |error: std::io::Error| format!("{}: {error}", checker.kind);
    let options = checker.kind.options()[0];
    let mounted = checker.place.mount(checker.kind, empty.clone(), options).map_err(told)?;
    let mut random = Random::new(seed.wrapping_add(4));
    kill(&log_directory(&mounted), seed, 1 + random.below(400)).map_err(told)?;
    let log = open(&mounted, &some_options(&mut random))?;
    let opened = mounted.device().stamp();
    let rewritten = log.recovery().rewritten_bytes;
    let found = contents(&log)?;
    let mut before = History::default();
    before.has_failed = true;
    before.judge(0, &found)?;
    let mut after = History::after(&found, opened);
    append(&log, &mounted, 0, &found, &mut after)?;
    drop(log);
    let recording = mounted.unmount().map_err(told)?;
    let mut all = Cut::choose(&recording, &after.promises(), cuts, &mut random);
    all.retain(|cut| cut.at > opened);
    all.insert(0, Cut { at: opened, manner: Manner::Nothing, seed });
    checker.check_all(&recording, &[], &all, &after, None)?;
    Ok(format!(
        "killed with {} records, {rewritten} bytes written again, {} cuts",
        found.len(),
        all.len()
    ))
}

/// Starts the process, and kills it after so many of its calls.
fn kill(directory: &Path, seed: u64, calls: u64) -> std::io::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .args([CHILD, &seed.to_string()])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().map(BufReader::new);
    let lines = output.into_iter().flat_map(BufRead::lines).take(calls as usize).count();
    child.kill()?;
    child.wait()?;
    if lines as u64 == calls {
        Ok(())
    } else {
        Err(std::io::Error::other("the child ended by itself"))
    }
}

/// The process that dies: appends, mostly without a sync, and prints a line for each call.
pub(crate) fn child(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let seed = arguments.next().and_then(|seed| seed.parse().ok()).ok_or("no seed")?;
    let directory = arguments.next().ok_or("no directory")?;
    let plan = Plan::new(seed);
    let log = plan.options.open(directory).map_err(|error| error.to_string())?;
    let unused = Device::new(Pages::new(0));
    thread::scope(|scope| {
        for number in 0..plan.writers {
            let writer = Writer::new(number, seed, &unused).lazy();
            let (log, say) = (log.clone(), || {
                println!();
                false
            });
            scope.spawn(move || writer.work(&log, 20_000, || false, say));
        }
    });
    Ok(())
}
