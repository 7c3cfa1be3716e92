//! [`Arguments`]: what the command line asks for.

use std::path::{Path, PathBuf};

use crate::child::Order;
use crate::works;

pub(crate) const HELP: &str = "\
Usage: stratalog-peers [OPTIONS]

Options:
  --only WORK     do only this work; may be given several times
  --rounds N      rounds of each work, default 5
  --quick         two rounds of small works, to see that all runs: the figures mean little
  --dir PATH      where the logs are made, default beside this program
  --markdown      print Markdown tables
  --list          print the names of the works
  --help          print this

The file system below PATH decides most figures: use the disk that you mean.";

#[derive(Debug)]
pub(crate) struct Arguments {
    only: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) directory: PathBuf,
    pub(crate) markdown: bool,
}

impl Arguments {
    pub(crate) fn includes(&self, work: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == work)
    }
}

#[derive(Debug)]
pub(crate) enum Mode {
    Run(Arguments),
    /// This process is a child that fills a log, and may be killed.
    Child(Order),
    Help,
}

/// The build's own folder, which no one commits.
fn beside_program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().map_or(PathBuf::from("."), Path::to_path_buf)
}

pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Mode, String> {
    let mut arguments = Arguments {
        only: Vec::new(),
        rounds: 0,
        quick: false,
        directory: beside_program(),
        markdown: false,
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--only" => {
                let name = value()?;
                if !works::names().contains(&name.as_str()) {
                    return Err(format!("no work {name}; there are: {}", works::names().join(" ")));
                }
                arguments.only.push(name);
            }
            "--rounds" => {
                let rounds = value()?;
                arguments.rounds = rounds.parse().map_err(|_| format!("no number: {rounds}"))?;
            }
            "--dir" => arguments.directory = PathBuf::from(value()?),
            "--quick" => arguments.quick = true,
            "--markdown" => arguments.markdown = true,
            "--list" => {
                println!("{}", works::names().join("\n"));
                std::process::exit(0);
            }
            "--fill" => return Order::parse(given).map(Mode::Child),
            "--help" | "-h" => return Ok(Mode::Help),
            // Given by `cargo bench`, and without meaning here.
            "--bench" => {}
            _ => return Err(format!("unknown option {argument}")),
        }
    }
    if arguments.rounds == 0 {
        arguments.rounds = if arguments.quick { 2 } else { 5 };
    }
    Ok(Mode::Run(arguments))
}
