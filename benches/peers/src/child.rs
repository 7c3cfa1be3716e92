//! A child process that fills a log, and closes it or is killed.
//!
//! Invariant: what the child was killed in is the same for every system: a durable log, and after
//! that [`UNSYNCED`] more records that were acknowledged as in the page cache where the system has
//! that, else on disk.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::payload;
use crate::system::{Ack, Operation, Outcome, Plan};
use crate::systems;

/// How many records are appended last, one by one.
const UNSYNCED: u64 = 256;
const READY: &str = "ready";

#[derive(Debug)]
pub(crate) struct Order {
    system: String,
    directory: PathBuf,
    plan: Plan,
    killed: bool,
}

impl Order {
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut next = || given.next().ok_or("--fill: a value is missing".to_owned());
        let (system, directory) = (next()?, PathBuf::from(next()?));
        let mut number = || next()?.parse().map_err(|_| "--fill: no number".to_owned());
        let (record_bytes, records): (u64, u64) = (number()?, number()?);
        let killed = number()? == 1;
        let record_bytes = usize::try_from(record_bytes).map_err(|error| error.to_string())?;
        let plan = Plan { record_bytes, records, threads: 1, timed: Operation::Open };
        Ok(Self { system, directory, plan, killed })
    }
}

/// The child's side.
pub(crate) fn run(order: &Order) -> Outcome {
    let systems = systems::all();
    let system = systems.iter().find(|system| system.name() == order.system);
    let system = system.ok_or("no such system")?;
    let room = Plan { records: order.plan.records + UNSYNCED, ..order.plan };
    let log = system.open(&order.directory, &room)?;
    let payload = payload(order.plan.record_bytes);
    log.fill(&payload, order.plan.records)?;
    if !order.killed {
        return log.close();
    }
    for _ in 0..UNSYNCED {
        if system.ack(Operation::Append) == Some(Ack::PageCache) {
            log.append(0, &payload)?;
        } else {
            log.append_durable(0, &payload)?;
        }
    }
    println!("{READY}");
    // Until the parent kills this process, or is gone itself.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    std::process::abort();
}

/// The parent's side: returns when the log is filled and the child is gone.
pub(crate) fn fill(system: &str, directory: &Path, plan: &Plan, killed: bool) -> Outcome {
    let numbers = [plan.record_bytes as u64, plan.records, u64::from(killed)];
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--fill", system])
        .arg(directory)
        .args(numbers.map(|number| number.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if killed {
        let output = child.stdout.take().ok_or("the child has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        child.kill()?;
        child.wait()?;
        if line.trim() != READY {
            return Err("the child could not fill the log".into());
        }
    } else if !child.wait()?.success() {
        return Err("the child could not fill the log".into());
    }
    Ok(())
}
