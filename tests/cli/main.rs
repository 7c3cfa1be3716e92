//! The tool `stratalog`, run as a process: what it prints, how it exits, and that it changes nothing.
//!
//! Invariant: each test runs the binary that this build made.

mod bench;
mod get;
mod golden;
mod places;
mod probe;
mod snapshots;
mod tool;
