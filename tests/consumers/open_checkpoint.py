#!/usr/bin/env python3
"""Opens a written NVFP4 checkpoint with the safetensors package and compares it with the original, in numpy alone.

usage: open_checkpoint.py <original folder> <quantized folder> [<report.json>]
"""
import json
import pathlib
import re
import sys

import ml_dtypes
import numpy as np
import safetensors

LEVELS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
# A magnitude x gets the level numbered by how many of these it passes; a tie goes to the even number.
BOUNDS = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], np.float32)
DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
QKV = re.compile(r"(.*\.)(q_proj|k_proj|v_proj|query|key|value)\.weight_scale_2")


def load(folder):
    """Name -> array of all safetensors files of a folder, read by the reference implementation's parser."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, entry in safetensors.deserialize(path.read_bytes()):
            assert name not in tensors, f"{name} is in two files"
            tensors[name] = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    assert tensors, f"no safetensors file in {folder}"
    return tensors


class Checkpoint:
    def __init__(self, original, folder, report):
        self.folders = original, folder
        self.original, self.written = load(original), load(folder)
        self.report = json.loads(report.read_text()) if report else None
        self.quantized = sorted(name[: -len("_scale_2")] for name in self.written if name.endswith(".weight_scale_2"))

    def parts(self, name):
        return self.original[name].astype(np.float32), self.written[name], self.written[name + "_scale"], self.written[name + "_scale_2"]

    def block_scales(self, name):
        _, _, scale, scale_2 = self.parts(name)
        return np.repeat(scale.astype(np.float32) * scale_2.astype(np.float32), 16, axis=1)

    def codes(self, name):
        packed = self.written[name]
        return np.stack([packed & 15, packed >> 4], axis=-1).reshape(packed.shape[0], -1)

    def decode(self, name):
        codes = self.codes(name)
        return np.where(codes & 8, -1, 1).astype(np.float32) * LEVELS[codes & 7] * self.block_scales(name)

    # Tests: each is one case, a failed assert says why.

    def test_has_quantized_layers(self):
        assert self.quantized, "no tensor was quantized"

    def test_names(self):
        scales = {name + suffix for name in self.quantized for suffix in ("_scale", "_scale_2")}
        assert set(self.written) == set(self.original) | scales, sorted(set(self.written) ^ (set(self.original) | scales))[:5]

    def test_dtypes_and_shapes(self):
        for name in self.quantized:
            weight, packed, scale, scale_2 = self.parts(name)
            rows, cols = weight.shape
            assert packed.dtype == np.uint8 and packed.shape == (rows, cols // 2), name
            assert scale.dtype == ml_dtypes.float8_e4m3fn and scale.shape == (rows, cols // 16), name
            assert scale_2.dtype == np.float32 and scale_2.shape in ((), (1,)), name

    def test_others_are_copied(self):
        for name in set(self.original) - set(self.quantized):
            before, after = self.original[name], self.written[name]
            assert before.dtype == after.dtype and before.shape == after.shape, name
            assert before.tobytes() == after.tobytes(), name

    def test_scale_bytes(self):
        for name in self.quantized:
            codes = self.written[name + "_scale"].view(np.uint8)
            assert codes.min() >= 1 and codes.max() <= 126, f"{name}: scale bytes from {codes.min()} to {codes.max()}"

    def test_global_scales(self):
        for name in self.quantized:
            scale_2 = self.written[name + "_scale_2"]
            largest = np.abs(self.original[name].astype(np.float32)).max()
            assert np.isfinite(scale_2) and scale_2 >= largest / np.float32(2688), name

    def test_fused_layers_share_the_global_scale(self):
        groups = {}
        for name in self.written:
            if match := QKV.fullmatch(name):
                groups.setdefault(match.group(1), []).append(name)
        assert groups, "no q, k, v layers found"
        for names in groups.values():
            assert len(names) == 3, names
            assert len({self.written[name].tobytes() for name in names}) == 1, names
            largest = max(np.abs(self.original[name[: -len("_scale_2")]].astype(np.float32)).max() for name in names)
            assert self.written[names[0]] == largest / np.float32(2688), names

    def test_codes_are_the_nearest(self):
        for name in self.quantized:
            x = self.parts(name)[0] / self.block_scales(name)
            magnitude = np.abs(x)
            level = np.searchsorted(BOUNDS, magnitude, side="left")  # a tie stays below ...
            level += ((level & 1) == 1) & np.isin(magnitude, BOUNDS)  # ... unless the level below is odd
            expected = level + np.where(x < 0, 8, 0)
            assert np.array_equal(self.codes(name), expected), name

    def test_error_is_small(self):
        for name in self.quantized:
            weight = self.parts(name)[0].astype(np.float64)
            error = ((weight - self.decode(name)) ** 2).sum() / (weight**2).sum()
            assert error < 0.015, f"{name}: relative squared error {error}"

    def test_report_tells_the_error(self):
        if not self.report:
            return
        entries = {entry["name"]: entry for entry in self.report["tensors"]}
        for name in self.quantized:
            weight = self.parts(name)[0].astype(np.float64)
            error = ((weight - self.decode(name).astype(np.float64)) ** 2).sum()
            assert np.isclose(entries[name]["squared_error"], error, rtol=1e-6), f"{name}: {entries[name]['squared_error']} and {error}"

    def test_configuration(self):
        config = json.loads((self.folders[1] / "config.json").read_text())["quantization_config"]
        other = json.loads((self.folders[1] / "hf_quant_config.json").read_text())["quantization"]
        assert config["quant_method"] == "modelopt", config
        assert "NVFP4" in config["quant_algo"] and config["quant_algo"] == other["quant_algo"], config
        assert other["group_size"] == 16 and "kv_cache_quant_algo" in other and "exclude_modules" in other, other

    def test_other_files_are_carried_over(self):
        for path in self.folders[0].iterdir():
            if re.search(r"tokenizer|vocab|special_tokens", path.name):
                assert (self.folders[1] / path.name).read_bytes() == path.read_bytes(), path.name


def main(arguments):
    if len(arguments) not in (2, 3):
        sys.exit(__doc__)
    original, folder, *report = map(pathlib.Path, arguments)
    checkpoint = Checkpoint(original, folder, report[0] if report else None)
    passed = failed = 0
    for name in [name for name in dir(checkpoint) if name.startswith("test_")]:
        try:
            getattr(checkpoint, name)()
            passed += 1
        except (AssertionError, KeyError, OSError) as error:
            failed += 1
            print(f"FAILED {name}: {error!r}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
