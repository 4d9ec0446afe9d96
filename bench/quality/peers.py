"""The peers' own released code on the same texts, where it is installed: llm-compressor's GPTQ and ModelOpt's GPTQ.

ModelOpt's static fake quantization needs Triton; ``nvfp4cal.integrations.modelopt`` lends it the same arithmetic for the CPU. All else is theirs.
"""
from __future__ import annotations

import copy
import importlib.metadata
from typing import Any, Callable, List

import torch
from data import Data
from methods import Method
from minilm import MiniLM, Weights, load


def versions() -> str:
    shown = []
    for package in ("llmcompressor", "compressed-tensors", "nvidia-modelopt", "transformers"):
        try:
            shown.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            shown.append(f"no {package}")
    return ", ".join(shown)


def _llmcompressor(observer: str, actorder: str | None, pipeline: str) -> Callable[[MiniLM, Data], Weights]:
    """Its own observer under its GPTQ; pipeline "basic" takes the float model's activations, "sequential" the quantized one's."""

    def run(model: MiniLM, data: Data) -> Weights:
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        from llmcompressor import oneshot
        from llmcompressor.modifiers.gptq import GPTQModifier

        weights = QuantizationArgs(
            num_bits=4, type="float", strategy="tensor_group", symmetric=True, dynamic=False, group_size=16, observer=observer,
            scale_dtype=torch.float8_e4m3fn, zp_dtype=torch.float8_e4m3fn,
        )  # fmt: skip
        fresh = load(model.folder)
        modifier = GPTQModifier(
            config_groups={"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}, actorder=actorder, ignore=["re:.*pooler.*"]
        )
        oneshot(model=fresh, dataset=_loader(data), recipe=modifier, pipeline=pipeline)
        return {name: fresh.get_submodule(name).weight.detach().float() for name in model.layers}

    return run


def _loader(data: Data) -> Any:
    return torch.utils.data.DataLoader(data.calibration, batch_size=None, shuffle=False)


def _modelopt(model: MiniLM, data: Data) -> Weights:
    import modelopt.torch.quantization as mtq
    import nvfp4cal.integrations.modelopt as on_cpu

    on_cpu.install()
    try:
        config = copy.deepcopy(mtq.NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG)
        config["algorithm"] = {"method": "gptq"}
        fresh = load(model.folder)
        fresh = mtq.quantize(fresh, config, lambda one: [one(**batch) for batch in data.calibration])
        return {name: fresh.get_submodule(name).weight.detach().float() for name in model.layers}
    finally:
        on_cpu.uninstall()


def every() -> List[Method]:
    found: List[Method] = []
    try:
        import llmcompressor  # noqa: F401

        found += [
            ("llm-compressor GPTQ memoryless_mse", _llmcompressor("memoryless_mse", None, "basic")),
            ("llm-compressor GPTQ expanded_imatrix act-order", _llmcompressor("nvfp4_expanded_imatrix", "static", "basic")),
            ("llm-compressor sequential GPTQ expanded_imatrix act-order", _llmcompressor("nvfp4_expanded_imatrix", "static", "sequential")),
        ]
    except ImportError:
        pass
    try:
        import modelopt.torch.quantization  # noqa: F401

        found.append(("ModelOpt GPTQ, FP4 inputs", _modelopt))
    except ImportError:
        pass
    return found
