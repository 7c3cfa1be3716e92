//! [`Bar`]: how far a long command has come, with rate and time left.
//!
//! Invariant: it is drawn on standard error, and only where that is a terminal.

use std::process;

use indicatif::{ProgressBar, ProgressStyle};
use stratalog::Progress;

use crate::interrupt;
use crate::output::{Output, size};

/// A bar that counts bytes.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar that is full at so many bytes.
    pub(crate) fn bytes(output: &Output, total: u64) -> Self {
        Self::new(
            output,
            total,
            "[{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left {msg}",
        )
    }

    /// A bar that is full at so many steps, with a message beside it.
    pub(crate) fn steps(output: &Output, total: u64) -> Self {
        Self::new(output, total, "[{bar:20}] {msg}")
    }

    /// This many steps are done.
    pub(crate) fn at(&self, step: u64, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_position(step);
            bar.set_message(message());
        }
    }

    /// A bar that counts segments.
    pub(crate) fn segments(output: &Output) -> Self {
        Self::new(output, 0, "[{bar:30}] {pos}/{len} segments, {eta} left {msg}")
    }

    fn new(output: &Output, total: u64, template: &str) -> Self {
        let style = ProgressStyle::with_template(template).map(|style| style.progress_chars("#-."));
        let style = style.ok().filter(|_| output.shows_progress());
        Self(style.map(|style| ProgressBar::new(total).with_style(style)))
    }

    /// So many more are done.
    pub(crate) fn add(&self, count: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(count);
        }
    }

    /// Shows how far the library has come. Where the command is to end, it ends here: what is copied is
    /// never half there under its name, and running the command again goes on.
    pub(crate) fn follow(&self, progress: &Progress) {
        if let Some(bar) = &self.0 {
            bar.set_length(progress.segments as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(size(progress.bytes));
        }
        if interrupt::is_requested() && progress.done < progress.segments {
            self.finish();
            let (done, all) = (progress.done, progress.segments);
            eprintln!("stratalog: stopped after {done} of {all} segments: run it again");
            process::exit(2);
        }
    }

    /// Removes the bar from the terminal.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
