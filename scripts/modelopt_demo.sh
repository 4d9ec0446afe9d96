#!/usr/bin/env bash
# Runs ModelOpt's NVFP4 recipes and llm-compressor's observers on a small real model, on the CPU, and prints their times with and without nvfp4cal.
#   modelopt_demo.sh [number of layers to keep]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/setup.sh"
model=$("$root/scripts/minilm.sh")
python=$("$root/scripts/venv_torch.sh")
package=$("$root/scripts/demo_package.sh" "$python")
# One thread each, unless the caller says otherwise: a fair comparison, and no waiting for threads on a shared machine.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} NVFP4CAL_NUM_THREADS=${NVFP4CAL_NUM_THREADS:-${OMP_NUM_THREADS:-1}}
PYTHONPATH=$package "$python" "$root/examples/python/modelopt_on_cpu.py" "$model" "$@"
