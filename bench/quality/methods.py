"""The library's own methods: each gives decoded weights for all layers."""
from __future__ import annotations

from typing import Callable, List, Tuple

import torch
from data import Data
from minilm import MiniLM, Weights, load

import nvfp4cal

Method = Tuple[str, Callable[[MiniLM, Data], Weights]]


def _each(quantize: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[[MiniLM, Data], Weights]:
    """A method that takes one weight and the Hessian of its inputs."""

    def run(model: MiniLM, data: Data) -> Weights:
        return {name: quantize(model.weights[name], data.hessians[group[0]]) for group in model.groups for name in group}

    return run


def _four_over_six(w: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    """The better of the scales amax / 6 and amax / 4 for each block, under the global scale amax / (6 * 256) [ModelOpt]."""
    amax = w.reshape(-1, 16).abs().amax(-1)
    found = [nvfp4cal.fake_quantize(w, amax * factor, w.abs().max(), normalization=256) for factor in (1.0, 1.5)]
    errors = [(one - w).reshape(-1, 16).square().sum(-1, keepdim=True) for one in found]
    six, four = (one.reshape(-1, 16) for one in found)
    return torch.where(errors[1] < errors[0], four, six).reshape(w.shape)


def _local_hessian(w: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    blocks = torch.stack([hessian[i : i + 16, i : i + 16] for i in range(0, len(hessian), 16)]).contiguous()
    amax = nvfp4cal.nvfp4_fp8_scale_sweep_hessian(w, None, blocks)
    return nvfp4cal.fake_quantize(w, amax, w.abs().max())


def _gptq(effort: str) -> Callable[[MiniLM, Data], Weights]:
    def run(model: MiniLM, data: Data) -> Weights:
        found: Weights = {}
        for group in model.groups:
            together = torch.cat([model.weights[name] for name in group])
            decoded = nvfp4cal.gptq(together, data.hessians[group[0]], effort=effort).dequantize()
            found.update(zip(group, decoded.split([len(model.weights[name]) for name in group])))
        return found

    return run


def _sequential(effort: str) -> Callable[[MiniLM, Data], Weights]:
    def run(model: MiniLM, data: Data) -> Weights:
        fresh = load(model.folder)
        nvfp4cal.calibrate(fresh, data.calibration, effort=effort, sequential=True)
        return {name: fresh.get_submodule(name).weight.detach() for name in model.layers}

    return run


def every() -> List[Method]:
    return [
        ("max", _each(lambda w, h: nvfp4cal.fake_quantize(w))),
        ("four over six", _each(_four_over_six)),
        ("MSE sweep 126", _each(lambda w, h: nvfp4cal.fake_quantize(w, method="mse"))),
        ("local Hessian", _each(_local_hessian)),
        ("gptq fast", _gptq("fast")),
        ("gptq default", _gptq("default")),
        ("gptq max", _gptq("max")),
        ("gptq default, sequential", _sequential("default")),
    ]
