"""convert and verify against compressed-tensors' own converter and ModelOpt's own decoder."""
import json
import subprocess
import sys

import pytest
import torch
from compressed_tensors.entrypoints.convert import ModelOptNvfp4Converter
from compressed_tensors.quantization import QuantizationConfig
from modelopt.torch.quantization.qtensor import NVFP4QTensor
from paths import ROOT
from safetensors.torch import load_file

import nvfp4cal as n


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tools") / "model"
    subprocess.run([sys.executable, ROOT / "scripts" / "make_checkpoint.py", folder, "--size", "1.5MB", "--layout", "qwen-moe"], check=True, capture_output=True)
    return folder


def tensors_of(folder):
    return load_file(folder / "model.safetensors")


def bytes_of(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("input_scale", [None, 0.0117])
def test_convert_is_the_converter_of_compressed_tensors(model, tmp_path, input_scale):
    n.Checkpoint(input_scale=input_scale).run(model, tmp_path / "m")
    n.Checkpoint(format="compressed-tensors").convert(tmp_path / "m", tmp_path / "c")
    config = json.loads((tmp_path / "m" / "config.json").read_text())["quantization_config"]
    theirs = ModelOptNvfp4Converter(ignore=[*config["ignore"], "re:.*norm"], targets=["re:.*"]).process(tensors_of(tmp_path / "m"))
    ours = tensors_of(tmp_path / "c")
    assert set(ours) == set(theirs) and len(ours) > 50
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(bytes_of(ours[name]), bytes_of(tensor)), name
    made = json.loads((tmp_path / "c" / "config.json").read_text())["quantization_config"]
    parsed = QuantizationConfig.model_validate(made)
    assert (parsed.config_groups["group_0"].input_activations is None) == (input_scale is None)


def test_verify_measures_what_modelopt_decodes(model, tmp_path):
    n.Checkpoint().run(model, tmp_path / "m")
    report = n.Checkpoint().verify(model, tmp_path / "m")
    given, made = tensors_of(model), tensors_of(tmp_path / "m")
    assert report["ok"] and report["totals"]["layers"] > 50
    for layer in report["layers"]:
        w, name = given[layer["name"] + ".weight"].double(), layer["name"] + ".weight"
        q = NVFP4QTensor(w.shape, torch.float32, made[name])
        decoded = q.dequantize(dtype=torch.float32, scale=made[name + "_scale"], double_scale=made[name + "_scale_2"], block_sizes={-1: 16})
        error = ((w - decoded.double()) ** 2).sum().item()
        assert layer["squared_error"] == pytest.approx(error, rel=1e-12) and layer["sum_squares"] == pytest.approx((w**2).sum().item(), rel=1e-12)
