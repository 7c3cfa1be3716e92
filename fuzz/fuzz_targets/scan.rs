//! Any bytes at all, as frames, blocks and names. The body is an ordinary test's too.
#![no_main]

#[allow(dead_code)]
#[path = "../../tests/it/fuzz/frames.rs"]
mod frames;
#[allow(dead_code)]
#[path = "../../tests/it/fuzz/input.rs"]
mod input;
#[path = "../../tests/it/fuzz/scan.rs"]
mod scan;

type Reached = std::collections::BTreeSet<&'static str>;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    scan::scan(data);
});
