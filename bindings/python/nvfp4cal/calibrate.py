"""A Hugging Face model to NVFP4 by its own activations, block by block."""

from __future__ import annotations

import fnmatch
import os
from typing import Any, Callable, Dict, Iterable, List, Sequence

from ._calibrate_blocks import Call, Inputs, as_list, find_blocks, groups_of, quiet, take
from ._calibrate_files import FORMATS, check_output, save
from ._calibrate_group import ACTIVATIONS, METHODS, Collected, rows_of, split
from ._errors import Error, UnsupportedError
from .context import Context
from .quantization import QuantizedTensor

__all__ = ["Calibration", "CalibratedLayer", "calibrate"]

ROUTERS = ("*router*", "*.gate", "*shared_expert_gate", "*.gate.wg")
"""Names of layers that choose experts: their rounding errors change the choice, and no engine loads them quantized."""


class CalibratedLayer:
    """A quantized linear layer.

    Attributes:
        tensor: the QuantizedTensor of its weight [out_features, in_features].
        group: names of the layers with the same input, which share Hessian and global scale.
        input_amax: the largest magnitude that the input's static global scale is made for (W4A4); None for weights alone.
        rows: tokens that the calibration saw.
        shifted: whether the weights make up for the error of the layers before.
    """

    __slots__ = ("tensor", "group", "input_amax", "rows", "shifted")

    def __init__(self, tensor: QuantizedTensor, group: List[str], input_amax: float | None, rows: int, shifted: bool):
        self.tensor, self.group, self.input_amax, self.rows, self.shifted = tensor, group, input_amax, rows, shifted


class Calibration:
    """What calibrate() found.

    Attributes:
        layers: name -> CalibratedLayer, in execution order.
        skipped: name -> why a linear layer of the blocks was not quantized.
    """

    def __init__(self) -> None:
        self.layers: Dict[str, CalibratedLayer] = {}
        self.skipped: Dict[str, str] = {}

    def apply(self, model: Any) -> None:
        """Replaces the weights of the quantized layers by what they decode to, in the weights' dtype."""
        for name, layer in self.layers.items():
            weight = model.get_submodule(name).weight
            weight.data = layer.tensor.dequantize(weight.dtype)

    def save(self, model: Any, folder: str | os.PathLike[str], format: str = "modelopt") -> None:
        """Writes the model with the quantized layers as a checkpoint that inference engines load.

        Args:
            model: the transformers model that was calibrated; its other tensors and its configuration are written too. Its tokenizer is not:
                ``tokenizer.save_pretrained(folder)``.
            folder: does not exist or is empty. All or nothing: it is made when all files are written.
            format: "modelopt" or "compressed-tensors", as for quantize_checkpoint (docs/checkpoint.md).
        Raises: InvalidArgumentError, FileError (an OSError). Needs the package safetensors.
        """
        save(self, model, folder, format)


