#!/usr/bin/env bash
# Makes bindings/rust/nvfp4cal-sys/src/bindings.rs from include/nvfp4cal.h with the pinned bindgen, built once under build/cache.
#   rust_bindings.sh [--check]     --check: changes nothing, fails where the committed file differs
# Needs libclang and clang's own headers (Debian 12: libclang1-14, libclang-common-14-dev).
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=0.72.1
committed=$root/bindings/rust/nvfp4cal-sys/src/bindings.rs
bindgen=$cache/bindgen-$version/bin/bindgen
case "${1:-}" in
  "" | --check) ;;
  *) die "usage: rust_bindings.sh [--check]" ;;
esac

if [ ! -x "$bindgen" ]; then
  say "building bindgen $version"
  cargo install --quiet --locked --version "=$version" --no-default-features --features runtime,prettyplease \
    --root "$cache/bindgen-$version" bindgen-cli >&2
fi

fresh=$(mktemp "${TMPDIR:-/tmp}/bindings.XXXXXX")
trap 'rm -f "$fresh"' EXIT
# The types are those of 64-bit Linux, where the assertions on layouts were made.
"$bindgen" "$root/include/nvfp4cal.h" --output "$fresh" \
  --allowlist-item '(nvfp4cal|NVFP4CAL)_.*' --blocklist-item 'NVFP4CAL_API|NVFP4CAL_H' --default-macro-constant-type signed \
  --no-doc-comments --merge-extern-blocks --use-core --rust-target 1.85 --rust-edition 2021 --formatter prettyplease --disable-header-comment \
  --raw-line '// Made from include/nvfp4cal.h by scripts/rust_bindings.sh: do not edit.' \
  -- -std=c99 --target=x86_64-unknown-linux-gnu

if [ "${1:-}" = --check ]; then
  diff -u "$committed" "$fresh" || die "bindings.rs is not what the header gives: run scripts/rust_bindings.sh and commit"
else
  cat "$fresh" >"$committed"
fi
