#!/usr/bin/env bash
# The bounds in seconds: looking for proof over a torn tail of 64 MiB, and opening a log that has one,
# takes less than half a second, whatever lies there. For a machine that has nothing else to do.
set -euo pipefail
cd "$(dirname "$0")/.."
STRATALOG_SECONDS=1 cargo test --release --test it lookahead -- --nocapture --test-threads 1 "$@"