def calibrate(
    model: Any,
    batches: Iterable[Any],
    method: str = "gptq",
    effort: str = "default",
    sequential: bool = True,
    *,
    activations: str | None = None,
    damping: float = 0.02,
    blocks: str | None = None,
    ignore: Sequence[str] = (),
    apply: bool = True,
    output: str | os.PathLike[str] | None = None,
    format: str = "modelopt",
    progress: Callable[[int, int, str], Any] | bool | None = None,
    context: Context | None = None,
) -> Calibration:
    """Quantizes the linear layers in a transformers model's blocks to NVFP4, each with the activations that reach it.

    Layers with the same input (q, k and v; gate and up) share one Hessian and one global scale. One block's Hessians are held at a time (one group's if
    sequential), and the hidden states of all batches (twice if sequential).

    Args:
        model: a transformers model on the CPU whose blocks are in one ModuleList and run one after the other (BERT-like, Llama-like, ...).
        batches: each a dict of the model's arguments, a tuple of them, or one tensor. Tokens that a dict's ``attention_mask`` [batch, tokens] marks as
            padding do not count. All are held: token ids are small.
        method: "gptq" (full Hessian, see GPTQ), "hessian" (block scales by 16 x 16 Hessians), "mse" (the best of all 126 scales), "max".
        effort, damping: of "gptq".
        sequential: for "gptq": layers see the inputs that the quantized layers before them give, and weights are first moved to what makes up best for
            the difference. The whole model's error becomes less, at the cost of a second stream through the blocks.
        activations: also find static global scales for the inputs, for W4A4: "max", "actmax" or "headroom" (the calibrators of these names).
        blocks: name of the ModuleList, where the model has several.
        ignore: patterns (fnmatch) of names of layers to leave as they are; routers of experts always are.
        apply: replace the model's weights by the decoded ones at the end. If anything fails, the model is as it was.
        output, format: write a checkpoint too; see Calibration.save.
        progress: True: a bar of the package tqdm; a function: ``progress(done, total, name)``, in linear layers; what it raises stops the run.
        context: the library's threads and CPU target; torch has its own.
    Returns: a Calibration. The same bits for the same model, batches, torch and its threads.
    Raises: NoDataError (no batches), NotFiniteError (names batch and layer), InvalidArgumentError, UnsupportedError (blocks that do not run one after the
        other, tensors on a device).
    """
    for name, value, choices in (("method", method, METHODS), ("effort", effort, ("fast", "default", "max")), ("format", format, FORMATS)):
        if value not in choices:
            raise ValueError(f"{name} {value!r} is not one of {', '.join(map(repr, choices))}")
    if activations is not None and activations not in ACTIVATIONS:
        raise ValueError(f"activations {activations!r} is not one of {', '.join(map(repr, ACTIVATIONS))}, None")
    if output is not None:
        check_output(output)  # not only after the work
    listed = as_list(batches)
    prefix, found = find_blocks(model, blocks)
    for name, parameter in model.named_parameters():
        if parameter.device.type != "cpu":
            raise UnsupportedError(f"parameter {name} is on device {parameter.device}; models are calibrated on the CPU", UnsupportedError.status)
    run = _Run(method, effort, sequential and method == "gptq", activations, damping, (*ROUTERS, *ignore), context)
    with quiet(model), _bar(progress) as report:
        run.all(model, prefix, found, listed, report)
    if output is not None:
        run.result.save(model, output, format)
    if apply:
        run.result.apply(model)
    return run.result


class _bar:
    """The function that progress means, within a bar if it means one."""

    def __init__(self, progress: Any):
        self._progress, self._tqdm = progress, None

    def __enter__(self) -> Callable[[int, int, str], Any]:
        if callable(self._progress):
            shown: Callable[[int, int, str], Any] = self._progress
            return shown
        if not self._progress:
            return lambda done, total, name: None
        from tqdm.auto import tqdm

        bar = self._tqdm = tqdm(unit="layer")

        def show(done: int, total: int, name: str) -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)

        return show

    def __exit__(self, *_: object) -> None:
        if self._tqdm is not None:
            self._tqdm.close()


