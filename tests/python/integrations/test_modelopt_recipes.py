"""ModelOpt's NVFP4 recipes on a CPU from mtq.quantize to the exported files, on a random Llama and on MiniLM."""
import copy
import json
import math

import modelopt.torch.opt as mto
import modelopt.torch.quantization as mtq
import pytest
import torch
from modelopt.torch.export import export_hf_checkpoint
from modelopt.torch.quantization.nn import StaticBlockScaleQuantizer, TensorQuantizer
from modelopt.torch.quantization.utils import update_quant_cfg_with_kv_cache_quant
from safetensors.torch import load_file

import nvfp4cal
from nvfp4cal.integrations import _modelopt_calibrators as ours

STATIC = ("NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG", "NVFP4_W4A4_WEIGHT_LOCAL_HESSIAN_CFG", "NVFP4_FOUR_OVER_SIX_CFG")
RECIPES = ("NVFP4_DEFAULT_CFG", *STATIC)


def _quantized(model, config, *inputs, **named):
    config = copy.deepcopy(getattr(mtq, config) if isinstance(config, str) else config)
    return mtq.quantize(copy.deepcopy(model), config, lambda m: m(*inputs, **named))


def _linears(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and m.weight_quantizer.is_enabled}


def _check_exported(folder, layers, normalization):
    """Reads what was written; returns the decoded weights by layer."""
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "hf_quant_config.json").read_text())
    assert "NVFP4" in config["quantization"]["quant_algo"]
    for name, tensor in tensors.items():
        assert tensor.float().isfinite().all(), name
        if name.endswith(("weight_scale", "weight_scale_2", "input_scale")):
            assert (tensor.float() > 0).all(), name
    assert sum(name.endswith("weight_scale") for name in tensors) == len(layers)
    assert sum(name.endswith("input_scale") for name in tensors) == len(layers)
    decoded = {}
    for layer in layers:
        stem = f"{layer}."
        assert tensors[stem + "weight"].dtype == torch.uint8 and tensors[stem + "weight_scale"].dtype == torch.float8_e4m3fn
        decoded[layer] = nvfp4cal.dequantize(tensors[stem + "weight"], tensors[stem + "weight_scale"], tensors[stem + "weight_scale_2"].reshape(()))
        if normalization == 256:
            assert tensors[stem + "weight_scale"].float().max() <= 256 * 1.5
    return decoded


def test_without_install_these_recipes_stop(llama, tokens):
    with pytest.raises(RuntimeError, match="requires triton"):
        _quantized(llama, "NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG", tokens)
    with pytest.raises(AssertionError, match="amax must be a CUDA tensor"):
        _quantized(llama, "NVFP4_DEFAULT_CFG", tokens)(tokens)


@pytest.mark.parametrize("recipe", RECIPES)
def test_llama(on_cpu, recipe, llama, tokens, tmp_path):
    model = _quantized(llama, recipe, tokens)
    with torch.no_grad():
        exact, logits = llama(tokens).logits.float(), model(tokens).logits.float()
    assert logits.isfinite().all() and torch.cosine_similarity(logits.flatten(), exact.flatten(), 0) > 0.95
    layers = _linears(model)
    assert len(layers) == 14
    expected = {}
    for name, layer in layers.items():
        quantizer = layer.weight_quantizer
        if recipe in STATIC:
            assert isinstance(quantizer, StaticBlockScaleQuantizer) and isinstance(quantizer._calibrator, ours.MseCalibrator)
            assert quantizer.amax.dtype == torch.float32 and quantizer.amax.isfinite().all() and (quantizer.amax > 0).all()
        with torch.no_grad():
            expected[name] = quantizer(layer.weight.float())
    export_hf_checkpoint(model, export_dir=tmp_path)
    decoded = _check_exported(tmp_path, layers, 256 if "SIX" in recipe else 448)
    for name, weight in decoded.items():
        # What the forward pass multiplied with is what an engine decodes. (Only the export gives dynamic weights of fused layers one global scale.)
        if recipe in STATIC or name.endswith(("o_proj", "down_proj")):
            assert torch.equal(weight, expected[name]), name


def test_sweep_recipe_gives_the_scales_of_modelopts_own_sweep(on_cpu, llama, tokens, monkeypatch):
    amaxes = []
    for triton in ("1", "0"):
        monkeypatch.setenv("MODELOPT_NVFP4_TRITON_SWEEP", triton)
        model = _quantized(llama, "NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG", tokens)
        amaxes.append(torch.cat([layer.weight_quantizer.amax.flatten() for layer in _linears(model).values()]))
    assert (amaxes[0] == amaxes[1]).float().mean() > 0.999


