"""What the checkpoint job writes, read by the packages that define the formats, on the CPU."""
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

import nvfp4cal as n

transformers = pytest.importorskip("transformers")
compressed_tensors = pytest.importorskip("compressed_tensors")
quantization = pytest.importorskip("compressed_tensors.quantization")


def tensors_of(folder):
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            found.update({name: opened.get_tensor(name) for name in opened.keys()})
    return found


def small_llama(folder, **options):
    torch.manual_seed(3)
    config = transformers.LlamaConfig(hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                      vocab_size=96, max_position_embeddings=64, tie_word_embeddings=False)  # fmt: skip
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()
    for parameter in model.parameters():
        parameter.data.mul_(8)  # logits that tell models apart
    model.save_pretrained(folder, **options)
    return model


@pytest.fixture(scope="module", params=[{}, {"input_scale": 0.5}], ids=["w4a16", "w4a4"])
def written(request, tmp_path_factory):
    """The original, and its two forms."""
    folder = tmp_path_factory.mktemp("peers")
    small_llama(folder / "model", max_shard_size="20KB")
    for form in ("modelopt", "compressed-tensors"):
        n.quantize_checkpoint(folder / "model", folder / form, format=form, **request.param)
    return folder, request.param


def layers_of(tensors, ending):
    return [name.removesuffix(ending) for name in tensors if name.endswith(ending)]


def test_decompressor_of_compressed_tensors(written):
    folder, _ = written
    from compressed_tensors.compressors.nvfp4 import NVFP4PackedCompressor

    scheme = quantization.preset_name_to_scheme("NVFP4A16", ["Linear"])
    tensors = tensors_of(folder / "compressed-tensors")
    layers = layers_of(tensors, ".weight_packed")
    assert len(layers) == 14
    for layer in layers:
        parts = {name: tensors[f"{layer}.{name}"] for name in ("weight_packed", "weight_scale", "weight_global_scale")}
        theirs = NVFP4PackedCompressor.decompress(parts, scheme)["weight"]
        ours = n.dequantize(parts["weight_packed"], parts["weight_scale"], parts["weight_global_scale"], order="compressed-tensors")
        assert torch.equal(theirs, torch.as_tensor(ours).to(theirs.dtype)), layer


def test_decoder_of_modelopt(written):
    folder, _ = written
    NVFP4QTensor = pytest.importorskip("modelopt.torch.quantization.qtensor").NVFP4QTensor
    tensors = tensors_of(folder / "modelopt")
    layers = layers_of(tensors, ".weight_scale_2")
    assert len(layers) == 14
    for layer in layers:
        packed, scale, scale_2 = (tensors[f"{layer}.{name}"] for name in ("weight", "weight_scale", "weight_scale_2"))
        shape = torch.Size((packed.shape[0], packed.shape[1] * 2))
        theirs = NVFP4QTensor(shape, torch.float32, packed).dequantize(
            dtype=torch.float32, scale=scale, double_scale=scale_2, block_sizes={-1: 16}
        )
        ours = torch.as_tensor(n.dequantize(packed, scale, scale_2))
        assert torch.equal(theirs, ours), layer


def test_both_formats_say_the_same(written):
    folder, options = written
    first, second = tensors_of(folder / "modelopt"), tensors_of(folder / "compressed-tensors")
    for layer in layers_of(second, ".weight_packed"):
        assert torch.equal(first[f"{layer}.weight"], second[f"{layer}.weight_packed"])
        assert torch.equal(first[f"{layer}.weight_scale"].view(torch.uint8), second[f"{layer}.weight_scale"].view(torch.uint8))
        product = first[f"{layer}.weight_scale_2"].double() * second[f"{layer}.weight_global_scale"].double()
        assert abs(product.item() - 1) < 2**-22
        assert (f"{layer}.input_scale" in first) == (f"{layer}.input_global_scale" in second) == bool(options)


def test_configuration_of_compressed_tensors(written):
    folder, options = written
    member = json.loads((folder / "compressed-tensors/config.json").read_text())["quantization_config"]
    config = quantization.QuantizationConfig.model_validate(member)
    scheme = config.config_groups["group_0"]
    expected = quantization.preset_name_to_scheme("NVFP4" if options else "NVFP4A16", ["Linear"])
    assert config.format == "nvfp4-pack-quantized" and config.quantization_status == "compressed" and config.ignore
    for part in ("weights", "input_activations"):
        ours, theirs = getattr(scheme, part), getattr(expected, part)
        assert (ours is None) == (theirs is None) == (part == "input_activations" and not options)
        fields = ("num_bits", "type", "symmetric", "strategy", "group_size", "dynamic", *(["scale_dtype"] if part == "input_activations" else []))
        for field in fields if ours else ():
            assert getattr(ours, field) == getattr(theirs, field), field


def quantize_inputs(layer, input_scale):
    """The layer's inputs become what compressed-tensors' NVFP4 preset makes of them; in float32 the library makes the same."""
    args = quantization.preset_name_to_scheme("NVFP4", ["Linear"]).input_activations
    global_scale = torch.tensor([1 / input_scale])

    def theirs(x):
        scale, zero_point = quantization.utils.compute_dynamic_scales_and_zp(x, args, layer, global_scale=global_scale)
        return quantization.lifecycle.forward.fake_quantize(x, scale, zero_point, args, global_scale=global_scale)

    def hook(_, inputs):
        x = inputs[0].float()
        assert torch.equal(theirs(x), torch.as_tensor(n.fake_quantize(x, global_amax=torch.tensor([2688 * input_scale]), method="max")))
        return (theirs(inputs[0]),)

    layer.register_forward_pre_hook(hook)


