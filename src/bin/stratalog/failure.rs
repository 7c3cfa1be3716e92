//! [`Failure`] and [`Outcome`]: how a command ends, and the exit code that says so.
//!
//! Invariant: a failure is one line on standard error that begins with `stratalog: `.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stratalog::Error;

use crate::output::one_line;

/// How a command ended that did what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Fine,
    /// Damage was found, and told.
    Damage,
}

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense, or was not confirmed.
    Usage(String),
    /// What was read is damaged.
    Damage(String),
    Log(Error),
    Io {
        /// What was to be done, such as `read`.
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Whoever read the output has what it wanted: no failure of ours.
    ClosedPipe,
}

impl Failure {
    /// A failed call on a file.
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.into(), source }
    }

    /// A failed write to standard output.
    pub(crate) fn stdout(source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::io("write", Path::new("standard output"), source)
    }

    /// Whether a file is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damage(_) | Self::Log(Error::Corrupt { .. } | Error::MissingSegment { .. })
        )
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Log(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Damage(text) => f.write_str(text),
            Self::Log(error) => match error.source() {
                Some(source) => write!(f, "{error}: {source}"),
                None => write!(f, "{error}"),
            },
            Self::Io { what, path, source } => {
                write!(f, "failed to {what} {}: {source}", one_line(path))
            }
            Self::ClosedPipe => f.write_str("standard output was closed"),
        }
    }
}

/// Tells of a failure, and says with which code to exit.
pub(crate) fn exit_code(ended: Result<Outcome, Failure>) -> ExitCode {
    match ended {
        Ok(Outcome::Fine) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Ok(Outcome::Damage) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("stratalog: {failure}");
            ExitCode::from(if failure.is_damage() { 1 } else { 2 })
        }
    }
}
