#!/usr/bin/env python3
"""Time and memory of `nvfp4cal quantize` over synthetic models of several sizes, as a table (docs/performance.md).

usage: bench_checkpoint.py FOLDER [--sizes 0.5GB,2GB,6GB] [--tool PATH] [--threads N] [--options "--method max"]

Models of four shards and outputs are made under FOLDER, which needs 1.4 times the largest size, and removed one by one. Processor time is the tool's own, in its code
(user) and in the system's (files); memory is its largest resident set. Each model is quantized once before it is measured, so that it is read from the system's cache where that is
large enough.
"""
import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def size_of(folder):
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def run(command):
    """Seconds, user and system seconds, and the peak of resident bytes of a command."""
    start = time.monotonic()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"bench_checkpoint.py: {shlex.join(map(str, command))} failed")
    return time.monotonic() - start, used.ru_utime, used.ru_stime, used.ru_maxrss * 1024


def measure(folder, size, tool, options):
    model, out = folder / f"model-{size}", folder / f"out-{size}"
    try:
        subprocess.run([sys.executable, ROOT / "scripts" / "make_checkpoint.py", model, "--size", size, "--shards", "4"], check=True, stdout=subprocess.DEVNULL)
        command = [tool, "quantize", model, out, "--quiet", *options]
        run(command)
        shutil.rmtree(out)
        seconds, user, system, memory = run(command)
        gigabytes = size_of(model) / 1e9
        print(f"| {gigabytes:.2f} | {seconds:.1f} | {user:.2f} | {system:.2f} | {user / gigabytes:.2f} + {system / gigabytes:.2f} | {memory / 1e6:.1f} |",
              flush=True)  # fmt: skip
    finally:
        for made in (model, out):
            shutil.rmtree(made, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--sizes", default="0.5GB,2GB,6GB")
    parser.add_argument("--tool", default=ROOT / "build" / "release" / "tools" / "nvfp4cal" / "nvfp4cal")
    parser.add_argument("--threads", default=str(len(os.sched_getaffinity(0))))
    parser.add_argument("--options", default="", help="more options of quantize")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{arguments.threads} threads{' ' if arguments.options else ''}{arguments.options}\n")
    print("| model, GB | seconds | user seconds | system seconds | both, a GB | peak resident MB |\n|---|---|---|---|---|---|")
    for size in arguments.sizes.split(","):
        measure(arguments.folder, size, arguments.tool, ["--threads", arguments.threads, *shlex.split(arguments.options)])


if __name__ == "__main__":
    main()
