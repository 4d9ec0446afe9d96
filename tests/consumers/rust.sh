#!/usr/bin/env bash
# Builds examples/rust against an installed tree, which pkg-config finds, and compares what the programs print.
#   rust.sh <build dir>
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

unset NVFP4CAL_LIB_DIR
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name nvfp4cal.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir nvfp4cal)
export RUSTFLAGS="-C link-arg=-Wl,-rpath,$libdir"
# Kept: dependencies are compiled once.
export CARGO_TARGET_DIR=$build/rust-examples
example=$root/examples/rust

ok build cargo build --locked --manifest-path "$example/Cargo.toml"
ok lint cargo clippy --locked --manifest-path "$example/Cargo.toml" -- -D warnings
expect minimal "$here/minimal.txt" "$CARGO_TARGET_DIR/debug/minimal"
expect safetensors "$here/rust_safetensors.txt" "$CARGO_TARGET_DIR/debug/quantize_safetensors" \
  "$root/tests/golden/data/pack.safetensors" "$work/quantized.safetensors"
ok readme-shows-the-example diff -u "$example/src/bin/minimal.rs" <(sed -n '/^```rust$/,/^```$/p' "$root/README.md" | sed '1d;$d')
# A library that is not there, or of another release, is named.
ok not-found bash -c '! PKG_CONFIG_PATH= PKG_CONFIG_LIBDIR=/nowhere cargo build --locked --manifest-path "$1/Cargo.toml" && ! NVFP4CAL_LIB_DIR=/nowhere cargo build --locked \
  --manifest-path "$1/Cargo.toml" 2>"$2" && grep -q "NVFP4CAL_LIB_DIR is /nowhere" "$2"' _ "$example" "$work/log"
mkdir "$work/newer"
sed 's/^Version:.*/Version: 0.2.0/' "$PKG_CONFIG_PATH/nvfp4cal.pc" >"$work/newer/nvfp4cal.pc"
ok version-is-checked bash -c '! PKG_CONFIG_PATH=$1 cargo build --locked --manifest-path "$2/Cargo.toml"' _ "$work/newer" "$example"

finish
