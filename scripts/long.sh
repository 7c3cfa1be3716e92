#!/usr/bin/env bash
# What is too long for every change: many more property cases, in release, and the negative controls.
set -euo pipefail
cd "$(dirname "$0")/.."
PROPTEST_CASES="${PROPTEST_CASES:-20000}" cargo test --release --all-features
scripts/loom.sh
scripts/negative-controls.sh
