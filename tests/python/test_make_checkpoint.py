"""scripts/make_checkpoint.py: files that the safetensors package reads, statistics of trained weights, the same bytes for the same seed."""
import json
import pathlib
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from paths import ROOT
from safetensors import safe_open

SCRIPT = ROOT / "scripts" / "make_checkpoint.py"


def make(folder, *arguments):
    return subprocess.run([sys.executable, SCRIPT, folder, *arguments], capture_output=True, text=True, timeout=300)


def made(folder, *arguments):
    result = make(folder, *arguments)
    assert result.returncode == 0, result.stderr
    return folder


def tensors_of(folder, dtype):
    """All tensors, read by the package's own strict reader, as float32."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        raw = path.read_bytes()
        size = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:size])
        with safe_open(path, "numpy") as file:
            assert set(file.keys()) == set(header) - {"__metadata__"}
            for name in file.keys():
                begin, end = (size + at for at in header[name]["data_offsets"])
                found[name] = np.frombuffer(raw[begin:end], dtype).astype(np.float32).reshape(file.get_slice(name).get_shape())
    return found


@pytest.mark.parametrize("layout", ["llama", "qwen-moe", "bert"])
@pytest.mark.parametrize("shards", [1, 3])
def test_files(tmp_path, layout, shards):
    folder = made(tmp_path / "m", "--layout", layout, "--size", "1.5MB", "--shards", str(shards))
    tensors = tensors_of(folder, ml_dtypes.bfloat16)
    size = sum(2 * t.size for t in tensors.values())
    assert 1.45e6 < size <= 1.5e6
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    config = json.loads((folder / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16" and config["num_hidden_layers"] >= 2
    if shards == 1:
        assert names == ["model.safetensors"] and not (folder / "model.safetensors.index.json").exists()
    else:
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        assert names == [f"model-{i:05}-of-00003.safetensors" for i in (1, 2, 3)]
        assert index["metadata"]["total_size"] == size and set(index["weight_map"]) == set(tensors)
        sizes = [(folder / name).stat().st_size for name in names]
        assert max(sizes) < 2 * min(sizes)


def test_statistics(tmp_path):
    tensors = tensors_of(made(tmp_path / "m", "--size", "16MB", "--dtype", "f32", "--seed", "5"), np.float32)
    w = tensors["model.layers.1.mlp.down_proj.weight"].astype(np.float64)
    kurtosis = np.mean(w**4) / np.mean(w**2) ** 2
    assert 0.5 < w.std() * np.sqrt(w.shape[1]) < 1.0 and abs(w.mean()) < 0.05 * w.std() and 3.5 < kurtosis < 12
    rms = np.sqrt(np.mean(w**2, axis=0))
    assert rms.max() > 3 * np.median(rms)  # outlier columns
    norm = tensors["model.norm.weight"]
    assert 0.8 < norm.mean() < 1.2


@pytest.mark.parametrize("dtype,kind", [("bf16", ml_dtypes.bfloat16), ("f16", np.float16)])
def test_rounding(tmp_path, dtype, kind):
    """The same weights in every dtype, but for rounding to nearest even; sizes in bytes set the widths, so twice the bytes for F32."""
    wide = tensors_of(made(tmp_path / "f32", "--dtype", "f32", "--size", "1MB"), np.float32)
    narrow = tensors_of(made(tmp_path / dtype, "--dtype", dtype, "--size", "0.5MB"), kind)
    for name in wide:
        assert np.array_equal(wide[name].astype(kind).astype(np.float32), narrow[name]), name


def test_same_seed(tmp_path):
    bytes_of = lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}
    first = bytes_of(made(tmp_path / "a", "--size", "1MB", "--shards", "2"))
    assert bytes_of(made(tmp_path / "b", "--size", "1MB", "--shards", "2")) == first
    assert bytes_of(made(tmp_path / "c", "--size", "1MB", "--shards", "2", "--seed", "1")) != first


def test_expert_stacks(tmp_path):
    options = ("--layout", "qwen-moe", "--size", "1MB")
    single = tensors_of(made(tmp_path / "single", *options), ml_dtypes.bfloat16)
    stacked = tensors_of(made(tmp_path / "stacked", *options, "--with-expert-stacks"), ml_dtypes.bfloat16)
    experts = "model.layers.1.mlp.experts"
    gate_up, down = stacked[f"{experts}.gate_up_proj"], stacked[f"{experts}.down_proj"]
    for e in range(len(down)):
        gate, up = single[f"{experts}.{e}.gate_proj.weight"], single[f"{experts}.{e}.up_proj.weight"]
        assert np.array_equal(gate_up[e], np.concatenate([gate, up]))
        assert np.array_equal(down[e], single[f"{experts}.{e}.down_proj.weight"])
    assert not np.array_equal(down[0], down[1])


@pytest.mark.parametrize("arguments,message", [
    (["--size", "7X"], "7X"), (["--size", "100"], "at least"), (["--shards", "0"], "0"), (["--shards", "999", "--size", "1MB"], "999"),
    (["--with-expert-stacks"], "no experts"), (["--seed", "-1"], "-1"),
])  # fmt: skip
def test_errors(tmp_path, arguments, message):
    result = make(tmp_path / "m", *arguments)
    assert result.returncode != 0 and message in result.stderr and "Traceback" not in result.stderr


def test_a_folder_in_use(tmp_path):
    (tmp_path / "here").write_text("")
    result = make(tmp_path)
    assert result.returncode != 0 and "not empty" in result.stderr
