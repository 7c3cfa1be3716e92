//! Integration tests: the whole log through its public face only.
//!
//! Invariant: every test is deterministic but for its seed, which is printed and can be given again
//! as `STRATALOG_SEED`; `STRATALOG_CASES` and `STRATALOG_ROUNDS` make runs longer. Segments are tiny,
//! so that rolls and edges are the common case.
#![expect(clippy::cast_possible_truncation, reason = "what tests count is small")]

#[cfg(test)]
mod adapters;
#[cfg(test)]
mod archiving;
#[cfg(test)]
mod asynchronous;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bystander;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod common;
#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod cutting;
#[cfg(test)]
mod damage;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod every_fault;
#[cfg(test)]
mod failure;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod following;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod gate;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod injected;
#[cfg(test)]
mod kill;
#[cfg(test)]
#[cfg(unix)]
mod killed_cut;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lockout;
#[cfg(test)]
mod lookahead;
#[cfg(test)]
mod model;
#[cfg(test)]
mod no_space;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod oddities;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod process;
#[cfg(test)]
mod read_only;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod removing;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod reopened;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod strace;
#[cfg(test)]
mod tap;
#[cfg(test)]
mod torn;
#[cfg(test)]
mod truncating;
