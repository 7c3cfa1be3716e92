#!/usr/bin/env bash
# The bench gate: how the log's times stand to those of plain writes, syncs and scans, held to
# benches/bounds.toml. Below a minute. Arguments: --quick, --row TEXT, --bounds FILE; or --record, which
# prints new bounds after some minutes. BENCH_DIR measures another disk.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --quiet --bench check -- "$@"
