//! [`Arguments`]: what the command line asks for.

use std::path::{Path, PathBuf};

use crate::child::Order;
use crate::systems;
use crate::works::{self, Choice, Work};

pub(crate) const HELP: &str = "\
Usage: stratalog-peers [OPTIONS] [WORK]..

A WORK is a name, a pattern with * or ?, or what names begin with. Without any, the works of the
README's table are done, in five minutes. In names bare numbers are threads, and those with a unit
sizes of records.

Options:
  --all           do all works; takes a quarter of an hour
  --system NAME   measure only this system; may be given several times
  --rounds N      rounds of each work, default 5
  --quick         two rounds of small works, to see that all runs: the figures mean little
  --dir PATH      where the logs are made, default beside this program
  --markdown      print Markdown tables instead of text
  --markdown-file FILE  write the tables into this file, as Markdown, as well
  --svg FILE      draw the figures into this file as well
  --list          print the names of the works; those done by default have a mark
  --help          print this

The file system below PATH decides most figures: use the disk that you mean.";

const ROUNDS: usize = 5;
const QUICK_ROUNDS: usize = 2;

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) works: Vec<Work>,
    /// All where it is empty.
    pub(crate) systems: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) directory: PathBuf,
    pub(crate) markdown: bool,
    pub(crate) markdown_file: Option<PathBuf>,
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Mode {
    Run(Arguments),
    /// This process is a child that fills a log, and may be killed.
    Child(Order),
    List,
    Help,
}

/// The build's own folder, which no one commits.
fn beside_program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().map_or(PathBuf::from("."), Path::to_path_buf)
}

pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Mode, String> {
    let mut choice = Choice::default();
    let mut rounds = None;
    let mut arguments = Arguments {
        works: Vec::new(),
        systems: Vec::new(),
        rounds: 0,
        quick: false,
        directory: beside_program(),
        markdown: false,
        markdown_file: None,
        svg: None,
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--all" => choice.all = true,
            "--only" => choice.patterns.push(value()?),
            "--system" => arguments.systems.push(system(value()?)?),
            "--rounds" => rounds = Some(number(&value()?)?),
            "--dir" => arguments.directory = PathBuf::from(value()?),
            "--quick" => arguments.quick = true,
            "--markdown" => arguments.markdown = true,
            "--markdown-file" => arguments.markdown_file = Some(PathBuf::from(value()?)),
            "--svg" => arguments.svg = Some(PathBuf::from(value()?)),
            "--list" => return Ok(Mode::List),
            "--fill" => return Order::parse(given).map(Mode::Child),
            "--help" | "-h" => return Ok(Mode::Help),
            // Given by `cargo bench`, and without meaning here.
            "--bench" => {}
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            work => choice.patterns.push(work.to_owned()),
        }
    }
    arguments.works = choice.works(arguments.quick)?;
    arguments.rounds = rounds.unwrap_or(if arguments.quick { QUICK_ROUNDS } else { ROUNDS });
    Ok(Mode::Run(arguments))
}

fn system(name: String) -> Result<String, String> {
    let names: Vec<&str> = systems::all().iter().map(|system| system.name()).collect();
    if names.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(format!("no system {name}; there are: {}", names.join(" ")))
}

fn number(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("no number of rounds: {text}")),
    }
}

/// The works' names, each on a line.
pub(crate) fn list() -> String {
    let chosen = Choice::default().works(false).unwrap_or_default();
    let line = |name: &str| {
        let is_default = chosen.iter().any(|work| work.name == name);
        format!("{name}{}\n", if is_default { " *" } else { "" })
    };
    works::names().into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Mode, String> {
        parse(words.iter().map(ToString::to_string))
    }

    #[test]
    fn works_and_options_mix() {
        let mode = parsed(&[
            "durable-?",
            "--svg",
            "a.svg",
            "batch",
            "--quick",
            "--system",
            "raw",
            "--markdown-file",
            "a.md",
        ]);
        let Ok(Mode::Run(arguments)) = mode else { panic!("{mode:?}") };
        let names: Vec<&str> = arguments.works.iter().map(|work| work.name).collect();
        assert_eq!(names, ["batch", "durable-1", "durable-2", "durable-8"]);
        assert_eq!((arguments.rounds, arguments.systems), (2, vec!["raw".to_owned()]));
        assert_eq!(arguments.svg, Some(PathBuf::from("a.svg")));
        assert_eq!(arguments.markdown_file, Some(PathBuf::from("a.md")));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for words in [
            &["--nothing"][..],
            &["nothing"],
            &["--rounds"],
            &["--rounds", "0"],
            &["--rounds", "few"],
            &["--system", "none"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn the_list_marks_the_default() {
        assert!(list().lines().any(|line| line == "append-1 *"));
        assert!(list().lines().any(|line| line == "append-32"));
    }
}
