#!/usr/bin/env bash
# The Rust crates: their tests, the linter, the documentation.
#   rust.sh test|lint|doc <folder of libnvfp4cal.so>
#   rust.sh asan <folder of a libnvfp4cal.so with the address sanitizer>
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -eq 2 ] || die "usage: rust.sh test|lint|doc|asan <folder of libnvfp4cal.so>"
rust_is_new_enough || die "cargo $rust_version or newer is needed, $(cargo --version 2>/dev/null || echo 'none is installed'): run scripts/setup.sh"
NVFP4CAL_LIB_DIR=$(cd "$2" && pwd)
export NVFP4CAL_LIB_DIR
export CARGO_TARGET_DIR=$root/build/rust
cd "$root/bindings/rust"
case $1 in
  test) cargo test --no-fail-fast --workspace --all-features --locked ;;
  lint) cargo clippy --workspace --all-targets --all-features --locked -- -D warnings ;;
  doc) RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --locked ;;
  asan)
    # The sanitizer's runtime must come first in the process; cargo itself runs without it.
    runtime=$("${CXX:-g++}" -print-file-name=libasan.so)
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="env LD_PRELOAD=$runtime ASAN_OPTIONS=detect_leaks=1"
    # The golden cases are run over this library by C++.
    cargo test --no-fail-fast --workspace --all-features --locked --tests -- --skip golden_
    ;;
  *) die "usage: rust.sh test|lint|doc|asan <folder of libnvfp4cal.so>" ;;
esac
