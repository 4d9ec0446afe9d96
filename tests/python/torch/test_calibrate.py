"""nvfp4cal.calibrate: what each layer is quantized with, against plain loops over the whole model."""
import copy

import pytest
import torch

import models
import nvfp4cal as n
from nvfp4cal._calibrate_group import Collected

MODELS = [models.bert, models.llama]


def groups_of(model):
    """Layers that share an input, by their names."""
    blocks = [name for name, _ in model.named_modules() if name.endswith((".0", ".1"))]
    if isinstance(model.config, type(models.bert().config)):
        a = "attention.self."
        inside = [[a + "query", a + "key", a + "value"], ["attention.output.dense"], ["intermediate.dense"], ["output.dense"]]
    else:
        a, m = "self_attn.", "mlp."
        inside = [[a + "q_proj", a + "k_proj", a + "v_proj"], [a + "o_proj"], [m + "gate_proj", m + "up_proj"], [m + "down_proj"]]
    return [[f"{block}.{name}" for name in group] for block in blocks for group in inside]


def inputs(model, name, batches):
    """Rows that a layer of the model sees."""
    found = []
    hook = model.get_submodule(name).register_forward_pre_hook(lambda layer, args: found.append(args[0].flatten(0, -2).double()))
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    hook.remove()
    return torch.cat(found)


def weights_of(model, group):
    return torch.cat([model.get_submodule(name).weight.detach() for name in group])


def packed_of(result, group):
    return torch.cat([result.layers[name].tensor.packed for name in group])


def error(model, reference, batches):
    with torch.no_grad():
        pairs = [(model(**batch)[0], reference(**batch)[0]) for batch in batches]
    return float(sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs))


@pytest.mark.parametrize("make", MODELS)
def test_original_inputs(make):
    """Not sequential: each group's Hessian is that of the original model."""
    model, batches = make(), models.batches()
    result = n.calibrate(model, batches, sequential=False, apply=False)
    assert list(result.layers) == [name for group in groups_of(model) for name in group] and result.skipped == {}
    for group in groups_of(model):
        x = inputs(model, group[0], batches)
        expected = n.gptq(weights_of(model, group), x.T @ x)
        assert torch.equal(packed_of(result, group), expected.packed)
        for name in group:
            layer = result.layers[name]
            assert layer.group == group and layer.rows == len(x) and not layer.shifted and layer.input_amax is None
            assert float(layer.tensor.global_amax) == float(expected.global_amax) == float(weights_of(model, group).abs().max())


@pytest.mark.parametrize("make", MODELS)
def test_sequential_inputs(make):
    """Each group's matrices are those of the original model and of one with all groups before it quantized."""
    original, batches = make(), models.batches()
    result = n.calibrate(make(), batches, activations="max")
    behind = make()
    for number, group in enumerate(groups_of(original)):
        x0, x = inputs(original, group[0], batches), inputs(behind, group[0], batches)
        expected = n.gptq(weights_of(original, group), x.T @ x, cross=x0.T @ x if number else None)
        packed = packed_of(result, group)
        # The cross term is added in float32 products: a code in thousands may round the other way.
        assert (packed != expected.packed).float().mean() < 0.01
        for name in group:
            layer = result.layers[name]
            assert layer.shifted == (number > 0)
            assert layer.input_amax == pytest.approx(float(x.abs().max()), rel=1e-5)
            assert layer.tensor.scale_2 == result.layers[group[0]].tensor.scale_2
            behind.get_submodule(name).weight.data = layer.tensor.dequantize()


@pytest.mark.parametrize("make", MODELS)
def test_end_to_end_error(make):
    """What it is for: gptq below the scale search, sequential below that."""
    reference, heldout = make(), models.batches(4, seed=2)
    errors = []
    for method, sequential in (("max", False), ("mse", False), ("hessian", False), ("gptq", False), ("gptq", True)):
        model = make()
        n.calibrate(model, models.batches(16), method, sequential=sequential)
        errors.append(error(model, reference, heldout))
    assert errors[1] < errors[0] and errors[3] < 0.9 * errors[2] and errors[4] < 0.75 * errors[3]


def test_other_methods():
    model, batches = models.bert(), models.batches()
    group = groups_of(model)[0]
    for method in ("max", "mse"):
        result = n.calibrate(model, batches, method, apply=False)
        assert torch.equal(packed_of(result, group), n.quantize(weights_of(model, group), method=method).packed)
    x, w = inputs(model, group[0], batches).float(), weights_of(model, group)
    sums = n.HessianAccumulator()
    sums.collect(x)
    amax = n.nvfp4_fp8_scale_sweep_hessian(w, None, sums.compute_hessian())
    result = n.calibrate(model, batches, "hessian", apply=False)
    assert torch.equal(packed_of(result, group), n.quantize(w, amax).packed)


@pytest.mark.parametrize("sequential", [False, True])
def test_same_bits(sequential):
    """For another number of the library's threads, and where batches come from an iterator."""
    one = n.calibrate(models.llama(), models.batches(), sequential=sequential, context=n.Context(threads=1))
    two = n.calibrate(models.llama(), iter(models.batches()), sequential=sequential, context=n.Context(threads=3))
    for name, layer in one.layers.items():
        other = two.layers[name].tensor
        assert torch.equal(layer.tensor.packed, other.packed) and torch.equal(layer.tensor.scale.view(torch.uint8), other.scale.view(torch.uint8))
        assert layer.tensor.scale_2 == other.scale_2


