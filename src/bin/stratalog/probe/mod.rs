//! `probe`: what a disk and its file system can do for a log, and the options that follow from it.
//!
//! Invariant: it writes only into a folder of its own, which it removes; and it says what it could
//! not find out.

mod advice;
mod checks;
mod place;
mod platform;
mod report;
mod trial;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::output::Output;
use crate::progress::Bar;
use crate::quantity;
use crate::scratch::Scratch;
use checks::Checks;
use place::Place;
use report::Report;
use trial::Trials;

/// The sizes that are written with a sync each, in bytes.
const SIZES: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// Finds out what the disk of a directory can do for a log
///
/// Writes some 40 MiB into a new folder inside DIR, or beside DIR if that is a
/// log itself, and removes it at the end, also after Ctrl-C. All kinds of
/// writes take turns, so that they can be compared. The exit code is 0 also
/// where a log should not be: see `verdict` in the JSON.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  stratalog probe /var/lib --seconds 10")]
pub(crate) struct Probe {
    /// A directory on the disk in question
    dir: PathBuf,
    /// How long to measure, about
    #[arg(long, default_value = "5", value_name = "TIME", value_parser = quantity::seconds)]
    seconds: Duration,
}

pub(crate) fn run(arguments: &Probe, output: &mut Output) -> Result<Outcome, Failure> {
    let dir = &arguments.dir;
    fs::read_dir(dir).map_err(|error| Failure::io("read", dir, error))?;
    let place = Place::of(dir);
    let scratch = Scratch::new(dir, "probe")?;
    let bar = Bar::steps(output, 1000);
    bar.at(0, || "making files".to_owned());
    let mut trials = Trials::prepare(scratch.path(), &SIZES)?;
    trials.run(arguments.seconds, &interrupt::is_requested, &|done, of| {
        bar.at(u64::from(done) * 1000 / u64::from(of), || "measuring".to_owned());
    })?;
    bar.at(1000, || "trying a log".to_owned());
    let checks = Checks::make(scratch.path());
    bar.finish();
    scratch.remove()?;
    let interrupted = interrupt::is_requested();
    Report { place, trials, checks, interrupted }.tell(output)?;
    Ok(Outcome::Fine)
}
