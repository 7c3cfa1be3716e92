//! `stratalog`: the command-line tool, for whoever looks after a log and for whoever chooses its disk.
//!
//! Invariant: no command changes a byte of a log unless its name says so; and how a command ended is
//! its exit code: 0 fine, 1 damage found, 2 usage or I/O.
//!
//! It uses the library as any other program does, through what is public. One file per command; each
//! has its arguments, whose comments are its help, and `run`. Here they are told apart.

mod append;
mod archive;
mod bench;
mod check;
mod completions;
mod control;
mod damage;
mod directory;
mod dump;
mod dump_frames;
mod export;
mod failure;
mod frames;
mod get;
mod import;
mod info;
mod input;
mod interrupt;
mod latencies;
mod output;
mod payload;
mod picture;
mod probe;
mod progress;
mod quantity;
mod restore;
mod salvage;
mod scratch;
mod stream;
mod tail;
mod truncate;
mod verify;
mod writing;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use failure::{Failure, Outcome};
use output::Output;

const ENDING: &str = "\
Exit codes: 0 fine, 1 damage found, 2 usage or I/O.

Addresses (LSN) are what appending returned; `stratalog info DIR` shows the
first and the last. Only append, import, archive, restore, salvage and truncate
write anything to a log; bench and probe write into a folder of their own, which
they remove. NO_COLOR=1 and pipes have no colour.";

/// Looks into write-ahead logs, verifies, follows, copies and mends them.
#[derive(Parser)]
#[command(name = "stratalog", after_help = ENDING, max_term_width = 80)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print JSON: one object, or one per line where there are many
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Info(info::Info),
    Verify(verify::Verify),
    Dump(dump::Dump),
    Get(get::Get),
    Tail(tail::Tail),
    Append(append::Append),
    Import(import::Import),
    Export(export::Export),
    Archive(archive::Archive),
    Restore(restore::Restore),
    Salvage(salvage::Salvage),
    Truncate(truncate::Truncate),
    Bench(bench::Bench),
    Probe(probe::Probe),
    Completions(completions::Completions),
}

/// The parser, with a version that names the format too.
fn parser() -> clap::Command {
    let format = stratalog::format::VERSION;
    Arguments::command().version(format!("{} (format {format})", env!("CARGO_PKG_VERSION")))
}

fn run(arguments: &Arguments, output: &mut Output) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Info(it) => info::run(it, output),
        Command::Verify(it) => verify::run(it, output),
        Command::Dump(it) => dump::run(it, output),
        Command::Get(it) => get::run(it, output),
        Command::Tail(it) => tail::run(it, output),
        Command::Append(it) => append::run(it, output),
        Command::Import(it) => import::run(it, output),
        Command::Export(it) => export::run(it, output),
        Command::Archive(it) => archive::run(it, output),
        Command::Restore(it) => restore::run(it, output),
        Command::Salvage(it) => salvage::run(it, output),
        Command::Truncate(it) => truncate::run(it, output),
        Command::Bench(it) => bench::run(it, output),
        Command::Probe(it) => probe::run(it, output),
        Command::Completions(it) => completions::run(it, output),
    }
}

fn main() -> ExitCode {
    let matches = parser().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let mut output = Output::new(arguments.json);
    let ended = interrupt::install().and_then(|()| run(&arguments, &mut output));
    // What a failed command has found so far is worth having.
    let flushed = output.flush();
    failure::exit_code(ended.and_then(|outcome| flushed.map(|()| outcome)))
}
