"""Checkpoints of nvfp4cal.calibrate, read by compressed-tensors, transformers and safetensors."""
import functools
import json

import pytest
import torch
import transformers
from compressed_tensors.compressors import NVFP4PackedCompressor
from compressed_tensors.quantization import QuantizationConfig
from safetensors.torch import load_file

import models
import nvfp4cal as n

FORMATS = ["modelopt", "compressed-tensors"]


def written(tmp_path, make, format, activations=None, shard=None):
    """The calibrated model, its Calibration, all tensors of the folder and its config.json."""
    model = make()
    if shard:
        model.save_pretrained = functools.partial(model.save_pretrained, max_shard_size=shard)
    result = n.calibrate(model, models.batches(3), activations=activations, output=tmp_path / "out", format=format)
    tensors = {}
    for file in (tmp_path / "out").glob("*.safetensors"):
        tensors.update(load_file(file))
    return model, result, tensors, json.loads((tmp_path / "out" / "config.json").read_text())


@pytest.mark.parametrize("make", [models.bert, models.llama])
@pytest.mark.parametrize("activations", [None, "max"])
def test_modelopt(tmp_path, make, activations):
    model, result, tensors, config = written(tmp_path, make, "modelopt", activations)
    for name, layer in result.layers.items():
        scale_2 = tensors.pop(f"{name}.weight_scale_2")
        assert scale_2.shape == () and scale_2.dtype == torch.float32
        decoded = n.dequantize(tensors.pop(f"{name}.weight"), tensors.pop(f"{name}.weight_scale"), scale_2)
        assert torch.equal(decoded, model.get_submodule(name).weight)
        if activations:
            assert float(tensors.pop(f"{name}.input_scale")) == pytest.approx(layer.input_amax / 2688, rel=1e-6)
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())
    assert not any(name.endswith(("scale", "scale_2")) for name in tensors)
    algorithm = "NVFP4" if activations else "W4A16_NVFP4"
    quantization = config["quantization_config"]
    assert quantization["quant_algo"] == algorithm and quantization["quant_method"] == "modelopt"
    assert ("input_activations" in quantization["config_groups"]["group_0"]) == bool(activations)
    other = json.loads((tmp_path / "out" / "hf_quant_config.json").read_text())["quantization"]
    assert other == {"quant_algo": algorithm, "kv_cache_quant_algo": None, "group_size": 16, "exclude_modules": quantization["ignore"]}
    linear = {name for name, one in model.named_modules() if isinstance(one, (torch.nn.Linear, torch.nn.Embedding))}
    assert set(quantization["ignore"]) == linear - set(result.layers)


@pytest.mark.parametrize("make", [models.bert, models.llama])
@pytest.mark.parametrize("activations", [None, "max"])
def test_compressed_tensors(tmp_path, make, activations):
    model, result, tensors, config = written(tmp_path, make, "compressed-tensors", activations)
    scheme = QuantizationConfig.model_validate(config["quantization_config"]).config_groups["group_0"]
    assert (scheme.input_activations is not None) == bool(activations)
    assert not activations or scheme.input_activations.scale_dtype == torch.float8_e4m3fn
    for name, layer in result.layers.items():
        given = {key: tensors[f"{name}.{key}"] for key in ("weight_packed", "weight_scale", "weight_global_scale")}
        decoded = NVFP4PackedCompressor.decompress(dict(given), scheme)["weight"]
        mine = n.dequantize(given["weight_packed"], given["weight_scale"], given["weight_global_scale"], order="compressed-tensors")
        assert torch.equal(decoded.float(), mine.to(decoded.dtype).float())
        assert torch.allclose(mine, model.get_submodule(name).weight, rtol=1e-6, atol=0)
        assert float(given["weight_global_scale"]) == pytest.approx(2688 / float(layer.tensor.global_amax), rel=1e-7)
        if activations:
            assert float(tensors[f"{name}.input_global_scale"]) == pytest.approx(2688 / layer.input_amax, rel=1e-7)
            assert tensors[f"{name}.input_global_scale"].shape == (1,)
    loaded = type(model).from_pretrained(tmp_path / "out", dtype=torch.bfloat16)
    with torch.no_grad():
        ids = models.batches(1)[0]["input_ids"]
        loaded(ids)  # decompresses
    for name in result.layers:
        weight = model.get_submodule(name).weight
        assert torch.allclose(loaded.get_submodule(name).weight.float(), weight.detach(), rtol=2**-7, atol=1e-7)


@pytest.mark.parametrize("make", [models.bert, models.llama])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("activations", [None, "actmax"])
def test_inspect_and_verify(tmp_path, make, format, activations):
    """The library's own reader finds all layers, no defect, and nothing else changed."""
    make().save_pretrained(tmp_path / "original")
    _, result, _, _ = written(tmp_path, make, format, activations)
    job = n.Checkpoint()
    assert job.inspect(tmp_path / "out")["defects"] == []
    report = job.verify(tmp_path / "original", tmp_path / "out")
    assert report["ok"] and {layer["name"] for layer in report["layers"]} == set(result.layers)
    assert all(0 < layer["relative_error"] < 0.3 for layer in report["layers"])


@pytest.mark.parametrize("format", FORMATS)
def test_shards(tmp_path, format):
    model, result, tensors, _ = written(tmp_path, models.llama, format, shard="60KB")
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(files) > 2
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == {name: file.name for file in files for name in load_file(file)}
    assert index["metadata"]["total_size"] == sum(one.numel() * one.element_size() for one in tensors.values())


def test_all_zero_weights(tmp_path):
    def make():
        model = models.bert()
        model.encoder.layer[0].output.dense.weight.data.zero_()
        return model

    for format in FORMATS:
        model, _, tensors, _ = written(tmp_path / format, make, format)
        name = "encoder.layer.0.output.dense.weight"
        scale = tensors[f"{name}_scale_2" if format == "modelopt" else f"{name}_global_scale"]
        assert 0 < float(scale) < float("inf")
        packed = tensors[name if format == "modelopt" else f"{name}_packed"]
        order = "modelopt" if format == "modelopt" else "compressed-tensors"
        assert not n.dequantize(packed, tensors[f"{name}_scale"], scale, order=order).any()


def test_what_save_refuses(tmp_path):
    model = models.bert()
    result = n.calibrate(model, models.batches(1))
    with pytest.raises(ValueError, match="^format 'gguf' is not one of"):
        result.save(model, tmp_path / "a", "gguf")
    with pytest.raises(n.InvalidArgumentError, match="^no layer was quantized$"):
        n.Calibration().save(model, tmp_path / "a")
    other = models.llama()
    with pytest.raises(n.InvalidArgumentError, match="under another name"):
        result.save(other, tmp_path / "a")
    assert not any(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    result.save(model, tmp_path / "empty")
    assert isinstance(transformers.AutoConfig.from_pretrained(tmp_path / "empty"), transformers.BertConfig)
