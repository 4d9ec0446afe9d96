#!/usr/bin/env bash
# Makes once a Python environment with torch, the two calibration frameworks that nvfp4cal.integrations serves, and pytest; prints its interpreter.
# About 3 GB are downloaded: PyPI's torch brings the CUDA libraries that it is linked with, also where no GPU is.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

list=$root/scripts/venv_torch.txt
folder=$cache/venv-torch
mark=$folder/.complete-$(sha256sum <"$list" | cut -c 1-16)
if [ ! -f "$mark" ]; then
  say "making a Python environment with torch, nvidia-modelopt and llmcompressor (large, once)"
  rm -rf "$folder"
  mkdir -p "$cache"
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: --requirement "$list" >&2
  touch "$mark"
fi
echo "$folder/bin/python"
