"""What is collected in front of layers that share an input, and how their weights are quantized with it."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from ._errors import NotFiniteError
from .calib import HessianAccumulator, MaxCalibrator, NVFP4ActHeadroomCalibrator, NVFP4ActMaxCalibrator
from .context import Context
from .gptq import GPTQ
from .quantization import QuantizedTensor, quantize
from .sweep import nvfp4_fp8_scale_sweep_hessian

METHODS = ("gptq", "hessian", "mse", "max")
ACTIVATIONS = {"max": MaxCalibrator, "actmax": NVFP4ActMaxCalibrator, "headroom": NVFP4ActHeadroomCalibrator}
UNIT_AMAX = 2688.0
"""The amax whose global scale is 1: for inputs that were all zero."""


class Collected:
    """Sums over the inputs of one group.

    Args:
        names: the group's layers, for messages.
        method: of METHODS. activations: of ACTIVATIONS or None.
    Attributes:
        rows: tokens seen. shifted: whether X0^T X is known, for all of them.
    """

    def __init__(self, names: List[str], method: str, activations: str | None, context: Context | None):
        self._names = names
        self._context = context
        self._hessian = None
        if method in ("gptq", "hessian"):
            self._hessian = HessianAccumulator("full" if method == "gptq" else "blocks", context=context)
        self._activations = None if activations is None else ACTIVATIONS[activations](context=context)
        self._cross: Any = None
        self._crossed = 0  # rows that it has
        self.rows = 0

    @property
    def shifted(self) -> bool:
        return self._cross is not None and self._crossed == self.rows

    def add(self, batch: int, x: Any, original: Any = None) -> None:
        """Takes the inputs x [rows, cols] of a batch, and the original model's at the same rows if the weights are to make up for the difference."""
        if len(x) == 0:
            return
        try:
            if self._hessian is not None:
                self._hessian.collect(x)
            if self._activations is not None:
                self._activations.collect(x)
        except NotFiniteError as error:
            raise NotFiniteError(f"batch {batch}: input of {self._names[0]}: {error}", NotFiniteError.status) from None
        if original is not None:
            product = original.float().T @ x.float()
            self._cross = product.double() if self._cross is None else self._cross.add_(product)
            self._crossed += len(x)
        self.rows += len(x)

    def input_amax(self) -> float | None:
        """The amax that gives the input's static global scale; None without activations."""
        if self._activations is None:
            return None
        amax = self._activations.compute_amax()
        return float(amax) if amax is not None and float(amax) > 0 else UNIT_AMAX

    def quantize(self, weights: Any, method: str, effort: str, damping: float) -> QuantizedTensor:
        """Quantizes the group's weights [rows, cols], which get one global scale."""
        if method == "gptq":
            cross = self._cross if self.shifted else None  # one of fewer rows than the Hessian's would shrink the weights
            made: QuantizedTensor = GPTQ(
                self._hessian, cross=cross, damping=damping, effort=effort, context=self._context
            ).quantize(weights)  # fmt: skip
            return made
        if method == "hessian":
            assert self._hessian is not None
            amax = nvfp4_fp8_scale_sweep_hessian(weights, None, self._hessian.compute_hessian(), context=self._context)
            return quantize(weights, amax, context=self._context)
        return quantize(weights, method=method, context=self._context)


def rows_of(x: Any, kept: Any, hidden: Any) -> Tuple[Any, bool]:
    """An input as [rows, cols] without padding, and whether its rows are the tokens of the hidden states, in their order."""
    tokens = tuple(x.shape[:-1]) == tuple(hidden.shape[:-1])
    if tokens and kept is not None:
        return x[kept], True
    return x.reshape(-1, x.shape[-1]), tokens


def split(made: QuantizedTensor, group: Dict[str, Any]) -> List[QuantizedTensor]:
    """The layers' parts of a group's result, copies of their own memory."""
    found, start = [], 0
    for layer in group.values():
        rows = slice(start, start + layer.out_features)
        shape = (layer.out_features, layer.in_features)
        found.append(QuantizedTensor(made.packed[rows].clone(), made.scale[rows].clone(), made.scale_2, made.global_amax, shape, 16, False))
        start += layer.out_features
    return found