class _Run:
    """The walk through the blocks: the original model's hidden states, and those behind quantized blocks if sequential."""

    def __init__(
        self, method: str, effort: str, sequential: bool, activations: str | None, damping: float, ignored: Sequence[str], context: Context | None
    ):
        self._method, self._effort, self._damping, self._context = method, effort, damping, context
        self._sequential, self._activations, self._ignored = sequential, activations, ignored
        self.result = Calibration()

    def all(self, model: Any, prefix: str, blocks: List[Any], batches: List[Any], report: Callable[[int, int, str], Any]) -> None:
        import torch

        inputs = Inputs(model, blocks, batches)
        self._kept = inputs.kept
        self._original = inputs.hidden
        self._behind = list(inputs.hidden)  # behind quantized blocks; the same tensors until the first one
        self._done, self._total = 0, sum(isinstance(one, torch.nn.Linear) for block in blocks for one in block.modules())
        for number, block in enumerate(blocks):
            self._block(block, f"{prefix}.{number}", inputs.calls[number], report)
            inputs.calls[number].clear()

    def _block(self, block: Any, name: str, calls: List[Call], report: Callable[[int, int, str], Any]) -> None:
        groups, refused = groups_of(block, name, calls, self._original)
        for one, reason in refused.items():
            self._skip(one, reason, report)
        groups = [kept for kept in (self._quantizable(group, refused, report) for group in groups) if kept]
        decoded: Dict[Any, Any] = {}  # layer -> its weight in the quantized stream
        if not self._sequential:
            together = self._collect(block, groups, calls, decoded)
        for number, group in enumerate(groups):
            collected = together[number] if not self._sequential else self._collect(block, [group], calls, decoded)[0]
            self._quantize(group, collected, decoded)
            for one in group:
                self._done += 1
                report(self._done, self._total, one)
        for number, call in enumerate(calls):
            hidden = call.run(block, self._original[number])
            if self._sequential:
                with _weights(decoded):
                    self._behind[number] = call.run(block, self._behind[number])
            else:
                self._behind[number] = hidden
            self._original[number] = hidden

    def _quantizable(self, group: Dict[str, Any], refused: Dict[str, str], report: Callable[[int, int, str], Any]) -> Dict[str, Any]:
        kept = {}
        for name, layer in group.items():
            if name in refused:
                continue
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in self._ignored):
                self._skip(name, "ignored", report)
            elif layer.in_features % 16:
                self._skip(name, f"in_features {layer.in_features} is not a multiple of 16", report)
            elif "weight" not in layer._parameters:
                self._skip(name, "its weight is computed from other parameters", report)
            elif not layer.weight.is_floating_point():
                self._skip(name, f"weight is {layer.weight.dtype}", report)
            else:
                kept[name] = layer
        return kept

    def _skip(self, name: str, reason: str, report: Callable[[int, int, str], Any]) -> None:
        self.result.skipped[name] = reason
        self._done += 1
        report(self._done, self._total, name)

    def _collect(self, block: Any, groups: List[Dict[str, Any]], calls: List[Call], decoded: Dict[Any, Any]) -> List[Collected]:
        collected = [Collected(list(group), self._method, self._activations, self._context) for group in groups]
        layers = [next(iter(group.values())) for group in groups]
        for number, call in enumerate(calls):
            behind, original = self._inputs(block, layers, call, number, decoded)
            for one, layer in zip(collected, layers):
                x, tokens = behind.get(layer, (None, False))
                before, also = original.get(layer, (None, False))
                if x is not None:
                    one.add(number, x, before if tokens and also else None)
        return collected

    def _inputs(self, block: Any, layers: List[Any], call: Call, number: int, decoded: Dict[Any, Any]) -> Any:
        """Inputs of the layers as rows_of gives them, behind quantized layers, and in the original model where they differ from those."""

        def taken(hidden: Any) -> Dict[Any, Any]:
            found: Dict[Any, Any] = {}

            def taker(layer: Any) -> Any:
                def take_rows(x: Any) -> None:
                    found[layer] = rows_of(x, self._kept[number], hidden)

                return take_rows

            take(block, {layer: taker(layer) for layer in layers}, call, hidden)
            return found

        hidden = self._behind[number]
        with _weights(decoded):
            behind = taken(hidden)
        if not self._sequential or (hidden is self._original[number] and not decoded):
            return behind, {}
        return behind, taken(self._original[number])

    def _quantize(self, group: Dict[str, Any], collected: Collected, decoded: Dict[Any, Any]) -> None:
        import torch

        names = list(group)
        if collected.rows == 0:
            self.result.skipped.update((name, "no activations reach it") for name in names)
            return
        weights = torch.cat([layer.weight.detach().float() for layer in group.values()])
        try:
            made = collected.quantize(weights, self._method, self._effort, self._damping)
        except Error as error:
            error.args = (f"{', '.join(names)}: {error}",)
            raise
        input_amax = collected.input_amax()
        for (name, layer), tensor in zip(group.items(), split(made, group)):
            self.result.layers[name] = CalibratedLayer(tensor, names, input_amax, collected.rows, collected.shifted)
            if self._sequential:
                decoded[layer] = tensor.dequantize(layer.weight.dtype)


class _weights:
    """Layers with other weights for a while."""

    def __init__(self, weights: Dict[Any, Any]):
        self._weights = weights
        self._kept: Dict[Any, Any] = {}

    def __enter__(self) -> None:
        self._kept = {layer: layer.weight.data for layer in self._weights}
        for layer, weight in self._weights.items():
            layer.weight.data = weight

    def __exit__(self, *_: object) -> None:
        for layer, weight in self._kept.items():
            layer.weight.data = weight
