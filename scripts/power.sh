#!/usr/bin/env bash
# Power cuts on ext4, xfs and btrfs, on a device whose writes and flushes are recorded. Needs root,
# /dev/fuse, loop devices and mkfs of each file system; says what is missing and leaves it out, or
# fails for that with --require. `--help` names all options; `--quick` takes less than a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(uname)" != Linux ]; then
  echo "power cuts: skipped: not Linux"
  case " $* " in *" --require "*) exit 1 ;; esac
  exit 0
fi
exec cargo run --release --quiet --manifest-path tests/power/Cargo.toml -- "$@"
