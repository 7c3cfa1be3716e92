//! The tool `stratalog`, run as a process: what it prints, how it exits, and that it changes nothing.
//!
//! Invariant: each test runs the binary that this build made.
#![expect(clippy::cast_possible_truncation, reason = "what tests count is small")]

#[cfg(test)]
mod bench;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod documented;
#[cfg(test)]
mod get;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod live;
#[cfg(test)]
mod mounted;
#[cfg(test)]
mod places;
#[cfg(test)]
mod probe;
// Paths are shown as the system writes them, and only Linux tells who has a lock.
#[cfg(all(test, target_os = "linux"))]
mod snapshots;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod tool;
