#!/usr/bin/env bash
# Formatting and lints of everything in the package, warnings as errors.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --check
cargo clippy --all-targets --all-features -- -D warnings
