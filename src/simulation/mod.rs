//! Crash simulation: logs that lose power, or their process, at every event of their lives.
//!
//! Invariant: a seed replays exactly, as threads run one at a time and a schedule draws which one.
//!
//! An [`operation`] is what a thread does; a [`life`] is an opening and all that is done to the log
//! until its end; a [`run`] is a log through several lives and the crashes between them. What callers
//! were told is kept in a [`ledger`], and every log that is opened after a crash is held to it:
//!
//! - Opening never fails: no loss of power looks like damage.
//! - The log is a prefix of the order of appending. It ends outside every batch, and holds nothing
//!   that was appended after the crash, or never.
//! - It holds everything that was durable; if only the process ended, everything that was committed.
//! - What an opened log shows is durable, and what it has cut off never comes back.
//! - An address that anyone was told of is never given to other bytes.
//!
//! `STRATALOG_SEED` is the first seed, `STRATALOG_SEEDS` how many there are; `STRATALOG_CUT` picks one
//! crash of a run, as a failure names it. `scripts/crash.sh` does so in a release build.

mod ledger;
mod life;
mod operation;
mod run;
mod tests;
