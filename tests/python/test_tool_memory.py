"""What the tool's memory grows by with the number of tensors: headers, plan and report, a few kB each."""
import json
import struct
import subprocess
import sys

from test_tool import LIMIT, TOOL

LEAST, MOST = 10000, 40000  # tensors


def many_tensors(folder, count):
    """Experts of one block each."""
    folder.mkdir()
    header = {}
    for i in range(count):
        name = f"model.layers.{i // 1000}.mlp.experts.{i % 1000}.down_proj.weight"
        header[name] = {"dtype": "BF16", "shape": [1, 16], "data_offsets": [32 * i, 32 * i + 32]}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\x80\x3f" * (16 * count))
    (folder / "config.json").write_text("{}")
    return folder


# In an interpreter of its own: a process begins with what its parent has.
MEASURE = "import os, sys; _, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:]), 0); print(status, usage.ru_maxrss)"


def peak(*arguments):
    """Resident bytes."""
    command = [sys.executable, "-S", "-E", "-c", MEASURE, TOOL, *map(str, arguments), "--quiet", "--threads", "1"]
    status, kilobytes = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT).stdout.split()
    assert status == "0"
    return int(kilobytes) * 1024


def test_memory_of_a_tensor(tmp_path):
    peaks = []
    for count in (LEAST, MOST):
        peaks.append(peak("quantize", many_tensors(tmp_path / f"in{count}", count), tmp_path / f"out{count}"))
    each = (peaks[1] - peaks[0]) / (MOST - LEAST)
    assert each < 2600, f"{each:.0f} bytes a tensor"
