#!/usr/bin/env bash
# Formatting and lints of everything in the package, warnings as errors.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --check
cargo clippy --all-targets --all-features -- -D warnings
# The gates are no benchmarks to cargo, hence none of its targets.
cargo clippy --all-features --bench check --bench instructions -- -D warnings
