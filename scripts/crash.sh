#!/usr/bin/env bash
# Crash simulation in a release build: SEEDS runs of short lives, crashed at every event, and as many
# of long lives, crashed at random events. The first seed is new each time, or SEED.
#
#     SEEDS=1000 scripts/crash.sh                run more
#     scripts/crash.sh SEED                      one run again, as a failure names it
#     scripts/crash.sh SEED LIFE/EVENT/ATTEMPT   one crash of it, after the events of that life
#
# A failure names seed and crash, and which of the two tests it was; TEST=short_lives or
# TEST=long_lives runs that one alone.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds="${SEEDS:-200}"
if [ $# -gt 0 ]; then SEED="$1" seeds=1; fi
if [ $# -gt 1 ]; then export STRATALOG_CUT="$2"; fi
if [ -n "${SEED:-}" ]; then export STRATALOG_SEED="$SEED"; fi
export STRATALOG_SEEDS="$seeds"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo test --release --lib "simulation::tests::${TEST:-}" -- --nocapture | tee "$output"
# A filter that matches nothing succeeds; that would be a net with no mesh.
if ! grep -q ' recoveries$' "$output"; then
  echo "no run was made" >&2
  exit 1
fi