def test_last_dimension_that_needs_padding(on_cpu):
    torch.manual_seed(0)
    linear = torch.nn.Linear(60, 32, bias=False).to(torch.bfloat16)
    x = torch.randn(4, 60, dtype=torch.bfloat16)
    for recipe in RECIPES:
        model = _quantized(linear, recipe, x)
        with torch.no_grad():
            out = model(x)
        assert out.isfinite().all() and torch.cosine_similarity(out.float().flatten(), linear(x).float().flatten(), 0) > 0.97
    assert model.weight_quantizer.amax.numel() == 32 * 4


@pytest.mark.parametrize("weights", ["max", "mse", "local_hessian"])
def test_activation_headroom(on_cpu, llama, tokens, tmp_path, weights):
    config = copy.deepcopy(mtq.NVFP4_DEFAULT_CFG if weights == "max" else mtq.NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG)
    scales = {"method": weights} if weights == "max" else {"method": weights, "fp8_scale_sweep": True}
    config["algorithm"] = {"method": "nvfp4_act_headroom", "anchor_percentile": 1, "weight_scale_algorithm": scales}
    model, plain = _quantized(llama, config, tokens), _quantized(llama, "NVFP4_DEFAULT_CFG", tokens)
    for name, layer in _linears(model).items():
        assert layer.input_quantizer.amax > plain.get_submodule(name).input_quantizer.amax
        assert type(layer.input_quantizer._calibrator) is ours.MaxCalibrator
    with torch.no_grad():
        assert model(tokens).logits.isfinite().all()
    export_hf_checkpoint(model, export_dir=tmp_path)
    _check_exported(tmp_path, _linears(plain), 448)


def test_training_step(on_cpu, llama, tokens):
    model = _quantized(llama, "NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG", tokens)
    model.train()
    model(tokens, labels=tokens).loss.backward()
    for layer in _linears(model).values():
        assert layer.weight.grad.isfinite().all() and (layer.weight.grad != 0).any()


# These stop in ModelOpt itself: a bias that is not calibrated (without a recipe), a package of CUDA code, experts that a Llama does not have.
STOPPING = {"NVFP4_AFFINE_KV_CFG", "NVFP4_KV_ROTATE_CFG", "NVFP4_EXPERTS_ONLY_CFG"}


@pytest.mark.parametrize("recipe", sorted(name for name in dir(mtq) if "NVFP4" in name and name.endswith("_CFG") and name not in STOPPING))
def test_every_recipe_of_the_release(on_cpu, recipe, llama, tokens):
    model = _quantized(llama, recipe, tokens)
    with torch.no_grad():
        logits = model(tokens).logits.float()
        assert torch.cosine_similarity(logits.flatten(), llama(tokens).logits.float().flatten(), 0) > 0.95


@pytest.mark.parametrize("cache", ["NVFP4_KV_CFG", "NVFP4_AFFINE_KV_CFG", "FP8_KV_CFG"])
@pytest.mark.parametrize("recipe", ["NVFP4_DEFAULT_CFG", "NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG"])
def test_key_value_cache(on_cpu, recipe, cache, llama, tokens, tmp_path):
    """Entries for the cache, added to a recipe as ModelOpt has it."""
    model = _quantized(llama, update_quant_cfg_with_kv_cache_quant(getattr(mtq, recipe), getattr(mtq, cache)["quant_cfg"]), tokens)
    with torch.no_grad():
        assert torch.cosine_similarity(model(tokens).logits.float().flatten(), llama(tokens).logits.float().flatten(), 0) > 0.95
    layers = _linears(model)
    export_hf_checkpoint(model, export_dir=tmp_path)
    _check_exported(tmp_path, layers, 448)
    scales = {name: tensor for name, tensor in load_file(tmp_path / "model.safetensors").items() if name.endswith((".k_scale", ".v_scale"))}
    assert len(scales) == 4 and all((scale > 0).all() for scale in scales.values())
    algorithm = json.loads((tmp_path / "hf_quant_config.json").read_text())["quantization"]["kv_cache_quant_algo"]
    assert algorithm == {"NVFP4_KV_CFG": "NVFP4", "NVFP4_AFFINE_KV_CFG": "NVFP4_AFFINE", "FP8_KV_CFG": "FP8"}[cache]


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("cache", ["NVFP4_KV_CFG", "FP8_KV_CFG"])
def test_a_key_value_cache_without_a_recipe_is_not_exported(cache, installed, llama, tokens, tmp_path, request):
    """All other quantizers stay at 8 bits, uncalibrated, and ModelOpt's export stops at the embedding's, with nvfp4cal and without."""
    if installed:
        request.getfixturevalue("on_cpu")
    model = _quantized(llama, cache, tokens)
    assert model.get_input_embeddings().weight_quantizer.is_enabled and model.get_input_embeddings().weight_quantizer.num_bits == 8
    with pytest.raises(TypeError, match="'NoneType' object is not subscriptable"):
        export_hf_checkpoint(model, export_dir=tmp_path)


