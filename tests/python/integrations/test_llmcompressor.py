"""The observers against those of the released llm-compressor."""
import copy
import importlib.metadata

import pytest
import torch
from compressed_tensors.quantization import QuantizationArgs, fake_quantize
from llmcompressor.observers import FusionHandler, Observer, mse

import nvfp4cal.integrations.llmcompressor as integration
from nvfp4cal.integrations import _llmcompressor_observers as ours

ARGS = {
    "int8 tensor": {"num_bits": 8, "strategy": "tensor"},
    "int8 tensor asymmetric": {"num_bits": 8, "strategy": "tensor", "symmetric": False},
    "int8 channel": {"num_bits": 8, "strategy": "channel"},
    "int4 group asymmetric": {"num_bits": 4, "strategy": "group", "group_size": 32, "symmetric": False},
    "int8 block": {"num_bits": 8, "strategy": "block", "block_structure": [16, 32]},
    "fp8 channel": {"num_bits": 8, "type": "float", "strategy": "channel"},
    "nvfp4": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
    "nvfp4 scale dtype": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "scale_dtype": torch.float8_e4m3fn},
}


def _qdq_error(x, qparams, args):
    """The sum that the search minimizes, decoded in float32."""
    decoded = fake_quantize(x.float(), qparams["scale"].float(), qparams["zero_point"], args, global_scale=qparams["global_scale"])
    return ((decoded.double() - x.double()).abs() ** 2.4).sum()


OBSERVED = [(name, "weight") for name in ARGS] + [(name, "input") for name, fields in ARGS.items() if fields["strategy"].startswith("tensor")]


@pytest.mark.parametrize("cls", ["MemorylessMSEObserver", "MovingAverageMSEObserver"])
@pytest.mark.parametrize("name,base_name", OBSERVED)
def test_same_ranges_as_the_parent(name, base_name, cls):
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(64, 96, generator=generator) * torch.exp(torch.randn(64, 1, generator=generator)) for _ in range(3)]
    if base_name == "input":
        batches = [batch.reshape(4, 16, 96) for batch in batches]
    found, reference = (getattr(module, cls)(base_name=base_name, args=QuantizationArgs(**ARGS[name])) for module in (ours, mse))
    for batch in batches:
        assert found(batch) is found
        reference(batch)
    assert found.min_vals.shape == reference.min_vals.shape and found.min_vals.dtype == torch.float32
    same = (found.min_vals == reference.min_vals) & (found.max_vals == reference.max_vals)
    assert same.float().mean() > 0.99  # near-ties of float32 error sums
    torch.testing.assert_close(found.max_vals, reference.max_vals, rtol=0.03, atol=0)
    if base_name == "weight":
        error, expected = (_qdq_error(batches[0], one.get_qparams(), one.args) for one in (found, reference))
        assert error <= expected * (1 + 1e-6)
        assert not found.has_statistics


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_searched_in_float32(dtype):
    args = QuantizationArgs(**ARGS["nvfp4"])
    x = torch.randn(128, 256, generator=torch.Generator().manual_seed(1)).to(dtype)
    found, reference = (module.MemorylessMSEObserver(base_name="weight", args=args)(x) for module in (ours, mse))
    assert found.min_vals.dtype == dtype and found.min_vals.shape == reference.min_vals.shape
    assert _qdq_error(x, found.get_qparams(), args) <= _qdq_error(x, reference.get_qparams(), args)


