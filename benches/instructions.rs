//! The instructions of one operation in user space, counted by callgrind and held to the bounds in
//! `instructions.toml`, with 3 % of room.
//!
//! Invariant: a figure is the difference of two runs that differ in nothing but how often the operation
//! is done, divided by that: opening, preparing segments and loading the program are not in it. There
//! is one thread, no clock is looked at, and so a figure is the same in each run on one toolchain; on
//! another one what is over its bound is only said.
//!
//! 1. This program starts itself under `valgrind --tool=callgrind`, twice for each row: see [`work`].
//! 2. [`profile`] reads what callgrind has written.
//! 3. Figures are compared with the bounds, or printed as new ones.
//!
//! Arguments: `--row TEXT`, only rows whose name has that in it; `--top`, with the functions in which most
//! of the instructions are; `--record`, to print the file of bounds.

mod common;

#[path = "check/bounds.rs"]
mod bounds;
#[path = "instructions/profile.rs"]
mod profile;
#[path = "instructions/work.rs"]
mod work;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use bounds::{Bound, Bounds};
use common::folder;
use profile::Profile;
use work::{ROWS, Row};

/// What a figure may be beyond its bound: a change of a few instructions is no regression.
const ROOM: f64 = 0.03;
const TOP_FUNCTIONS: usize = 12;
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");

#[derive(Default)]
struct Arguments {
    record: bool,
    top: bool,
    row: String,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // What cargo adds.
                "--bench" => {}
                "--record" => parsed.record = true,
                "--top" => parsed.top = true,
                "--row" => parsed.row = arguments.next().ok_or("--row wants a value")?,
                _ => return Err(format!("{argument} is not known")),
            }
        }
        Ok(parsed)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, name, times] = arguments.as_slice()
        && mode == work::ARGUMENT
    {
        return work::run(name, times);
    }
    match Arguments::parse(arguments.into_iter()).and_then(|arguments| count(&arguments)) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("instructions: {message}");
            ExitCode::from(2)
        }
    }
}

/// Counts all rows, and compares or prints.
fn count(arguments: &Arguments) -> Result<ExitCode, String> {
    let toolchain = toolchain();
    let folder = folder();
    let rows = || ROWS.iter().filter(|row| row.name.contains(&arguments.row));
    if arguments.record {
        print!("{HEAD}\ntoolchain = \"{toolchain}\"\n\n[at_most]\n");
        for row in rows() {
            let figure = figure(row, &measure(row, folder.path())?);
            println!("\"{}\" = {figure:.1}", row.name);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let bounds = Bounds::parse(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let mismatches = bounds.mismatches(&ROWS.map(|row| row.name));
    if !mismatches.is_empty() {
        return Err(format!("{FILE}: {}", mismatches.join("; ")));
    }
    if rows().next().is_none() {
        return Err("no row has such a name".to_owned());
    }
    let (mut over, mut less) = (0, 0);
    for row in rows() {
        let Some(bound) = bounds.of(row.name) else { continue };
        let profile = measure(row, folder.path())?;
        let figure = figure(row, &profile);
        let word = if bound.widened(ROOM).holds(figure) { "held" } else { "OVER" };
        over += usize::from(word == "OVER");
        less += usize::from(!Bound::AtLeast(bound.figure()).widened(ROOM).holds(figure));
        println!("{word}  {}: {figure:.1}, {bound:.1} and 3 %", row.name);
        if arguments.top {
            print_top(row, &profile);
        }
    }
    Ok(conclude(over, less, &toolchain, bounds.toolchain.as_deref().unwrap_or_default()))
}

fn conclude(over: usize, less: usize, toolchain: &str, recorded: &str) -> ExitCode {
    if less > 0 {
        println!(
            "{less} rows are more than 3 % below: scripts/instructions.sh --record writes that down"
        );
    }
    if over == 0 {
        return ExitCode::SUCCESS;
    }
    if toolchain != recorded {
        println!("{over} rows are over, but for {recorded}, and this is {toolchain}: no failure");
        return ExitCode::SUCCESS;
    }
    eprintln!("instructions: {over} rows are over their bounds");
    ExitCode::FAILURE
}

const HEAD: &str = "\
# Instructions of one operation in user space, by callgrind: benches/instructions.rs. Written anew by
#
#     scripts/instructions.sh --record > benches/instructions.toml
#
# Each is what was counted, to which the program adds 3 %. They hold for this toolchain; with another
# what is over is said and fails nothing. A batch's figure is one record's.
";

/// Version and target of the compiler, as in `rustc 1.89.0, x86_64`.
fn toolchain() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.unwrap_or_default();
    let words: Vec<&str> = version.split_whitespace().take(2).collect();
    format!("{}, {}", words.join(" "), std::env::consts::ARCH)
}

/// Runs a row once and twice as often, and returns the difference.
fn measure(row: &Row, folder: &Path) -> Result<Profile, String> {
    let once = callgrind(row, row.times, &folder.join("once"))?;
    let twice = callgrind(row, 2 * row.times, &folder.join("twice"))?;
    Ok(twice.without(&once))
}

fn callgrind(row: &Row, times: u64, output: &Path) -> Result<Profile, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(program)
        .args([work::ARGUMENT, row.name, &times.to_string()])
        .stdin(Stdio::null());
    let ran = command.output().map_err(|error| format!("valgrind can't be run: {error}"))?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        return Err(format!("{}: valgrind ended with {}: {said}", row.name, ran.status));
    }
    let text = std::fs::read(output).map_err(|error| format!("{}: {error}", output.display()))?;
    Profile::parse(&String::from_utf8_lossy(&text))
}

fn figure(row: &Row, profile: &Profile) -> f64 {
    profile.total() / row.records()
}

/// The functions with the most instructions of their own; what is inlined into one counts as its own.
fn print_top(row: &Row, profile: &Profile) {
    for (function, count) in profile.top().into_iter().take(TOP_FUNCTIONS) {
        println!("{:>12.1}  {function}", count / row.records());
    }
}
