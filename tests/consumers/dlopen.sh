#!/usr/bin/env bash
# Runs examples/dlopen against an installed tree: three languages, the number of README's C program.
#   dlopen.sh <build dir>
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

examples=$root/examples/dlopen
library=$(find "$prefix" -name libnvfp4cal.so.0)

ok build-c cc -std=c99 -Wall -Wextra -Werror -pedantic "-I$prefix/include" "$examples/quantize.c" -o "$work/quantize" -ldl
ok c-is-not-linked bash -c '! readelf -d "$1" | grep -q nvfp4cal' _ "$work/quantize"
expect c "$here/minimal.txt" "$work/quantize" "$library"
expect python "$here/minimal.txt" python3 "$examples/quantize.py" "$library"
if command -v go >/dev/null; then
  # The compiled runtime stays in the build folder.
  expect go "$here/minimal.txt" env GOCACHE="$build/go-cache" GO111MODULE=off CGO_ENABLED=1 "CGO_CFLAGS=-I$prefix/include" \
    go run "$examples/quantize.go" "$library"
else
  echo "SKIPPED go: not installed"
fi
# Not there: a message, no crash.
ok c-without-library bash -c '! "$1" nowhere.so && "$1" nowhere.so 2>&1 | grep -q nowhere.so' _ "$work/quantize"

finish
