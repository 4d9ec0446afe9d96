#!/usr/bin/env bash
# Checks the CUDA module on a device: parity with the CPU, speed, CUDA's own checkers.
#   gpu_check.sh build    builds everything into build/gpu_check, which may be carried to a machine without any of our dependencies
#   gpu_check.sh run      runs what lies there, what tells most first; without a device it says SKIPPED. Needs a driver alone
#   gpu_check.sh run parity | speed [rows cols runs] | peers [rows cols runs] | sanitizers      a part of it
#   gpu_check.sh          both
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=$root/build/gpu_check
failed=0

build() {
  local settings=(-DNVFP4CAL_BUILD_CUDA=ON)
  command -v ninja >/dev/null || settings+=(-G "Unix Makefiles")
  cd "$root"
  cmake --preset release "${settings[@]}" >/dev/null
  cmake --build build/release --parallel "$jobs" --target nvfp4cal nvfp4cal_cuda nvfp4cal_cuda_bench nvfp4cal_device_tests ||
    die "no build: scripts/setup.sh --cuda installs a compiler, docs/dependencies.md lists the rest"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp -L build/release/src/libnvfp4cal.so.0 build/release/kernels/libnvfp4cal_cuda.so build/release/bench/nvfp4cal_cuda_bench \
    build/release/tests/device/nvfp4cal_device_tests bench/cuda_peers.py "$folder"
  strip --strip-unneeded "$folder"/libnvfp4cal*.so* "$folder"/nvfp4cal_*
  du -sh "$folder"
}

tests() { "$folder/nvfp4cal_device_tests" --filenames-as-tags "$@"; }

# First the tests in which lines decide bits that no other machine runs (docs/cuda.md).
parity() {
  local first=(quantize_bits quantize max actmax search hessian_search gptq)
  say "parity with the CPU, lines that only a device runs"
  tests "$(printf '[#test_device_%s],' "${first[@]}")" || failed=1
  say "parity with the CPU, the rest"
  tests "~[#test_device_loader]$(printf '~[#test_device_%s]' "${first[@]}")" || failed=1
}

speed() {
  say "speed"
  "$folder/nvfp4cal_cuda_bench" "$@" || failed=1
}

peers() {
  say "beside ModelOpt and torch"
  if python3 -c 'import torch, triton' 2>/dev/null; then
    python3 "$folder/cuda_peers.py" "$folder/libnvfp4cal.so.0" "$@" || failed=1
  else
    echo "SKIPPED python3 has no torch and triton"
  fi
}

# Tools slow kernels down a hundred times: a part that takes longer than this is stopped, and counts as failed.
sanitizers() {
  local seconds=150 tool
  local checked="[#test_device_quantize],[#test_device_max],[#test_device_search],[#test_device_observer],[#test_device_block],[#test_device_hessian],[#test_device_gptq]"
  if ! command -v compute-sanitizer >/dev/null; then
    echo "SKIPPED compute-sanitizer is not installed"
  elif ! compute-sanitizer --error-exitcode 1 "$folder/nvfp4cal_cuda_bench" 32 32 1 >"$folder/sanitizer.txt" 2>&1; then
    cat "$folder/sanitizer.txt"
    grep -q "not supported" "$folder/sanitizer.txt" && echo "SKIPPED compute-sanitizer does not know this device" || failed=1
  else
    for tool in memcheck racecheck initcheck synccheck; do
      say "compute-sanitizer $tool"
      timeout $seconds compute-sanitizer --tool "$tool" --error-exitcode 1 "$folder/nvfp4cal_device_tests" --filenames-as-tags "$checked" || {
        [ $? -ne 124 ] || echo "stopped after $seconds s"
        failed=1
      }
    done
  fi
}

# The library finds the module beside it; the tests load the same file.
run() {
  [ -x "$folder/nvfp4cal_cuda_bench" ] || die "nothing was built: gpu_check.sh build"
  export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} NVFP4CAL_TEST_CUDA_PATH=$folder
  if "$folder/nvfp4cal_cuda_bench" 32 32 1 | grep '^SKIPPED'; then return; fi
  local part=${1:-}
  case "$part" in
    "")
      parity
      speed
      peers
      sanitizers
      ;;
    parity | speed | peers | sanitizers) "$@" ;;
    *) die "usage: gpu_check.sh run [parity | speed [rows cols runs] | peers [rows cols runs] | sanitizers]" ;;
  esac
  return $failed
}

case "${1:-}" in
  build) build ;;
  run)
    shift
    run "$@"
    ;;
  "")
    build
    run
    ;;
  *) die "usage: gpu_check.sh [build | run [part]]" ;;
esac
