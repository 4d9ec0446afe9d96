#!/usr/bin/env bash
# Builds and runs all tests; the last line is "N passed, N failed", after the time of each step (also in build/test-logs/times).
#   test.sh [--full]     --full: also the sanitizer builds, and the CUDA module where no compiler for it was found before
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

full=false
case "${1:-}" in
  "") ;;
  --full) full=true ;;
  *) die "usage: test.sh [--full]" ;;
esac

# Adds what count_tests.py found, "<passed> <failed>". A file: steps run beside each other.
add() { echo "$1 $2" >>"$logs/counts"; }

# timed <name> <command...>: notes seconds and processor seconds.
timed() {
  local name=$1 status=0 TIMEFORMAT='%R %U %S' times
  times=$(mktemp "$logs/time.XXXXXX")
  shift
  { time "$@" 2>&3 || status=$?; } 3>&2 2>"$times"
  awk -v name="$name" '{ printf "%-24s %7.1f %7.1f\n", name, $1, $2 + $3 }' "$times" >>"$logs/times"
  rm "$times"
  return $status
}

# step <name> <command...>: one program outside ctest.
step() {
  local log=$logs/$1.log status=0
  say "$1"
  timed "$@" >"$log" 2>&1 || status=$?
  shift
  [ "$status" -eq 0 ] || cat "$log" >&2
  # shellcheck disable=SC2046  # two numbers
  add $(python3 "$root/scripts/count_tests.py" step "$log" "$status")
}

configure_and_build() {
  local preset=$1
  shift
  (cd "$root" && cmake --preset "$preset" "$@" && cmake --build "build/$preset" --parallel "$jobs")
}

# build <preset> <cmake arguments...>; a build that fails is one failed test.
build() {
  local preset=$1 log=$logs/build-$1.log
  say "building $preset"
  if timed "build-$preset" configure_and_build "$@" >"$log" 2>&1; then return; fi
  tail -n 60 "$log" >&2
  add 0 1
  return 1
}

# run_ctest <preset> <ctest arguments...>
run_ctest() {
  local preset=$1 dir=$root/build/$1
  shift
  say "testing $preset"
  # Each run replaces the log; an old one must not be counted.
  rm -f "$dir/Testing/Temporary/LastTest.log"
  timed "ctest-$preset" ctest --test-dir "$dir" --parallel "$jobs" --output-on-failure --no-tests=error "$@" >&2 || true # the log says it
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
  timed java mvn --quiet --batch-mode --file "$root/bindings/java/pom.xml" verify "-Dnvfp4cal.build=$root/build/release/bindings/java" >"$logs/java.log" 2>&1 ||
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

# After the release build: what else is done with it, most of it on one core.
use_release() {
  local method task
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
}

# The builds of the sanitizers and their tests, on as many cores as there are. What they leave out: CONTRIBUTING.md, "Sanitizers".
use_sanitizers() {
  local sanitized=("${options[@]}" -DNVFP4CAL_BUILD_BENCH=OFF)
  if build asan-ubsan "${sanitized[@]}"; then
    touch "$logs/asan-ubsan-is-built"
    run_ctest asan-ubsan
  fi
  if build tsan "${sanitized[@]}"; then run_ctest tsan; fi
}

python=$("$root/scripts/venv.sh")
sanitizers=
if build release "${options[@]}" -DNVFP4CAL_BUILD_PYTHON=ON "-DPython_EXECUTABLE=$python" -DNVFP4CAL_BUILD_JAVA=ON; then
  run_ctest release
  if $full; then
    use_sanitizers &
    sanitizers=$!
  fi
  use_release
fi

if $full; then
  step rust-bindings "$root/scripts/rust_bindings.sh" --check
  if [ -n "$sanitizers" ]; then wait "$sanitizers"; else use_sanitizers; fi
  if [ -e "$logs/asan-ubsan-is-built" ]; then step rust-asan "$root/scripts/rust.sh" asan "$root/build/asan-ubsan/src"; fi
fi

printf '%-24s %7s %7s\n' step seconds "of CPU" >&2
cat "$logs/times" >&2
awk '{ passed += $1; failed += $2 } END { print passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 }' "$logs/counts"
