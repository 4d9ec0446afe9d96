#!/usr/bin/env bash
# Checks the CUDA module on a device: parity with the CPU, CUDA's own checkers, and speed.
#   gpu_check.sh build    builds everything into build/gpu_check, which may be carried to a machine without any of our dependencies
#   gpu_check.sh run      runs what lies there; without a device it says SKIPPED. Needs a driver alone
#   gpu_check.sh          both
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=$root/build/gpu_check

build() {
  cd "$root"
  cmake --preset release -DNVFP4CAL_BUILD_CUDA=ON >/dev/null
  cmake --build build/release --parallel "$jobs" --target nvfp4cal nvfp4cal_cuda nvfp4cal_cuda_bench nvfp4cal_device_tests ||
    die "no build: scripts/setup.sh --cuda installs a compiler, docs/dependencies.md lists the rest"
  mkdir -p "$folder"
  cp -L build/release/src/libnvfp4cal.so.0 build/release/kernels/libnvfp4cal_cuda.so build/release/bench/nvfp4cal_cuda_bench \
    build/release/tests/device/nvfp4cal_device_tests bench/cuda_peers.py "$folder"
}

# The library finds the module beside it; the tests load the same file.
run() {
  [ -x "$folder/nvfp4cal_cuda_bench" ] || die "nothing was built: gpu_check.sh build"
  export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} NVFP4CAL_TEST_CUDA_PATH=$folder
  local tests=("$folder/nvfp4cal_device_tests" --filenames-as-tags) failed=0
  if "$folder/nvfp4cal_cuda_bench" 32 32 1 | grep '^SKIPPED'; then return; fi
  say "parity with the CPU"
  "${tests[@]}" "~[#test_device_loader]" || failed=1
  local checked="[#test_device_quantize],[#test_device_max],[#test_device_search],[#test_device_observer],[#test_device_block],[#test_device_hessian],[#test_device_gptq]"
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
      say "compute-sanitizer $tool"
      compute-sanitizer --tool "$tool" --error-exitcode 1 "${tests[@]}" "$checked" || failed=1
    done
  else
    echo "SKIPPED compute-sanitizer is not installed"
  fi
  say "speed"
  "$folder/nvfp4cal_cuda_bench" "$@" || failed=1
  say "beside ModelOpt and torch"
  if python3 -c 'import torch, triton, modelopt' 2>/dev/null; then
    python3 "$folder/cuda_peers.py" "$folder/libnvfp4cal.so.0" || failed=1
  else
    echo "SKIPPED python3 has no torch, triton and modelopt"
  fi
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
  *) die "usage: gpu_check.sh [build | run [rows cols runs]]" ;;
esac
