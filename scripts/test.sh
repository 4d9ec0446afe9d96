#!/usr/bin/env bash
# Builds and runs all tests; the last line is "N passed, N failed".
#   test.sh [--full]     --full: also the sanitizer builds, and the CUDA module where no compiler for it was found before
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

full=false
case "${1:-}" in
  "") ;;
  --full) full=true ;;
  *) die "usage: test.sh [--full]" ;;
esac

passed=0
failed=0
# Adds what count_tests.py found, "<passed> <failed>".
add() {
  passed=$((passed + $1))
  failed=$((failed + $2))
}

# step <name> <command...>: one program outside ctest.
step() {
  local log=$logs/$1.log status=0
  say "$1"
  shift
  "$@" >"$log" 2>&1 || status=$?
  [ "$status" -eq 0 ] || cat "$log" >&2
  # shellcheck disable=SC2046  # two numbers
  add $(python3 "$root/scripts/count_tests.py" step "$log" "$status")
}

# build <preset> <cmake arguments...>; a build that fails is one failed test.
build() {
  local preset=$1 log=$logs/build-$1.log
  shift
  say "building $preset"
  if (cd "$root" && cmake --preset "$preset" "$@" && cmake --build "build/$preset" --parallel "$jobs") >"$log" 2>&1; then return; fi
  tail -n 60 "$log" >&2
  add 0 1
  return 1
}

# run_ctest <preset> <ctest arguments...>
run_ctest() {
  local preset=$1 dir=$root/build/$1 status=0
  shift
  say "testing $preset"
  # Each run replaces the log; an old one must not be counted.
  rm -f "$dir/Testing/Temporary/LastTest.log"
  ctest --test-dir "$dir" --parallel "$jobs" --output-on-failure --no-tests=error "$@" >&2 || status=$?
  if [ -f "$dir/Testing/Temporary/LastTest.log" ]; then
    # shellcheck disable=SC2046
    add $(python3 "$root/scripts/count_tests.py" ctest "$dir/Testing/Temporary/LastTest.log")
    # What could not be run here is said, and counted nowhere.
    grep '^SKIPPED ' "$dir/Testing/Temporary/LastTest.log" >&2 || true
  else
    add 0 1
  fi
}

# Writes the model with the tool and lets the safetensors package read it.
check_checkpoint() {
  local method=$1 model python out
  model=$("$root/scripts/minilm.sh")
  python=$("$root/scripts/venv.sh")
  out=$(mktemp -d "$logs/checkpoint.XXXXXX")
  "$tool" quantize "$model" "$out/model" --method "$method" --report "$out/report.json" --quiet &&
    "$python" "$root/tests/consumers/open_checkpoint.py" "$model" "$out/model" "$out/report.json"
  local status=$?
  rm -rf "$out"
  return $status
}

# test_python <interpreter> <pytest arguments...>: the package as it was built with the release library.
test_python() {
  local python=$1
  shift
  rm -rf "$root/build/python" &&
    cmake --install "$root/build/release" --component python --prefix "$root/build/python" >/dev/null &&
    (cd "$root" && PYTHONPATH=$root/build/python "$python" -m pytest -q -p no:cacheprovider "$@")
}

# llama.cpp converts and runs what the checkpoint job writes.
test_engines() {
  local folder python
  folder=$("$root/scripts/llama_cpp.sh") && python=$("$root/scripts/venv_torch.sh") &&
    (cd "$root" && NVFP4CAL_LLAMA_CPP=$folder PYTHONPATH=$root/build/python:$folder/site "$python" -m pytest -q -p no:cacheprovider tests/python/engines)
}

# As a user installs it: a wheel from the sources alone, into an environment of its own, and README's program.
test_wheel() {
  local folder=$logs/wheel
  python3 -m venv "$folder" && "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$root" pytest ml_dtypes &&
    (cd "$logs" && "$folder/bin/python" -m pytest -q -p no:cacheprovider "$root/tests/python/test_documents.py" "$root/tests/python/test_one_call.py")
  local status=$?
  rm -rf "$folder"
  return $status
}

# The Java binding over the library of the release build: its tests, its documentation, and its jar in Java machines of its own.
test_java() {
  local status=0
  say "java"
  rm -rf "$root/build/java"
  mvn --quiet --batch-mode --file "$root/bindings/java/pom.xml" verify "-Dnvfp4cal.build=$root/build/release/bindings/java" >"$logs/java.log" 2>&1 ||
    status=$?
  [ "$status" -eq 0 ] || tail -n 100 "$logs/java.log" >&2
  # shellcheck disable=SC2046
  add $(python3 "$root/scripts/count_tests.py" junit "$root/build/java" "$status")
}

if $full; then "$root/scripts/setup.sh" --full --cuda; else "$root/scripts/setup.sh"; fi
logs=$root/build/test-logs
rm -rf "$logs"
mkdir -p "$logs"

options=()
if vendor=$("$root/scripts/vendor_headers.sh"); then options+=("-DNVFP4CAL_CUDA_INCLUDE_DIR=$vendor"); fi

# Tests of a real model skip themselves without this.
if model=$("$root/scripts/minilm.sh"); then export NVFP4CAL_MINILM=$model; fi

python=$("$root/scripts/venv.sh")
if build release "${options[@]}" -DNVFP4CAL_BUILD_PYTHON=ON "-DPython_EXECUTABLE=$python" -DNVFP4CAL_BUILD_JAVA=ON; then
  run_ctest release
  tool=$(find "$root/build/release" -type f -name nvfp4cal -perm -u+x | head -n 1)
  for method in max mse; do step "checkpoint-$method" check_checkpoint "$method"; done
  for task in test lint doc; do step "rust-$task" "$root/scripts/rust.sh" "$task" "$root/build/release/src"; done
  step rust-examples "$root/tests/consumers/rust.sh" "$root/build/release"
  step python test_python "$python" "$root"/tests/python/test_*.py "$root/tests/python/golden"
  if $full; then
    step python-torch test_python "$("$root/scripts/venv_torch.sh")" "$root/tests/python/torch" "$root/tests/python/integrations"
    step engines test_engines
    step python-wheel test_wheel
  fi
  test_java
fi

if $full; then
  step rust-bindings "$root/scripts/rust_bindings.sh" --check
  # nvcc's programs see nothing of the sanitizers: the module is tested as C++ there, on the emulated device.
  sanitized=("${options[@]}" -DNVFP4CAL_BUILD_CUDA=OFF -DNVFP4CAL_BUILD_BENCH=OFF)
  # The address sanitizer's allocator may be locked in a child that forked while other threads computed: not a test of ours there.
  if build asan-ubsan "${sanitized[@]}"; then
    run_ctest asan-ubsan --label-regex "unit|api|golden|device|fuzz|^c$" --exclude-regex "api/test_fork"
    step rust-asan "$root/scripts/rust.sh" asan "$root/build/asan-ubsan/src"
  fi
  # What shares memory between threads: the pool, the callers' runners, the chunked operations, the job.
  if build tsan "${sanitized[@]}"; then run_ctest tsan --tests-regex "^(api/test_(threads|runner|max|sweep|quantize|environment)|unit/test_(parallel|ops|checkpoint|gptq|linalg)|c/abi)"; fi
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
