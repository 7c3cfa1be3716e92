#!/usr/bin/env bash
# The documentation, with a broken link or a missing sentence as an error.
set -euo pipefail
cd "$(dirname "$0")/.."
RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --no-deps --all-features
