#!/usr/bin/env bash
# Speed of a whole checkpoint job from the page cache to a folder in memory, with 1 thread and all, and what its processor time goes into
# (docs/performance.md). The folders must be the same bytes for any number of threads.
#   job_bench.sh [--size 4GB] [--input FOLDER] [--output FOLDER] [--against TOOL] [options of nvfp4cal_job_bench]
#     --size      of the synthetic checkpoint, which is removed afterwards; twice the number of parameters
#     --input     a checkpoint of one's own in its place: is read, and left
#     --output    where the output goes (default: a new folder in /dev/shm)
#     --against   the nvfp4cal of another build: its output must be the same bytes, too
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

size=4GB
input=
output=
against=
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --size | --input | --output | --against)
      [ $# -gt 1 ] || die "$1 needs a value"
      declare "${1#--}=$2"
      shift
      ;;
    *) options+=("$1") ;;
  esac
  shift
done

say "building"
(cd "$root" && cmake --preset release >/dev/null && cmake --build build/release --parallel "$jobs" --target nvfp4cal_job_bench) >&2
bench=$root/build/release/bench/nvfp4cal_job_bench

work=$(mktemp -d "${TMPDIR:-/tmp}/job_bench.XXXXXX")
output=${output:-$(mktemp -d /dev/shm/job_bench.XXXXXX)}
trap 'rm -rf "$work" "$output"' EXIT
if [ -z "$input" ]; then
  say "writing a checkpoint of $size"
  python=python3
  python3 -c "import numpy" 2>/dev/null || python=$("$root/scripts/venv.sh")
  input=$work/model
  "$python" "$root/scripts/make_checkpoint.py" "$input" --size "$size" >&2
fi
cat "$input"/*.safetensors >/dev/null # into the page cache

sums() { (cd "$1" && sha256sum -- *); }
for threads in 1 "$(nproc)"; do
  "$bench" "$input" "$output/out" --keep --threads "$threads" "${options[@]}"
  echo
  sums "$output/out" >"$work/sums-$threads"
  rm -rf "$output/out"
done
cmp "$work/sums-1" "$work/sums-$(nproc)" || die "the output depends on the number of threads"
if [ -n "$against" ]; then
  "$against" quantize --quiet "$input" "$output/out"
  sums "$output/out" >"$work/sums-against"
  cmp "$work/sums-1" "$work/sums-against" || die "the output is not that of $against"
fi
say "the same bytes with 1 thread and $(nproc)${against:+, and from $against}"
