//! Tests of opening: logs are assembled byte by byte, damaged, and opened.

mod addresses;
#[cfg(not(miri))]
mod ahead;
mod anything;
mod bytes;
mod damaged;
mod images;
mod interrupted;
mod links;
mod lost_control;
mod policies;
mod proof;
mod refused;
mod stopped;
mod windows;
