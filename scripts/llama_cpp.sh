#!/usr/bin/env bash
# Fetches llama.cpp once, and prints the folder: src/convert_hf_to_gguf.py, its converter, from the sources that llama-cpp-python carries, and site, for
# PYTHONPATH, with its engine as xllamacpp's wheel has it for the CPU. About 110 MB.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

engine=xllamacpp==2026.10.11549
tokenizer=sentencepiece==0.2.3
converter=llama_cpp_python-0.3.36
converter_hash=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
folder=$cache/llama_cpp
mark=$folder/.complete-$engine-$tokenizer-$converter
pip=(python3 -m pip --quiet --disable-pip-version-check)

if [ ! -f "$mark" ]; then
  say "downloading llama.cpp"
  rm -rf "$folder"
  mkdir -p "$folder/src" "$folder/download"
  "${pip[@]}" install --no-deps --only-binary :all: --target "$folder/site" "$engine" "$tokenizer" >&2
  "${pip[@]}" download --no-deps --no-binary :all: --dest "$folder/download" "${converter/-/==}" >&2
  echo "$converter_hash  $folder/download/$converter.tar.gz" | sha256sum --check --quiet >&2 || die "$converter is not the file that was pinned"
  source=$converter/vendor/llama.cpp
  tar -xzf "$folder/download/$converter.tar.gz" -C "$folder/src" --strip-components 3 \
    "$source/convert_hf_to_gguf.py" "$source/conversion" "$source/gguf-py"
  rm -rf "$folder/download"
  touch "$mark"
fi
echo "$folder"
