#!/usr/bin/env bash
# Looks for inputs that break a promise: `fuzz.sh [target] [seconds]`, all targets and a minute each
# if nothing is said. Needs nightly and cargo-fuzz. What it finds on the way it keeps below
# target/, beside the inputs that are kept in fuzz/corpus; `fuzz.sh keep [target]` takes the fewest
# of them over that reach as much.
set -euo pipefail
cd "$(dirname "$0")/.."
keep=false
if [ "${1:-}" = keep ]; then
  keep=true
  shift
fi
targets=${1:-scan open rescue model}
seconds=${2:-60}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/fuzz}"
for target in $targets; do
  found="target/fuzz/found/$target"
  mkdir -p "$found"
  limits=(-timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=256 -max_len=20480)
  if $keep; then
    smallest=$(mktemp -d)
    cargo +nightly fuzz run "$target" "$smallest" "fuzz/corpus/$target" "$found" -- \
      -set_cover_merge=1 -use_counters=0 "${limits[@]}"
    for input in "$smallest"/*; do cp -n "$input" "fuzz/corpus/$target/"; done
    rm -r "$smallest"
  else
    cargo +nightly fuzz run "$target" "$found" "fuzz/corpus/$target" -- \
      -max_total_time="$seconds" -print_final_stats=1 "${limits[@]}"
  fi
done
