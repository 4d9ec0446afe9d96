#!/usr/bin/env python3
"""ModelOpt's NVFP4 recipes and llm-compressor's observers on a CPU, each timed with nvfp4cal and with the framework's own search.

usage: modelopt_on_cpu.py <folder of a transformers model> [number of layers to keep]
Needs nvidia-modelopt 0.47, llmcompressor 0.14 and transformers (scripts/venv_torch.sh makes such an environment).
"""
import contextlib
import copy
import io
import os
import sys
import tempfile
import time
import warnings

import modelopt.torch.quantization as mtq
import torch
from compressed_tensors.quantization import QuantizationArgs
from llmcompressor.observers import Observer
from modelopt.torch.export import export_hf_checkpoint
from transformers import AutoModel, AutoTokenizer

import nvfp4cal.integrations.llmcompressor
import nvfp4cal.integrations.modelopt

RECIPES = {
    "NVFP4_DEFAULT_CFG": False,
    "NVFP4_W4A4_WEIGHT_MSE_FP8_SWEEP_CFG": True,
    "NVFP4_W4A4_WEIGHT_LOCAL_HESSIAN_CFG": True,
    "NVFP4_FOUR_OVER_SIX_CFG": False,
}
TEXTS = ["Block scales are stored in eight bits.", "The harbour was quiet that morning.", "A quick brown fox jumps over a lazy dog."] * 20


def timed(work, *arguments, **named):
    """(seconds, result), without what the frameworks print."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        begin = time.perf_counter()
        result = work(*arguments, **named)
        return time.perf_counter() - begin, result


def quantize(model, recipe, inputs, own_sweep):
    """mtq.quantize of a copy. own_sweep: ModelOpt's reference loop over the 126 scales, also on nvfp4cal's fake quantization."""
    os.environ["MODELOPT_NVFP4_TRITON_SWEEP"] = "0" if own_sweep else "1"
    copied = copy.deepcopy(model)
    return timed(mtq.quantize, copied, copy.deepcopy(getattr(mtq, recipe)), lambda m: m(**inputs))


def scales(model):
    """All calibrated block amaxes of a model."""
    return torch.cat([m.weight_quantizer.amax.flatten() for m in model.modules() if isinstance(m, torch.nn.Linear) and m.weight_quantizer.is_enabled])


def modelopt(model, inputs):
    for line in nvfp4cal.integrations.modelopt.install():
        print("replaced:", line, file=sys.stderr)
    with torch.no_grad():
        exact = model(**inputs).last_hidden_state.mean(1)
        print(f"{'ModelOpt recipe':<38}{'quantize':>9}{'own sweep':>11}{'scales equal':>14}{'forward':>9}{'export':>8}{'cosine':>8}")
        for recipe, sweeps in RECIPES.items():
            seconds, quantized = quantize(model, recipe, inputs, False)
            own, equal = "", ""
            if sweeps:
                own_seconds, reference = quantize(model, recipe, inputs, True)
                own, equal = f"{own_seconds:.2f} s", f"{(scales(quantized) == scales(reference)).float().mean():.5%}"
            forward, outputs = timed(quantized, **inputs)
            cosine = torch.cosine_similarity(outputs.last_hidden_state.mean(1), exact).mean()
            with tempfile.TemporaryDirectory() as folder:
                export, _ = timed(export_hf_checkpoint, quantized, export_dir=folder)
            print(f"{recipe:<38}{seconds:>7.2f} s{own:>11}{equal:>14}{forward:>7.2f} s{export:>6.2f} s{cosine:>8.4f}", flush=True)
    nvfp4cal.integrations.modelopt.uninstall()


def observe(name, weights):
    """The ranges of all weights by a registered observer."""
    args = [QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", group_size=16) for _ in weights]
    observers = [Observer.load_from_registry(name, base_name="weight", args=one) for one in args]
    return torch.cat([observer(weight).max_vals.flatten() for observer, weight in zip(observers, weights)])


def llmcompressor(weights):
    print(f"\n{'llm-compressor observer':<38}{'nvfp4cal':>9}{'own search':>12}{'ranges equal':>14}")
    for name in ("memoryless_mse", "mse", "nvfp4_expanded_mse"):
        own_seconds, expected = timed(observe, name, weights)
        nvfp4cal.integrations.llmcompressor.install()
        seconds, found = timed(observe, name, weights)
        nvfp4cal.integrations.llmcompressor.uninstall()
        print(f"{name:<38}{seconds:>7.2f} s{own_seconds:>10.2f} s{(found == expected).float().mean():>14.5%}", flush=True)


def main(folder, layers=None):
    warnings.simplefilter("ignore")
    model = AutoModel.from_pretrained(folder, **({} if layers is None else {"num_hidden_layers": int(layers)})).eval()
    inputs = AutoTokenizer.from_pretrained(folder)(TEXTS, return_tensors="pt", padding=True)
    weights = [m.weight.detach() for m in model.modules() if isinstance(m, torch.nn.Linear)]
    print(f"{len(weights)} linear layers, {sum(w.numel() for w in weights) / 1e6:.1f} M weights, {torch.get_num_threads()} threads\n")
    modelopt(model, inputs)
    llmcompressor(weights)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.split("\n\n")[1])
    main(*sys.argv[1:])
