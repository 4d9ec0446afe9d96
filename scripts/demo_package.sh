#!/usr/bin/env bash
# Builds the Python package for the programs that compare it with ModelOpt and llm-compressor, and prints the folder for PYTHONPATH.
#   demo_package.sh <interpreter>
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build=$root/build/demo-python
say "building"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DNVFP4CAL_BUILD_PYTHON=ON -DPython_EXECUTABLE="${1:?}" >/dev/null
cmake --build "$build" --target nvfp4cal_python --parallel "$jobs" >&2
cmake --install "$build" --component python --prefix "$build/package" >/dev/null
echo "$build/package"
