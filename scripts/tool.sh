#!/usr/bin/env bash
# The tool: its units, and the binary run as a process on golden, damaged and live logs. The library must
# build without any of the crates that only the tool needs.
set -euo pipefail
cd "$(dirname "$0")/.."
if cargo tree --edges normal --prefix none | grep -E '^(clap|indicatif|serde_json|ctrlc|hdrhistogram) '; then
  echo "the library depends on a crate of the tool" >&2
  exit 1
fi
cargo test --features cli --bin stratalog --test cli "$@"
