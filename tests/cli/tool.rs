//! Runs the tool and looks at what it said.
//!
//! Invariant: what is expected of every run is checked in every run: errors are one line that begins
//! with the tool's name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::SystemTime;

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

/// Runs the tool with an input.
pub(crate) fn run_with<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I, input: &[u8]) -> Ran {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool is there");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // It may end without reading all of it.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    finished(&output)
}

impl Ran {
    /// The one JSON object that was printed.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).expect("it is JSON")
    }
}

/// Every file of a folder, with its bytes and the time when it was written.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let read = |path: PathBuf| {
        let written = fs::metadata(&path).and_then(|it| it.modified()).expect("a time");
        (path.clone(), (fs::read(&path).expect("a file"), written))
    };
    entries.map(read).collect()
}

/// What `dump` shows of a log, with damage passed.
pub(crate) fn dumped(dir: &Path) -> String {
    let arguments = [OsStr::new("dump"), dir.as_os_str(), OsStr::new("--skip-damage")];
    let ran = run(arguments.into_iter().chain([OsStr::new("--json")]));
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
    ran.stdout
}
