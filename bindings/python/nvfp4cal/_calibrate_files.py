"""A calibrated model as a checkpoint folder: the files of transformers, with the quantized layers' tensors in their places."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from typing import Any, Dict, List

import numpy as np

from ._errors import InvalidArgumentError
from .context import library_version

FORMATS = ("modelopt", "compressed-tensors")
_TWO_LEVELS = np.float32(2688.0)  # 6 * 448


def check_output(folder: Any) -> pathlib.Path:
    """The folder as a path. Raises InvalidArgumentError if it cannot be written to, ImportError without the package safetensors."""
    import safetensors.torch  # noqa: F401

    target = pathlib.Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidArgumentError(f"output {str(target)!r} is there and not an empty folder", InvalidArgumentError.status)
    return target


def save(calibration: Any, model: Any, folder: Any, format: str) -> None:
    """See Calibration.save."""
    if format not in FORMATS:
        raise ValueError(f"format {format!r} is not one of {', '.join(map(repr, FORMATS))}")
    target = check_output(folder)
    if not calibration.layers:
        raise InvalidArgumentError("no layer was quantized", InvalidArgumentError.status)
    made = target.with_name(target.name + ".nvfp4cal-tmp")
    shutil.rmtree(made, ignore_errors=True)  # of a process that was killed
    try:
        model.save_pretrained(made)
        _replace_tensors(made, calibration.layers, format)
        _write_configurations(made, calibration, model, format)
        if target.exists():
            target.rmdir()
        os.rename(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def tensors_of(name: str, layer: Any, format: str) -> Dict[str, Any]:
    """A layer's tensors under their names in the file (docs/checkpoint.md)."""
    import torch

    def scalar(value: Any, shape: Any) -> Any:
        return torch.tensor(float(value), dtype=torch.float32).reshape(shape)

    tensor = layer.tensor
    amaxes = {"weight": np.float32(float(tensor.global_amax))}
    if layer.input_amax is not None:
        amaxes["input"] = np.float32(layer.input_amax)
    found = {f"{name}.weight_scale": tensor.scale}
    if format == "modelopt":
        found[f"{name}.weight"] = tensor.packed
        found[f"{name}.weight_scale_2"] = scalar(tensor.scale_2, ())
        if "input" in amaxes:
            found[f"{name}.input_scale"] = scalar(amaxes["input"] / _TWO_LEVELS, ())
        return found
    found[f"{name}.weight_packed"] = tensor.packed
    for kind, amax in amaxes.items():
        # All-zero weights: any scale decodes their zero codes.
        found[f"{name}.{kind}_global_scale"] = scalar(_TWO_LEVELS / amax if amax > 0 else 1.0, (1,))
    return found


def _replace_tensors(folder: pathlib.Path, layers: Dict[str, Any], format: str) -> None:
    from safetensors.torch import load_file, save_file

    waiting = set(layers)
    weight_map: Dict[str, str] = {}
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        tensors = load_file(file)
        for name in [name for name in layers if f"{name}.weight" in tensors]:
            del tensors[f"{name}.weight"]
            tensors.update(tensors_of(name, layers[name], format))
            waiting.discard(name)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, file.name))
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if waiting:
        raise InvalidArgumentError(f"transformers writes {sorted(waiting)[0]}.weight under another name", InvalidArgumentError.status)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        _write_json(index, {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))})


def _write_configurations(folder: pathlib.Path, calibration: Any, model: Any, format: str) -> None:
    inputs = any(layer.input_amax is not None for layer in calibration.layers.values())
    excluded = _excluded(model, calibration.layers)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"] = (_modelopt if format == "modelopt" else _compressed_tensors)(excluded, inputs)
    _write_json(path, config)
    if format == "modelopt":
        quantization = {"quant_algo": _algorithm(inputs), "kv_cache_quant_algo": None, "group_size": 16, "exclude_modules": excluded}
        _write_json(folder / "hf_quant_config.json", {"producer": _producer(), "quantization": quantization})


def _excluded(model: Any, layers: Dict[str, Any]) -> List[str]:
    """Modules with a 2-D weight that is not quantized: linear layers and embeddings."""
    found = []
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if name and name not in layers and weight is not None and getattr(weight, "ndim", 0) == 2:
            found.append(name)
    return found


def _producer() -> Dict[str, str]:
    return {"name": "nvfp4cal", "version": library_version()}


def _algorithm(inputs: bool) -> str:
    return "NVFP4" if inputs else "W4A16_NVFP4"


def _modelopt(excluded: List[str], inputs: bool) -> Dict[str, Any]:
    arguments = {"dynamic": False, "num_bits": 4, "type": "float", "group_size": 16}
    group: Dict[str, Any] = {"weights": arguments, "targets": ["Linear"]}
    if inputs:
        group["input_activations"] = dict(arguments)
    return {
        "config_groups": {"group_0": group}, "ignore": excluded, "quant_algo": _algorithm(inputs), "producer": _producer(), "quant_method": "modelopt",
    }  # fmt: skip


def _compressed_tensors(excluded: List[str], inputs: bool) -> Dict[str, Any]:
    arguments = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group", "group_size": 16, "dynamic": False}
    # Of inputs alone: where the package knows the member it is needed for scales to be rounded, where it does not the package refuses it.
    dynamic = {**arguments, "dynamic": "local", "scale_dtype": "torch.float8_e4m3fn"}
    group = {"targets": ["Linear"], "weights": arguments, "input_activations": dynamic if inputs else None, "output_activations": None}
    return {
        "config_groups": {"group_0": group}, "format": "nvfp4-pack-quantized", "quant_method": "compressed-tensors",
        "quantization_status": "compressed", "ignore": excluded, "kv_cache_scheme": None, "global_compression_ratio": None,
    }  # fmt: skip


def _write_json(path: pathlib.Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
