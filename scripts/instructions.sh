#!/usr/bin/env bash
# How many instructions an operation takes in user space, by callgrind, held to
# benches/instructions.toml. Half a minute. Arguments: --row TEXT; --top, with the functions that have
# the most; --record, which prints new bounds.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v valgrind >/dev/null 2>&1; then
  echo "skipped: valgrind is not installed" >&2
  exit 0
fi
cargo bench --quiet --bench instructions -- "$@"
