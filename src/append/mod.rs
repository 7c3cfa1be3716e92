//! The append path on files: what a record goes through until it is durable.
//!
//! Invariant: `Ok` from [`Appender`] means what the guarantee says: committed, in the operating
//! system's hands with everything before it; durable, on the disk with everything before it.
//! The first failed write or sync ends all appending, for good.
//!
//! [`disk`] is the protocol's medium on segments; [`appender`] the operations; [`direct`] writes what is
//! too big for the ring; [`gather`] decides how long a sync waits for company; [`upkeep`] seals what is
//! full; [`head`] drops the beginning, [`cut`] the end.

pub(crate) mod appender;
pub(crate) mod cut;
mod direct;
pub(crate) mod disk;
mod gather;
mod head;
mod upkeep;

#[cfg(test)]
mod tests;
