#!/usr/bin/env bash
# Installs what the build and the tests need from Debian 12 (or Ubuntu of that age); does nothing when all of it is there.
#   setup.sh [--full] [--cuda]     --full: also the formatter, the linter and what bindgen needs
#                                  --cuda: also NVIDIA's compiler, where none is on PATH or in CUDA_HOME
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=(g++ cmake ninja-build pkg-config libhwy-dev nlohmann-json3-dev libcli11-dev catch2 libeigen3-dev libbenchmark-dev
  python3 python3-dev python3-venv python3-pip swig openjdk-17-jdk-headless maven binutils git)
for option in "$@"; do
  case "$option" in
    --full) packages+=(clang-format clang-tidy libclang1-14 libclang-common-14-dev) ;;
    --cuda)
      if command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-}/bin/nvcc" ]; then
        say "nvcc is installed"
      else
        say "CUDA toolkit: $("$root/scripts/cuda_toolkit.sh")"
      fi
      ;;
    *) die "usage: setup.sh [--full] [--cuda]" ;;
  esac
done

# Debian 12's "cargo" is of 1.63, these are newer; other systems have not got them. One by rustup or by hand is fine.
rust_packages=()
rust_hint=""
if ! rust_is_new_enough; then
  rust_packages=(cargo-web rustc-web rust-web-clippy)
  rust_hint="Rust $rust_version or newer, for the Rust crates alone, is also to be had from rustup (https://rustup.rs)"
fi

command -v dpkg-query >/dev/null || die "no dpkg here: install what docs/dependencies.md lists and configure with cmake --preset release"

missing=()
for package in "${packages[@]}" "${rust_packages[@]}"; do
  # shellcheck disable=SC2016  # dpkg-query expands it
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  say "all packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    [ -z "$rust_hint" ] || say "$rust_hint"
    die "missing packages, and neither root nor password-less sudo to install them: ${missing[*]}"
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq >&2
# All but the Rust crates is built and tested without Rust.
if [ ${#rust_packages[@]} -gt 0 ] && ! apt-cache show "${rust_packages[@]}" >/dev/null 2>&1; then
  say "this system has no ${rust_packages[*]}: $rust_hint"
  others=()
  for package in "${missing[@]}"; do
    [[ " ${rust_packages[*]} " == *" $package "* ]] || others+=("$package")
  done
  missing=("${others[@]}")
  [ ${#missing[@]} -gt 0 ] || exit 0
fi
say "installing ${missing[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
