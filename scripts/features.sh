#!/usr/bin/env bash
# The adapters: each feature builds by itself, without warnings and without the others, and what is in
# them holds: their tests, those that count allocations, and the examples of their documentation.
set -euo pipefail
cd "$(dirname "$0")/.."
for feature in serde zerocopy rkyv bytes; do
  cargo clippy --quiet --lib --features "$feature" -- -D warnings
done
output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo test --all-features adapters "$@" | tee "$output"
# Cargo leaves these out where it is given a filter.
cargo test --all-features --doc adapters "$@" | tee -a "$output"
# A filter that matches nothing succeeds; that would be a net with no mesh.
for test in adapters::typed:: adapters::together:: with_adapters src/adapters/bytes.rs; do
  if ! grep -q "^test .*$test.* ok$" "$output"; then
    echo "no test of $test was run" >&2
    exit 1
  fi
done
