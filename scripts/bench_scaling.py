"""Prints how the search scales: bench_scaling.py <nvfp4cal_bench> [largest number of elements].

Cost of an element by tensor size (processor time, one thread), and the speed of two threads beside one thread and beside two processes at the same
time. On a machine that others use, two processes are what two threads can reach; they take turns with them, the best of all turns counts.
"""

import json
import subprocess
import sys

BENCH = sys.argv[1]
LARGEST = int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 30
OPTIONS = ["--json", "--input", "normal", "--op", "sweep", "--dtype", "bf16"]


def start(*options):
    return subprocess.Popen([BENCH, *OPTIONS, *map(str, options)], stdout=subprocess.PIPE, text=True)


def speed(process):
    out = process.communicate()[0]
    if process.returncode != 0:
        sys.exit(f"{BENCH} failed")
    return json.loads(out)["gels"]


def sizes():
    print("elements    ns an element, bf16, one thread")
    elements = 1 << 20
    while elements <= LARGEST:
        runs = 3 if elements > 1 << 28 else 9
        print(f"{elements:<10d}  {1 / speed(start('--clock', 'cpu', '--elements', elements, '--runs', runs)):.3f}", flush=True)
        elements *= 4


def threads():
    best = {"one thread": 0.0, "two threads": 0.0, "two processes": 0.0}
    for _ in range(5):
        run = ["--elements", 1 << 24, "--runs", 9]
        best["one thread"] = max(best["one thread"], speed(start("--threads", 1, *run)))
        best["two threads"] = max(best["two threads"], speed(start("--threads", 2, *run)))
        pair = [start("--threads", 1, *run) for _ in range(2)]
        best["two processes"] = max(best["two processes"], sum(map(speed, pair)))
    for name, value in best.items():
        print(f"{name:14} {value:6.3f} Gel/s, {value / best['one thread']:.2f} of one thread")
    print(f"two threads have {best['two threads'] / best['two processes']:.2f} of the speed of two processes")


sizes()
threads()
