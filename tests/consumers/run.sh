#!/usr/bin/env bash
# Builds the examples against an installed tree, as a user would, and compares what they print.
#   run.sh <build dir>
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ok configure-cmake-consumer cmake -S "$root/examples/cmake-consumer" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
ok build-cmake-consumer cmake --build "$work/cmake"
expect cmake-consumer "$here/quantize.txt" "$work/cmake/quantize"

ok configure-cpp-example cmake -S "$root/examples/cpp" -B "$work/cpp" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release
ok build-cpp-example cmake --build "$work/cpp"
expect cpp-example "$here/calibrate.txt" "$work/cpp/calibrate"

ok build-pkgconfig-consumer "$root/examples/pkgconfig-consumer/build.sh" "$prefix" "$work/quantize"
expect pkgconfig-consumer "$here/quantize.txt" "$work/quantize"

# The optional header stands on what is installed.
ok dlpack-header cc -std=c99 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c "$prefix/include/nvfp4cal_dlpack.h"

# README's program is the example, and prints what README says.
ok readme-shows-the-example diff -u "$root/examples/c/minimal.c" <(sed -n '/^```c$/,/^```$/p' "$root/README.md" | sed '1d;$d')
ok build-minimal "$root/examples/pkgconfig-consumer/build.sh" "$prefix" "$work/minimal" "$root/examples/c/minimal.c"
expect minimal "$here/minimal.txt" "$work/minimal"
ok readme-shows-the-output grep -qFf "$here/minimal.txt" "$root/README.md"

# So do the programs in the pages, built as README says; a page says where -lm is needed.
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name nvfp4cal.pc)")
export PKG_CONFIG_PATH
read -r -a flags <<<"$(pkg-config --cflags --libs nvfp4cal) -Wl,-rpath,$(pkg-config --variable=libdir nvfp4cal)"
mkdir "$work/pages"
ok page-programs python3 "$here/page_programs.py" "$root/docs" "$work/pages"
for program in "$work"/pages/*.c; do
  page=$(basename "$program" .c)
  math=()
  if grep -q -e '-lm' "$root/docs/$page.md"; then math=(-lm); fi
  ok "build-$page" cc -std=c99 -pedantic -Wall -Wextra -Werror "$program" -o "$work/pages/$page" "${flags[@]}" "${math[@]}"
  expect "$page" "$work/pages/$page.txt" "$work/pages/$page"
done

# The installed tool finds the library, and what is installed names no build folder.
if [ -x "$prefix/bin/nvfp4cal" ]; then
  ok installed-tool "$prefix/bin/nvfp4cal" --version
  ok installed-man-page test -f "$prefix/share/man/man1/nvfp4cal.1"
fi
ok no-build-paths bash -c '! grep -rlF -e "$1" -e "$2" "$3"' _ "$build" "$root/src" "$prefix"
# Another minor release is refused before 1.0.
cat >"$work/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(newer LANGUAGES C)
find_package(nvfp4cal 0.99 QUIET)
if(nvfp4cal_FOUND)
  message(FATAL_ERROR "version 0.99 was accepted")
endif()
END
ok version-is-checked cmake -S "$work" -B "$work/newer" -DCMAKE_PREFIX_PATH="$prefix"

# Headers that are not there are named, with the packages that have them. The system's folders are hidden from CMake.
hidden=(-DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF -DCMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF "-DCMAKE_C_COMPILER=$(command -v cc)"
  "-DCMAKE_CXX_COMPILER=$(command -v c++)" -G "Unix Makefiles" "-DCMAKE_MAKE_PROGRAM=$(command -v make)")
ok missing-headers bash -c '! env -u CMAKE_PREFIX_PATH cmake -S "$1" -B "$2" "${@:4}" >"$3" 2>&1 && grep -q "apt-get install libhwy-dev nlohmann-json3-dev libcli11-dev$" "$3"' \
  _ "$root" "$work/missing" "$work/missing.log" "${hidden[@]}"
mkdir -p "$work/old/hwy"
printf '#define HWY_MAJOR 0\n#define HWY_MINOR 16\n#define HWY_PATCH 0\n' >"$work/old/hwy/highway.h"
touch "$work/old/hwy/base.h"
ok old-highway bash -c '! cmake -S "$1" -B "$2" "-DNVFP4CAL_HIGHWAY_INCLUDE=$3" -DNVFP4CAL_BUILD_TOOL=OFF >"$4" 2>&1 && grep -q "1.0.3 or newer: .* is 0.16.0$" "$4"' \
  _ "$root" "$work/old-build" "$work/old" "$work/old.log"

finish
