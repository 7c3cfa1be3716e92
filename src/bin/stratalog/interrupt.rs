//! Ctrl-C, and a polite request to end: a flag that long commands look at.
//!
//! Invariant: the first one lets a command end by itself, with its report; the second one ends it.

use std::process;
use std::sync::OnceLock;

use crate::failure::Failure;

static REQUESTED: OnceLock<()> = OnceLock::new();

/// What a shell says of a program that Ctrl-C has ended.
const ENDED_BY_INTERRUPT: i32 = 130;

/// From now on a request is noted. Called once.
pub(crate) fn install() -> Result<(), Failure> {
    let noted = || {
        if REQUESTED.set(()).is_err() {
            process::exit(ENDED_BY_INTERRUPT);
        }
    };
    ctrlc::set_handler(noted)
        .map_err(|error| Failure::Usage(format!("can't listen for Ctrl-C: {error}")))
}

/// Whether the command is to end.
pub(crate) fn is_requested() -> bool {
    REQUESTED.get().is_some()
}
