"""nvfp4cal.calibrate: what it refuses and skips, and that it leaves models as they were."""
import copy
import types

import pytest
import torch
import transformers

import models
import nvfp4cal as n


def unchanged(model, before):
    return all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_no_batches():
    with pytest.raises(n.NoDataError, match="^batches is empty$"):
        n.calibrate(models.bert(), [])


@pytest.mark.parametrize("method", ["gptq", "hessian"])
def test_activations_that_are_not_finite(method):
    model, batches = models.llama(), models.batches(3)
    batches[1]["input_ids"][2, 5] = 98
    batches[0]["input_ids"].clamp_(max=97)
    model.model.embed_tokens.weight.data[98, 7] = float("nan")
    before = copy.deepcopy(model.state_dict())
    before.pop("model.embed_tokens.weight")
    with pytest.raises(n.NotFiniteError, match=r"^batch 1: input of model\.layers\.0\.self_attn\.q_proj: .*NaN"):
        n.calibrate(model, batches, method)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items() if name != "lm_head.weight")


def test_columns_that_no_block_divides():
    model = models.bert(inner=72)
    before = copy.deepcopy(model.state_dict())
    result = n.calibrate(model, models.batches(2))
    names = [f"encoder.layer.{block}.output.dense" for block in (0, 1)]
    assert result.skipped == dict.fromkeys(names, "in_features 72 is not a multiple of 16")
    assert len(result.layers) == 10 and all(torch.equal(model.get_submodule(name).weight, before[f"{name}.weight"]) for name in names)


def test_weights_that_are_not_finite():
    model = models.llama()
    model.model.layers[1].mlp.up_proj.weight.data[3, 5] = float("inf")
    names = "model.layers.1.mlp.gate_proj, model.layers.1.mlp.up_proj"
    with pytest.raises(n.NotFiniteError, match=rf"^{names}: .*inf"):
        n.calibrate(model, models.batches(1))


def test_computed_weights():
    """A weight that a parametrization makes cannot be replaced."""
    model = models.bert()
    torch.nn.utils.parametrizations.weight_norm(model.encoder.layer[0].output.dense)
    result = n.calibrate(model, models.batches(1), "mse")
    assert result.skipped == {"encoder.layer.0.output.dense": "its weight is computed from other parameters"} and len(result.layers) == 11


def test_ignored_layers():
    result = n.calibrate(models.bert(), models.batches(2), ignore=["*.1.*", "*.key"])
    assert result.skipped["encoder.layer.0.attention.self.key"] == "ignored" and len(result.skipped) == 7 and len(result.layers) == 5
    assert result.layers["encoder.layer.0.attention.self.query"].group == [f"encoder.layer.0.attention.self.{name}" for name in ("query", "value")]


@pytest.mark.parametrize("fails", ["progress", "output"])
def test_failures_leave_the_model(tmp_path, fails):
    model = models.bert().train()
    before = copy.deepcopy(model.state_dict())
    seen = []

    def progress(done, total, name):
        seen.append((done, total, name))
        if fails == "progress" and done == 5:
            raise KeyError(name)

    (tmp_path / "file").write_text("x")
    with pytest.raises(KeyError if fails == "progress" else n.InvalidArgumentError):
        n.calibrate(model, models.batches(2), progress=progress, output=tmp_path if fails == "output" else None)
    assert unchanged(model, before) and all(module.training for module in model.modules())
    # a folder that cannot be the output is refused before any work
    assert [(done, total) for done, total, _ in seen] == ([(done, 12) for done in range(1, 6)] if fails == "progress" else [])
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_cache_is_off_meanwhile():
    model = models.llama()
    model.config.use_cache = True
    n.calibrate(model, models.batches(1))
    assert model.config.use_cache is True


def test_gradients_are_not_recorded():
    model = models.bert()
    n.calibrate(model, models.batches(1))
    assert all(one.requires_grad and one.grad is None and one.is_leaf for one in model.parameters())


class Chain(torch.nn.Module):
    """A list of layers and the order in which they run."""

    def __init__(self, order, between=lambda x: x):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(32, 32)) for _ in range(2)])
        self.order, self.between = order, between

    def forward(self, x):
        for number in self.order:
            x = self.between(self.layers[number](x))
        return x


@pytest.mark.parametrize(
    "model, message",
    [
        (Chain([1, 0]), "block 1 runs as number 0"),
        (Chain([0, 0, 1]), "block 0 runs as number 1"),
        (Chain([0]), "a forward pass ran 1 of 2 blocks"),
        (Chain([0, 1], lambda x: x + 1), "block 1 does not take the output of block 0"),
    ],
)
def test_models_that_are_no_chain_of_blocks(model, message):
    with pytest.raises(n.UnsupportedError, match=message):
        n.calibrate(model, [torch.randn(2, 32)])


def test_layers_that_run_twice():
    model = Chain([0, 1])
    model.layers[0].append(model.layers[0][0])
    result = n.calibrate(model, [torch.randn(2, 5, 32)])
    assert result.skipped == {"layers.0.0": "it runs 2 times in its block"} and list(result.layers) == ["layers.1.0"]


def test_which_blocks():
    towers = torch.nn.ModuleDict({"a": Chain([0, 1]), "b": Chain([0, 1])})
    towers.forward = types.MethodType(lambda self, x: self["b"](self["a"](x)), towers)
    with pytest.raises(n.InvalidArgumentError, match=r"^model has 2 lists of blocks with linear layers \(a.layers, b.layers\)"):
        n.calibrate(towers, [torch.randn(2, 32)])
    assert list(n.calibrate(towers, [torch.randn(2, 32)], blocks="b.layers").layers) == ["b.layers.0.0", "b.layers.1.0"]
    for blocks in ("c.layers", "a"):
        with pytest.raises(n.InvalidArgumentError, match=f"^blocks '{blocks}'"):
            n.calibrate(towers, [torch.randn(2, 32)], blocks=blocks)
    gpt2 = transformers.GPT2Model(transformers.GPT2Config(vocab_size=9, n_positions=8, n_embd=16, n_layer=1, n_head=1))
    with pytest.raises(n.InvalidArgumentError, match=r"^model has 0 lists of blocks with linear layers \(none\)"):
        n.calibrate(gpt2, models.batches(1))


@pytest.mark.parametrize("name", ["method", "effort", "format", "activations"])
def test_choices(name):
    with pytest.raises(ValueError, match=f"^{name} 'best' is not one of"):
        n.calibrate(models.bert(), models.batches(1), **{name: "best"})


def test_tensors_elsewhere():
    with pytest.raises(n.UnsupportedError, match="^parameter .* is on device meta"):
        n.calibrate(models.bert().to("meta"), models.batches(1))
