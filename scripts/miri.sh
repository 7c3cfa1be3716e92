#!/usr/bin/env bash
# The pure floor, the unsafe file and everything over memory storage, interpreted. Provenance
# is permissive, as a contended lock of parking_lot turns an integer into a pointer; MIRIFLAGS can say
# otherwise. Needs nightly with the components miri and rust-src. Isolation is off only because
# property tests read their environment.
set -euo pipefail
cd "$(dirname "$0")/.."
export MIRIFLAGS="-Zmiri-permissive-provenance -Zmiri-disable-isolation ${MIRIFLAGS:-}"
export PROPTEST_CASES="${PROPTEST_CASES:-4}" PROPTEST_DISABLE_FAILURE_PERSISTENCE=true
output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo +nightly miri test --lib --tests -- format:: storage::region memory "$@" | tee "$output"
if ! grep -q '^test .*memory.* ok$' "$output"; then
  echo "no test over memory storage was run" >&2
  exit 1
fi
