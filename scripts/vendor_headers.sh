#!/usr/bin/env bash
# Fetches NVIDIA's FP4 and FP8 conversion headers once, to compare with as host code, and prints their include folder.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=$root/build/vendor
# runtime: cuda_fp4.h, cuda_fp8.h; crt: what they include; cccl: nv/target.
fetch_wheel "$folder" nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 &&
  fetch_wheel "$folder" nvidia-cuda-crt==13.0.88 2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4 &&
  fetch_wheel "$folder" nvidia-cuda-cccl==13.0.85 e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649 ||
  die "no vendor headers: they come from PyPI, once"
echo "$folder/nvidia/cu13/include"
