#!/usr/bin/env bash
# Builds with one guarantee removed: each must make its net fail, else the net is none.
#
# A control is a patch, tests/negative/NAME.patch. Before the diff it says in one line which net
# has to catch it, as arguments of `cargo test`, after an optional `RUSTFLAGS=".."`:
#
#     Net: --test it crash
#     Net: RUSTFLAGS="--cfg stratalog_loom" --lib --release protocol
#
# The net must pass on a copy of the committed tree; with the patch the copy must still compile, and
# the net must fail (a hang of LIMIT_SECONDS, 600 by default, counts: lost wake-ups hang).
# Arguments: names of controls; none: all.
set -euo pipefail
cd "$(dirname "$0")/.."
limit_seconds="${LIMIT_SECONDS:-600}"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR="$PWD/target/negative"

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

# Makes $copy the committed tree, changing only files that differ, so that cargo rebuilds little.
restore() {
  mkdir "$copy/fresh"
  git archive HEAD | tar -x -C "$copy/fresh"
  mkdir -p "$copy/tree"
  (cd "$copy/fresh" && find . -type f) | while read -r file; do
    if ! cmp -s "$copy/fresh/$file" "$copy/tree/$file"; then
      mkdir -p "$(dirname "$copy/tree/$file")"
      cp "$copy/fresh/$file" "$copy/tree/$file"
      touch "$copy/tree/$file"
    fi
  done
  rm -rf "$copy/fresh"
}

# Runs the net in the copy: its status, 124 or 137 for a hang.
run_net() {
  RUSTFLAGS="$flags" timeout --kill-after=10 "$limit_seconds" \
    cargo test --quiet "${arguments[@]}" >"$copy/run" 2>&1
}

# Prints what became of one control: caught, or why it was not.
judge() {
  local patch="$1" net flags="" status=0 passed
  net=$(sed -n 's/^Net: //p' "$patch" | head -n 1)
  if [ -z "$net" ]; then echo "names no net"; return; fi
  if [[ "$net" =~ ^RUSTFLAGS=\"([^\"]*)\"\ (.*)$ ]]; then
    flags="${BASH_REMATCH[1]}"
    net="${BASH_REMATCH[2]}"
  fi
  local -a arguments
  read -ra arguments <<<"$net"
  restore
  cd "$copy/tree"
  passed="$copy/passed-$(cksum <<<"$flags $net" | cut -d' ' -f1)"
  if [ ! -e "$passed" ]; then
    # Building is not part of the limit.
    if ! RUSTFLAGS="$flags" cargo test --quiet --no-run "${arguments[@]}" >"$copy/build" 2>&1 ||
      ! run_net; then
      echo "its net fails without it"
      return
    fi
    touch "$passed"
  fi
  if ! git apply --whitespace=nowarn "$patch" 2>"$copy/apply"; then
    echo "does not apply: $(head -n 1 "$copy/apply")"
    return
  fi
  if ! RUSTFLAGS="$flags" cargo test --quiet --no-run "${arguments[@]}" >"$copy/build" 2>&1; then
    echo "does not compile: $(grep -m 1 '^error' "$copy/build")"
    return
  fi
  run_net || status=$?
  if [ "$status" -eq 0 ]; then
    echo "NOT CAUGHT by cargo test $net"
  elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    echo "caught: hangs"
  else
    echo "caught: $(grep -m 1 -E '^    [a-z_:]+$|panicked at' "$copy/run" | sed 's/^ *//')"
  fi
}

missed=0
for patch in "${patches[@]}"; do
  verdict=$(judge "$patch")
  printf '%-32s %s\n' "$(basename "$patch" .patch)" "$verdict"
  case "$verdict" in caught*) ;; *) missed=$((missed + 1)) ;; esac
done
if [ "$missed" -gt 0 ]; then
  echo "$missed of ${#patches[@]} controls were not caught" >&2
  exit 1
fi
echo "all ${#patches[@]} controls were caught"
