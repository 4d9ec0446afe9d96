#!/usr/bin/env bash
# Prints how many instructions the kernels take and what share of a copy's bandwidth that allows (docs/cuda.md), on a machine without a CUDA toolkit too.
#   cuda_estimate.sh [part of a kernel's name ..]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

home=$("$root/scripts/cuda_toolkit.sh")
fetch_wheel "$cache/nvdisasm" nvidia-cuda-nvdisasm==13.2.78 b4ebcd3c5046bf8039ac52675b9dbefd843600969649ecaab0a42b0713a61dae ||
  die "no nvdisasm: it comes from PyPI, once"
nvdisasm=$cache/nvdisasm/nvidia/cu13/bin/nvdisasm
chmod +x "$nvdisasm"
exec python3 "$root/scripts/cuda_estimate.py" "$home/bin/nvcc" "$nvdisasm" "$@"
