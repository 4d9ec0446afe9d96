#!/usr/bin/env bash
# Builds the benchmark and runs it; other options go to it (docs/performance.md): --json, --op, --input, --dtype, --threads, --target, --clock cpu, ...
#   bench.sh [--check] [--prototype DIR] [options]
#     --check           1 if a ratio misses its target
#     --prototype DIR   also builds the prototype of the search in DIR (cpu/b2.cpp, cpu/gen.cpp) and times the two in turn
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

prototype=
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --prototype)
      [ $# -gt 1 ] || die "--prototype needs a folder"
      prototype=$(cd "$2" && pwd) || exit 1
      shift
      ;;
    *) options+=("$1") ;;
  esac
  shift
done

say "building"
(cd "$root" && cmake --preset release >/dev/null && cmake --build build/release --parallel "$jobs" --target nvfp4cal_bench) >&2
bench=$root/build/release/bench/nvfp4cal_bench
work=$root/build/bench
mkdir -p "$work"

# A real layer: the largest tensor of MiniLM, 11.7 M numbers.
if model=$("$root/scripts/minilm.sh"); then
  python3 "$root/scripts/bench_layer.py" "$model/model.safetensors" "$work/layer.f32"
  options+=(--layer "$work/layer.f32")
else
  say "no real layer"
fi

if [ -n "$prototype" ]; then
  say "building the prototype"
  compiler=${CXX:-g++}
  "$compiler" -O3 -std=c++20 -march=native "$prototype/cpu/gen.cpp" -o "$work/gen" -pthread
  "$compiler" -O3 -std=c++20 -march=native "$prototype/cpu/b2.cpp" -o "$work/b2" -pthread
  "$work/gen" "$work/normal.f32" 0
  python3 "$root/scripts/bench_prototype.py" "$bench" "$work/b2" "$work/normal.f32"
fi
exec "$bench" "${options[@]}"
