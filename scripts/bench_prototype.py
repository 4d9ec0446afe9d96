"""Times the search beside its prototype in turn and prints the ratios: bench_prototype.py <nvfp4cal_bench> <b2> <normal.f32>.

Both run on one core, 16,777,216 numbers; the best of five turns of each counts.
"""

import json
import os
import re
import subprocess
import sys

bench, prototype, numbers = sys.argv[1:]
OPS = {"new": "sweep", "new+pack": "quantize_mse"}
DTYPES = {"fp32": "f32", "bf16": "bf16"}
LINE = re.compile(r"\S+\s+(new\S*)\s+(fp32|bf16) best ([0-9.]+)")


def run(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
best = {}
for _ in range(5):
    for name, dtype, value in LINE.findall(run([prototype, numbers, "5"])):
        key = (OPS[name], DTYPES[dtype], "prototype")
        best[key] = max(best.get(key, 0.0), float(value))
    for op in OPS.values():
        for dtype in DTYPES.values():
            command = [bench, "--json", "--elements", "16777216", "--runs", "5", "--threads", "1", "--input", "normal", "--op", op, "--dtype", dtype]
            key = (op, dtype, "library")
            best[key] = max(best.get(key, 0.0), json.loads(run(command))["gels"])
print("op             dtype  library  prototype  ratio   (Gel/s, one thread; quantize_mse: the library also looks for what is not finite first)")
for op in OPS.values():
    for dtype in DTYPES.values():
        ours, theirs = best[op, dtype, "library"], best[op, dtype, "prototype"]
        print(f"{op:14} {dtype:5} {ours:8.3f} {theirs:10.3f} {ours / theirs:6.2f}")
