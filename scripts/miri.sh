#!/usr/bin/env bash
# The unsafe files, memory storage, a whole log over it and some of the pure floor, interpreted: undefined
# behaviour, races, and pointers made of integers. Needs nightly with the components miri and rust-src.
#
# 1. All of it with strict provenance.
# 2. What shares memory once more under the other model of aliasing, tree borrows.
# 3. Threads that append beside a reader, in other interleavings: MIRI_SEEDS of them, 4 if not set;
#    and in four times as many, threads that nothing but the bytes they share puts in order.
#
# Of the pure floor, where there is nothing unsafe, only some is run by itself; the whole log goes
# through all of it.
# Isolation is off only because property tests read their environment. Arguments are filters, instead
# of all that.
set -euo pipefail
cd "$(dirname "$0")/.."
export PROPTEST_CASES="${PROPTEST_CASES:-2}" PROPTEST_DISABLE_FAILURE_PERSISTENCE=true
# Checksums by the processor's instruction are one step each for the interpreter, and by table a
# thousand.
if [ "$(uname -m)" = x86_64 ]; then
  export RUSTFLAGS="${RUSTFLAGS:-} -Ctarget-feature=+sse4.2"
fi
flags="-Zmiri-strict-provenance -Zmiri-disable-isolation ${MIRIFLAGS:-}"
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# Runs with the flags $1 the tests that the rest says; at least one must have been run.
run() {
  local more=$1
  shift
  printf '\n== %s ==\n' "$flags $more"
  MIRIFLAGS="$flags $more" cargo +nightly miri test --lib -- "$@" | tee "$output"
  if ! grep -q '^test .* ok$' "$output"; then
    echo "no test was run" >&2
    exit 1
  fi
}

if [ $# -gt 0 ]; then
  run "" "$@"
  exit
fi
floor=(format::checksum format::crc format::name format::frame format::layout format::header::tests::a_header
  format::scan::tests::a_)
many=(every_ of_all_kinds each_address at_another_address paddings_body scan_finds only_the_name)
run "" log::interpreted storage::region storage::memory protocol::tests
run "" "${floor[@]}" "${many[@]/#/--skip=}"
run -Zmiri-tree-borrows storage::region storage::memory log::interpreted
seeds="${MIRI_SEEDS:-4}"
run "-Zmiri-many-seeds=0..$seeds" log::interpreted::two_threads_append
run "-Zmiri-many-seeds=0..$((4 * seeds))" storage::region::tests::{whoever_finds,a_write_reaches}
