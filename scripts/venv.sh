#!/usr/bin/env bash
# Makes a small Python environment once (readers of what the library writes; pytest and what the Python package works with) and prints its interpreter.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(numpy==2.2.6 safetensors==0.7.0 ml_dtypes==0.5.4 tqdm==4.67.1 pytest==8.4.2 iniconfig==2.1.0 packaging==25.0 pluggy==1.6.0 pygments==2.19.2
  mypy==2.4.1 mypy_extensions==1.2.0 pathspec==1.1.1 typing_extensions==4.16.0 librt==0.16.0 ast_serialize==0.13.1)
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
