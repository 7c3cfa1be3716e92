//! The writing process: a child of the tour that appends until it is killed.
//!
//! Invariant: it says that records are in the log only after the call that appended them returned;
//! and nothing else tells the parent how far it came.

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::acks::Acks;
use crate::input::Input;
use crate::lanes::{self, LANES, STRETCH};
use crate::screen::{Goal, Screen};

/// The first argument of the tour when it is the writing process.
pub(crate) const WRITER: &str = "--writer";

/// What the writing process does: appends in all lanes and says so on its standard output.
pub(crate) fn write(dir: &Path, input: &Path) -> Outcome<()> {
    let input = &Input::load(input)?;
    let log = &crate::options().open(dir)?;
    thread::scope(|scope| {
        let start = |lane| {
            scope.spawn(move || {
                lanes::append(log, input, lane * STRETCH, |ack| {
                    // Nobody listens any more if this fails; then there is nothing left to do.
                    writeln!(std::io::stdout().lock(), "{ack}")?;
                    Ok(ControlFlow::Continue(()))
                })
            })
        };
        let threads: Vec<_> = (0..LANES).map(start).collect();
        threads.into_iter().try_for_each(crate::join)
    })
}

/// A child that does not outlive its guard.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It is gone already, unless something failed on the way here.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the writing process, kills it when it has acknowledged enough, and returns what it
/// acknowledged and after how long it was killed.
pub(crate) fn write_and_kill(
    dir: &Path,
    input_file: &Path,
    input: &Input,
    screen: &Screen,
) -> Outcome<(Acks, Duration)> {
    let mut child = Guard(
        Command::new(std::env::current_exe()?)
            .arg(WRITER)
            .args([dir, input_file])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut lines = BufReader::new(child.0.stdout.take().ok_or("the writer has no output")?);
    let (mut acks, mut killed, mut goal) = (Acks::default(), None, Goal::new());
    let mut line = String::new();
    // Also after the kill: what it said before that was said, and counts.
    while { lines.read_line(&mut line)? } > 0 {
        // The kill may have cut the last word short.
        if line.ends_with('\n') {
            // Starting a process is none of the work.
            if acks.records == 0 {
                goal = Goal::new();
            }
            acks.add(line.parse()?, input);
            if killed.is_none() {
                if goal.is_reached(acks.bytes) {
                    child.0.kill()?;
                    killed = Some(goal.elapsed());
                }
                screen.update("writing process", acks.records, acks.bytes);
            }
        }
        line.clear();
    }
    screen.clear();
    let status = child.0.wait()?;
    match killed {
        Some(after) => Ok((acks, after)),
        None => Err(format!("the writing process ended by itself: {status}").into()),
    }
}