def test_padding_does_not_count():
    short = models.batches(24, rows=1, tokens=13)
    ids = [torch.nn.functional.pad(batch["input_ids"], (0, 7), value=3) for batch in short]
    padded = [{"input_ids": one, "attention_mask": torch.tensor([[1] * 13 + [0] * 7])} for one in ids]
    results = [n.calibrate(models.bert(), batches, sequential=False, activations="max") for batches in (short, padded, ids)]
    for name, layer in results[0].layers.items():
        other, unmasked = (result.layers[name] for result in results[1:])
        assert (layer.rows, other.rows, unmasked.rows) == (24 * 13, 24 * 13, 24 * 20)
        assert layer.input_amax == pytest.approx(other.input_amax, rel=1e-4)
        # The attention's last bits differ behind padding, and so does a code now and then.
        different = [(layer.tensor.packed != one.tensor.packed).float().mean() for one in (other, unmasked)]
        assert different[0] < 0.05 < 0.2 < different[1]


@pytest.mark.parametrize("kind, calibrator", [("actmax", n.NVFP4ActMaxCalibrator), ("headroom", n.NVFP4ActHeadroomCalibrator)])
def test_activation_scales(kind, calibrator):
    model, batches = models.bert(), models.batches()
    result = n.calibrate(model, batches, "max", activations=kind, apply=False)
    for group in groups_of(model):
        expected = calibrator()
        expected.collect(inputs(model, group[0], batches).float())
        assert {result.layers[name].input_amax for name in group} == {float(expected.compute_amax())}


def percentile_of(amaxes, percentile, floor=0.0):
    """The middle of the histogram's bin (512 over log2 from -40 to 40) in which a share of the block amaxes is reached."""
    bins = ((amaxes[amaxes > 0].log2() + 40) / 80 * 512).floor().clamp(0, 511).sort().values
    bins = bins[bins >= (torch.floor((torch.tensor(floor, dtype=torch.float64).log2() + 40) / 80 * 512) if floor else 0)]
    rank = max(1, int(torch.ceil(torch.tensor(percentile / 100, dtype=torch.float64) * len(bins))))
    return float(2.0 ** (-40 + (bins[rank - 1] + 0.5) / 512 * 80))


def input_amax_by_hand(kind, x):
    """The amax behind an input's global scale, from all block amaxes in float64."""
    amaxes = x.reshape(len(x), -1, 16).abs().amax(-1).flatten()
    if kind == "max":
        return float(amaxes.max())
    upper = percentile_of(amaxes, 99.99)
    return max(16384.0 * percentile_of(amaxes, 1.0, upper / 1e6 if kind == "headroom" else 0.0), upper)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("kind", ["max", "actmax", "headroom"])
@pytest.mark.parametrize("spread", [1.0, 1e-7])
def test_activation_scales_by_hand(make, kind, spread):
    """Also where the first block of every token is small: the upper percentile decides, and headroom leaves those blocks out."""
    model, batches = make(), models.batches()
    for name, parameter in model.named_parameters():
        if "norm" in name.lower():
            parameter.data[:16] *= spread
    result = n.calibrate(model, batches, "max", activations=kind, apply=False)
    for group in groups_of(model):
        expected = input_amax_by_hand(kind, inputs(model, group[0], batches))
        assert [result.layers[name].input_amax for name in group] == [pytest.approx(expected, rel=2e-6, abs=0)] * len(group)


def test_weights_of_the_model():
    model = models.bert().to(torch.bfloat16)
    before = copy.deepcopy(model.state_dict())
    result = n.calibrate(model, models.batches(), apply=False)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    result.apply(model)
    for name, value in model.state_dict().items():
        layer = result.layers.get(name.removesuffix(".weight"))
        assert torch.equal(value, before[name] if layer is None else layer.tensor.dequantize(torch.bfloat16))


def test_one_tensor_or_a_tuple_a_batch():
    batches = models.batches(2)
    expected = n.calibrate(models.bert(), batches)
    for other in ([batch["input_ids"] for batch in batches], [(batch["input_ids"], torch.ones(4, 24)) for batch in batches]):
        found = n.calibrate(models.bert(), other)
        assert all(torch.equal(layer.tensor.packed, found.layers[name].tensor.packed) for name, layer in expected.layers.items())


def test_experts():
    generator = torch.Generator().manual_seed(0)
    calm, wild = torch.zeros(2, 40, 32), torch.randn(2, 40, 32, generator=generator) * 2
    result = n.calibrate(models.Experts(), [calm + 0.1 * wild, wild], activations="max")
    reasons = {"gate": "ignored", "experts.2": "no activations reach it"}
    assert result.skipped == {f"layers.{block}.{name}": reason for block in (0, 1) for name, reason in reasons.items()}
    assert set(result.layers) == {f"layers.{b}.experts.{e}" for b in (0, 1) for e in (0, 1)}
    first = [result.layers[f"layers.0.experts.{e}"] for e in (0, 1)]
    assert first[0].rows + first[1].rows == 160 and first[1].rows == int((wild[..., 0] > 1).sum())
    assert not any(layer.shifted for layer in result.layers.values())  # tokens may take other ways in the two streams


def test_a_batch_without_its_original_moves_no_weights():
    weights, inputs = torch.randn(8, 32), [torch.randn(80, 32) for _ in range(2)]
    mixed, plain, whole = (Collected(["layer"], "gptq", None, None) for _ in range(3))
    for number, x in enumerate(inputs):
        mixed.add(number, x, 0.9 * x if number == 0 else None)
        plain.add(number, x)
        whole.add(number, x, 0.9 * x)
    found, expected = (one.quantize(weights, "gptq", "default", 0.02) for one in (mixed, plain))
    assert (mixed.shifted, plain.shifted, whole.shifted) == (False, False, True)
    assert torch.equal(found.packed, expected.packed) and found.global_amax == expected.global_amax
    assert whole.quantize(weights, "gptq", "default", 0.02).global_amax < 0.95 * expected.global_amax
