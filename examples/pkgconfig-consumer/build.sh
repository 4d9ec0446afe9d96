#!/usr/bin/env bash
# Builds a C program with an installed nvfp4cal through pkg-config:  build.sh <install prefix> <output program> [<source>]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "usage: $0 <install prefix> <output program> [<source>]" >&2
  exit 2
fi
prefix=$(cd "$1" && pwd)
for folder in "$prefix"/lib/pkgconfig "$prefix"/lib64/pkgconfig "$prefix"/lib/*/pkgconfig; do
  if [ -f "$folder/nvfp4cal.pc" ]; then export PKG_CONFIG_PATH=$folder${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}; fi
done

libdir=$(pkg-config --variable=libdir nvfp4cal)
# shellcheck disable=SC2046  # the flags are words
"${CC:-cc}" -std=c99 -Wall -Wextra $(pkg-config --cflags nvfp4cal) "${3:-$here/../c/quantize.c}" -o "$2" \
  $(pkg-config --libs nvfp4cal) "-Wl,-rpath,$libdir"
