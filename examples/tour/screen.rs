//! [`Screen`]: the line that shows how far the work is; [`Goal`]: when it is enough; and numbers as
//! people read them.
//!
//! Invariant: where standard output is no terminal, only results are printed.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const WIDTH: usize = 79;
const UPDATE_EVERY: Duration = Duration::from_millis(60);
/// One of every so many calls looks at the clock.
const CALLS_PER_LOOK: u32 = 64;

/// How much each of the two writing processes writes, in bytes of payload, and for how long at most.
const GOAL_BYTES: u64 = 100 << 20;
const GOAL_TIME: Duration = Duration::from_secs(1);

pub(crate) struct Screen {
    is_terminal: bool,
    shown: Mutex<Shown>,
}

struct Shown {
    at: Instant,
    calls: u32,
    is_on: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let shown = Mutex::new(Shown { at: Instant::now(), calls: 0, is_on: false });
        Self { is_terminal: std::io::stdout().is_terminal(), shown }
    }

    /// Shows how far the work is, if it is time to.
    pub(crate) fn update(&self, work: &str, records: u64, bytes: u64) {
        if !self.is_terminal {
            return;
        }
        // Whoever finds another thread here has nothing to add.
        let Ok(mut shown) = self.shown.try_lock() else { return };
        shown.calls += 1;
        if shown.calls < CALLS_PER_LOOK || shown.at.elapsed() < UPDATE_EVERY {
            shown.calls %= CALLS_PER_LOOK;
            return;
        }
        *shown = Shown { at: Instant::now(), calls: 0, is_on: true };
        let line = format!("  {work}: {} records, {} MB", grouped(records), bytes / 1_000_000);
        print!("\r{line:WIDTH$.WIDTH$}");
        let _ = std::io::stdout().flush();
    }

    /// Takes the line away, before a result is printed.
    pub(crate) fn clear(&self) {
        if let Ok(mut shown) = self.shown.lock()
            && std::mem::take(&mut shown.is_on)
        {
            print!("\r{:WIDTH$}\r", "");
        }
    }
}

/// When a writing process has written enough.
pub(crate) struct Goal {
    began: Instant,
}

impl Goal {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now() }
    }

    pub(crate) fn is_reached(&self, bytes: u64) -> bool {
        bytes >= GOAL_BYTES || self.elapsed() >= GOAL_TIME
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// `1,234,567`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.23 s`, `4.56 ms` or `789 us`
pub(crate) fn time(duration: Duration) -> String {
    if duration >= Duration::from_secs(1) {
        format!("{:.2} s", duration.as_secs_f64())
    } else if duration >= Duration::from_millis(1) {
        format!("{:.2} ms", duration.as_secs_f64() * 1e3)
    } else {
        format!("{} us", duration.as_micros())
    }
}

/// One row of the table of speeds.
pub(crate) fn speed(work: &str, records: u64, bytes: u64, took: Duration) -> String {
    let per_second = |number: u64| u128::from(number) * 1_000_000 / took.as_micros().max(1);
    let records = grouped(u64::try_from(per_second(records)).unwrap_or(u64::MAX));
    let megabytes = per_second(bytes) / 1_000_000;
    format!("  {work:32} {records:>12} records/s {megabytes:>6} MB/s {:>10}", time(took))
}
