#!/usr/bin/env bash
# Makes a small Python environment once (numpy, safetensors, ml_dtypes: readers of what the library writes) and prints its interpreter.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(numpy==2.2.6 safetensors==0.7.0 ml_dtypes==0.5.4)
folder=$cache/venv
mark=$folder/.complete-$(echo "${packages[*]}" | sha256sum | cut -c 1-16)
if [ ! -f "$mark" ]; then
  say "making a Python environment with ${packages[*]}"
  rm -rf "$folder"
  mkdir -p "$cache"
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: "${packages[@]}" >&2
  touch "$mark"
fi
echo "$folder/bin/python"
