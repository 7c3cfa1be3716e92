//! Runs the tool and looks at what it said.
//!
//! Invariant: what is expected of every run is checked in every run: errors are one line that begins
//! with the tool's name, and text is at most 80 columns wide.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use stratalog::{Log, Options};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The tool, with nothing of the surroundings that would change what it prints.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stratalog"));
    command.env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
    command
}

/// Runs the tool to its end.
pub(crate) fn run<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Ran {
    finished(&command().args(arguments).output().expect("the tool is there"))
}

/// What a finished run said.
pub(crate) fn finished(output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Ran {
    /// Expects that all went well.
    pub(crate) fn fine(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// Expects the one line of an error of usage or I/O.
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{}", self.stderr);
        self.one_line()
    }

    /// The one line of an error.
    pub(crate) fn one_line(self) -> String {
        let line = self.stderr.strip_suffix('\n').unwrap_or(&self.stderr);
        assert_eq!(line.lines().count(), 1, "{line}");
        line.strip_prefix("stratalog: ").expect("an error begins with the name").to_owned()
    }
}

/// A log of small segments.
pub(crate) fn small_log(dir: &Path) -> Log {
    Options::new().segment_bytes(16 << 10).open(dir).expect("a log")
}
