#!/usr/bin/env bash
# Quantizes a small real model with both methods and prints what each costs in error and time.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

"$root/scripts/setup.sh"
say "building"
cmake -S "$root" -B "$root/build/demo" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$root/build/demo" --parallel "$jobs" >&2
model=$("$root/scripts/minilm.sh")
tool=$(find "$root/build/demo" -type f -name nvfp4cal -perm -u+x | head -n 1)
[ -n "$tool" ] || die "the build made no tool"

out=$(mktemp -d "$root/build/demo/out.XXXXXX")
trap 'rm -rf "$out"' EXIT
for method in max mse; do
  say "quantizing with --method $method"
  begin=$(date +%s.%N)
  "$tool" quantize "$model" "$out/$method" --method "$method" --report "$out/$method.json" --quiet
  end=$(date +%s.%N)
  echo "$begin $end" >"$out/$method.time"
done
python3 "$root/scripts/compare_reports.py" "$out/max.json" "$out/mse.json" "$out/max.time" "$out/mse.time"
