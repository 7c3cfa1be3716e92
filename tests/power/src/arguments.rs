//! [`Arguments`]: what the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use crate::kind::Kind;

pub(crate) const HELP: &str = "\
Usage: stratalog-power [OPTIONS]

Options:
  --fs NAMES      file systems, default ext4,xfs,btrfs
  --seed N        the first seed, default one that is new; printed
  --cuts N        cuts of each workload, default 40; 0: on both sides of every flush
  --seconds N     how long, default 60; all file systems at the same time
  --only NAME     only one of: cuts, failing, killed, shutdown
  --quick         40 seconds, and 20 cuts of each workload
  --keep PATH     where the image of a cut that broke a promise is written, to be mounted and seen
  --require       a file system that can't be tested here is an error
  --verbose       a line for each round
  --help          print this

Needs root, /dev/fuse, loop devices, and mkfs of each file system.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    Cuts,
    Failing,
    Killed,
    Shutdown,
}

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) seed: u64,
    pub(crate) cuts: usize,
    pub(crate) time: Duration,
    pub(crate) only: Option<Net>,
    pub(crate) keep: Option<PathBuf>,
    pub(crate) require: bool,
    pub(crate) verbose: bool,
}

impl Arguments {
    pub(crate) fn includes(&self, net: Net) -> bool {
        self.only.is_none_or(|only| only == net)
    }
}

/// None: only help was asked for.
pub(crate) fn parse(
    mut given: impl Iterator<Item = String>,
    new_seed: u64,
) -> Result<Option<Arguments>, String> {
    let mut arguments = Arguments {
        kinds: Kind::ALL.to_vec(),
        seed: new_seed,
        cuts: 40,
        time: Duration::from_secs(60),
        only: None,
        keep: None,
        require: false,
        verbose: false,
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        let mut number = || {
            let text = value()?;
            text.parse::<u64>().map_err(|_| format!("no number: {text}"))
        };
        match argument.as_str() {
            "--fs" => arguments.kinds = kinds(&value()?)?,
            "--seed" => arguments.seed = number()?,
            "--cuts" => arguments.cuts = number()? as usize,
            "--seconds" => arguments.time = Duration::from_secs(number()?),
            "--only" => arguments.only = Some(net(&value()?)?),
            "--quick" => {
                arguments.time = Duration::from_secs(40);
                arguments.cuts = 20;
            }
            "--keep" => arguments.keep = Some(PathBuf::from(value()?)),
            "--verbose" => arguments.verbose = true,
            "--require" => arguments.require = true,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown option {argument}")),
        }
    }
    Ok(Some(arguments))
}

fn kinds(names: &str) -> Result<Vec<Kind>, String> {
    let known = |name: &str| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or(format!("no file system {name}; there are: ext4 xfs btrfs"))
    };
    names.split(',').map(known).collect()
}

fn net(name: &str) -> Result<Net, String> {
    match name {
        "cuts" => Ok(Net::Cuts),
        "failing" => Ok(Net::Failing),
        "killed" => Ok(Net::Killed),
        "shutdown" => Ok(Net::Shutdown),
        _ => Err(format!("no net {name}; there are: cuts failing killed shutdown")),
    }
}
