#!/usr/bin/env bash
# Checks the CUDA module on a device: parity with the CPU, speed, CUDA's own checkers.
#   gpu_check.sh headers  copies the headers that a build needs into build/gpu_headers, for machines that have gcc, CMake and nvcc alone: there build takes them
#   gpu_check.sh build [architectures]    builds everything into build/gpu_check, which may be carried to a machine without any of our dependencies;
#                         for these devices alone (as CMAKE_CUDA_ARCHITECTURES: 90), else for all that the module is made for
#   gpu_check.sh run      runs what lies there, what tells most first. Needs a driver alone, and fails without a device
#   gpu_check.sh run parity | speed [rows cols runs] | peers [rows cols runs] | sanitizers      a part of it
#   gpu_check.sh          both
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=${NVFP4CAL_GPU_CHECK:-$root/build/gpu_check}
headers=$root/build/gpu_headers
failed=0

# Highway, nlohmann-json and Catch2 (with its library), and what tells CMake of the last two.
headers() {
  local name package
  rm -rf "$headers"
  mkdir -p "$headers/include" "$headers/lib/cmake"
  for name in hwy nlohmann catch2; do
    [ -d "/usr/include/$name" ] || die "there is no /usr/include/$name: scripts/setup.sh"
    cp -r "/usr/include/$name" "$headers/include"
  done
  for name in nlohmann_json Catch2; do
    package=$(find /usr/lib/cmake /usr/share/cmake /usr/lib/*/cmake -maxdepth 1 -name "$name" 2>/dev/null | sort | sed -n 1p) || true
    [ -n "$package" ] || die "CMake has no package $name: scripts/setup.sh"
    cp -r "$package" "$headers/lib/cmake"
  done
  find /usr/lib -name 'libCatch2*.a' -exec cp {} "$headers/lib" \;
  du -sh "$headers"
}

build() {
  local settings=(-DNVFP4CAL_BUILD_CUDA=ON) made=build/release
  if [ $# -gt 0 ]; then
    made=build/gpu_build_${1//[^0-9a-z]/_}
    settings+=("-DNVFP4CAL_CUDA_ARCHITECTURES=$1")
  fi
  command -v ninja >/dev/null || settings+=(-G "Unix Makefiles")
  if [ -d "$headers" ]; then
    made=${made/#build\/release/build\/gpu_build}
    settings+=(-DNVFP4CAL_BUILD_TOOL=OFF "-DNVFP4CAL_TESTS=^device/" "-DCMAKE_PREFIX_PATH=$headers")
  fi
  cd "$root"
  cmake --preset release -B "$made" "${settings[@]}" >/dev/null
  cmake --build "$made" --parallel "$jobs" --target nvfp4cal nvfp4cal_cuda nvfp4cal_cuda_bench nvfp4cal_device_tests ||
    die "no build: scripts/setup.sh --cuda installs a compiler, docs/dependencies.md lists the rest"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp -L "$made/src/libnvfp4cal.so.0" "$made/kernels/libnvfp4cal_cuda.so" "$made/bench/nvfp4cal_cuda_bench" "$made/tests/device/nvfp4cal_device_tests" \
    bench/cuda_peers.py "$folder"
  strip --strip-unneeded "$folder"/libnvfp4cal*.so* "$folder"/nvfp4cal_*
  du -sh "$folder"
}

# A filter that no test matches is a failure.
tests() { "$folder/nvfp4cal_device_tests" --filenames-as-tags --warn NoTests "$@" || failed=1; }

# rows <minimum> <pattern> <command ..>: runs it; so many lines must match.
rows() {
  local least=$1 pattern=$2 out=$folder/rows.txt count
  shift 2
  "$@" | tee "$out" || failed=1
  count=$(grep -c "$pattern" "$out" || true)
  if [ "$count" -lt "$least" ]; then
    echo "FAILED: $count rows, expected $least at least"
    failed=1
  fi
}

# First the tests in which lines decide bits that no other machine runs (docs/cuda.md).
parity() {
  local first=(quantize_bits quantize max actmax search hessian_search gptq) name
  for name in "${first[@]}"; do
    say "parity with the CPU, lines that only a device runs: $name"
    tests "[#test_device_$name]"
  done
  say "parity with the CPU, the rest"
  tests "~[#test_device_loader]$(printf '~[#test_device_%s]' "${first[@]}")"
}

speed() {
  say "speed"
  rows 60 " Gel/s .* GB/s " "$folder/nvfp4cal_cuda_bench" "$@"  # 20 of each dtype
}

peers() {
  say "beside ModelOpt and torch"
  if python3 -c 'import torch, triton' 2>/dev/null; then
    rows 1 " ours .* Gel/s \|^SKIPPED" python3 "$folder/cuda_peers.py" "$folder/libnvfp4cal.so.0" "$@"
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
      timeout $seconds compute-sanitizer --tool "$tool" --error-exitcode 1 "$folder/nvfp4cal_device_tests" --filenames-as-tags --warn NoTests "$checked" || {
        [ $? -ne 124 ] || echo "stopped after $seconds s"
        failed=1
      }
    done
  fi
}

# The library finds the module beside it; the tests load the same file.
run() {
  local file
  for file in libnvfp4cal.so.0 libnvfp4cal_cuda.so nvfp4cal_cuda_bench nvfp4cal_device_tests cuda_peers.py; do
    [ -s "$folder/$file" ] || die "there is no $folder/$file: gpu_check.sh build"
  done
  export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} NVFP4CAL_TEST_CUDA_PATH=$folder
  "$folder/nvfp4cal_cuda_bench" 32 32 1 >"$folder/first.txt" || failed=1
  if grep '^SKIPPED' "$folder/first.txt" >&2; then die "nothing was checked: CUDA finds no device that it can use"; fi
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
  headers) headers ;;
  build)
    shift
    build "$@"
    ;;
  run)
    shift
    run "$@"
    ;;
  "")
    build
    run
    ;;
  *) die "usage: gpu_check.sh [headers | build [architectures] | run [part]]" ;;
esac
