#!/usr/bin/env bash
# Prints the quality table of MiniLM (docs/quality.md). All arguments go to run.py: --only WORDS, --quick, --threads N.
#   run.sh [arguments]
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

"$root/scripts/setup.sh"
model=$("$root/scripts/minilm.sh")
python=$("$root/scripts/venv_torch.sh")
package=$("$root/scripts/demo_package.sh" "$python")
# One thread each, unless the caller says otherwise: a fair comparison, and no waiting for threads on a shared machine.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} NVFP4CAL_NUM_THREADS=${NVFP4CAL_NUM_THREADS:-${OMP_NUM_THREADS:-1}}
export LLM_COMPRESSOR_LOG_DISABLED=${LLM_COMPRESSOR_LOG_DISABLED:-true}  # it logs to standard output, between the rows
mkdir -p "$cache/quality"
PYTHONPATH=$package "$python" "$root/bench/quality/run.py" "$model" "$cache/quality" "$@"