def test_the_published_losses(observers):
    losses = {
        ("tensor", True): 4.8103e-06, ("tensor", False): 1.1258e-06, ("channel", True): 2.5675e-06, ("channel", False): 2.3696e-07,
        ("group", True): 3.1282e-06, ("group", False): 1.3794e-07, ("block", True): 2.8968e-06, ("block", False): 5.6068e-07,
    }  # fmt: skip
    x = torch.arange(24).reshape(6, 4) / 24
    for (strategy, symmetric), expected in losses.items():
        args = QuantizationArgs(
            num_bits=8, strategy=strategy, symmetric=symmetric, group_size=2 if strategy == "group" else None,
            block_structure=[3, 2] if strategy == "block" else None, observer="mse",
        )  # fmt: skip
        observer = Observer.load_from_registry(args.observer, base_name="weight", args=args)
        assert type(observer) is ours.MovingAverageMSEObserver and isinstance(observer, mse.MovingAverageMSEObserver)
        qparams = observer(x).get_qparams()
        decoded = fake_quantize(x, qparams["scale"], qparams["zero_point"], args)
        assert ((x - decoded) ** 2).mean() == pytest.approx(expected, abs=1e-10)


def test_ranges_of_small_groups_and_of_large_numbers(observers):
    args = QuantizationArgs(num_bits=4, type="float", symmetric=True, strategy="tensor_group", group_size=3)
    weight = (torch.arange(24).reshape(4, 6) / 24).to(torch.bfloat16)
    qparams = Observer.load_from_registry("mse", base_name="weight", args=args)(weight).get_qparams()
    decoded = fake_quantize(weight, qparams["scale"], qparams["zero_point"], args, global_scale=qparams["global_scale"])
    assert torch.nn.functional.mse_loss(decoded, weight) <= 0.0015
    args = QuantizationArgs(num_bits=8, symmetric=True, observer="mse")
    qparams = Observer.load_from_registry("mse", base_name="weight", args=args)(torch.rand(4, 4) * 127).get_qparams()
    assert qparams["scale"].item() <= 1.0039 and qparams["zero_point"].item() == 0


def test_expanded_search(observers):
    args = QuantizationArgs(**ARGS["nvfp4"])
    x = torch.randn(32, 64, generator=torch.Generator().manual_seed(2))
    found = Observer.load_from_registry("nvfp4_expanded_mse", base_name="weight", args=args)
    assert type(found) is ours.NVFP4ExpandedMSEObserver and isinstance(found, mse.NVFP4ExpandedMSEObserver)
    assert (found.expand, found.grid, found.patience) == (1.8, 200.0, 1000)
    reference = mse.NVFP4ExpandedMSEObserver(base_name="weight", args=QuantizationArgs(**ARGS["nvfp4"]))
    found(x), reference(x)
    assert (found.max_vals == reference.max_vals).float().mean() > 0.99
    assert (found.max_vals > x.view(32, 4, 16).amax(-1)).any()


def test_options_and_their_errors(observers):
    args = QuantizationArgs(num_bits=8, symmetric=True)
    for name in ("mse", "memoryless_mse"):
        with pytest.raises(ValueError, match="expand value must be at least 1.0"):
            Observer.load_from_registry(name, base_name="weight", args=args, expand=0.5)
    narrow = Observer.load_from_registry("memoryless_mse", base_name="weight", args=QuantizationArgs(num_bits=4), maxshrink=0.0)
    x = torch.randn(8, 8)
    narrow(x)
    assert narrow.max_vals == x.max() and narrow.min_vals == x.min()


@pytest.mark.parametrize("option", [{"norm": -1.0}, {"patience": 0}, {"maxshrink": 1.5}, {"grid": 0.5}, {"grid": 1e9}])
def test_options_that_the_library_refuses(option):
    x = torch.randn(8, 32, generator=torch.Generator().manual_seed(1))
    args = QuantizationArgs(**ARGS["int8 channel"])
    found, reference = (module.MemorylessMSEObserver(base_name="weight", args=args, **option)(x) for module in (ours, mse))
    assert torch.equal(found.min_vals, reference.min_vals) and torch.equal(found.max_vals, reference.max_vals)


