#!/usr/bin/env bash
# Builds with one guarantee removed: each must make its net fail, else the net is none.
#
# A control is a patch, tests/negative/NAME.patch. Before the diff it says in one line which net
# has to catch it, as arguments of `cargo test`, after an optional `RUSTFLAGS=".."`, and in the next
# what is removed:
#
#     Net: --test it durability::
#     Net: RUSTFLAGS="--cfg stratalog_loom" --lib --release protocol::models::handing
#
# First every net must pass on a copy of the committed tree. Then each patch is applied to the copy by
# itself: it must still compile, and its net must fail (a hang of LIMIT_SECONDS, 300 by default,
# counts: lost wake-ups hang). Seeds are fresh each time, so a net must catch with any.
# Prints a line for each control: its name, which tests caught it, seconds with building.
# Arguments: names of controls; none: all.
set -euo pipefail
cd "$(dirname "$0")/.."
limit_seconds="${LIMIT_SECONDS:-300}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/negative}"
# Always the same, so that cargo knows what it has built.
copy="$CARGO_TARGET_DIR/copy"
rm -rf "$copy/fresh" "$copy/broken"
# What is built is changed a little, and run once.
export CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
export CARGO_PROFILE_RELEASE_DEBUG=0

patches=()
if [ $# -gt 0 ]; then
  for name in "$@"; do patches+=("$PWD/tests/negative/$name.patch"); done
else
  for patch in "$PWD"/tests/negative/*.patch; do [ -e "$patch" ] && patches+=("$patch"); done
fi
if [ ${#patches[@]} -eq 0 ]; then
  echo "no controls in tests/negative" >&2
  exit 1
fi

# Makes $copy/tree the committed tree, changing only files that differ, so that cargo rebuilds little.
mkdir -p "$copy/fresh" "$copy/tree"
git archive HEAD | tar -x -C "$copy/fresh"
restore() {
  (cd "$copy/fresh" && find . -type f) | while read -r file; do
    if ! cmp -s "$copy/fresh/$file" "$copy/tree/$file"; then
      mkdir -p "$copy/tree/$(dirname "$file")"
      cp "$copy/fresh/$file" "$copy/tree/$file"
      touch "$copy/tree/$file"
    fi
  done
}

net_of() { sed -n 's/^Net: //p' "$1" | head -n 1; }

# Splits a net into $flags and $arguments.
parse() {
  local net="$1"
  flags=""
  if [[ "$net" =~ ^RUSTFLAGS=\"([^\"]*)\"\ (.*)$ ]]; then
    flags="${BASH_REMATCH[1]}"
    net="${BASH_REMATCH[2]}"
  fi
  read -ra arguments <<<"$net"
}

build_net() {
  RUSTFLAGS="$flags" cargo test --quiet --no-run "${arguments[@]}" >"$copy/build" 2>&1
}

# Runs the net in the copy, which is built: its status, 124 or 137 for a hang.
run_net() {
  RUSTFLAGS="$flags" timeout --kill-after=10 "$limit_seconds" \
    cargo test "${arguments[@]}" >"$copy/run" 2>&1
}

# The tests that failed, or the first that panicked where that ended the process.
culprits() {
  local failed more
  failed=$(sed -n 's/^test \([a-z0-9_:]*\)\( - should panic\)\? \.\.\. FAILED$/\1/p' "$copy/run" | sort)
  if [ -n "$failed" ]; then
    more=$(($(wc -l <<<"$failed") - 1))
    head -n 1 <<<"$failed" | tr -d '\n'
    if [ "$more" -gt 0 ]; then printf ' and %s more' "$more"; fi
  else
    sed -n "s/^thread '\([a-z0-9_:]*\)'.* panicked at .*/\1, which ends the process/p" "$copy/run" |
      grep -m 1 . || tail -n 1 "$copy/run"
  fi
}

# Prints what became of one control: caught, or why it was not.
judge() {
  local patch="$1" net status=0 flags
  local -a arguments
  net=$(net_of "$patch")
  if [ -z "$net" ]; then echo "names no net"; return; fi
  if grep -qxF -- "$net" "$copy/broken"; then echo "its net fails without it: $net"; return; fi
  parse "$net"
  restore
  if ! GIT_CEILING_DIRECTORIES="$copy" git apply --whitespace=nowarn "$patch" 2>"$copy/apply"; then
    echo "does not apply: $(head -n 1 "$copy/apply")"
    return
  fi
  if ! build_net; then
    echo "does not compile: $(grep -m 1 '^error' "$copy/build")"
    return
  fi
  run_net || status=$?
  case "$status" in
    0) echo "NOT CAUGHT by cargo test $net" ;;
    124 | 137) echo "caught by a hang of cargo test $net" ;;
    *) echo "caught by $(culprits)" ;;
  esac
}

cd "$copy/tree"
restore
touch "$copy/broken"
nets=$(for patch in "${patches[@]}"; do net_of "$patch"; done | sort -u)
while IFS= read -r net; do
  parse "$net"
  if ! build_net || ! run_net; then
    echo "fails with nothing removed: cargo test $net" >&2
    echo "$net" >>"$copy/broken"
  elif ! grep -q '^test .* ok$' "$copy/run"; then
    echo "has no test: cargo test $net" >&2
    echo "$net" >>"$copy/broken"
  fi
done <<<"$nets"
echo "$(wc -l <<<"$nets") nets were run with nothing removed: $SECONDS s"

missed=0
for patch in "${patches[@]}"; do
  begin=$SECONDS
  verdict=$(judge "$patch")
  printf '%-36s %s (%d s)\n' "$(basename "$patch" .patch)" "$verdict" "$((SECONDS - begin))"
  case "$verdict" in "caught by"*) ;; *) missed=$((missed + 1)) ;; esac
done
echo "$((SECONDS / 60)) min $((SECONDS % 60)) s"
if [ "$missed" -gt 0 ]; then
  echo "$missed of ${#patches[@]} controls were not caught" >&2
  exit 1
fi
echo "all ${#patches[@]} controls were caught"
