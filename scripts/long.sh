#!/usr/bin/env bash
# What is too long for every change: many more property cases, all bits and lengths of the damage
# sweep, the bounds in seconds, all in release; and the negative controls.
set -euo pipefail
cd "$(dirname "$0")/.."
STRATALOG_EXHAUSTIVE=1 PROPTEST_CASES="${PROPTEST_CASES:-20000}" cargo test --release --all-features
scripts/lookahead.sh
scripts/loom.sh
scripts/negative-controls.sh
