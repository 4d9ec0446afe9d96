"""Writes the largest float32 tensor of a safetensors file as plain numbers: bench_layer.py <model.safetensors> <out.f32>."""

import json
import struct
import sys

source, target = sys.argv[1:]
with open(source, "rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    spans = [entry["data_offsets"] for name, entry in header.items() if name != "__metadata__" and entry["dtype"] == "F32"]
    begin, end = max(spans, key=lambda span: span[1] - span[0])
    file.seek(8 + length + begin)
    with open(target, "wb") as out:
        out.write(file.read(end - begin))