def test_transformers_loads_it(written):
    folder, options = written
    tensors = tensors_of(folder / "compressed-tensors")
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16).eval()
    original = {name: parameter.clone() for name, parameter in reference.named_parameters()}
    ids = torch.arange(24).reshape(2, 12) * 7 % 96
    with torch.no_grad():
        before = [reference(ids).logits]
        for layer in layers_of(tensors, ".weight_packed"):
            parts = [tensors[f"{layer}.{name}"] for name in ("weight_packed", "weight_scale", "weight_global_scale")]
            values = torch.as_tensor(n.dequantize(*parts, order="compressed-tensors")).to(torch.bfloat16)
            parameter = reference.get_parameter(f"{layer}.weight")
            assert not torch.equal(values, original[f"{layer}.weight"])
            parameter.copy_(values)
        if options:
            before.append(reference(ids).logits)
            for layer in layers_of(tensors, ".weight_packed"):
                quantize_inputs(reference.get_submodule(layer), options["input_scale"])
        expected = reference(ids).logits
        loaded = transformers.AutoModelForCausalLM.from_pretrained(folder / "compressed-tensors", dtype=torch.bfloat16).eval()
        logits = loaded(ids).logits
    assert torch.equal(logits, expected)
    assert not any(torch.equal(logits, other) for other in before)


def groups_of(report):
    groups = {}
    for tensor in report["tensors"]:
        if tensor["action"] == "quantized":
            groups.setdefault(tensor["group"], []).append(tensor["name"].removesuffix(".weight"))
    return groups


def scales_are_shared(folder, report, ending):
    """Members of a group have one global scale, to the bit; others have their own."""
    tensors, values = tensors_of(folder), set()
    for members in groups_of(report).values():
        scales = {tensors[f"{member}.{ending}"].view(torch.int32).item() for member in members}
        assert len(scales) == 1, members
        values |= scales
    assert len(values) > 1


def test_fused_layers_of_llama_over_shards(tmp_path):
    small_llama(tmp_path / "model", max_shard_size="20KB")
    index = json.loads((tmp_path / "model/model.safetensors.index.json").read_text())["weight_map"]
    report = n.quantize_checkpoint(tmp_path / "model", tmp_path / "out", format="compressed-tensors")
    groups = groups_of(report)
    assert sorted(len(members) for members in groups.values()) == [1] * 4 + [2] * 2 + [3] * 2
    assert any(len({index[f"{member}.weight"] for member in members}) > 1 for members in groups.values())
    scales_are_shared(tmp_path / "out", report, "weight_global_scale")


@pytest.mark.parametrize("stacked", [False, True])
def test_experts_of_qwen(tmp_path, stacked):
    torch.manual_seed(5)
    config = transformers.Qwen3MoeConfig(hidden_size=64, intermediate_size=96, moe_intermediate_size=32, num_hidden_layers=1, num_attention_heads=4,
                                         num_key_value_heads=2, head_dim=16, num_experts=4, num_experts_per_tok=2, vocab_size=64)  # fmt: skip
    model = transformers.Qwen3MoeForCausalLM(config).to(torch.bfloat16)
    if stacked:  # as the model holds them
        from safetensors.torch import save_file

        (tmp_path / "model").mkdir()
        save_file({name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}, tmp_path / "model/model.safetensors")
        model.config.save_pretrained(tmp_path / "model")
    else:
        model.save_pretrained(tmp_path / "model")
    report = n.quantize_checkpoint(tmp_path / "model", tmp_path / "out")
    reasons = {tensor["name"]: tensor["reason"] for tensor in report["tensors"]}
    assert ("an expert of a 3-D stack" in reasons["model.layers.0.mlp.experts.3.up_proj.weight"]) == stacked
    assert reasons["model.layers.0.mlp.gate.weight"].startswith("router")
    assert len([members for members in groups_of(report).values() if "experts" in members[0]]) == 8  # gate and up, and down, of four
    scales_are_shared(tmp_path / "out", report, "weight_scale_2")
    experts = dict(model.state_dict())["model.layers.0.mlp.experts.gate_up_proj"]
    made = tensors_of(tmp_path / "out")
    for projection, rows in (("gate_proj", experts[3, :32]), ("up_proj", experts[3, 32:])):
        parts = [made[f"model.layers.0.mlp.experts.3.{projection}.{name}"] for name in ("weight", "weight_scale", "weight_scale_2")]
        error = (torch.as_tensor(n.dequantize(*parts)) - rows.float()).norm() / rows.float().norm()
        assert error < 0.15


def test_layers_of_a_sentence_encoder(tmp_path):
    torch.manual_seed(6)
    config = transformers.BertConfig(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=64)
    transformers.BertModel(config).save_pretrained(tmp_path / "model")
    report = n.quantize_checkpoint(tmp_path / "model", tmp_path / "out")
    assert sorted(len(members) for members in groups_of(report).values()) == [1] * 6 + [3] * 2
    scales_are_shared(tmp_path / "out", report, "weight_scale_2")
    assert np.mean([tensor["action"] == "copied" for tensor in report["tensors"] if "embed" in tensor["name"]]) == 1
