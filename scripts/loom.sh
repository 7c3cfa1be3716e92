#!/usr/bin/env bash
# Every interleaving of the protocol floor's models. The cfg is our own, since `--cfg loom` changes
# other crates; the target folder too, so that an ordinary build stays warm. LOOM_MAX_PREEMPTIONS
# bounds a model that does not bound itself.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg stratalog_loom"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo test --lib --release --target-dir target/loom protocol "$@" | tee "$output"
# A filter that matches nothing succeeds; that would be a net with no mesh.
if ! grep -q '^test .* ok$' "$output"; then
  echo "no loom model was run" >&2
  exit 1
fi
