#!/usr/bin/env bash
# The examples, each run once: they check their own results. The tour is a step of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --examples
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for path in examples/*; do
  name=$(basename "$path" .rs)
  if [ "$name" = tour ]; then continue; fi
  printf '\n-- %s --\n' "$name"
  cargo run --quiet --release --example "$name" | tee "$output"
  # One that ends early without an error has checked nothing.
  if [ "$(tail -n 1 "$output" | tr -d '\r')" != "All checks held." ]; then
    echo "$name has not come to its end" >&2
    exit 1
  fi
done
