#!/usr/bin/env bash
# Formatting (where clang-format is installed) and the checks of includes and layout; changes nothing.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

failed=0
if command -v clang-format >/dev/null; then
  say "format"
  mapfile -t sources < <(find include src kernels tools bench tests examples bindings \
    \( -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null)
  clang-format --dry-run --Werror "${sources[@]}" || failed=1
else
  say "format: skipped, clang-format is not installed (scripts/setup.sh --full)"
fi
for check in dependencies layout; do
  say "$check"
  python3 "tests/abi/check_$check.py" --self-test || failed=1
  python3 "tests/abi/check_$check.py" || failed=1
done
exit $failed
