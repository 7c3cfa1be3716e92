#!/usr/bin/env bash
# Changes the code in one place at a time, with cargo-mutants: a test must fail each time.
#
#     scripts/mutants.sh                        the durability code, a long night
#     scripts/mutants.sh src/append/disk.rs ..  these files, or patterns of files
#     scripts/mutants.sh --in-diff [FILE]       what FILE changes; none: what the branch changes
#
# Each mutant meets the unit tests; one that they let live meets the integration tests as well, and
# only what lives then is a survivor. Survivors that are explained stand with their reason in
# .cargo/mutants.toml, so that whatever is printed at the end is new, and fails the run.
#
# JOBS (2) run at once. SHARD=0/10 takes every tenth. What was found lies in target/mutants;
# CONTINUE=1 goes on after an interrupted run and tries only what was not caught.
set -euo pipefail
cd "$(dirname "$0")/.."
durable=(
  'src/segment/*.rs' 'src/append/*.rs' 'src/recover/*.rs' 'src/protocol/*.rs'
  'src/format/*.rs' 'src/read/*.rs'
)
if ! cargo mutants --version >/dev/null 2>&1; then
  echo "cargo-mutants is missing: cargo install cargo-mutants" >&2
  exit 1
fi

output="target/mutants"
mkdir -p "$output"
chosen=()
if [ "${1:-}" = --in-diff ]; then
  diff="${2:-}"
  if [ -z "$diff" ]; then
    diff="$output/changes.diff"
    git diff "${BASE:-main}...HEAD" >"$diff"
  fi
  chosen=(--in-diff "$diff")
  for file in "${durable[@]}"; do chosen+=(--file "$file"); done
else
  if [ $# -eq 0 ]; then set -- "${durable[@]}"; fi
  for file in "$@"; do chosen+=(--file "$file"); done
fi
if [ -n "${SHARD:-}" ]; then chosen+=(--shard "$SHARD"); fi

# Nothing chosen would be a net with no mesh.
count=$(cargo mutants --list "${chosen[@]}" 2>/dev/null | wc -l)
if [ "$count" -eq 0 ]; then
  if [ "${chosen[0]}" = --in-diff ]; then
    echo "the changes touch no code that is mutated"
    exit 0
  fi
  echo "no mutant in: $*" >&2
  exit 1
fi
echo "$count mutants"

# Fewer cases each, since every mutant meets them all; the same ones, so that two runs agree.
export PROPTEST_CASES="${PROPTEST_CASES:-16}"
export STRATALOG_SEED="${STRATALOG_SEED:-7}" STRATALOG_SEEDS="${STRATALOG_SEEDS:-3}"
export CARGO_PROFILE_TEST_DEBUG=0
tool=cargo
if cargo nextest --version >/dev/null 2>&1; then tool=nextest; fi

# Meets the tests that the arguments name. 2: some live, 3: some ran too long, 0: all were caught.
meet() {
  local status=0
  cargo mutants --jobs "${JOBS:-2}" --test-tool "$tool" --output "$output" --no-shuffle \
    --timeout "${LIMIT_SECONDS:-300}" --build-timeout 600 "${again[@]}" "${chosen[@]}" \
    -- "$@" || status=$?
  case "$status" in 0 | 2 | 3) ;; *) exit "$status" ;; esac
}

again=()
if [ -n "${CONTINUE:-}" ]; then again=(--iterate); fi
meet --lib
# What was caught is left out from here on.
again=(--iterate)
if [ -s "$output/mutants.out/missed.txt" ]; then meet --test it; fi

if [ -s "$output/mutants.out/missed.txt" ]; then
  echo "survivors:"
  cat "$output/mutants.out/missed.txt"
  exit 1
fi
echo "no survivor"
