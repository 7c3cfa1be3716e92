//! Any files, and all that is done with them but opening. The body is an ordinary test's too.
#![no_main]

#[path = "../../tests/it/fuzz/edit.rs"]
mod edit;
#[allow(dead_code)]
#[path = "../../tests/it/fuzz/frames.rs"]
mod frames;
#[allow(dead_code)]
#[path = "../../tests/it/fuzz/golden.rs"]
mod golden;
#[allow(dead_code)]
#[path = "../../tests/it/fuzz/input.rs"]
mod input;
#[path = "../../tests/it/fuzz/rescue.rs"]
mod rescue;

type Reached = std::collections::BTreeSet<&'static str>;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    rescue::rescue(data);
});
