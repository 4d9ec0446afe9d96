#!/usr/bin/env bash
# Runs golden cases on every CPU target with 1, 2 and 7 threads: those of the repository, or of a folder with files of the same kind.
#   golden.sh [folder]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -le 1 ] || die "usage: golden.sh [folder]"
if [ $# -eq 1 ]; then
  [ -d "$1" ] || die "$1 is not a folder"
  NVFP4CAL_GOLDEN_DIR=$(cd "$1" && pwd)
  export NVFP4CAL_GOLDEN_DIR
fi

"$root/scripts/setup.sh"
say "building"
(cd "$root" && cmake --preset release >/dev/null && cmake --build build/release --parallel "$jobs" --target nvfp4cal_golden_tests) >&2
say "cases of ${NVFP4CAL_GOLDEN_DIR:-the repository}"
"$root/build/release/tests/nvfp4cal_golden_tests" --filenames-as-tags "[#test_golden]"
