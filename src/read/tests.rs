//! Tests of the reading floor, on segments made by hand.

mod fixture;
mod iteration;