def test_fused_layers_share_a_global_scale(observers):
    args = [QuantizationArgs(**ARGS["nvfp4"]) for _ in range(3)]
    layers = [torch.nn.Linear(64, 32, bias=False) for _ in args]
    fused = [Observer.load_from_registry("memoryless_mse", base_name="weight", args=one) for one in args]
    FusionHandler.fuse(list(zip(fused, layers)))
    fused[0](layers[0].weight)
    assert all(one.has_statistics for one in fused)
    qparams = [one.get_qparams() for one in fused]
    assert torch.equal(qparams[0]["global_scale"], qparams[2]["global_scale"]) and not fused[1].has_statistics


@pytest.mark.parametrize("change", ["int6", "scale dtype", "nan", "float32 in compile"])
def test_what_the_library_does_not_search_is_the_parents(monkeypatch, change):
    fields = {"int6": {"num_bits": 6, "strategy": "channel"}, "scale dtype": {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 16, "scale_dtype": torch.bfloat16}}
    args = QuantizationArgs(**fields.get(change, {"num_bits": 8, "strategy": "channel"}))
    x = torch.randn(8, 32)
    if change == "nan":
        x[3, 4] = torch.nan
    if change == "float32 in compile":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    calls = []
    original = mse._grid_search_mse
    monkeypatch.setattr(mse, "_grid_search_mse", lambda *a: calls.append(1) or original(*a))
    for cls in (ours.MemorylessMSEObserver, ours.MovingAverageMSEObserver):
        cls(base_name="weight", args=args)(x)
    assert len(calls) == 2


def test_install_and_uninstall(monkeypatch):
    names = Observer.registered_names()
    before = {name: Observer.get_value_from_registry(name) for name in names}
    lines = integration.install()
    assert len(lines) == 3 and integration.install() == lines and integration.installed()
    assert {n for n in names if Observer.get_value_from_registry(n) is not before[n]} == {"mse", "memoryless-mse", "nvfp4-expanded-mse"}
    assert Observer.get_value_from_registry("memoryless_mse") is ours.MemorylessMSEObserver
    integration.uninstall()
    integration.uninstall()
    assert Observer.registered_names() == names and all(Observer.get_value_from_registry(n) is before[n] for n in names)

    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.15.0")
    with pytest.raises(RuntimeError, match="llmcompressor 0.15.0 is installed, 0.14 is supported"):
        integration.install()

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ImportError, match="pip install 'llmcompressor==0.14"):
        integration.install()
    assert not integration.installed()


@pytest.mark.parametrize("observer", ["memoryless_mse", "mse"])
def test_oneshot_writes_the_same_model(observer, llama, tmp_path, monkeypatch):
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from safetensors.torch import load_file
    from tokenizers import Tokenizer, models
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0})))

    def quantized(folder):
        model = LlamaForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
        recipe = QuantizationModifier(
            targets=["Linear"], ignore=["lm_head"], config_groups={
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group", "group_size": 16, "observer": observer},
                }
            },
        )  # fmt: skip
        oneshot(model=model, recipe=recipe, processor=tokenizer)
        model.save_pretrained(folder)
        return load_file(folder / "model.safetensors")

    copy.deepcopy(llama).save_pretrained(tmp_path / "model")  # it changes the configuration
    reference = quantized(tmp_path / "reference")
    searches = []
    search = ours._grid_search
    monkeypatch.setattr(ours, "_grid_search", lambda *arguments: searches.append(search(*arguments)) or searches[-1])
    integration.install()
    try:
        found = quantized(tmp_path / "found")
    finally:
        integration.uninstall()
    assert len(searches) == 14 and all(ranges is not None for ranges in searches)
    assert found.keys() == reference.keys() and any(key.endswith("weight_packed") for key in found)
    for key, tensor in found.items():
        assert tensor.dtype == reference[key].dtype and tensor.shape == reference[key].shape
        if key.endswith("weight_scale"):
            values = tensor.float()
            assert values.isfinite().all() and (values > 0).all()
        if key.endswith(("_packed", "_scale")):
            assert (tensor.view(torch.uint8) == reference[key].view(torch.uint8)).float().mean() > 0.99
