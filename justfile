# Every command of the project. `just` lists them; each also works by hand, as written here.

_default:
    @just --list --unsorted

# Unit, property, integration and documentation tests.
test *arguments:
    cargo test {{ arguments }}

# Formatting and lints, warnings as errors.
lint:
    scripts/lint.sh

# The documentation, warnings as errors.
doc:
    scripts/doc.sh

# The adapters: each feature by itself, and the tests of them all.
features *arguments:
    scripts/features.sh {{ arguments }}

# The command-line tool, run as a process on golden, damaged and live logs.
tool *arguments:
    scripts/tool.sh {{ arguments }}

# All interleavings of the protocol's models.
loom *arguments:
    scripts/loom.sh {{ arguments }}

# Memory storage and the unsafe file under Miri (nightly with miri and rust-src).
miri *arguments:
    scripts/miri.sh {{ arguments }}

# Each acquire and release of the protocol weakened by itself: a model must fail.
mutate-orderings *arguments:
    scripts/mutate-orderings.sh {{ arguments }}

# Logs that lose power at every event of their lives, also while they recover. SEEDS=.. runs more.
crash *arguments:
    scripts/crash.sh {{ arguments }}

# Power cuts on ext4, xfs and btrfs, on a device that is recorded (root).
power *arguments:
    scripts/power.sh {{ arguments }}

# Inputs that break a promise: scan, open, model (nightly and cargo-fuzz).
fuzz *arguments:
    scripts/fuzz.sh {{ arguments }}

# Tests under ThreadSanitizer or AddressSanitizer: thread, address (nightly and rust-src).
sanitize kind *arguments:
    scripts/sanitize.sh {{ kind }} {{ arguments }}

# The search behind a torn tail of 64 MiB, whatever is in it, within its bounds in seconds.
lookahead:
    scripts/lookahead.sh

# The library's own benchmarks.
bench *arguments:
    cargo bench {{ arguments }}

# The bench gate: ratios to plain writes, syncs and scans, held to benches/bounds.toml.
bench-check *arguments:
    scripts/bench-check.sh {{ arguments }}

# Instructions of one operation, counted by callgrind, held to benches/instructions.toml (valgrind).
instructions *arguments:
    scripts/instructions.sh {{ arguments }}

# The same work on this log, on others, and on plain writes.
peers *arguments:
    cargo run --release --manifest-path benches/peers/Cargo.toml -- {{ arguments }}

# Everything the log can do, told while it is done.
tour:
    cargo run --release --example tour

# The examples, each of which checks its own result.
examples:
    scripts/examples.sh

# Builds with one guarantee removed must fail their nets.
negative-controls *names:
    scripts/negative-controls.sh {{ names }}

# What runs on every change.
ci:
    .ci/run
