#!/usr/bin/env bash
# Builds the benchmark and runs it; other options go to it (docs/performance.md): --json, --op, --input, --dtype, --threads, --target, --clock cpu, ...
#   bench.sh [--check] [--scaling] [--prototype DIR] [options]
#   bench.sh --peers [options of bench/peers/run.py]
#     --check           1 if a ratio misses its target: also the Hessian-weighted search, and the search under AVX2
#     --scaling         instead: cost of an element from 2^20 to 2^30 of them, two threads beside two processes
#     --peers           instead: times the searches of ModelOpt, llm-compressor and qwantize beside the Python package's, and compares their results
#     --prototype DIR   also builds the prototype of the search in DIR (cpu/b2.cpp, cpu/gen.cpp) and times the two in turn
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ "${1:-}" = --peers ]; then
  shift
  python=$("$root/scripts/venv_torch.sh")
  package=$("$root/scripts/demo_package.sh" "$python")
  # Their packages warn of their own parts at import.
  PYTHONPATH=$package exec "$python" -W ignore "$root/bench/peers/run.py" "$@"
fi

prototype=
check=false
scaling=false
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --prototype)
      [ $# -gt 1 ] || die "--prototype needs a folder"
      prototype=$(cd "$2" && pwd) || exit 1
      shift
      ;;
    --scaling) scaling=true ;;
    --check)
      check=true
      options+=(--check)
      ;;
    *) options+=("$1") ;;
  esac
  shift
done

say "building"
(cd "$root" && cmake --preset release >/dev/null && cmake --build build/release --parallel "$jobs" --target nvfp4cal_bench nvfp4cal_hessian_bench) >&2
bench=$root/build/release/bench/nvfp4cal_bench
work=$root/build/bench
mkdir -p "$work"
if $scaling; then
  exec python3 "$root/scripts/bench_scaling.py" "$bench"
fi

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
status=0
"$bench" "${options[@]}" || status=$?
if $check; then
  say "Hessians"
  "${bench%nvfp4cal_bench}nvfp4cal_hessian_bench" --check 1 --rows 16384 --cols 64 || status=1
  case "$("$bench" --elements 65536 --runs 1 --op amax --input zero)" in
    *avx2*)
      say "AVX2"
      "$bench" "${options[@]}" --target avx2 --op sweep || status=1
      ;;
  esac
fi
exit $status
