"""What the checkpoint job writes, converted to GGUF and run by llama.cpp: names, nibble order, scales and their direction as an engine reads them."""
import pytest
import safetensors.torch
import torch

import llama_cpp
import small_models
import nvfp4cal as n

TOKENS = [1, 259, 260, 261, 270, 280, 265, 266, 267, 300, 310, 262]


def expected(model, tokens=TOKENS):
    with torch.no_grad():
        return torch.softmax(model(torch.tensor([tokens])).logits[0].double(), -1)


def divergence(p, q):
    """Kullback-Leibler, mean over positions."""
    return (p * (p.log() - q.clamp_min(1e-30).log())).sum(-1).mean().item()


def tensors_of(folder):
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found.update(safetensors.torch.load_file(file))
    return found


def decoded(tensors, layer):
    if f"{layer}.weight_packed" in tensors:
        parts = [tensors[f"{layer}.{name}"] for name in ("weight_packed", "weight_scale", "weight_global_scale")]
        return torch.as_tensor(n.dequantize(*parts, order="compressed-tensors"))
    return torch.as_tensor(n.dequantize(*(tensors[f"{layer}.{name}"] for name in ("weight", "weight_scale", "weight_scale_2"))))


def load_decoded(model, tensors):
    """Puts the values of the quantized layers into the model; returns how many there were. transformers may keep the experts of a layer in stacks."""
    parameters = dict(model.named_parameters())
    layers = [name.removesuffix(".weight_scale") for name in tensors if name.endswith(".weight_scale")]
    for layer in layers:
        values = decoded(tensors, layer)
        if f"{layer}.weight" in parameters:
            parameters[f"{layer}.weight"].data.copy_(values)
            continue
        experts, expert, projection = layer.rsplit(".", 2)
        if projection == "down_proj":
            parameters[f"{experts}.down_proj"].data[int(expert)].copy_(values)
        else:
            half = 0 if projection == "gate_proj" else len(values)
            parameters[f"{experts}.gate_up_proj"].data[int(expert), half : half + len(values)].copy_(values)
    return len(layers)


@pytest.fixture(scope="module", params=["llama", "qwen3-moe"])
def original(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    small_models.write(folder, request.param)
    return request.param, folder


@pytest.mark.parametrize("options", [{}, {"input_scale": 0.01}], ids=["w4a16", "w4a4"])
@pytest.mark.parametrize("form", ["modelopt", "compressed-tensors"])
def test_runs_what_was_written(original, form, options, tmp_path):
    kind, folder = original
    n.quantize_checkpoint(folder, tmp_path / "out", format=form, method="mse", **options)
    model = small_models.write(tmp_path, kind)
    before = expected(model)
    tensors = tensors_of(tmp_path / "out")
    layers = load_decoded(model, tensors)
    assert layers == (14 if kind == "llama" else 2 * (4 + 3 * 4))

    said = llama_cpp.convert(tmp_path / "out", tmp_path / "model.gguf")
    assert said.count("and quantization NVFP4") == (14 if kind == "llama" else 2 * (4 + 3))
    after, found = expected(model), llama_cpp.probabilities(tmp_path / "model.gguf", TOKENS, small_models.VOCABULARY)

    assert torch.allclose(found.sum(-1), torch.ones(len(TOKENS), dtype=torch.float64), atol=1e-3)
    # The engine rounds activations to eight bits: that is all that remains of the distance which the quantization of weights makes.
    print(f"{kind} {form}: engine {divergence(after, found):.5f}, original {divergence(before, after):.5f}")
    assert divergence(after, found) < divergence(before, after) / 20


def test_a_wrong_order_would_be_seen(tmp_path):
    small_models.write(tmp_path / "model", "llama")
    n.quantize_checkpoint(tmp_path / "model", tmp_path / "out", method="mse")
    model = small_models.write(tmp_path, "llama")
    tensors = tensors_of(tmp_path / "out")
    load_decoded(model, tensors)
    for name, tensor in tensors.items():
        if tensor.dtype == torch.uint8:
            tensors[name] = tensor >> 4 | (tensor & 15) << 4
    safetensors.torch.save_file(tensors, tmp_path / "out/model.safetensors", {"format": "pt"})
    llama_cpp.convert(tmp_path / "out", tmp_path / "model.gguf")
    assert divergence(expected(model), llama_cpp.probabilities(tmp_path / "model.gguf", TOKENS, small_models.VOCABULARY)) > 0.1
