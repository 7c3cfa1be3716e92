//! A program of operations with crashes. The body is an ordinary test's too.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/fuzz/input.rs"]
mod input;
#[path = "../../tests/it/fuzz/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../../tests/it/tap.rs"]
mod tap;

type Reached = std::collections::BTreeSet<&'static str>;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    model::model(data);
});
