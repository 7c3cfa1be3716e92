#!/usr/bin/env bash
# Everything that threads do together, with a sanitizer watching: `sanitize.sh thread|address [filter]`.
# thread: two accesses that nothing orders. The standard library is built anew, as it must be watched
# too; needs nightly with rust-src. address: memory that is used after it was given back, or beyond
# its end. What is suppressed is in tsan-suppressions.txt, with reasons.
#
# What thread sees is accesses to plain memory, as those to the shared bytes of memory storage. With
# the lock of their writes taken away it reported the race in ten of ten runs of the tests of
# regions, by the one whose threads take turns by relaxed words, which order nothing; the one of
# regions that come and go was quiet in 19 of twenty. The ring's words are atomics: that their order is
# relaxed is no race to it. Nor does it see what the system writes into a mapped file, or what
# fetch_max and fetch_min order: whoever relies on their release is a false alarm.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?thread or address}
shift
host=$(rustc +nightly -vV | sed -n 's/^host: //p')
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=$kind"
export STRATALOG_ROUNDS="${STRATALOG_ROUNDS:-1}" PROPTEST_CASES="${PROPTEST_CASES:-16}"
arguments=(--target "$host" --target-dir "target/$kind")
case $kind in
thread)
  arguments+=(-Zbuild-std)
  # The kept disks of the fuzzers and the sweeps of damage have one thread, and take long.
  filters=(append:: log:: protocol:: segment:: storage:: read::
    concurrency:: failure:: closing:: model:: reading::)
  export TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/scripts/tsan-suppressions.txt ${TSAN_OPTIONS:-}"
  ;;
address)
  filters=(append:: log:: protocol:: segment:: storage:: read:: recover::
    concurrency:: failure:: closing:: model:: reading:: opening:: fuzz::)
  export ASAN_OPTIONS="detect_leaks=1 ${ASAN_OPTIONS:-}"
  ;;
*)
  echo "$kind is no sanitizer that is known here" >&2
  exit 1
  ;;
esac
if [ $# -gt 0 ]; then filters=("$@"); fi
output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo +nightly test "${arguments[@]}" --lib --test it -- "${filters[@]}" | tee "$output"
# A filter that matches nothing succeeds; that would be a net with no mesh.
if ! grep -q '^test .* ok$' "$output"; then
  echo "no test was run" >&2
  exit 1
fi
