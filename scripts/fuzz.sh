#!/usr/bin/env bash
# Runs every fuzz target of every room for a number of seconds each; stops at the first finding.
# cargo-fuzz needs unstable compiler flags; RUSTC_BOOTSTRAP lets the stable toolchain take them.
set -euo pipefail
seconds=${1:-60}
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1
for room in */fuzz; do
    for target in $(cd "$room" && cargo fuzz list --fuzz-dir .); do
        echo "== $room: $target, $seconds s"
        (cd "$room" && cargo fuzz run --fuzz-dir . "$target" -- -max_total_time="$seconds" -max_len=70000 -timeout=5 -rss_limit_mb=2048)
    done
done
echo "No finding."
