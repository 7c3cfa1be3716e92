//! Tests of the reading floor, on segments made by hand.

mod addresses;
mod damage;
// Miri has neither files nor maps.
#[cfg(not(miri))]
mod files;
mod fixture;
mod iteration;
