#!/usr/bin/env python3
"""What the library and the tool cost before they do anything: size, loading, starting, tensors too small to matter.

usage: check_costs.py LIBRARY TOOL

Prints each figure beside its limit; 1 if one is above. Times are the least of several, in processor time: the machine may be busy.
"""
import json
import os
import pathlib
import resource
import struct
import subprocess
import sys
import tempfile

MAX_BYTES = 2_000_000  # stripped
MAX_LOAD = 5e-3  # seconds
MAX_START = 20e-3
MAX_CALL = 10e-6  # a tiny expert
MAX_JOB = 20e-6  # names, plan, headers and report of a checkpoint job included
EXPERTS = 10_000

LOAD = """
import ctypes, sys, time
begin = time.process_time()
ctypes.CDLL(sys.argv[1])
print(time.process_time() - begin)
"""

# Method mse on float32 [16, 64], a call each.
CALLS = """
import ctypes, sys, time
from ctypes import POINTER, Structure, byref, c_float, c_int32, c_int64, c_uint8, c_uint32, c_void_p, sizeof

class Tensor(Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("data", c_void_p), ("dtype", c_int32), ("device_type", c_int32),
                ("device_id", c_int32), ("ndim", c_int32), ("shape", c_int64 * 8), ("strides", c_int64 * 8)]

class Options(Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("method", c_int32), ("block_size", c_int32), ("normalization", c_int32),
                ("code_lo", c_int32), ("code_hi", c_int32), ("scale_layout", c_int32), ("weights", POINTER(Tensor))]

library, count = ctypes.CDLL(sys.argv[1]), int(sys.argv[2])
library.nvfp4cal_quantize.argtypes = [c_void_p, *[POINTER(Tensor)] * 3, POINTER(Options), *[POINTER(Tensor)] * 3, c_void_p]
weights = (c_float * (count * 1024))(*[(i * 97 % 256 + 1) / 256 * (1 - i % 3) for i in range(1024)] * count)
packed, scales, global_scale = (c_uint8 * (count * 512))(), (c_uint8 * (count * 64))(), (c_float * count)()

def tensors(data, dtype, *shape):
    step = ctypes.sizeof(data) // count
    return [Tensor(sizeof(Tensor), 0, ctypes.addressof(data) + i * step, dtype, 0, 0, len(shape), (c_int64 * 8)(*shape)) for i in range(count)]

experts = list(zip(tensors(weights, 0x12002, 16, 64), tensors(packed, 0x10801, 16, 32), tensors(scales, 0x1080A, 16, 4), tensors(global_scale, 0x12002)))
options = Options(sizeof(Options), method=1)
best = float("inf")
for _ in range(5):
    begin, failed = time.process_time(), 0
    for x, p, s, g in experts:
        failed |= library.nvfp4cal_quantize(None, byref(x), None, None, byref(options), byref(p), byref(s), byref(g), None)
    best = min(best, time.process_time() - begin)
assert failed == 0 and all(global_scale) and bytes(packed[:512]) == bytes(packed[-512:])
print(best / count)
"""


def processor_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stripped_size(library):
    with tempfile.TemporaryDirectory() as folder:
        stripped = pathlib.Path(folder) / "stripped.so"
        subprocess.run(["strip", "-o", stripped, library], check=True)
        return stripped.stat().st_size


def printed_seconds(program, *arguments):
    return float(subprocess.run([sys.executable, "-c", program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout)


def write_experts(folder, count):
    """Bfloat16 weights [16, 64], all the same bytes, in the order in which safetensors writes them."""
    header, size = {}, 16 * 64 * 2
    names = sorted(f"model.layers.{i // 128}.mlp.experts.{i % 128}.down_proj.weight" for i in range(count))
    for i, name in enumerate(names):
        header[name] = {"dtype": "BF16", "shape": [16, 64], "data_offsets": [i * size, (i + 1) * size]}
    text = json.dumps(header).encode()
    # Of both signs, from 2^-7 to 2^-5.
    weight = b"".join(struct.pack("<H", 0x3C00 + i * 97 % 256 | (i * 37 & 1) << 15) for i in range(size // 2))
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + weight * count)


def job_seconds(tool):
    """Of a job over many tiny experts, less one over a single one, for one expert."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        folder, seconds = pathlib.Path(name), {}
        for count in (1, EXPERTS):
            source = folder / f"experts-{count}"
            write_experts(source, count)
            commands = [[tool, "quantize", "--quiet", "--threads", "1", source, folder / f"out-{count}-{i}"] for i in range(5)]
            seconds[count] = min(processor_seconds(command) for command in commands)
        return (seconds[EXPERTS] - seconds[1]) / (EXPERTS - 1)


def main(library, tool):
    figures = [
        ("library, stripped", stripped_size(library), MAX_BYTES, 1, "bytes"),
        ("loading the library", min(printed_seconds(LOAD, library) for _ in range(10)), MAX_LOAD, 1e3, "ms"),
        ("nvfp4cal --version", min(processor_seconds([tool, "--version"]) for _ in range(20)), MAX_START, 1e3, "ms"),
        (f"{EXPERTS} experts, each", printed_seconds(CALLS, library, EXPERTS), MAX_CALL, 1e6, "us"),
        ("the same in a job, each", job_seconds(tool), MAX_JOB, 1e6, "us"),
    ]
    for name, value, limit, unit, shown in figures:
        print(f"{name:28} {value * unit:10.6g} {shown:5} (limit {limit * unit:g}){'' if value < limit else '  ABOVE'}")
    return any(value >= limit for _, value, limit, _, _ in figures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
