#!/usr/bin/env bash
# Weakens each Acquire, Release and AcqRel of the protocol floor by itself: a loom model must fail.
#
# The copy of the tree has each of these orderings pass through a function that weakens the one that
# an environment variable names, so that one build serves all. Models run fastest first, up to the
# first that fails. One that takes longer than LIMIT_SECONDS (60 by default) has not failed.
#
# Prints `file:line old->new caught by MODEL` or `SURVIVES`. A survivor is accepted only if it has a
# line in tests/orderings.txt, and each line there must be a survivor.
# Outside the models, so not tried: the bell and the failure's cause in src/segment, where locks and
# parking of the maintenance thread take part.
# Arguments: only mutations whose `file:line old->new` contains one of these.
set -euo pipefail
cd "$(dirname "$0")/.."
limit_seconds="${LIMIT_SECONDS:-60}"
explained="$PWD/tests/orderings.txt"
export RUSTFLAGS="${RUSTFLAGS:-} --cfg stratalog_loom"
export CARGO_TARGET_DIR="$PWD/target/orderings"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/tree"
# What is in the working tree, committed or not.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  if [ -e "$file" ]; then printf '%s\0' "$file"; fi
done | tar -c --null -T - | tar -x -C "$copy/tree"
cd "$copy/tree"

cat >>src/sync.rs <<'RUST'

/// Relaxed or whatever else WEAKEN says, if it names this place.
pub(crate) fn weakened(place: &str, ordering: Ordering) -> Ordering {
    static WEAKEN: std::sync::OnceLock<Option<(String, String)>> = std::sync::OnceLock::new();
    let weaken = WEAKEN.get_or_init(|| {
        let value = std::env::var("WEAKEN").ok()?;
        value.split_once(' ').map(|(place, to)| (place.to_owned(), to.to_owned()))
    });
    match weaken {
        Some((named, to)) if named == place => match to.as_str() {
            "Relaxed" => Ordering::Relaxed,
            "Acquire" => Ordering::Acquire,
            "Release" => Ordering::Release,
            _ => panic!("WEAKEN: PLACE and Relaxed, Acquire or Release"),
        },
        _ => ordering,
    }
}
RUST

# Every place outside comments: file, line, which of the line's, ordering.
places=$(grep -nH 'Ordering::\(Acquire\|Release\|AcqRel\|SeqCst\)' src/protocol/*.rs |
  grep -v ':[0-9]*: *//' | cut -d: -f1,2)
mutations=()
for place in $places; do
  file="${place%:*}" line="${place#*:}"
  text=$(sed -n "${line}p" "$file")
  orderings=$(grep -o 'Ordering::\(Acquire\|Release\|AcqRel\|SeqCst\)' <<<"$text" | cut -d: -f3)
  if [ "$(wc -l <<<"$orderings")" -ne 1 ]; then
    echo "$place has more than one ordering that can be weakened: put them on lines of their own" >&2
    exit 1
  fi
  case "$orderings" in
    AcqRel | SeqCst) weaker="Relaxed Acquire Release" ;;
    *) weaker="Relaxed" ;;
  esac
  for to in $weaker; do mutations+=("$place $orderings->$to"); done
  sed -i "${line}s/Ordering::${orderings}/crate::sync::weakened(\"${place//\//\\/}\", &)/" "$file"
done

build() { cargo test --quiet --lib --release "$@"; }
build --no-run 2>"$copy/build" || { cat "$copy/build" >&2; exit 1; }
binary=$(build --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)

# Runs one model: its status, 124 or 137 if it takes too long.
run_model() { timeout --kill-after=5 "$limit_seconds" "$binary" --exact "$1" >"$copy/run" 2>&1; }

# Unweakened, all must pass; how long each takes gives the order.
while read -r model; do
  begin=$(date +%s%N)
  if ! run_model "$model"; then
    echo "$model fails, or takes more than $limit_seconds s, with nothing weakened" >&2
    exit 1
  fi
  echo "$(($(date +%s%N) - begin)) $model" >>"$copy/times"
done < <("$binary" --list 2>/dev/null | sed -n 's/^\(protocol::models::.*\): test$/\1/p')
mapfile -t models < <(sort -n "$copy/times" | cut -d' ' -f2)
echo "${#mutations[@]} mutations, ${#models[@]} models"

# Prints which model fails, or SURVIVES.
judge() {
  local model status late=0
  export WEAKEN="$1 ${2#*->}"
  for model in "${models[@]}"; do
    status=0
    run_model "$model" || status=$?
    case "$status" in
      0) ;;
      124 | 137) late=$((late + 1)) ;;
      *) echo "caught by ${model#protocol::models::}"; return ;;
    esac
  done
  if [ "$late" -gt 0 ]; then echo "SURVIVES ($late models take too long)"; else echo SURVIVES; fi
}

# The line of tests/orderings.txt for a mutation: file, code, mutation, reason.
explain() {
  local file="${1%:*}" code
  code=$(cd "$OLDPWD" && sed -n "${1#*:}s/^ *//p" "$file")
  awk -F ' [|] ' -v file="$file" -v code="$code" -v mutation="$2" \
    '!/^#/ && $1 == file && $2 == code && $3 == mutation { print $4; exit }' "$explained"
}

caught=0 excused=0 wrong=0
for mutation in "${mutations[@]}"; do
  wanted=$([ $# -eq 0 ] && echo yes || true)
  for filter in "$@"; do [[ "$mutation" == *"$filter"* ]] && wanted=yes; done
  [ -n "$wanted" ] || continue
  read -r place change <<<"$mutation"
  verdict=$(judge "$place" "$change")
  reason=$(explain "$place" "$change")
  case "$verdict" in
    caught*)
      caught=$((caught + 1))
      if [ -n "$reason" ]; then
        verdict="$verdict, but tests/orderings.txt says that nothing does"
        wrong=$((wrong + 1))
      fi
      ;;
    *)
      if [ -n "$reason" ]; then
        verdict="$verdict: $reason"
        excused=$((excused + 1))
      else
        wrong=$((wrong + 1))
      fi
      ;;
  esac
  echo "$mutation $verdict"
done
lines=$(grep -cv -e '^#' -e '^$' "$explained" || true)
echo "$caught caught, $excused survive with a reason, $wrong wrong"
if [ $# -eq 0 ] && [ "$lines" -ne "$((excused))" ]; then
  echo "tests/orderings.txt has $lines lines, $excused of which name a survivor" >&2
  exit 1
fi
[ "$wrong" -eq 0 ]
