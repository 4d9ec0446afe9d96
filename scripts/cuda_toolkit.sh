#!/usr/bin/env bash
# Puts NVIDIA's compiler together from its PyPI packages, once, and prints the folder that CUDA_HOME names: for machines without a toolkit.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ "$(uname -m)" = x86_64 ] || die "the pinned packages are for x86-64: install the CUDA toolkit and set CUDA_HOME"
folder=$cache/cuda
home=$folder/nvidia/cu13
fetch_wheel "$folder" nvidia-cuda-nvcc==13.0.88 56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03 &&
  fetch_wheel "$folder" nvidia-nvvm==13.0.88 c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0 &&
  fetch_wheel "$folder" nvidia-cuda-crt==13.0.88 2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4 &&
  fetch_wheel "$folder" nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 &&
  fetch_wheel "$folder" nvidia-cuda-cccl==13.0.85 e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649 ||
  die "no CUDA toolkit: it comes from PyPI, once"
# What an installed toolkit has: programs that run, the linker's name of the runtime, and the folder nvcc's profile names.
chmod +x "$home"/bin/* "$home"/nvvm/bin/*
ln -sfn lib "$home/lib64"
ln -sfn libcudart.so.13 "$home/lib/libcudart.so"
echo "$home"
