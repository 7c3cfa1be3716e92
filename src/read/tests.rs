//! Tests of the reading floor, on segments made by hand.

mod addresses;
mod damage;
// Miri has neither files nor maps.
#[cfg(not(miri))]
mod files;
#[expect(clippy::cast_possible_truncation, reason = "sizes that are made here, and are small")]
mod fixture;
mod iteration;
#[cfg(feature = "bytes")]
mod pinned;
mod walking;
#[cfg(not(miri))]
mod window;