@pytest.mark.parametrize("recipe", [*RECIPES, "NVFP4_EXPERTS_ONLY_CFG"])
def test_mixture_of_experts(on_cpu, recipe, tokens, tmp_path):
    import transformers

    torch.manual_seed(0)
    config = transformers.Qwen3MoeConfig(
        hidden_size=64, intermediate_size=128, moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, head_dim=32, vocab_size=512, architectures=["Qwen3MoeForCausalLM"],
    )  # fmt: skip
    moe = transformers.Qwen3MoeForCausalLM(config).eval().to(torch.bfloat16)
    model = _quantized(moe, recipe, tokens)
    with torch.no_grad():
        assert torch.cosine_similarity(model(tokens).logits.float().flatten(), moe(tokens).logits.float().flatten(), 0) > 0.9
    export_hf_checkpoint(model, export_dir=tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    scales = {name: tensor.float() for name, tensor in tensors.items() if name.endswith(("weight_scale", "weight_scale_2"))}
    assert sum(".experts." in name for name in scales) >= 2 * 4
    assert all(scale.isfinite().all() and (scale > 0).all() for scale in scales.values())


def test_learned_scales(on_cpu, llama, tokens):
    config = copy.deepcopy(mtq.NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG)
    config["algorithm"] = {"method": "lsq", "scale_algorithm": {"method": "mse", "fp8_scale_sweep": True}}
    model = _quantized(llama, config, tokens)
    model(tokens, labels=tokens).loss.backward()
    for layer in _linears(model).values():
        assert layer.weight_quantizer.amax_post.grad.isfinite().all() and (layer.weight_quantizer.amax_post.grad != 0).any()


@pytest.mark.parametrize("recipe", RECIPES)
def test_saved_and_restored(on_cpu, recipe, llama, tokens, tmp_path):
    model = _quantized(llama, recipe, tokens)
    mto.save(model, tmp_path / "model.pt")
    restored = mto.restore(copy.deepcopy(llama), tmp_path / "model.pt")
    with torch.no_grad():
        assert torch.equal(restored(tokens).logits, model(tokens).logits)
    copied = copy.deepcopy(model)
    on_cpu.uninstall()
    assert all(isinstance(q._calibrator, ours.MseCalibrator) for q in copied.modules() if isinstance(q, StaticBlockScaleQuantizer))


def test_calibrators_of_an_int8_recipe(on_cpu):
    torch.manual_seed(0)
    linear, x = torch.nn.Linear(64, 32), torch.randn(16, 64)
    config = copy.deepcopy(mtq.INT8_DEFAULT_CFG)
    config["algorithm"] = {"method": "mse"}
    model = _quantized(linear, config, x)
    on_cpu.uninstall()
    reference = _quantized(linear, config, x)
    assert type(model.weight_quantizer._calibrator) is ours.MseCalibrator
    for found, expected in zip(model.modules(), reference.modules()):
        if isinstance(found, TensorQuantizer) and expected.amax is not None:
            assert torch.equal(found.amax, expected.amax)


@pytest.mark.parametrize("recipe", RECIPES)
def test_minilm(on_cpu, recipe, minilm_folder, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(minilm_folder).eval()
    texts = ["A quick brown fox jumps over a lazy dog.", "Block scales are stored in eight bits.", "The harbour was quiet that morning."]
    inputs = AutoTokenizer.from_pretrained(minilm_folder)(texts, return_tensors="pt", padding=True)
    quantized = _quantized(model, recipe, **inputs)
    with torch.no_grad():
        exact, found = (m(**inputs).last_hidden_state.mean(1) for m in (model, quantized))
    assert torch.cosine_similarity(exact, found).min() > 0.85
    layers = _linears(quantized)
    assert len(layers) == 37
    weights = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    export_hf_checkpoint(quantized, export_dir=tmp_path)
    decoded = _check_exported(tmp_path, layers, 256 if "SIX" in recipe else 448)
    errors = [math.sqrt(((decoded[n] - w) ** 2).sum() / (w**2).sum()) for n, w in weights.items()]
    assert max(errors) < 0.2
