//! `completions`: what a shell needs to complete the tool's commands and options.
//!
//! Invariant: it is made from the parser itself, so it can't fall behind.

use clap_complete::Shell;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Prints a script that completes commands and options in a shell
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  stratalog completions bash > ~/.local/share/bash-completion/completions/stratalog"
)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Completions, output: &mut Output) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::parser(), "stratalog", &mut script);
    output.bytes(&script)?;
    Ok(Outcome::Fine)
}
