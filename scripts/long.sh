#!/usr/bin/env bash
# What is too long for every change: many more property cases, all bits and lengths of the damage
# sweep, more rounds in real processes, the bounds in seconds, all in release; more crashes and power
# cuts; each ordering weakened; and the negative controls.
set -euo pipefail
cd "$(dirname "$0")/.."
STRATALOG_EXHAUSTIVE=1 PROPTEST_CASES="${PROPTEST_CASES:-20000}" cargo test --release --all-features
STRATALOG_ROUNDS=12 cargo test --release --test it -- \
  kill:: bystander:: injected:: reopened:: full_disk:: lockout:: every_fault::
SEEDS="${SEEDS:-1000}" scripts/crash.sh
scripts/power.sh --seconds 600
scripts/lookahead.sh
scripts/loom.sh
scripts/mutate-orderings.sh
scripts/negative-controls.sh
