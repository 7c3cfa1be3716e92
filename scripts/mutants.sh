#!/usr/bin/env bash
# Changes the code in one place at a time, with cargo-mutants: a test must fail each time.
#
#     scripts/mutants.sh                        a fortieth of the durability code, another each time
#     scripts/mutants.sh src/append/disk.rs ..  these files, or patterns of files
#     scripts/mutants.sh --in-diff [FILE]       what FILE changes; none: what the branch changes
#
# Each mutant meets the unit tests; one that they let live meets the integration tests as well, and
# only what lives then is a survivor. Survivors that are explained stand with their reason in
# .cargo/mutants.toml, so that whatever is printed at the end is new, and fails the run.
#
# JOBS (1) run at once. SHARD=3/10 takes the third of ten equal shares, counted from 0; 0/1 takes all,
# which is a night: a mutant takes 5 to 30 s. What was found lies in target/mutants; CONTINUE=1 goes on
# with the selection of an interrupted run and tries only what has no verdict yet.
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
chosen="$output/chosen.txt"   # the names of this selection
settled="$output/settled.txt" # those of them that were caught, ran too long, or do not build
mkdir -p "$output"

# Adds the verdicts of the last call.
settle() {
  for verdict in caught timeout unviable; do
    cat "$output/mutants.out/$verdict.txt" 2>/dev/null >>"$settled" || true
  done
}

if [ -n "${CONTINUE:-}" ]; then
  if [ ! -s "$chosen" ]; then
    echo "no run to go on with" >&2
    exit 1
  fi
  settle
else
  arguments=()
  if [ "${1:-}" = --in-diff ]; then
    diff="${2:-}"
    if [ -z "$diff" ]; then
      diff="$output/changes.diff"
      git diff "${BASE:-main}...HEAD" >"$diff"
    fi
    arguments=(--in-diff "$diff")
    for file in "${durable[@]}"; do arguments+=(--file "$file"); done
  elif [ $# -gt 0 ]; then
    for file in "$@"; do arguments+=(--file "$file"); done
  else
    for file in "${durable[@]}"; do arguments+=(--file "$file"); done
    SHARD="${SHARD:-$((RANDOM % 40))/40}"
  fi
  # An empty diff is an error to cargo-mutants.
  if [ "${arguments[0]}" = --in-diff ] && [ ! -s "${arguments[1]}" ]; then
    : >"$chosen"
  else
    cargo mutants --list --line-col true "${arguments[@]}" 2>"$output/list.log" >"$chosen" || {
      cat "$output/list.log" >&2
      exit 1
    }
  fi
  # Shares are taken by name, so that both rounds and a continued run mean the same ones.
  if [ -n "${SHARD:-}" ]; then
    echo "share $SHARD"
    awk -v k="${SHARD%/*}" -v n="${SHARD#*/}" '(NR - 1) % n == k' "$chosen" >"$chosen.part"
    mv "$chosen.part" "$chosen"
  fi
  : >"$settled"
  rm -rf "$output/mutants.out" "$output/mutants.out.old"
  # Nothing chosen would be a net with no mesh.
  if [ ! -s "$chosen" ]; then
    if [ "${arguments[0]}" = --in-diff ]; then
      echo "the changes touch no code that is mutated"
      exit 0
    fi
    echo "no mutant in: $* ${SHARD:-}" >&2
    exit 1
  fi
fi
echo "$(wc -l <"$chosen") mutants"

# Fewer cases each, since every mutant meets them all; the same ones, so that two runs agree.
export PROPTEST_CASES="${PROPTEST_CASES:-16}"
export STRATALOG_SEED="${STRATALOG_SEED:-7}" STRATALOG_SEEDS="${STRATALOG_SEEDS:-3}"
export CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_DEBUG=0
tool=cargo
if cargo nextest --version >/dev/null 2>&1; then tool=nextest; fi

# The names without a verdict.
left() {
  grep -vxFf "$settled" "$chosen" || true
}

# Meets the tests that the arguments name, and builds only these. 2: some live, 3: some ran too long,
# 0: all were caught.
meet() {
  local status=0 only=() file=() build=()
  while read -r name; do
    only+=(--re "^$(sed 's/[][\\.*^$+?(){}|/-]/\\&/g' <<<"$name")\$")
    file+=("${name%%:*}")
  done < <(left)
  if [ ${#only[@]} -eq 0 ]; then return; fi
  mapfile -t file < <(printf '%s\n' "${file[@]}" | sort -u)
  for argument in "$@"; do build+=("--cargo-arg=$argument"); done
  cargo mutants --jobs "${JOBS:-1}" --test-tool "$tool" --output "$output" --no-shuffle \
    --line-col true --timeout "${LIMIT_SECONDS:-300}" --build-timeout 600 \
    "${file[@]/#/--file=}" "${only[@]}" "${build[@]}" || status=$?
  settle
  case "$status" in 0 | 2 | 3) ;; *) exit "$status" ;; esac
}

meet --lib
meet --test it

if [ -n "$(left)" ]; then
  echo "survivors:"
  left
  exit 1
fi
echo "no survivor"
